//! RabbitMQ with its MQTT plugin in a temporary folder: an Erlang node of its own name, with its own port mapper and
//! cookie, on free ports of the loopback. It takes seconds to start, so what does not kill it shares one.

use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    path::PathBuf,
    sync::LazyLock,
    time::Duration,
};

use nix::sys::signal::Signal;

use super::{
    folder, lasting_port,
    process::{Process, wait_at_most},
};

/// Shared by all tests that do not kill it: their modules and client ids differ.
pub static SHARED: LazyLock<RabbitMq> = LazyLock::new(RabbitMq::start);

/// The server's own script, which becomes the Erlang machine. The one on the path of Debian insists on a user.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// How long it may take to start. Generous: the machine may be busy.
const START: Duration = Duration::from_mins(2);

/// A user and a password with which only the modules named `good…` may be published.
pub const LIMITED: (&str, &str) = ("limited", "pw");

/// The users, with the SHA-256 of salt and password. Topics have dots in place of slashes here.
const DEFINITIONS: &str = r#"{
    "vhosts": [{"name": "/"}],
    "users": [
        {"name": "guest", "password_hash": "AQIDBEMMOXwY6PKx/JKP9PAqfsb4ozuD0Ta3pxxa9gEYBMmD", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": "administrator"},
        {"name": "limited", "password_hash": "BQYHCC+fxl/sY+IHTN7/ndT6Hv36LDxGLEWK7+0X6/1GnVzZ", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ""}
    ],
    "permissions": [
        {"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
        {"user": "limited", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    ],
    "topic_permissions": [
        {"user": "limited", "vhost": "/", "exchange": "amq.topic", "write": "^changeover\\.(m|c\\.good)", "read": ".*"}
    ]
}"#;

/// A server, running or not. It ends with this value, and with the test process.
pub struct RabbitMq {
    folder: PathBuf,
    port: u16,
    mapper_port: u16,
    /// Erlang's port mapper: without one of ours the node starts another, which nobody would end.
    _mapper: Process,
    process: Option<Process>,
    /// Whether somebody else says who may do what, and so refuses whoever looks whether it is there.
    asks: bool,
}

/// The settings of a server that asks at `{hooks}` who may do what, as in `docs/BROKERS.md`.
const ASKING: &str = "\
    auth_backends.1 = http\nmqtt.allow_anonymous = false\nauth_http.http_method = post\n\
    auth_http.user_path = {hooks}/user\nauth_http.vhost_path = {hooks}/vhost\n\
    auth_http.resource_path = {hooks}/resource\nauth_http.topic_path = {hooks}/topic\n";

impl RabbitMq {
    /// Starts a server that lets everyone in, and knows [`LIMITED`].
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same with these lines in its configuration.
    pub fn start_with(lines: &str) -> Self {
        Self::start_with_files(lines, &[])
    }

    /// The same with files beside it; `{dir}` in a line is their folder.
    pub fn start_with_files(lines: &str, files: &[(&str, &str)]) -> Self {
        let folder = folder::fresh("rabbitmq");
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
        let lines = lines.replace("{dir}", &folder.display().to_string());
        Self::start_in(folder, lasting_port(), &lines, false)
    }

    /// A server on this port that lets nobody do anything but as is said below the URL `hooks`.
    pub fn asking(port: u16, hooks: &str) -> Self {
        let lines = ASKING.replace("{hooks}", hooks);
        Self::start_in(folder::fresh("rabbitmq"), port, &lines, true)
    }

    fn start_in(folder: PathBuf, port: u16, lines: &str, asks: bool) -> Self {
        let mapper_port = lasting_port();
        fs::write(folder.join("definitions.json"), DEFINITIONS).unwrap();
        let definitions = folder.join("definitions.json");
        // Retained messages on disk: the default keeps them in memory until a clean stop.
        let config = format!(
            "listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:{port}\n\
             mqtt.retained_message_store = rabbit_mqtt_retained_msg_store_dets\n\
             mqtt.retained_message_store_dets_sync_interval = 100\nmqtt.prefetch = 1000\n\
             load_definitions = {}\n{lines}",
            definitions.display()
        );
        fs::write(folder.join("rabbitmq.conf"), config).unwrap();
        fs::write(folder.join("enabled_plugins"), PLUGINS[usize::from(asks)]).unwrap();
        let mapper = ["epmd", "-address", "127.0.0.1", "-port"].map(str::to_owned);
        let mapper = [mapper.as_slice(), &[mapper_port.to_string()]].concat();
        let mapper = Process::start_ended_by("KILL", &mapper, &folder.join("epmd.log"));
        let mut server = Self {
            folder,
            port,
            mapper_port,
            _mapper: mapper,
            process: None,
            asks,
        };
        server.restart();
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again after [`Self::kill`], on the same port.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let log = self.folder.join("output");
        let process = Process::start_ended_by("KILL", &self.command(), &log);
        wait_at_most(START, "RabbitMQ is ready", || {
            let said = || fs::read_to_string(&log).unwrap_or_default();
            assert!(
                !process.has_ended(),
                "rabbitmq-server has ended: {}",
                said()
            );
            lets_in(self.port).is_ok_and(|admitted| admitted || self.asks)
        });
        self.process = Some(process);
    }

    /// SIGKILL: no goodbye.
    pub fn kill(&mut self) {
        let process = self.process.take().expect("it runs");
        process.end(Signal::SIGKILL);
    }

    fn command(&self) -> Vec<String> {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let (node, mapper) = (self.port, self.mapper_port);
        let variables = [
            ("HOME", at("")),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", mapper.to_string()),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            ("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", at("advanced.config")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins")),
            ("RABBITMQ_NODENAME", format!("changeover-{node}@localhost")),
            ("RABBITMQ_DIST_PORT", lasting_port().to_string()),
            ("RABBITMQ_MNESIA_BASE", at("data")),
            ("RABBITMQ_LOG_BASE", at("log")),
            ("RABBITMQ_PID_FILE", at("pid")),
            // With input allowed the script becomes the Erlang machine, so that its process is the one that is killed.
            ("RABBITMQ_ALLOW_INPUT", "1".to_owned()),
            ("RABBITMQ_SERVER_START_ARGS", "-noinput".to_owned()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG.to_owned()),
        ];
        let variables = variables.map(|(name, value)| format!("{name}={value}"));
        let mut command = vec!["env".to_owned()];
        command.extend(variables);
        command.push(SERVER.to_owned());
        command
    }
}

/// Without and with the one that asks.
const PLUGINS: [&str; 2] = [
    "[rabbitmq_mqtt].\n",
    "[rabbitmq_mqtt, rabbitmq_auth_backend_http].\n",
];

/// Whether it answers a client: it listens a moment before it does.
fn lets_in(port: u16) -> io::Result<bool> {
    const CONNECT: &[u8] = b"\x10\x11\0\x04MQTT\x04\x02\0\x1e\0\x05ready";
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.write_all(CONNECT)?;
    let mut answer = [0; 4];
    socket.read_exact(&mut answer)?;
    Ok(answer == [0x20, 0x02, 0, 0])
}

/// Few threads that do not spin while they wait, and nothing off the loopback.
const ERLANG: &str =
    "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}";
