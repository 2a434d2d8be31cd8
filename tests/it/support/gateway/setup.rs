//! What a gateway of the tests is configured with.

use std::{
    fs,
    path::{Path, PathBuf},
};

use changeover::config::{self, SourceFile, Sources};

use crate::support::{database::DatabaseUnderTest, folder, lasting_port, token};

const MODULES: &str = r#"
[[modules]]
name = "commission"
[modules.poll]
path     = "/api/commission/list"
methods  = ["GET", "POST"]
cursor   = { in = "query", name = "since", kind = "position" }
audience = { in = "query", name = "uid" }
client   = { in = "header", name = "X-Terminal" }
limit    = { in = "query", name = "size", default = 1000, max = 20000 }
[modules.poll.response]
body  = '{"list":"$changes","since":"$cursor","more":"$has_more"}'
item  = '{"key":"$key","op":"$op","seq":"$position","previous":"$previous","audience":"$audience","id":"$change_id","body":"$value"}'
error = '{"code":"$status","msg":"$message"}'
[modules.sunset]
at   = 2030-01-01T00:00:00Z
link = "https://example.com/commission-over-mqtt"

[[modules]]
name = "notices"
"#;

/// What a gateway is configured with: a file, and keys that are set beside it.
#[derive(Debug, Clone)]
pub struct Setup {
    instance: String,
    database: String,
    modules: String,
    keys: Vec<(String, String)>,
    pub(super) before: Vec<String>,
    pub(super) arguments: Vec<String>,
}

impl Setup {
    /// A replica named `instance` on `database`, with the embedded broker, and the modules
    /// `commission`, which has a poll, and `notices`, which has none.
    pub fn new(database: &DatabaseUnderTest, instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            database: database.config.url.clone(),
            modules: MODULES.to_owned(),
            keys: Vec::new(),
            before: Vec::new(),
            arguments: Vec::new(),
        }
        .set("database.connections", "4")
        // Most tests are about what comes after a step: those about gates switch them on.
        .set("gates.enforce", "false")
    }

    /// Sets one key, as `--set` does: not for keys inside of lists.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and texts are handed over as they are written"
    )]
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.keys.push((key.to_owned(), value.to_string()));
        self
    }

    /// Serves these modules, `[[modules]]` tables in TOML, instead of the two.
    pub fn modules(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.modules);
        self
    }

    /// Mirrors to a broker of its own instead of the embedded one.
    pub fn target(self, url: &str) -> Self {
        self.add(&format!(
            "\n[[mqtt.targets]]\nname = \"local\"\nurl = \"{url}\"\n"
        ))
    }

    /// Runs beside others: mirrors to a broker that is away, since an embedded one is for a replica that is alone. No guard minds that.
    pub fn among_others(self) -> Self {
        self.target("mqtt://127.0.0.1:1")
            .unmoved()
            .set("guard.enabled", false)
    }

    /// Asks no other replica for modules.
    pub fn unmoved(self) -> Self {
        self.set("sequencer.even_out_after_ms", 3_600_000)
    }

    /// Listens at the same free ports after each start.
    pub fn lasting_ports(self) -> Self {
        ["public", "private"].iter().fold(self, |setup, name| {
            let address = format!("127.0.0.1:{}", lasting_port());
            setup.set(&format!("server.{name}"), address)
        })
    }

    /// Starts the program through other ones, which must hand over to it with `exec`.
    pub fn through(mut self, commands: &[&str]) -> Self {
        self.before = commands.iter().copied().map(str::to_owned).collect();
        self
    }

    /// Gives `serve` an argument.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Adds tables to the file, modules for instance.
    pub fn add(mut self, toml: &str) -> Self {
        self.modules.push_str(toml);
        self
    }

    fn toml(&self) -> String {
        let mut text = format!(
            "[server]\npublic = \"127.0.0.1:0\"\nprivate = \"127.0.0.1:0\"\ninstance = \"{}\"\n\
             [database]\nurl = \"{}\"\n[log]\nformat = \"json\"\n{}",
            self.instance, self.database, self.modules
        );
        if !text.contains("[[mqtt.targets]]") {
            let embedded =
                "\n[[mqtt.targets]]\nname = \"local\"\nurl = \"embedded://127.0.0.1:0\"\n";
            text.push_str(embedded);
        }
        text
    }

    pub(super) fn asks_over_tls(&self, listener: &str) -> bool {
        let table = format!("server.{listener}_tls.");
        self.keys.iter().any(|(key, _)| key.starts_with(&table))
    }

    /// Writes the file into a new folder.
    pub fn write(&self) -> PathBuf {
        let file = folder::fresh("gateway").join("changeover.toml");
        fs::write(&file, self.toml()).unwrap();
        token::provision(&Self::token_file(&file));
        file
    }

    /// Where the gateway of a configuration file finds its first token.
    pub fn token_file(file: &Path) -> PathBuf {
        file.with_file_name("admin.token")
    }

    /// What is set beside the file: its token first, which a test may set otherwise.
    pub(super) fn keys(&self, file: &Path) -> Vec<(String, String)> {
        let token = Self::token_file(file).display().to_string();
        let mut keys = vec![("auth.admin_token_file".to_owned(), token)];
        keys.extend_from_slice(&self.keys);
        keys
    }

    pub(super) fn load(&self) -> config::Config {
        let file = self.write();
        let sources = Sources {
            overrides: self.keys(&file),
            file: SourceFile::Named(file),
            environment: Vec::new(),
        };
        config::load_to_serve(&sources, |_, _| {}).unwrap_or_else(|why| panic!("{why}"))
    }
}
