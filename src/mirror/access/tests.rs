//! Which filters a pass is good for.

use std::{collections::HashMap, time::Duration};

use super::*;
use crate::identity::{
    Accepted, Identity,
    testing::{known, passes},
};

const CONFIG: &str = r#"
[mqtt]
topic_prefix = "changeover"
[[modules]]
name = "orders"
[[modules]]
name = "orders2"
[[modules]]
name = "stock"
"#;

fn access() -> (Access, Pass) {
    let config: Config = toml::from_str(CONFIG).unwrap();
    let stock = HashMap::from([("stock".parse().unwrap(), Accepted::only([1]))]);
    let identity = Identity::of(["jwt".into(), "legacy".into()], stock);
    let passes = passes(identity, Duration::from_hours(1));
    let own = [Audience::stored("u1"), Audience::stored("_x/+")];
    let issued = passes.issue(&known("u1", &[]), &own, "client").unwrap();
    let pass = passes.named(&issued.username).unwrap();
    (Access::new(&config, passes, |_| true), pass)
}

#[test]
fn exactly_its_topics_are_a_clients() {
    let (access, pass) = access();
    let mut all = access.topics_of(&pass, 100).unwrap();
    all.sort();
    assert_eq!(
        all,
        [
            "changeover/c/orders/=5Fx=2F=2B",
            "changeover/c/orders/_all",
            "changeover/c/orders/u1",
            "changeover/c/orders2/=5Fx=2F=2B",
            "changeover/c/orders2/_all",
            "changeover/c/orders2/u1",
            "changeover/m/orders",
            "changeover/m/orders2",
        ]
    );
    for topic in &all {
        assert!(access.may_subscribe(&pass, topic), "{topic}");
        let shared = format!("$share/group/{topic}");
        assert!(access.may_subscribe(&pass, &shared), "{shared}");
    }
    assert_eq!(access.topics_of(&pass, 3), None);
}

#[test]
fn nothing_else_is() {
    let (access, pass) = access();
    for filter in [
        "",
        "#",
        "+",
        "+/#",
        "changeover",
        "changeover/#",
        "changeover/+/orders/u1",
        "changeover/c/#",
        "changeover/c/+/u1",
        "changeover/c/+/+",
        "changeover/c/orders",
        "changeover/c/orders/",
        "changeover/c/orders/+",
        "changeover/c/orders/#",
        "changeover/c/orders/u",
        "changeover/c/orders/u10",
        "changeover/c/orders/u2",
        "changeover/c/orders/U1",
        "changeover/c/orders/u1/",
        "changeover/c/orders/u1/#",
        "changeover/c/orders/u1/+",
        "changeover/c/orders/*",
        "changeover/c/orders/_x/+",
        "changeover/c/orders/=5fx=2f=2b",
        "changeover/c/orders/u1\0",
        "/changeover/c/orders/u1",
        "changeover//c/orders/u1",
        "changeover2/c/orders/u1",
        "changeover/c/stock/u1",
        "changeover/c/stock/_all",
        "changeover/c/unknown/_all",
        "changeover/m/stock",
        "changeover/m/+",
        "changeover/m/#",
        "changeover/m/orders/",
        "changeover/m/orders/#",
        "changeover/m/_client",
        "$SYS/#",
        "$share/g/#",
        "$share/g/changeover/c/orders/+",
        "$share/g/changeover/c/orders/u2",
        "$share/g/$share/g/changeover/c/orders/u1",
        "$share//changeover/c/orders/u1",
        "$share/+/changeover/c/orders/u1",
        "$share/g#/changeover/c/orders/u1",
        "$share/changeover/c/orders/u1",
        "$share/g",
        "$share/",
        "$queue/changeover/c/orders/u2",
        "$exclusive/changeover/c/orders/u2",
    ] {
        assert!(!access.may_subscribe(&pass, filter), "{filter}");
    }
    for (filter, ours) in [
        ("changeover/c/+/+", true),
        ("changeover/#", true),
        ("changeover", false),
        ("changeover2/c/a/b", false),
        ("#", false),
        ("+/c/orders/u1", false),
        ("$share/g/changeover/#", false),
    ] {
        assert_eq!(access.is_ours(filter), ours, "{filter}");
    }
}
