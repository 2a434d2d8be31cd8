//! Batches: the modules that one request names, and the places of their answers.

use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

use bytes::Bytes;
use serde_json::Value;

use crate::{
    config::endpoints,
    domain::{Micros, strangers::Pieces},
    poll::{
        batch::{Batch, Wanted},
        batch_answer::BatchEndpoint,
        content::{BodyKind, Content},
        failure::Failure,
    },
};

const MOST: usize = 4;

/// Cursors by module, and a list of modules.
const SHAPES: [&str; 3] = [
    "cursors = { name = \"/cursors\" }\nmax_modules = 4",
    "cursors = { name = \"/modules\", module = \"/name\", cursor = \"/since\" }\nmax_modules = 4\nanswers = \"list\"",
    "cursors = { name = \"\" }\nmax_modules = 4",
];

const ERROR: &str = "{\"code\":\"$status\",\"module\":\"$module\"}";

/// How requests are read, and where they are answered: no module is known there.
static CONTRACTS: LazyLock<Vec<(Batch, BatchEndpoint)>> = LazyLock::new(|| {
    let compiled = SHAPES.map(|shape| {
        let config: endpoints::Batch = toml::from_str(shape).expect("a batch");
        let mut problems = Vec::new();
        let batch = Batch::compile(&config, ERROR, &mut problems);
        let batch = batch.unwrap_or_else(|| panic!("{problems:?}"));
        (batch.clone(), BatchEndpoint::new(batch, HashMap::new()))
    });
    compiled.into()
});

/// Reads a body by each contract, and answers it.
pub fn batch(input: &[u8]) {
    let mut pieces = Pieces::of(input);
    let shape = pieces.choice(SHAPES.len());
    let (batch, endpoint) = &CONTRACTS[shape];
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
    let Content::Json(document) = &content else {
        panic!("only JSON names modules");
    };
    let asked = asked(shape, document);
    assert_eq!(wanted.len(), asked.len(), "all that are asked for");
    for (one, (name, cursor)) in wanted.iter().zip(asked) {
        assert_eq!(one.called, name, "in their order");
        match (one.cursor(), meant(cursor)) {
            (Ok(read), Ok(meant)) => assert_eq!(read.as_deref(), meant.as_deref()),
            (Err(failure), Err(())) => says_why(&batch.located(failure)),
            (read, _) => panic!("{cursor:?} is read as {read:?}"),
        }
    }
    each_in_its_place(
        shape,
        &wanted,
        &endpoint.to_unknown(&wanted, Micros::new(0)),
    );
}

/// The modules and cursors that a document of this shape names.
fn asked(shape: usize, document: &Value) -> Vec<(String, Option<&Value>)> {
    if shape == 1 {
        let all = document["modules"].as_array().expect("a list is read");
        let name = |one: &Value| meant(Some(&one["name"])).ok().flatten();
        let named = |one| (name(one).expect("it has a name"), one.get("since"));
        return all.iter().map(named).collect();
    }
    let all = if shape == 0 {
        &document["cursors"]
    } else {
        document
    };
    let all = all.as_object().expect("an object is read").iter();
    all.map(|(name, cursor)| (name.clone(), Some(cursor)))
        .collect()
}

/// What a value means as text: nothing, itself, or a number as it is written.
fn meant(value: Option<&Value>) -> Result<Option<String>, ()> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(()),
    }
}

/// As many answers as questions, and each says whose it is.
fn each_in_its_place(shape: usize, wanted: &[Wanted<'_>], answer: &[u8]) {
    let answer: Value = serde_json::from_slice(answer).expect("an answer is JSON");
    let answers: Vec<_> = match &answer["modules"] {
        Value::Array(all) if shape == 1 => all.iter().collect(),
        Value::Object(all) if shape != 1 => {
            assert!(all.iter().all(|(name, one)| one["module"] == **name));
            all.values().collect()
        }
        other => panic!("{other} holds no answers"),
    };
    assert_eq!(answers.len(), wanted.len());
    for (one, answer) in wanted.iter().zip(answers) {
        assert_eq!(answer["module"], *one.called, "{answer}");
        assert_eq!(answer["code"], 404);
    }
}

fn says_why(failure: &Failure) {
    let Failure::Malformed { what, why } = failure else {
        panic!("a body is nothing but malformed: {failure:?}");
    };
    assert!(!what.is_empty() && !why.is_empty());
}
