//! Reading the configuration from its sources.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use figment::value::Dict;

use super::{Config, Problems, layers::Layer, layers::Layers, reading};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "changeover.toml";

/// Where configuration comes from; later ones win.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The file.
    pub file: SourceFile,
    /// Variables by name. Those that begin with `CHANGEOVER__` count, `__` separating keys.
    pub environment: Vec<(String, String)>,
    /// Flags: key path and value.
    pub overrides: Vec<(String, String)>,
}

/// The configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceFile {
    /// Named by the operator: it must exist.
    Named(PathBuf),
    /// Read if it exists.
    Default(PathBuf),
}

impl Sources {
    /// The named file or [`DEFAULT_FILE`], this process' environment, and flags.
    pub fn of_process(file: Option<PathBuf>, overrides: Vec<(String, String)>) -> Self {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        Self {
            file: file.map_or_else(
                || SourceFile::Default(PathBuf::from(DEFAULT_FILE)),
                SourceFile::Named,
            ),
            environment: env::vars_os().map(|(k, v)| (text(k), text(v))).collect(),
            overrides,
        }
    }
}

impl SourceFile {
    /// Its path, whether it exists or not.
    pub fn path(&self) -> &Path {
        match self {
            Self::Named(path) | Self::Default(path) => path,
        }
    }

    pub(super) fn read(&self, problems: &mut Problems) -> Option<Layer> {
        let name = self.path().display().to_string();
        let text = match fs::read_to_string(self.path()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.is_named() => {
                return None;
            }
            Err(error) => {
                problems.push("", format!("{name}: cannot be read: {error}"));
                return None;
            }
        };
        match toml::from_str::<Dict>(&text) {
            Ok(values) => Some(Layer::file(&name, values)),
            Err(error) => {
                problems.push("", format!("{name}{}", syntax(&text, &error)));
                None
            }
        }
    }

    const fn is_named(&self) -> bool {
        matches!(self, Self::Named(_))
    }
}

/// `:line:column: message`. The line itself is not shown: it may hold a password.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return format!(": {message}");
    };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!(":{line}:{column}: {message}")
}

/// The configuration, valid as far as this room can tell. It may name no modules.
pub fn load(sources: &Sources) -> Result<Config, Problems> {
    examine(sources, |_, _| {})
}

/// As [`load`], and there must be at least one module to serve. `also` adds what only the rooms
/// above can tell, at its key paths.
pub fn load_to_serve(
    sources: &Sources,
    also: impl Fn(&Config, &mut Problems),
) -> Result<Config, Problems> {
    examine(sources, |config, problems| {
        if config.modules.is_empty() {
            problems.push("modules", no_modules(&sources.file));
        }
        let mut others = Problems::new();
        also(config, &mut others);
        problems.add_unless_known(others);
    })
}

fn no_modules(file: &SourceFile) -> String {
    let path = file.path().display();
    let why = if file.path().exists() {
        format!("add a [[modules]] table to {path}")
    } else {
        format!("there is no {path}: write one, or name another with --config")
    };
    format!("none is configured; {why}")
}

fn examine(sources: &Sources, more: impl Fn(&Config, &mut Problems)) -> Result<Config, Problems> {
    let mut problems = Problems::new();
    let layers = Layers::merge(sources, &mut problems);
    let unread = !problems.is_empty() && layers.tree.as_dict().is_none_or(Dict::is_empty);
    let config = reading::read(&layers, &mut problems);
    let mut findings = Problems::new();
    config.validate(&mut findings);
    // After a file that could not be read, nothing can be said about what it lacks.
    if !unread {
        more(&config, &mut findings);
    }
    findings.attribute(|path| layers.origin(&path.into()));
    problems.add_unless_known(findings);
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(problems)
    }
}
