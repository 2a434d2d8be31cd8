//! Both listeners speak TLS: a certificate is renewed while clients poll and none of them is refused, a broken one never takes the
//! place of a good one, and the private listener lets in only who has a certificate, the command line among them.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    eventually,
    gateway::{InProcess, Program, Setup, changeover},
    links::{Files, HERE},
    metrics::metric,
    native::PATIENCE,
    pki::Authority,
    secure::{Trust, VERSIONS, der, shows},
    socket::Socket,
    token, within,
};

const POLL: &str = "/api/commission/list?since=0&uid=u1";
const POLLERS: usize = 50;

async fn setup() -> Setup {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    Setup::new(&database, "a")
}

/// Clients that poll until they are told to stop, half of them over a new connection each time. A refusal ends the test.
struct Pollers {
    done: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    all: JoinSet<()>,
}

impl Pollers {
    fn start(url: &str, trust: &Trust) -> Self {
        let (done, answers) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut all = JoinSet::new();
        for n in 0..POLLERS {
            let (url, trust) = (url.to_owned(), trust.clone());
            let (done, answers) = (Arc::clone(&done), Arc::clone(&answers));
            all.spawn(async move {
                let mut socket = trust.connect(&url).await.unwrap();
                while !done.load(SeqCst) {
                    if n % 2 == 0 {
                        socket = trust.connect(&url).await.unwrap();
                    }
                    socket.send(POLL).await;
                    let (head, _) = socket.answer().await;
                    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                    answers.fetch_add(1, SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        Self { done, answers, all }
    }

    /// Waits until each has polled once more on the average.
    async fn go_on(&self) {
        let before = self.answers.load(SeqCst);
        eventually("they poll on", PATIENCE, async || {
            let since = self.answers.load(SeqCst) - before;
            (since > POLLERS as u64).then_some(())
        })
        .await;
    }

    async fn stop(mut self) {
        self.done.store(true, SeqCst);
        while let Some(ended) = self.all.join_next().await {
            ended.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_while_clients_poll() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let (first, second) = (ours.server(&HERE), ours.server(&HERE));
    let gateway = Program::start(&shows(setup().await, "public", &files, &first)).await;
    let (url, trust) = (gateway.client.public.clone(), Trust::of(&ours));
    let shown = async || trust.connect(&url).await.unwrap().shown();
    assert_eq!(shown().await, der(&first));
    let pollers = Pollers::start(&url, &trust);
    pollers.go_on().await;

    files.client("public", &second);
    eventually("the new one is shown", PATIENCE, async || {
        (shown().await == der(&second)).then_some(())
    })
    .await;
    pollers.go_on().await;

    let broken = "the new files cannot be used: the old certificate goes on";
    files.write("public.key", "-----BEGIN PRIVATE KEY-----\nplanted\n");
    let told = eventually("the broken one is told of", PATIENCE, async || {
        gateway.said(broken)
    })
    .await;
    assert_eq!(told["level"], "ERROR", "{told}");
    assert_eq!(told["listener"], "public", "{told}");
    assert!(
        told["why"].as_str().unwrap().contains("public.key"),
        "{told}"
    );
    assert!(!gateway.log().contains("planted"), "{}", gateway.log());
    assert_eq!(shown().await, der(&second));
    pollers.go_on().await;

    files.client("public", &ours.expired_server());
    eventually("one that has expired is told of", PATIENCE, async || {
        let told = gateway.log().matches(broken).count();
        (told == 2).then_some(())
    })
    .await;
    assert_eq!(shown().await, der(&second));

    files.client("public", &first);
    eventually("a good one is shown", PATIENCE, async || {
        (shown().await == der(&first)).then_some(())
    })
    .await;
    pollers.stop().await;
    let labels = [("listener", "public")];
    let left = metric(
        &gateway.client,
        "changeover_certificate_expires_seconds",
        &labels,
    )
    .await;
    assert!(left > 24.0 * 3600.0, "{left}");
    let refused = metric(
        &gateway.client,
        "changeover_connections_refused_total",
        &labels,
    )
    .await;
    assert!(refused.abs() < 0.5, "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_before_its_time_is_taken_when_it_comes() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let first = ours.server(&HERE);
    let gateway = Program::start(&shows(setup().await, "public", &files, &first)).await;
    let (url, trust) = (gateway.client.public.clone(), Trust::of(&ours));
    let shown = async || trust.connect(&url).await.unwrap().shown();
    let from = SystemTime::now() + Duration::from_secs(12);
    let next = ours.server_from(from);
    files.client("public", &next);
    let broken = "the new files cannot be used: the old certificate goes on";
    let told = eventually("it is told of", PATIENCE, async || gateway.said(broken)).await;
    assert!(
        told["why"].as_str().unwrap().contains("not valid before"),
        "{told}"
    );
    assert_eq!(shown().await, der(&first));
    eventually("its time has come", PATIENCE, async || {
        // A client's clock would be this one.
        let known = trust.connect(&url).await.ok()?.shown();
        (known == der(&next)).then_some(())
    })
    .await;
    // Certificates say whole seconds.
    assert!(
        SystemTime::now() + Duration::from_secs(1) >= from,
        "too early"
    );
    assert_eq!(
        gateway.log().matches(broken).count(),
        1,
        "{}",
        gateway.log()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_of_clients_is_withdrawn_also_by_who_has_expired() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let files = Files::new();
    let both = ours.certificate() + &theirs.certificate();
    let ca = files.write("ca.pem", &both);
    let setup = shows(setup().await, "public", &files, &ours.expired_server())
        .set("server.public_tls.client_ca_file", ca.display());
    let gateway = InProcess::start(&setup).await;
    let url = &gateway.client.public;
    let [anna, eve] = [&ours, &theirs].map(|ca| {
        let until = SystemTime::now() + Duration::from_hours(1);
        Trust::in_2020(&ours, &ca.client_until("someone", until))
    });
    let request = format!("GET {POLL} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    // With TLS 1.3 a client hears only after its handshake that it is not let in.
    let is_let_in = async |who: &Trust| match who.connect(url).await {
        Ok(mut socket) => {
            let said = socket.until_the_end(request.as_bytes());
            let said = within("an answer", PATIENCE, said).await;
            said.starts_with("HTTP/1.1 200 ")
        }
        Err(_) => false,
    };
    assert!(is_let_in(&anna).await && is_let_in(&eve).await);
    files.write("ca.pem", &ours.certificate());
    eventually("the other CA counts no more", PATIENCE, async || {
        (!is_let_in(&eve).await).then_some(())
    })
    .await;
    assert!(is_let_in(&anna).await);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_the_same_but_for_what_browsers_are_told() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let setup = setup().await.set("server.hsts_s", 600);
    let gateway = InProcess::start(&shows(setup, "public", &files, &ours.server(&HERE))).await;
    gateway
        .client
        .ingest(&json!([{"key": "k", "value": {"a": 1}}]))
        .await;
    let url = &gateway.client.public;
    for version in VERSIONS {
        let trust = Trust::with(&ours, &[version], None);
        let mut socket = trust.connect(url).await.unwrap();
        assert_eq!(socket.agreed().as_deref(), Some(&b"http/1.1"[..]));
        let (head, body) = eventually("the change is polled", PATIENCE, async || {
            socket.send(POLL).await;
            Some(socket.answer().await).filter(|(_, body)| body.contains("\"k\""))
        })
        .await;
        let mut names: Vec<_> = head
            .lines()
            .skip(1)
            .map(|line| line.split_once(':').unwrap().0)
            .collect();
        names.sort_unstable();
        let expected = [
            "changeover-next-poll-ms",
            "content-length",
            "content-type",
            "date",
        ];
        let told: Vec<_> = names
            .iter()
            .filter(|name| !expected.contains(*name))
            .collect();
        assert!(told.contains(&&"strict-transport-security"), "{head}");
        assert!(
            head.contains("strict-transport-security: max-age=600"),
            "{head}"
        );
        for name in [
            "x-content-type-options",
            "content-security-policy",
            "referrer-policy",
        ] {
            assert!(
                !names.contains(&name),
                "old clients are told nothing more: {head}"
            );
        }
        assert!(body.starts_with(r#"{"list":[{"key":"k""#), "{body}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_on_a_port_with_tls_is_closed() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let gateway =
        InProcess::start(&shows(setup().await, "public", &files, &ours.server(&HERE))).await;
    let mut socket = Socket::connect(&gateway.client.public).await;
    let head = format!("GET {POLL} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let said = within(
        "it is closed",
        PATIENCE,
        socket.until_the_end(head.as_bytes()),
    )
    .await;
    assert!(said.len() <= 7, "no more than an alert: {said:?}");
    let theirs = Trust::of(&Authority::new("theirs"));
    theirs
        .connect(&gateway.client.public)
        .await
        .err()
        .expect("not believed");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_private_listener_lets_in_who_has_a_certificate() {
    let (ours, theirs, files) = (
        Authority::new("ours"),
        Authority::new("theirs"),
        Files::new(),
    );
    files.ca("ca", &ours);
    for (name, issued) in [("anna", ours.client("anna")), ("eve", theirs.client("eve"))] {
        files.client(name, &issued);
    }
    let at = |name: &str| files.path(name).display().to_string();
    let setup = setup()
        .await
        .set("server.private_tls.client_ca_file", at("ca.pem"));
    let gateway = Program::start(&shows(setup, "private", &files, &ours.server(&HERE))).await;
    let (ca, list) = (at("ca.pem"), ["module", "list", "--output", "json"]);
    let ask = async |with: &[&str]| {
        let output = changeover(&gateway.client, &[&list, with].concat()).await;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code().unwrap(), said)
    };
    let ask_as = async |name: &str, believed: &str| {
        let (certificate, key) = (at(&format!("{name}.pem")), at(&format!("{name}.key")));
        let shows = ["--client-cert", &*certificate, "--client-key", &*key];
        ask(&[&["--ca-file", believed], &shows[..]].concat()).await
    };
    let (code, said) = ask_as("anna", &ca).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("commission"), "{said}");
    let (code, said) = ask(&["--ca-file", &ca]).await;
    assert_eq!(code, 69, "no certificate: {said}");
    let (code, said) = ask_as("eve", &ca).await;
    assert_eq!(code, 69, "a stranger's: {said}");
    let (code, said) = ask(&[]).await;
    assert_eq!(code, 69, "the listener is not known: {said}");
    let helps = "name the CA that has issued it with --ca-file";
    assert!(
        said.contains("the certificate is not trusted of https://"),
        "{said}"
    );
    assert!(said.contains(helps), "{said}");
    assert!(!said.contains("serve` running"), "{said}");
    // The same of the wrong CA, of another name, and of a listener that is asked without TLS.
    let others = at("theirs.pem");
    files.ca("theirs", &theirs);
    let (_, said) = ask(&["--ca-file", &others]).await;
    assert!(said.contains(helps), "{said}");
    let port = gateway.client.private.rsplit_once(':').unwrap().1;
    for (url, told) in [
        (format!("https://127.0.0.2:{port}"), "nothing answers at"),
        (
            format!("http://localhost:{port}"),
            "its URL begins with https://",
        ),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_changeover"));
        command.args(list).args(["--ca-file", &ca, "--url", &url]);
        let output = command.env(token::VARIABLE, token::admin()).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(69), "{said}");
        assert!(said.contains(told), "{url}: {said}");
    }

    // The CA changes: who had a certificate of the old one is out.
    files.ca("ca", &theirs);
    files.ca("both", &ours);
    let both = at("both.pem");
    eventually("the new CA counts", PATIENCE, async || {
        (ask_as("eve", &both).await.0 == 0).then_some(())
    })
    .await;
    let (code, said) = ask_as("anna", &both).await;
    assert_eq!(code, 69, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_without_its_files_does_not_start_and_check_says_why() {
    let (ours, files) = (Authority::new("ours"), Files::new());
    let setup = shows(setup().await, "public", &files, &ours.server(&HERE));
    files.client("public", &ours.expired_server());
    files.client("other", &ours.server(&HERE));
    let toml = format!(
        "\n[server.private_tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\nclient_ca_file = \"{}\"\n",
        files.path("other.pem").display(),
        files.path("public.key").display(),
        files.path("gone.pem").display()
    );
    let mut check = Command::new(env!("CARGO_BIN_EXE_changeover"));
    check
        .args(["check", "--config"])
        .arg(setup.clone().add(&toml).write());
    for (key, file) in [("cert_file", "public.pem"), ("key_file", "public.key")] {
        check.args([
            "--set",
            &format!("server.public_tls.{key}={}", files.path(file).display()),
        ]);
    }
    let output = check.output().unwrap();
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(64), "{told}");
    for wanted in [
        ("server.public_tls.cert_file", "has expired on 2021-01-01"),
        (
            "server.private_tls.key_file",
            "does not belong to the certificate of cert_file",
        ),
        ("server.private_tls.client_ca_file", "cannot be read"),
    ] {
        let line = told.lines().find(|line| line.contains(wanted.0));
        let line = line.unwrap_or_else(|| panic!("{wanted:?}: {told}"));
        assert!(line.contains(wanted.1), "{line}");
    }
    // One that has expired is shown all the same.
    InProcess::start(&setup).await.stop().await;
    files.write("public.key", "no PEM");
    let why = InProcess::refused(&setup).await;
    assert!(why.starts_with("server.public_tls.key_file: "), "{why}");
}
