//! A gateway with an endpoint of each kind, for what describes and probes them all.

use super::{
    database::{DatabaseUnderTest, Kind},
    gateway::{InProcess, Setup},
};

/// One contract of each kind.
pub const MODULES: &str = r#"
[[modules]]
name = "commission"
[modules.poll]
path     = "/api/commission/list"
methods  = ["GET", "POST"]
cursor   = { in = "query", name = "since", kind = "position" }
audience = { in = "query", name = "uid" }
client   = { in = "header", name = "X-Terminal" }
limit    = { in = "query", name = "size", default = 100, max = 1000 }
wait     = { in = "query", name = "wait_ms", max_ms = 100 }
steer    = { max_ms = 60000 }
quirks   = ["trailing-slash", "jsonp-callback", "zero-limit-is-most"]
[modules.sunset]
at   = 2030-01-01T00:00:00Z
link = "https://example.com/commission-over-mqtt"

[[modules]]
name = "orders"
[modules.poll]
path     = "/api/{tenant}/orders/{user}"
methods  = ["POST"]
cursor   = { in = "form", name = "last", kind = "token" }
audience = { in = "path", name = "user" }
client   = { in = "cookie", name = "terminal" }
[modules.poll.response]
empty        = ""
empty_status = 204
error_status = 422
errors       = { method = 405, retired = 404, unavailable = 502 }
headers      = { X-Served-By = "changeover" }
error_headers = { X-Refused = "yes" }

[[modules]]
name = "prices"
[modules.poll]
path   = "/prices"
cursor = { kind = "etag" }

[[modules]]
name = "notices"
[modules.poll]
path   = "/notices.json"
cursor = { kind = "none" }
[modules.poll.response]
body = '{"notices":"$changes"}'
item = '{"key":"$key","value":"$value"}'

[[modules]]
name = "stateless"
state = false
[modules.poll]
path   = "/stateless"
methods = ["PUT"]
cursor = { in = "json", name = "/paging/since", kind = "rfc3339" }
limit  = { in = "json", name = "/paging/size", default = 10, max = 100 }

[[endpoints]]
modules = ["commission", "orders"]
names = { commission = ["Commission", "3"] }
module = { in = "query", name = "module" }
[endpoints.poll]
path = "/shared"
cursor = { in = "query", name = "since", kind = "position" }

[[endpoints]]
modules = ["commission", "orders"]
[endpoints.poll]
path = "/batch"
methods = ["POST"]
client = { in = "json", name = "/term" }
[endpoints.batch]
cursors = { in = "json", name = "/modules" }
"#;

/// Waits are short, so that nothing that is sent to it takes long.
pub async fn gateway(more: &str) -> InProcess {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let setup = Setup::new(&database, "a")
        .modules(MODULES)
        .add(more)
        // No answer of a busy machine is "come back later".
        .set("database.acquire_timeout_ms", 60_000)
        .set("native.wait_ms", 200)
        .set("native.max_wait_ms", 200)
        .set("native.stream_ms", 300)
        .set("native.keep_alive_ms", 100)
        .set("ofrep.stream_ms", 300)
        .set("ofrep.settle_ms", 50);
    InProcess::start(&setup).await
}
