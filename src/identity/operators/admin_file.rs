//! The first token: whoever may read the gateway's files may do everything.
//!
//! A file that is there is read, and its token made good, unless it is known already: so it can be provisioned, for one replica or the same
//! for all. Where it is not there, one is made only while no token in the database has the role `admin`: restarts, replicas on other
//! machines, and containers that lose their files make no more of them, and a lost one is replaced by provisioning (docs/adr/0038).
//!
//! Where a file system knows no hard links, the file is made in its place and filled there: who finds it half filled looks again.
//!
//! Invariants: the text is in the file before the database knows its hash, so a crash between leaves a file that is read at the next start; a
//! token that was revoked does not come back; what is wrong with the file keeps no client from being served, but nobody is let in by it.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use tokio::time::sleep;

use super::{Malformed, Operators, Role, Roles, TokenText};
use crate::{
    domain::Micros,
    store::{self, Enrolled, NewToken, TokenRecord},
};

/// The name of the first token.
const NAME: &str = "admin";

/// Longest file that is read, in bytes: a token with some white space.
const FILE_BYTES: u64 = 1_024;

/// How long somebody who writes the file is waited for.
const LOOKS: u32 = 40;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// What is in the file.
enum Found {
    Token(TokenText),
    Nothing,
    /// The beginning of a token, or of a file: somebody may be writing it.
    Begun,
    Unusable(String),
}

/// What is wrong with the file, for who looks at it before a start; nothing if it is of use or not there.
pub fn admin_file_trouble(path: &Path) -> Option<String> {
    match look(path) {
        Found::Token(_) | Found::Nothing => None,
        Found::Begun => Some(BEGUN.to_owned()),
        Found::Unusable(why) => Some(why),
    }
}

/// What is said of a file that somebody writes, or has left half written.
const BEGUN: &str = "only the beginning of a token is there";

/// What helps with a file that is of no use.
const HELP: &str = "Nobody is let in by it, and clients are served all the same: put a token there (`changeover token generate`), or remove it, and start again";

/// Reads the file, or makes it. The tokens in force must have been read.
pub async fn enrol_admin(
    operators: &Operators,
    path: &Path,
    instance: &str,
) -> Result<(), store::Error> {
    // Where it is, whatever folder the process was started in.
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let shown = path.display();
    match look_patiently(path).await {
        Found::Token(text) => adopt(operators, &text, path, instance).await,
        Found::Begun => {
            tracing::error!(path = %shown, "auth.admin_token_file is of no use: {BEGUN}, and nobody writes the rest. {HELP}");
            Ok(())
        }
        Found::Unusable(why) => {
            tracing::error!(path = %shown, "auth.admin_token_file is of no use: {why}. {HELP}");
            Ok(())
        }
        Found::Nothing if operators.has_admin_beside("") => {
            tracing::info!(path = %shown, "auth.admin_token_file is not there, and a token with the role admin was made before: use that one, or provision \
                the file with `changeover token generate`");
            Ok(())
        }
        Found::Nothing => make(operators, path, instance).await,
    }
}

async fn make(operators: &Operators, path: &Path, instance: &str) -> Result<(), store::Error> {
    let text = TokenText::new(&(operators.randomness)());
    match write_new(path, &text, |from, to| fs::hard_link(from, to)) {
        Ok(()) => adopt(operators, &text, path, instance).await,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            match look_patiently(path).await {
                // Another replica of this machine was faster.
                Found::Token(text) => adopt(operators, &text, path, instance).await,
                Found::Nothing | Found::Begun | Found::Unusable(_) => Ok(()),
            }
        }
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "auth.admin_token_file cannot be written, so nobody can act at the private listener: provision it \
                with `changeover token generate`, or name another place");
            Ok(())
        }
    }
}

/// Makes the token good, and says where it is.
async fn adopt(
    operators: &Operators,
    text: &TokenText,
    path: &Path,
    instance: &str,
) -> Result<(), store::Error> {
    warn_of_readers(path);
    let path = path.display();
    let record = TokenRecord {
        id: text.id().to_owned(),
        name: NAME.to_owned(),
        roles: Roles::from_iter([Role::Admin]).to_string(),
        modules: Vec::new(),
        hash: text.hash().to_vec(),
        created_by: instance.to_owned(),
        created_at: Micros::new(0),
        expires_at: None,
        revoked_at: None,
    };
    let new = NewToken {
        record,
        actor: instance.to_owned(),
        reason: "auth.admin_token_file".to_owned(),
    };
    let _turn = operators.turn.lock().await;
    match operators.write(&new).await? {
        Enrolled::New(record) => {
            tracing::info!(%path, token = record.id, "the admin token of this database is in auth.admin_token_file");
        }
        Enrolled::Known(known) if known.hash != new.record.hash => {
            tracing::error!(%path, token = known.id, "the token in auth.admin_token_file is refused: the database knows another one of its id");
        }
        Enrolled::Known(known) if !operators.is_in_force(&known) => {
            tracing::warn!(%path, token = known.id, "the token in auth.admin_token_file was revoked, or has expired: nobody is let in by it. Remove the file, or provision \
                another one with `changeover token generate`");
        }
        Enrolled::Known(known) => {
            tracing::info!(%path, token = known.id, "auth.admin_token_file holds a token that is known");
        }
    }
    Ok(())
}

