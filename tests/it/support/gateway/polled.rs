//! What the poll of the tests' module brings.

use serde_json::Value;

/// One page of the poll of `commission`.
#[derive(Debug)]
pub struct Page {
    pub items: Vec<Value>,
    pub cursor: u64,
    pub more: bool,
}

/// The keys of polled items.
pub fn keys(items: &[Value]) -> Vec<String> {
    let key = |item: &Value| item["key"].as_str().unwrap().to_owned();
    items.iter().map(key).collect()
}

/// Polled from the beginning, positions are 1, 2, 3 and so on: nothing lost, nothing twice.
#[track_caller]
pub fn assert_dense(items: &[Value]) {
    for (index, item) in items.iter().enumerate() {
        assert_eq!(item["seq"], index + 1, "a hole or a repeat in the log");
    }
}
