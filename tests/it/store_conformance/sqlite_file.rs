//! The file of SQLite, which holds the keys that sign MQTT passwords, is its owner's alone.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use changeover::{
    config::{database::Database, sequencer::Sequencer},
    store,
};

/// As `chmod` takes it.
fn mode(path: &Path) -> String {
    let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
    format!("{mode:o}")
}

async fn opened(file: &Path) {
    let database = Database {
        url: format!("sqlite://{}", file.display()),
        ..Database::default()
    };
    let store = store::open(&database, &Sequencer::default()).await.unwrap();
    // The files beside it stand as long as somebody has it open, as who has read does.
    store.schema_state().await.unwrap();
    store.migrate().await.unwrap();
    for beside in ["", "-wal", "-shm"] {
        let path = format!("{}{beside}", file.display());
        assert_eq!(mode(Path::new(&path)), mode(file), "{path}");
    }
}

#[tokio::test]
async fn a_new_one_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("below/changeover.db");
    opened(&file).await;
    assert_eq!(mode(&file), "600");
}

#[tokio::test]
async fn one_that_is_there_stays_as_it_is() {
    for given in [0o660, 0o644] {
        // Of its own: who has closed the one before may still be at the files beside it.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("changeover.db");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(given)).unwrap();
        opened(&file).await;
        assert_eq!(mode(&file), format!("{given:o}"), "it was changed");
    }
}
