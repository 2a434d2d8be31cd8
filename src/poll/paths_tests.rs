use super::*;
use crate::{
    config::modules::{Method, Module, Poll},
    domain::Limits,
    poll::contract::Contract,
};

fn site(path: &str, methods: &[Method]) -> Site {
    let mut poll = Poll {
        path: path.to_owned(),
        methods: methods.to_vec(),
        ..Poll::default()
    };
    poll.cursor.name = "since".to_owned();
    let module = Module {
        name: "m".to_owned(),
        poll: Some(poll),
        ..Module::default()
    };
    let compiled = Contract::compile(&module, &Limits::default());
    compiled.unwrap().unwrap().into()
}

/// Keys of the problems of these sites, which are `a`, `b` and so on.
fn found(sites: &[Site]) -> Vec<String> {
    let keyed = "abcdef"
        .chars()
        .map(String::from)
        .zip(sites.iter().cloned());
    let found = conflicts(&keyed.collect::<Vec<_>>());
    found.into_iter().map(|(key, _)| key).collect()
}

fn refused(paths: &[&str]) -> Vec<String> {
    let sites: Vec<_> = paths
        .iter()
        .map(|path| site(path, &[Method::Get]))
        .collect();
    found(&sites)
}

#[test]
fn methods_may_share_a_path() {
    use Method::{Get, Post, Put};
    assert!(found(&[site("/a", &[Get]), site("/a", &[Post, Put])]).is_empty());
    let overlap = [site("/a", &[Get, Post]), site("/a", &[Post])];
    assert_eq!(found(&overlap), ["b.poll.path"]);
}

#[test]
fn what_can_stand_together_does() {
    assert!(refused(&["/a", "/a/b", "/a/{x}", "/{y}", "/v1x", "/"]).is_empty());
}

#[test]
fn what_answers_for_another_is_refused() {
    assert_eq!(refused(&["/a", "/a"]), ["b.poll.path"]);
    assert_eq!(refused(&["/a/{x}", "/a/{y}"]), ["b.poll.path"]);
}

#[test]
fn the_gateways_own_paths_are_refused() {
    assert_eq!(
        refused(&["/v1", "/v1/poll", "/healthz", "/ofrep/v1/x"]),
        ["a.poll.path", "b.poll.path", "c.poll.path", "d.poll.path"]
    );
}
