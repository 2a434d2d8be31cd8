//! What files lack ends a start before this replica is known to the others: a replica that was never there leads nothing, and nobody waits for
//! it to leave.

use crate::support::{
    callers,
    database::DatabaseUnderTest,
    gateway::{InProcess, Setup},
    links::{Files, HERE},
    pki::Authority,
    secure::shows,
};

crate::on_each_database!(for_want_of_files);

/// The names of all replicas that were ever seen.
async fn replicas(database: &DatabaseUnderTest) -> Vec<String> {
    let known = database.open().await.instances().await.unwrap();
    known.into_iter().map(|one| one.name).collect()
}

async fn for_want_of_files(database: DatabaseUnderTest) {
    let (ours, files) = (Authority::new("ours"), Files::new());
    // A first start makes the tables, and shows that a replica can be seen.
    let gateway = InProcess::start(&Setup::new(&database, "gw-1").among_others()).await;
    assert_eq!(replicas(&database).await, ["gw-1"]);
    gateway.stop().await;
    let before = replicas(&database).await;

    let setup = || Setup::new(&database, "gw-2").among_others();
    files.client("broken", &ours.server(&HERE));
    files.write("broken.key", "no key");
    let broken = |listener: &str| {
        let key = |end: &str| files.path(&format!("broken.{end}")).display().to_string();
        setup()
            .set(&format!("server.{listener}_tls.cert_file"), key("pem"))
            .set(&format!("server.{listener}_tls.key_file"), key("key"))
    };
    let sound = |listener: &str| shows(setup(), listener, &files, &ours.server(&HERE));
    let short = files.write("short", "short");
    let gone = files.path("gone");
    let no_ca = sound("private").set("server.private_tls.client_ca_file", gone.display());
    let jwt = callers::auth().replacen("secret = \"", "secret_file = \"/no/such/", 1);
    let cases = [
        (broken("public"), "server.public_tls.key_file: "),
        (broken("private"), "server.private_tls.key_file: "),
        (no_ca, "server.private_tls.client_ca_file: "),
        (
            setup().set("broker_hooks.secret_file", gone.display()),
            "broker_hooks.secret_file: ",
        ),
        (
            setup().set("broker_hooks.secret_file", short.display()),
            "broker_hooks.secret_file: ",
        ),
        (setup().add(&jwt), "secret_file: "),
    ];
    for (setup, wanted) in cases {
        let why = InProcess::refused(&setup).await;
        assert!(why.contains(wanted), "{why}");
        assert_eq!(replicas(&database).await, before, "{why}");
    }
}
