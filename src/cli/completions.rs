//! `changeover completions SHELL`: what a shell needs to complete the command line.
//!
//! Invariant: where a value is no file, no files are offered, as far as the shell's script can say so.

use anyhow::Context;
use clap::{Arg, Args, Command, ValueHint};
use clap_complete::Shell;

use super::{Failure, command, output::say_bytes};

/// What the command takes.
#[derive(Debug, Clone, Copy, Args)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

/// Where bash ends words at `=`, the parts of `stage=ramp` are put together before they are completed, and what is there of it already is
/// taken away from what is offered.
const JOINED: &str = r#"
_changeover_joined() {
    local current="$2" begun="" at
    local -a words=("${COMP_WORDS[@]:0:COMP_CWORD}")
    if [[ "${COMP_WORDS[COMP_CWORD]}" == "=" ]]; then
        words+=("=")
        current=""
    fi
    at=${#words[@]}
    while (( at >= 2 )) && [[ "${words[at-1]}" == "=" && "${words[at-2]}" != -* ]]; do
        begun="${words[at-2]}=${begun}"
        at=$((at - 2))
    done
    if (( at >= 2 )) && [[ "${words[at-1]}" == "=" ]]; then
        at=$((at - 1))
    fi
    local -a COMP_WORDS=("${words[@]:0:at}" "${begun}${current}")
    local COMP_CWORD=$at
    _changeover "$1" "${begun}${current}" "${words[at-1]}"
    COMPREPLY=("${COMPREPLY[@]#"${begun}"}")
}
"#;

/// Where the script of bash tells it what completes the command line.
const REGISTERED: &str = "complete -F _changeover ";

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        let mut command = without_files(command());
        clap_complete::generate(self.shell, &mut command, "changeover", &mut script);
        if self.shell == Shell::Bash {
            let generated = String::from_utf8(script).context("the script is not UTF-8")?;
            script = joining(&generated).into_bytes();
        }
        Ok(say_bytes(&script)?)
    }
}

fn joining(script: &str) -> String {
    let registered = script.replace(REGISTERED, "complete -F _changeover_joined ");
    JOINED.trim_start().to_owned() + &registered
}

/// The command line, in which a value of which nothing is known is no file.
fn without_files(command: Command) -> Command {
    let hinted = |arg: Arg| {
        let unknown = arg.get_value_hint() == ValueHint::Unknown;
        if unknown && arg.get_action().takes_values() && arg.get_possible_values().is_empty() {
            arg.value_hint(ValueHint::Other)
        } else {
            arg
        }
    };
    command.mut_args(hinted).mut_subcommands(without_files)
}
