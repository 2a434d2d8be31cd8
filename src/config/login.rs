//! Who the gateway says it is to a broker.
//!
//! Invariant: a password is read where it is used and kept no longer; nothing here shows one.

use std::{
    env, fmt, fs,
    io::{self, Read},
    path::PathBuf,
};

use super::redact::HIDDEN;

/// A user and where its password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Password,
}

/// Where a password is.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// Here.
    Known(String),
    /// In a file, whose last line break does not count.
    File(PathBuf),
    /// In an environment variable of this process.
    Variable(String),
}

/// What a file or a variable that the configuration names does not give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct Unusable {
    /// The key that names it, below its target.
    pub key: &'static str,
    /// What is wrong, with the name of the file. Holds nothing of its content.
    pub why: String,
}

impl Login {
    /// A user whose password is known.
    pub fn known(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: Password::Known(password.into()),
        }
    }
}

/// The most that MQTT can send.
const PASSWORD_BYTES: u64 = 65_535;

impl Password {
    /// The password as it is now.
    pub fn read(&self) -> Result<String, Unusable> {
        match self {
            Self::Known(password) => Ok(password.clone()),
            Self::Variable(name) => env::var(name).map_err(|error| Unusable {
                key: "password_env",
                why: match error {
                    env::VarError::NotPresent => {
                        format!("the environment has no variable {}", name.escape_debug())
                    }
                    env::VarError::NotUnicode(_) => {
                        format!("the variable {} is not UTF-8", name.escape_debug())
                    }
                },
            }),
            Self::File(path) => read_file(path).map_err(|why| Unusable {
                key: "password_file",
                why: format!("{}: {why}", path.display()),
            }),
        }
    }
}

fn read_file(path: &PathBuf) -> Result<String, String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // A line break more than a password may have.
        let most = PASSWORD_BYTES + 3;
        fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| format!("cannot be read: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let password = line.strip_suffix('\r').unwrap_or(line);
    if password.is_empty() {
        return Err("is empty".to_owned());
    }
    if password.len() as u64 > PASSWORD_BYTES {
        return Err(format!("holds more than {PASSWORD_BYTES} bytes"));
    }
    Ok(password.to_owned())
}

/// Hides a password that is known.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(_) => f.write_str(HIDDEN),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(content: &[u8]) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        let read = Password::File(file.path().to_owned()).read();
        read.map_err(|unusable| {
            assert_eq!(unusable.key, "password_file");
            let place = file.path().display().to_string();
            unusable.why.replace(&place, "FILE")
        })
    }

    #[test]
    fn the_last_line_break_of_a_file_does_not_count() {
        assert_eq!(in_file(b"s3cret").unwrap(), "s3cret");
        assert_eq!(in_file(b"s3cret\n").unwrap(), "s3cret");
        assert_eq!(in_file(b" s3cret \r\n").unwrap(), " s3cret ");
        assert_eq!(in_file(b"two\nlines\n\n").unwrap(), "two\nlines\n");
    }

    #[test]
    fn what_cannot_be_a_password_is_refused_without_being_shown() {
        assert_eq!(in_file(b"\n").unwrap_err(), "FILE: is empty");
        assert_eq!(in_file(b"\xFFs3cret").unwrap_err(), "FILE: is not UTF-8");
        let long = vec![b'x'; 65_536];
        assert_eq!(
            in_file(&long).unwrap_err(),
            "FILE: holds more than 65535 bytes"
        );
        assert!(in_file(&long[1..]).is_ok());
        let gone = Password::File("/no/such/file".into()).read().unwrap_err();
        assert!(
            gone.why.starts_with("/no/such/file: cannot be read: "),
            "{gone}"
        );
        let unset = Password::Variable("CHANGEOVER_TEST_UNSET".to_owned());
        assert_eq!(
            unset.read().unwrap_err().to_string(),
            "password_env: the environment has no variable CHANGEOVER_TEST_UNSET"
        );
    }

    #[test]
    fn a_known_password_is_not_shown() {
        let shown = format!("{:?}", Login::known("gateway", "s3cret"));
        assert!(
            shown.contains("gateway") && !shown.contains("s3cret"),
            "{shown}"
        );
    }
}
