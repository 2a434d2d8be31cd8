//! The first token: whoever may read the gateway's files may do everything.
//!
//! A file that is there is read, and its token made good, unless it is known already: so it can be provisioned, for one replica or the same
//! for all. Where it is not there, one is made only while no token in the database has the role `admin`: restarts, replicas on other
//! machines, and containers that lose their files make no more of them, and a lost one is replaced by provisioning (docs/adr/0038).
//!
//! Invariants: the text is in the file before the database knows its hash, so a crash between leaves a file that is read at the next start; a
//! token that was revoked does not come back; what is wrong with the file keeps no client from being served, but nobody is let in by it.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use super::{Malformed, Operators, Role, Roles, TokenText};
use crate::{
    domain::Micros,
    store::{self, Enrolled, NewToken, TokenRecord},
};

/// The name of the first token.
const NAME: &str = "admin";

/// Longest file that is read, in bytes: a token with some white space.
const FILE_BYTES: u64 = 1_024;

/// What is in the file.
enum Found {
    Token(TokenText),
    Nothing,
    Unusable(String),
}

/// Reads the file, or makes it. The tokens in force must have been read.
pub async fn enrol_admin(
    operators: &Operators,
    path: &Path,
    instance: &str,
) -> Result<(), store::Error> {
    // Where it is, whatever folder the process was started in.
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let shown = path.display();
    match look(path) {
        Found::Token(text) => adopt(operators, &text, path, instance).await,
        Found::Unusable(why) => {
            tracing::error!(path = %shown, "auth.admin_token_file is of no use: {why}. Repair it and start again");
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
    match write_new(path, &text) {
        Ok(()) => adopt(operators, &text, path, instance).await,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match look(path) {
            // Another replica of this machine was faster.
            Found::Token(text) => adopt(operators, &text, path, instance).await,
            Found::Nothing | Found::Unusable(_) => Ok(()),
        },
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

fn look(path: &Path) -> Found {
    let mut text = String::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(FILE_BYTES).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Err(error) => Found::Unusable(format!("it cannot be read: {error}")),
        Ok(_) => match TokenText::parse(text.trim()) {
            Ok(token) => Found::Token(token),
            Err(Malformed) => Found::Unusable(format!("what it holds is no token, {Malformed}")),
        },
    }
}

/// Writes beside it first, so that nobody ever sees half of it.
fn write_new(path: &Path, text: &TokenText) -> io::Result<()> {
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
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)
        .and_then(|mut file| {
            writeln!(file, "{}", text.reveal())?;
            file.sync_all()
        })
        // Unlike a renaming, it does not replace what another replica has written meanwhile.
        .and_then(|()| fs::hard_link(beside, path));
    // Whatever became of it: the text is not to lie around twice.
    let removed = fs::remove_file(beside);
    written.and(removed)
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

    #[test]
    fn a_new_file_is_its_owners_alone_and_nothing_lies_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data/sub/admin.token");
        assert!(matches!(look(&path), Found::Nothing));
        write_new(&path, &token()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert!(matches!(look(&path), Found::Token(found) if found == token()));
        let other = TokenText::new(&[8; 40]);
        let again = write_new(&path, &other).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert!(matches!(look(&path), Found::Token(found) if found == token()));
        let beside = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(beside, 1);
    }

    #[test]
    fn what_is_no_token_is_told_without_being_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for content in ["", "s3cret", &token().reveal()[1..]] {
            fs::write(file.path(), content).unwrap();
            let Found::Unusable(why) = look(file.path()) else {
                panic!("{content:?} is taken");
            };
            assert!(content.is_empty() || !why.contains(content), "{why}");
        }
        fs::write(file.path(), format!(" {} \r\n", token().reveal())).unwrap();
        assert!(matches!(look(file.path()), Found::Token(_)));
    }
}
