//! `[[endpoints]]`: legacy endpoints beside those of `[[modules]]`, which serve several modules, one
//! per request or many at once, or one module at one more path.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Config, Problems, endpoints_check,
    modules::{Field, Place, Poll},
    routes::Routes,
};

/// One endpoint: with `module` for one of its modules per request, with `batch` for many, with
/// neither for its only one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Endpoint {
    /// The modules that it serves.
    pub modules: Vec<String>,
    /// What clients call a module; absent = its name.
    pub names: BTreeMap<String, Vec<String>>,
    /// Where a request names the one module that it asks for.
    pub module: Option<Field>,
    /// How a request asks for several modules at once.
    pub batch: Option<Batch>,
    /// The contract, with the keys of `[modules.poll]`. With `batch`, `cursor` has a kind only, and
    /// `response.body` is the answer of one module.
    pub poll: Poll,
}

impl Endpoint {
    /// The names by which clients know a module: those of `names`, else its own.
    pub fn names_of<'a>(&'a self, module: &'a str) -> Vec<&'a str> {
        match self.names.get(module) {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => vec![module],
        }
    }
}

/// How one request asks for several modules, and what the answer looks like around theirs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Batch {
    /// Where the modules and their cursors stand.
    pub cursors: CursorsField,
    /// Most modules of one request.
    pub max_modules: usize,
    /// Template of the whole answer.
    pub body: String,
    /// What `$modules` is.
    pub answers: Answers,
    /// Template of the answer of a module that cannot be served; absent = `poll.response.error`.
    pub error: Option<String>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            cursors: CursorsField::default(),
            max_modules: 20,
            body: r#"{"modules":"$modules"}"#.to_owned(),
            answers: Answers::Object,
            error: None,
        }
    }
}

/// Where a batch has its modules and cursors: an object of module and cursor, or a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CursorsField {
    /// Which part of the request: the JSON body.
    #[serde(rename = "in")]
    pub place: Place,
    /// JSON pointer to the object or list; empty = the whole body.
    pub name: String,
    /// In a list: JSON pointer to the module inside of an element, empty = the element itself.
    /// Absent = an object, whose keys are the modules and whose values are the cursors.
    pub module: Option<String>,
    /// In a list: JSON pointer to the cursor inside of an element.
    pub cursor: Option<String>,
}

impl Default for CursorsField {
    fn default() -> Self {
        Self {
            place: Place::Json,
            name: String::new(),
            module: None,
            cursor: None,
        }
    }
}

/// What `$modules` is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answers {
    /// An object from each module's name, as the client wrote it, to its answer.
    #[default]
    Object,
    /// A list of the answers, in the order of the request.
    List,
}

/// Checks all endpoints, against the modules and each other.
pub(super) fn validate(config: &Config, routes: &mut Routes, problems: &mut Problems) {
    for (n, endpoint) in config.endpoints.iter().enumerate() {
        let path = format!("endpoints[{n}]");
        endpoints_check::validate(endpoint, &path, config, problems);
        routes.add(&endpoint.poll, &format!("{path}.poll"), problems);
    }
}
