//! Mosquitto with its dynamic-security plugin, prepared as docs/BROKERS.md says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use changeover::identity::passes::Issued;
use serde_json::{Value, json};

use super::{
    database::DatabaseUnderTest,
    folder,
    gateway::{Client, Setup},
    links::{HERE, tls_broker_with_files},
    mosquitto::Mosquitto,
    pki::Authority,
};

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
        let broker = Mosquitto::start_with_files(&lines(), &[(FILE, &file)]);
        Self { broker, file }
    }

    /// One that takes TLS alone, with a certificate of this CA.
    pub fn start_over_tls(authority: &Authority) -> Self {
        let (file, server) = (initial(false), authority.server(&HERE));
        let broker = tls_broker_with_files(authority, &server, &lines(), &[(FILE, &file)]);
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
    target_by("mqtt", port, "")
}

/// The same with this scheme, and more keys.
pub fn target_by(scheme: &str, port: u16, more: &str) -> String {
    format!(
        "\n[[mqtt.targets]]\nname = \"local\"\nurl = \"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{port}\"\n\
         profile = \"mosquitto\"\ncredentials = \"dynsec\"\n{more}"
    )
}

/// A replica whose target is there. Brokers of tests are slow on a busy machine.
pub fn setup(database: &DatabaseUnderTest, instance: &str, target: &str) -> Setup {
    Setup::new(database, instance)
        .add(target)
        .set("guard.enabled", false)
        .set("dynsec.wait_ms", 60_000)
        .set("dynsec.timeout_ms", 60_000)
}

/// What a client is told that asks for a session.
pub async fn session(client: &Client, client_id: &str, audience: &str) -> Value {
    session_from(client, client_id, audience, None).await
}

/// The same behind a proxy that says where it comes from.
pub async fn session_from(
    client: &Client,
    client_id: &str,
    audience: &str,
    address: Option<&str>,
) -> Value {
    let body = json!({"client_id": client_id, "audience": audience});
    let mut asked = client.http.post(format!("{}/v1/session", client.public));
    if let Some(address) = address {
        asked = asked.header("x-forwarded-for", address);
    }
    client.send(asked.json(&body)).await.json()
}

/// The MQTT client id, and with what it enters.
pub fn credentials(session: &Value) -> Option<(String, Issued)> {
    let text = |name: &str| session["mqtt"][name].as_str().map(str::to_owned);
    let issued = Issued {
        username: text("username")?,
        password: text("password")?,
    };
    Some((text("client_id")?, issued))
}

/// The same of a new session, which must have them.
pub async fn enters_with(client: &Client, client_id: &str, audience: &str) -> (String, Issued) {
    let told = session(client, client_id, audience).await;
    credentials(&told).unwrap_or_else(|| panic!("no password: {told}"))
}

/// The plugin in the broker's configuration.
fn lines() -> String {
    format!(
        "allow_anonymous false\nplugin {}\nplugin_opt_config_file {{dir}}/{FILE}\n",
        plugin().display()
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
