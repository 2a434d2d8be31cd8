//! A module: one legacy polling feature, e.g. `commission`.

use std::{collections::HashMap, fmt, str::FromStr, sync::Arc};

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::Invalid;

/// The name of a module: `[a-z0-9][a-z0-9_-]{0,31}`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModuleName(Arc<str>);

/// Something of each module. Its names come from the configuration, so nobody can choose them to collide, and a
/// hash that is quick serves: each poll looks up a few.
pub type ModuleMap<T> = HashMap<ModuleName, T, RandomState>;

impl ModuleName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 32;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModuleName {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        let mut bytes = name.bytes();
        let first = bytes.next();
        let head = first.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest =
            bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        if head && rest && name.len() <= Self::MAX_BYTES {
            return Ok(Self(name.into()));
        }
        Err(Invalid::new(
            "module name",
            format!(
                "`{}` must be 1 to {} characters of a-z, 0-9, `_` and `-`, and begin with a letter or digit",
                name.escape_debug(),
                Self::MAX_BYTES
            ),
        ))
    }
}

impl TryFrom<String> for ModuleName {
    type Error = Invalid;

    fn try_from(name: String) -> Result<Self, Invalid> {
        name.parse()
    }
}

impl From<ModuleName> for String {
    fn from(name: ModuleName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl AsRef<str> for ModuleName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Lets maps keyed by module be asked with text from a request.
impl std::borrow::Borrow<str> for ModuleName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
