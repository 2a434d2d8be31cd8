//! What the tests stand on: real servers, real files, and the promise that nothing of it outlives the test
//! binary.

pub mod database;
pub mod folder;
pub mod postgres;
pub mod process;

/// Whether a person has asked, by hand, to leave out the tests that need a server.
pub fn servers_are_skipped() -> bool {
    std::env::var_os("CHANGEOVER_TEST_SKIP_SERVERS").is_some_and(|value| value == "1")
}
