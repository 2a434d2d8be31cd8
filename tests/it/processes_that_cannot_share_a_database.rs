//! Who may not run beside whom: two processes of one name, and an embedded broker beside anybody. The start is
//! refused with both named; what is dead is waited for and no longer.

use nix::sys::signal::Signal;

use crate::support::{
    database::DatabaseUnderTest,
    gateway::{InProcess, Program, Setup},
};

crate::on_each_database!(
    an_embedded_broker_is_for_one_alone,
    of_two_that_start_at_once_one_goes_on,
    a_name_is_for_one_process,
    a_crashed_one_is_replaced_under_its_name_and_another,
    a_woken_process_whose_name_is_taken_ends,
);

#[cfg(feature = "embedded-broker")]
async fn an_embedded_broker_is_for_one_alone(database: DatabaseUnderTest) {
    let embedded = |name| Setup::new(&database, name);
    let first = InProcess::start(&embedded("gw-1")).await;
    let why = InProcess::refused(&embedded("gw-2")).await;
    assert_eq!(
        why,
        "mqtt.targets: `local` is an embedded broker, which belongs to one process, and `gw-1` shares the database: feed a broker of its own (url = \"mqtt://host:1883\") from all replicas, or end `gw-1` first"
    );
    let why = InProcess::refused(&embedded("gw-3").among_others()).await;
    assert_eq!(
        why,
        "`gw-1` shares the database and feeds an embedded broker (its target `local`), which belongs to one process: feed a broker of its own (url = \"mqtt://host:1883\") from all replicas, or end `gw-1` first"
    );
    first.stop().await;
    let second = InProcess::start(&embedded("gw-2").among_others()).await;
    let third = InProcess::start(&embedded("gw-3").among_others()).await;
    let why = InProcess::refused(&embedded("gw-1")).await;
    assert!(
        why.contains("`local`") && why.contains("`gw-2`"),
        "the first of them is named: {why}"
    );
    second.stop().await;
    third.stop().await;
    InProcess::start(&embedded("gw-1")).await.stop().await;
}

#[cfg(not(feature = "embedded-broker"))]
async fn an_embedded_broker_is_for_one_alone(_database: DatabaseUnderTest) {}

#[cfg(feature = "embedded-broker")]
async fn of_two_that_start_at_once_one_goes_on(database: DatabaseUnderTest) {
    // The schema is made before, or one would wait for the other.
    drop(database.store().await);
    let start = |name: &str| {
        let setup = Setup::new(&database, name);
        async move { InProcess::try_start(&setup).await }
    };
    let (one, other) = tokio::join!(start("gw-1"), start("gw-2"));
    let (goes_on, refused) = match (one, other) {
        (Ok(one), Err(why)) | (Err(why), Ok(one)) => (one, why),
        (Ok(_), Ok(_)) => panic!("both run"),
        (Err(one), Err(other)) => panic!("neither runs: {one} {other}"),
    };
    assert!(refused.contains("embedded broker"), "{refused}");
    goes_on.stop().await;
}

#[cfg(not(feature = "embedded-broker"))]
async fn of_two_that_start_at_once_one_goes_on(_database: DatabaseUnderTest) {}

async fn a_name_is_for_one_process(database: DatabaseUnderTest) {
    let setup = Setup::new(&database, "gw-1").among_others();
    let first = InProcess::start(&setup).await;
    let why = InProcess::refused(&setup).await;
    assert_eq!(
        why,
        "server.instance: another process runs as `gw-1` on this database; give each replica a name of its own, or end the other one first"
    );
    first.stop().await;
    InProcess::start(&setup).await.stop().await;
}

async fn a_crashed_one_is_replaced_under_its_name_and_another(database: DatabaseUnderTest) {
    let mut gateway = Program::start(&Setup::new(&database, "gw-1")).await;
    gateway.kill();
    gateway.restart().await;
    gateway.kill();
    let mut other = Program::start(&Setup::new(&database, "gw-2")).await;
    assert_eq!(other.terminate().await.0, 0, "{}", other.log());
}

async fn a_woken_process_whose_name_is_taken_ends(database: DatabaseUnderTest) {
    let setup = Setup::new(&database, "gw-1").among_others();
    let mut first = Program::start(&setup).await;
    first.pause(&database).await;
    let mut second = Program::start(&setup).await;
    first.signal(Signal::SIGCONT);
    assert_eq!(first.ended().await, 1, "{}", first.log());
    let why = "another process runs as `gw-1` on this database";
    assert!(first.log().contains(why), "{}", first.log());
    assert_eq!(second.terminate().await.0, 0, "{}", second.log());
}
