//! Every class of configuration error, as an operator sees it.

mod addresses;
mod bounds;
mod callers;
mod contracts;
mod secrets;
mod sources;

use super::{Config, Problems, SourceFile, Sources, load};

/// A configuration of a file's text, environment variables and flags.
struct Given {
    _folder: tempfile::TempDir,
    sources: Sources,
}

fn given(toml: &str) -> Given {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("changeover.toml");
    std::fs::write(&file, toml).unwrap();
    Given {
        _folder: folder,
        sources: Sources {
            file: SourceFile::Named(file),
            environment: Vec::new(),
            overrides: Vec::new(),
        },
    }
}

impl Given {
    fn variable(mut self, name: &str, value: &str) -> Self {
        let pair = (name.to_owned(), value.to_owned());
        self.sources.environment.push(pair);
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        let pair = (key.to_owned(), value.to_owned());
        self.sources.overrides.push(pair);
        self
    }

    fn load(&self) -> Result<Config, Problems> {
        load(&self.sources)
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The problems, without the name of the temporary folder.
    fn problems(&self) -> String {
        let problems = self.load().expect_err("there is something wrong");
        let folder = self.sources.file.path().parent().unwrap().display();
        problems.to_string().replace(&format!("{folder}/"), "")
    }
}
