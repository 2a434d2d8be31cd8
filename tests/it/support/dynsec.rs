//! Mosquitto with its dynamic-security plugin, prepared as docs/BROKERS.md says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use super::{folder, mosquitto::Mosquitto};

/// The gateway's user, and its password.
const USER: &str = "gateway";
const PASSWORD: &str = "s3cret-of-the-gateway";

/// The plugin's file.
const FILE: &str = "dynsec.json";

/// Looks at a file that is being written.
const TRIES: usize = 10_000;

/// The broker.
pub struct Dynsec {
    pub broker: Mosquitto,
    file: String,
}

impl Dynsec {
    /// A broker that denies everything by default.
    pub fn start() -> Self {
        Self::start_with(false)
    }

    /// The same; `receives` = whatever was subscribed to is delivered, as the plugin's own default is.
    pub fn start_with(receives: bool) -> Self {
        let file = initial(receives);
        let lines = format!(
            "allow_anonymous false\nplugin {}\nplugin_opt_config_file {{dir}}/{FILE}\n",
            plugin().display()
        );
        let broker = Mosquitto::start_with_files(&lines, &[(FILE, &file)]);
        Self { broker, file }
    }

    /// The configuration of a target there.
    pub fn target(&self) -> String {
        target(self.broker.port())
    }

    /// Starts it again with the file of its first start, while it does not run.
    pub fn restart_without_clients(&mut self) {
        self.broker.write(FILE, &self.file);
        self.broker.restart();
    }

    /// The users that sessions have there.
    pub fn clients(&self) -> Vec<String> {
        self.named("clients", "username")
    }

    /// The roles that they have.
    pub fn roles(&self) -> Vec<String> {
        self.named("roles", "rolename")
    }

    /// What its file has, which it writes with every command. `mosquitto_ctrl` may show an answer to somebody else.
    fn named(&self, list: &str, member: &str) -> Vec<String> {
        let read = || serde_json::from_str(&self.broker.read(FILE)).ok();
        // It is written in place, so that what is read may be a part of it.
        let mut tries = std::iter::repeat_with(read).take(TRIES);
        let tree: Value = tries.find_map(|read| read).expect("it is written whole");
        let all = tree[list].as_array().unwrap().iter();
        let names = all.map(|one| one[member].as_str().unwrap().to_owned());
        names.filter(|name| name.starts_with("co2.")).collect()
    }

    /// Denies something by default, as docs/BROKERS.md says.
    pub fn deny(&self, kind: &str) {
        let acls = json!([{"acltype": kind, "allow": false}]);
        let commands = json!({"commands": [{"command": "setDefaultACLAccess", "acls": acls}]});
        let mut publish = Command::new("mosquitto_pub");
        publish
            .args(["-h", "127.0.0.1", "-p", &self.broker.port().to_string()])
            .args(["-u", USER, "-P", PASSWORD])
            .args(["-t", "$CONTROL/dynamic-security/v1", "-m"]);
        let status = publish.arg(commands.to_string()).status().unwrap();
        assert!(status.success());
    }

    /// How often it has carried out a command, without those that changed nothing.
    pub fn carried_out(&self, command: &str) -> usize {
        let log = self.broker.log();
        let said = format!(" | {command} | ");
        log.lines().filter(|line| line.contains(&said)).count()
    }
}

/// The configuration of a target at this port.
pub fn target(port: u16) -> String {
    format!(
        "\n[[mqtt.targets]]\nname = \"local\"\nurl = \"mqtt://{USER}:{PASSWORD}@127.0.0.1:{port}\"\n\
         profile = \"mosquitto\"\ncredentials = \"dynsec\"\n"
    )
}

/// What `mosquitto_ctrl dynsec init` writes, and what docs/BROKERS.md adds to it.
fn initial(receives: bool) -> String {
    let file = folder::fresh("dynsec").join(FILE);
    let mut init = Command::new("mosquitto_ctrl");
    init.args(["dynsec", "init"])
        .arg(&file)
        .args([USER, PASSWORD]);
    assert!(init.output().unwrap().status.success());
    let mut tree: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    tree["defaultACLAccess"]["publishClientReceive"] = receives.into();
    let publishes = json!({"acltype": "publishClientSend", "topic": "changeover/#", "allow": true});
    let role = json!({"rolename": "mirror", "acls": [publishes]});
    tree["roles"].as_array_mut().unwrap().push(role);
    let roles = tree["clients"][0]["roles"].as_array_mut().unwrap();
    roles.push(json!({"rolename": "mirror"}));
    tree.to_string()
}

fn plugin() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap();
    let places = folders.map(|folder| folder.unwrap().path().join("mosquitto_dynamic_security.so"));
    let mut found = places.filter(|place| Path::exists(place));
    found.next().expect("apt-get install mosquitto brings it")
}