/// Looks again while somebody may be writing.
async fn look_patiently(path: &Path) -> Found {
    for _ in 0..LOOKS {
        match look(path) {
            Found::Begun => sleep(BETWEEN_LOOKS).await,
            found => return found,
        }
    }
    look(path)
}

fn look(path: &Path) -> Found {
    let mut text = String::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(FILE_BYTES).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Err(error) => Found::Unusable(format!("it cannot be read: {error}")),
        Ok(_) => match TokenText::parse(text.trim()) {
            Ok(token) => Found::Token(token),
            Err(Malformed) if TokenText::may_begin_with(&text) => Found::Begun,
            Err(Malformed) => Found::Unusable(format!("what it holds is no token, {Malformed}")),
        },
    }
}

/// Writes beside it first, so that nobody sees half of it; where `link` cannot do that, in its place.
fn write_new(
    path: &Path,
    text: &TokenText,
    link: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    if let Some(folder) = folder {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", text.id()));
    let beside = Path::new(&beside);
    let written = create(beside, text);
    // Unlike a renaming, it does not replace what another replica has written meanwhile.
    let linked = written.and_then(|()| link(beside, path));
    // Whatever became of it: the text is not to lie around twice.
    let removed = fs::remove_file(beside);
    match linked {
        Err(error) if knows_no_links(&error) => {
            removed?;
            let made = create(path, text);
            if let Err(error) = &made
                && error.kind() != io::ErrorKind::AlreadyExists
            {
                // It is ours, and half of it is of no use.
                fs::remove_file(path)?;
            }
            made
        }
        linked => linked.and(removed),
    }
}

/// Makes a file that was not there, with a token.
fn create(path: &Path, text: &TokenText) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{}", text.reveal())?;
    file.sync_all()
}

/// What file systems without hard links say, FAT and some of networks and containers among them.
fn knows_no_links(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), PermissionDenied | TooManyLinks | Unsupported)
}

fn warn_of_readers(path: &Path) {
    let Ok(file) = fs::metadata(path) else {
        return;
    };
    let mode = file.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let mode = format!("{mode:03o}");
        tracing::warn!(path = %path.display(), mode, "auth.admin_token_file can be read by others than its owner: chmod 600");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> TokenText {
        TokenText::new(&[7; 40])
    }

    fn linked(from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    #[test]
    fn without_hard_links_it_is_made_in_its_place() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("admin.token");
        // EPERM, EOPNOTSUPP, EMLINK and ENOSYS, as file systems say it.
        for number in [1, 95, 31, 38] {
            let none = |_: &Path, _: &Path| Err(io::Error::from_raw_os_error(number));
            write_new(&path, &token(), none).unwrap();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            assert!(matches!(look(&path), Found::Token(found) if found == token()));
            let again = write_new(&path, &TokenText::new(&[8; 40]), none).unwrap_err();
            assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
            assert!(matches!(look(&path), Found::Token(found) if found == token()));
            assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
            fs::remove_file(&path).unwrap();
        }
        // EIO is no such thing.
        let broken = |_: &Path, _: &Path| Err(io::Error::from_raw_os_error(5));
        assert!(write_new(&path, &token(), broken).is_err() && !path.exists());
    }

    #[tokio::test]
    async fn who_finds_the_beginning_waits_for_the_rest() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_owned();
        let token_text = token();
        let (half, rest) = token_text.reveal().split_at(30);
        fs::write(&path, half).unwrap();
        assert!(matches!(look(&path), Found::Begun));
        let found = async { look_patiently(&path).await };
        let written = async { fs::write(&path, format!("{half}{rest}\n")).unwrap() };
        let (found, ()) = tokio::join!(found, written);
        assert!(matches!(found, Found::Token(found) if found == token()));
    }

    #[test]
    fn a_new_file_is_its_owners_alone_and_nothing_lies_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data/sub/admin.token");
        assert!(matches!(look(&path), Found::Nothing));
        write_new(&path, &token(), linked).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert!(matches!(look(&path), Found::Token(found) if found == token()));
        let other = TokenText::new(&[8; 40]);
        let again = write_new(&path, &other, linked).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert!(matches!(look(&path), Found::Token(found) if found == token()));
        let beside = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(beside, 1);
    }

    #[test]
    fn what_is_no_token_is_told_without_being_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for content in ["s3cret", &token().reveal()[1..], "changeover_x"] {
            fs::write(file.path(), content).unwrap();
            let Found::Unusable(why) = look(file.path()) else {
                panic!("{content:?} is taken");
            };
            assert!(!why.contains(content), "{why}");
            assert_eq!(admin_file_trouble(file.path()), Some(why));
        }
        let folder = tempfile::tempdir().unwrap();
        for unreadable in [folder.path(), &file.path().join("below a file")] {
            let why = admin_file_trouble(unreadable).unwrap();
            assert!(why.starts_with("it cannot be read: "), "{why}");
        }
        fs::write(file.path(), &token().reveal()[..30]).unwrap();
        assert_eq!(admin_file_trouble(file.path()).as_deref(), Some(BEGUN));
        assert_eq!(admin_file_trouble(&folder.path().join("none")), None);
        fs::write(file.path(), format!(" {} \r\n", token().reveal())).unwrap();
        assert!(matches!(look(file.path()), Found::Token(_)));
    }
}
