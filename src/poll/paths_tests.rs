use super::*;
use crate::{
    config::modules::{Module, Poll},
    domain::Limits,
};

fn contract(name: &str, path: &str) -> Contract {
    let mut poll = Poll {
        path: path.to_owned(),
        ..Poll::default()
    };
    poll.cursor.name = "since".to_owned();
    let module = Module {
        name: name.to_owned(),
        poll: Some(poll),
        ..Module::default()
    };
    let compiled = Contract::compile(&module, &Limits::default());
    compiled.unwrap().unwrap()
}

fn refused(paths: &[&str]) -> Vec<String> {
    let contracts = paths.iter().zip("abcdef".chars());
    let contracts: Vec<_> = contracts
        .map(|(path, name)| contract(&name.to_string(), path))
        .collect();
    let found = conflicts(&contracts);
    found.into_iter().map(|(module, _)| module).collect()
}

#[test]
fn what_can_stand_together_does() {
    assert!(refused(&["/a", "/a/b", "/a/{x}", "/{y}", "/v1x", "/"]).is_empty());
}

#[test]
fn what_answers_for_another_is_refused() {
    assert_eq!(refused(&["/a", "/a"]), ["b"]);
    assert_eq!(refused(&["/a/{x}", "/a/{y}"]), ["b"]);
}

#[test]
fn the_gateways_own_paths_are_refused() {
    assert_eq!(
        refused(&["/v1", "/v1/poll", "/healthz", "/ofrep/v1/x"]),
        ["a", "b", "c", "d"]
    );
}
