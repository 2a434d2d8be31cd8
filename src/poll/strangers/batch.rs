//! Batches: the modules that one request names.

use std::{collections::BTreeSet, sync::LazyLock};

use bytes::Bytes;

use crate::{
    config::endpoints,
    domain::strangers::Pieces,
    poll::{
        batch::Batch,
        content::{BodyKind, Content},
        failure::Failure,
    },
};

const MOST: usize = 4;

/// Cursors by module, and a list of modules.
const SHAPES: [&str; 3] = [
    "cursors = { name = \"/cursors\" }\nmax_modules = 4",
    "cursors = { name = \"/modules\", module = \"/name\", cursor = \"/since\" }\nmax_modules = 4",
    "cursors = { name = \"\" }\nmax_modules = 4",
];

static CONTRACTS: LazyLock<Vec<Batch>> = LazyLock::new(|| {
    let compiled = SHAPES.map(|shape| {
        let config: endpoints::Batch = toml::from_str(shape).expect("a batch");
        let mut problems = Vec::new();
        let batch = Batch::compile(&config, "{\"code\":\"$status\"}", &mut problems);
        batch.unwrap_or_else(|| panic!("{problems:?}"))
    });
    compiled.into()
});

/// Reads a body by each contract.
pub fn batch(input: &[u8]) {
    let mut pieces = Pieces::of(input);
    let batch = &CONTRACTS[pieces.choice(SHAPES.len())];
    let body = Bytes::copy_from_slice(pieces.bytes().unwrap_or_default());
    let content = match Content::parse(BodyKind::Json, &body) {
        Ok(content) => content,
        Err(failure) => return says_why(&failure),
    };
    let wanted = match batch.read(&content) {
        Ok(wanted) => wanted,
        Err(failure) => return says_why(&failure),
    };
    assert!(wanted.len() <= MOST, "bounded");
    let names: BTreeSet<_> = wanted.iter().map(|one| &one.called).collect();
    assert_eq!(names.len(), wanted.len(), "each once");
    for one in &wanted {
        match one.cursor() {
            Ok(cursor) => assert!(cursor.is_none_or(|text| !text.is_empty())),
            Err(failure) => says_why(&batch.located(failure)),
        }
    }
}

fn says_why(failure: &Failure) {
    let Failure::Malformed { what, why } = failure else {
        panic!("a body is nothing but malformed: {failure:?}");
    };
    assert!(!what.is_empty() && !why.is_empty());
}
