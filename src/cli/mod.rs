//! The command line: one file per command.
//!
//! Invariant: a command does its work through the configuration or through the admin API that
//! everybody else may use too; what it prints on standard output is its result and nothing else.

mod act_table;
mod actor;
mod append;
mod audit;
mod census;
mod check;
mod client;
mod compact;
mod completions;
mod epoch;
mod failure;
mod health;
mod instance;
mod man;
mod migrate;
mod module;
mod outbox;
mod output;
mod panic;
mod savings;
mod savings_tables;
mod screen;
mod serve;
mod show_config;
mod suggestion;
mod target;
mod token;
mod verified_table;
mod watch;

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::SystemTime,
};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};

pub use failure::{Exit, Failure};
pub use output::{Format, Output};

use crate::{
    config::{self, Config, Problems, Sources},
    domain::SystemClock,
    identity::Identity,
    mirror::mqtt::files::{self, Findings},
    poll,
};

/// Answers legacy polls from a change log and mirrors every change onto MQTT.
#[derive(Debug, Parser)]
#[command(name = "changeover", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct Globals {
    /// Configuration file; without it `changeover.toml` is read if it is there.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Overrides one configured value, e.g. `--set server.public=127.0.0.1:9000`.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub overrides: Vec<(String, String)>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the gateway.
    Serve(serve::Serve),
    /// Reports every problem of the configuration.
    Check,
    /// Prints the effective configuration with secrets hidden.
    Config,
    /// Brings the database's schema up to this program's.
    Migrate,
    /// Hands changes to the gateway.
    Append(append::Append),
    /// Shows a module's changes as a client gets them, by polls or push, until interrupted.
    Watch(watch::Watch),
    /// Shows modules and moves them along the ladder.
    #[command(subcommand)]
    Module(module::Module),
    /// Sends every client, or one module's, back to polling, at once; `--lift` undoes it.
    Panic(panic::Panic),
    /// Shows clients: who polls, who is on push, who fell back.
    Census(census::Census),
    /// Prunes and compacts logs now, or says what that would do.
    Compact(compact::Compact),
    /// Shows the brokers that are fed, pauses them, and sends changes again.
    #[command(subcommand)]
    Target(target::Target),
    /// Makes, shows and revokes the tokens of who may do what at the private listener.
    #[command(subcommand)]
    Token(token::Token),
    /// Shows who did what when and why, on modules, targets and tokens.
    Audit(audit::Audit),
    /// Shows the processes that share the database.
    #[command(subcommand)]
    Instance(instance::Instance),
    /// Says whether the gateway is ready; exit code 0 if it is.
    Health(health::Health),
    /// Begins new epochs of logs.
    #[command(subcommand)]
    Epoch(epoch::Epoch),
    /// Shows what each module cost before its clients moved and costs now, which modules nobody asks for, and what could be smaller.
    Savings(savings::Savings),
    /// Shows what could not be numbered.
    #[command(subcommand)]
    Outbox(outbox::Outbox),
    /// Writes what a shell needs to complete the command line.
    Completions(completions::Completions),
    /// Writes the manual.
    Man(man::Man),
}

/// Runs the program: parses the arguments, does the command, says how it ended (see [`Exit`]).
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = command().try_get_matches_from(arguments);
    match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => finish(dispatch(cli)),
        Err(usage) => {
            // A closed standard output leaves nobody to tell.
            let _closed = usage.print();
            if usage.use_stderr() {
                ExitCode::from(Exit::Usage.code())
            } else {
                ExitCode::SUCCESS
            }
        }
    }
}

/// The command line with its exit codes, which `--help` tells.
fn command() -> clap::Command {
    let line = |(exit, meaning): &(Exit, &str)| format!("\n  {:>3}  {meaning}", exit.code());
    let codes: String = Exit::ALL.iter().map(line).collect();
    let done = "Exit codes:\n    0  what was asked for is done, or reached";
    Cli::command().after_long_help(format!("{done}{codes}"))
}

fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // A closed standard error leaves the code to tell.
            let _closed = writeln!(io::stderr(), "{failure}");
            failure.exit_code()
        }
    }
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let globals = cli.globals;
    match cli.command {
        Command::Serve(serve) => block_on(serve.run(&globals)),
        Command::Migrate => block_on(migrate::run(&globals)),
        Command::Check => check::run(&globals),
        Command::Config => show_config::run(&globals),
        Command::Append(append) => block_on(append.run(&globals)),
        Command::Watch(watch) => block_on(watch.run(&globals)),
        Command::Module(module) => block_on(module.run(&globals)),
        Command::Panic(panic) => block_on(panic.run(&globals)),
        Command::Census(census) => block_on(census.run(&globals)),
        Command::Compact(compact) => block_on(compact.run(&globals)),
        Command::Target(target) => block_on(target.run(&globals)),
        Command::Token(token) => block_on(token.run(&globals)),
        Command::Audit(audit) => block_on(audit.run(&globals)),
        Command::Instance(instance) => block_on(instance.run(&globals)),
        Command::Health(health) => block_on(health.run(&globals)),
        Command::Epoch(epoch) => block_on(epoch.run(&globals)),
        Command::Savings(savings) => block_on(savings.run(&globals)),
        Command::Outbox(outbox) => block_on(outbox.run(&globals)),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
    }
}

fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(anyhow::Error::new(error).context("cannot start")))?;
    let result = runtime.block_on(command);
    // A read of standard input that nobody waits for any more must not hold the exit.
    runtime.shutdown_background();
    result
}

impl Globals {
    /// Where this run's configuration comes from.
    pub fn sources(&self) -> Sources {
        Sources::of_process(self.config.clone(), self.overrides.clone())
    }

    /// The configuration to serve with, its poll contracts compiled once as a check.
    pub fn load_to_serve(&self) -> Result<Config, Problems> {
        config::load_to_serve(&self.sources(), |config, problems| {
            for (key, why) in poll::problems(config) {
                problems.push(key, why);
            }
            problems.add_unless_known(keys_of_callers(config));
        })
    }

    /// The configuration to serve with, and what the files of the links to brokers and of the listeners say. A gateway serves
    /// without the former: what a broker lacks keeps no client from polling.
    pub fn load_to_check(&self) -> Result<Config, Problems> {
        config::load_to_serve(&self.sources(), |config, problems| {
            for (key, why) in poll::problems(config) {
                problems.push(key, why);
            }
            problems.add_unless_known(keys_of_callers(config));
            problems.add_unless_known(links(config).problems);
            problems.add_unless_known(certificates(config).problems);
        })
    }

    /// The configuration; it may name no modules.
    pub fn load(&self) -> Result<Config, Problems> {
        config::load(&self.sources())
    }
}

/// What is wrong with the files and variables that hold the keys of callers: nobody would be recognized without them.
fn keys_of_callers(config: &Config) -> Problems {
    Identity::problems(config, Arc::new(SystemClock))
}

/// What the files of the links to brokers say now, and that of the hooks.
fn links(config: &Config) -> Findings {
    let targets = config.mqtt.effective_targets();
    let mut findings = files::look(&targets, "mqtt.targets", SystemTime::now());
    if let Err(why) = config.broker_hooks.read_secret() {
        findings.problems.push("", why);
    }
    findings
}

/// What the certificates of the listeners say now.
fn certificates(config: &Config) -> Findings {
    let mut found = Findings::default();
    for (path, tls) in [
        ("server.public_tls", &config.server.public_tls),
        ("server.private_tls", &config.server.private_tls),
    ] {
        if let Some(tls) = tls {
            let now = SystemTime::now();
            tls.look(path, now, &mut found.problems, &mut found.warnings);
        }
    }
    found
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE, e.g. server.public=127.0.0.1:9000".to_owned()),
    }
}
