//! Every class of configuration error, as an operator sees it.

use std::path::PathBuf;

use insta::assert_snapshot;

use super::{Config, Problems, SourceFile, Sources, load, load_to_serve};

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

#[test]
fn nothing_at_all_is_the_default() {
    let config = given("").config();
    assert_eq!(config.server.public.port(), 8080);
    assert_eq!(config.mqtt.effective_targets().len(), 1);
}

#[test]
fn a_named_file_that_is_missing_is_named() {
    let sources = Sources {
        file: SourceFile::Named(PathBuf::from("/nowhere/changeover.toml")),
        environment: Vec::new(),
        overrides: Vec::new(),
    };
    assert_snapshot!(load(&sources).unwrap_err(), @"");
    assert_snapshot!(load_to_serve(&sources).unwrap_err(), @"");
}

#[test]
fn the_default_file_may_be_missing_but_then_there_is_nothing_to_serve() {
    let sources = Sources {
        file: SourceFile::Default(PathBuf::from("/nowhere/changeover.toml")),
        environment: Vec::new(),
        overrides: Vec::new(),
    };
    load(&sources).unwrap();
    assert_snapshot!(load_to_serve(&sources).unwrap_err(), @"");
}

#[test]
fn broken_toml_is_found_by_line_and_column() {
    assert_snapshot!(given("[server]\npublic = \n").problems(), @"");
    assert_snapshot!(given("[server]\ndrain_ms = 1\ndrain_ms = 2\n").problems(), @"");
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_name() {
    let toml = r#"
        [server]
        pubilc = "127.0.0.1:9000"
        [databse]
        url = "sqlite://x.db"
        [[modules]]
        name = "a"
        [[modules]]
        name = "b"
        [modules.poll]
        path = "/b"
        cursor = { in = "query", nme = "since", kind = "positoin" }
        [limits]
        colour = 1
    "#;
    assert_snapshot!(given(toml).problems(), @"");
}

#[test]
fn wrong_types_are_all_listed_with_their_origin() {
    let toml = r#"
        modules = [5, { name = 7 }, { name = "fine", poll = "x" }]
        [server]
        public = "localhost"
        drain_ms = "soon"
        private_hosts = [1, 2]
        max_connections = -5
        [outbox]
        dedup_window = "a while"
        [[mqtt.targets]]
        protocol = 5
        [mirror]
        inflight = 70000
        [log]
        filter = 3
        format = "yaml"
    "#;
    let given = given(toml)
        .variable("CHANGEOVER__TAIL__TICK_MS", "often")
        .flag("ingest.queue", "many");
    assert_snapshot!(given.problems(), @"");
}

#[test]
fn later_sources_win() {
    let toml = "[tail]\ntick_ms = 1\nchanges = 1\npage = 1\n";
    let config = given(toml)
        .variable("CHANGEOVER__TAIL__CHANGES", "2")
        .variable("CHANGEOVER__TAIL__PAGE", "2")
        .flag("tail.page", "3")
        .config();
    let tail = &config.tail;
    assert_eq!((tail.tick_ms, tail.changes, tail.page), (1, 2, 3));
}

#[test]
fn other_variables_of_the_process_do_not_matter() {
    given("")
        .variable("CHANGEOVER_TEST_SKIP_SERVERS", "1")
        .variable("PATH", "/bin")
        .config();
}

#[test]
fn a_variable_reaches_into_a_list() {
    let toml = "[[mqtt.targets]]\nname = \"site\"\nurl = \"mqtt://broker\"\n";
    let config = given(toml)
        .variable(
            "CHANGEOVER__MQTT__TARGETS__0__URL",
            "mqtt://u:p@broker:1884",
        )
        .flag("mqtt.targets[0].protocol", "5")
        .config();
    let target = &config.mqtt.targets[0];
    assert_eq!(target.name, "site");
    let endpoint = target.endpoint();
    assert_eq!(endpoint.port, 1884);
    assert_eq!(endpoint.password.as_deref(), Some("p"));
}

#[test]
fn a_variable_of_digits_is_text_where_text_is_wanted() {
    let config = given("")
        .variable("CHANGEOVER__SERVER__INSTANCE", "007")
        .variable("CHANGEOVER__SERVER__PRIVATE_HOSTS", "[\"a\",\"b\"]")
        .config();
    assert_eq!(config.server.instance, "007");
    assert_eq!(config.server.private_hosts, ["a", "b"]);
}
