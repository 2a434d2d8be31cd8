//! A query of the admin API that says something nobody reads, or more than there may be, is refused, with the key and what is allowed.

use http::StatusCode;

use crate::support::{
    database::{DatabaseUnderTest, Kind},
    gateway::{InProcess, MODULE, Setup},
};

/// Everything that is read there, and whether it comes in pages.
const READ: [(&str, bool); 10] = [
    ("modules", false),
    ("modules/commission", false),
    ("modules/commission/history", true),
    ("audit", true),
    ("panic", false),
    ("census", true),
    ("instances", false),
    ("savings", false),
    ("targets", false),
    ("outbox/rejected", true),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_reads_is_refused_by_its_key() {
    let database = DatabaseUnderTest::fresh(Kind::Sqlite).await.unwrap();
    let gateway = InProcess::start(&Setup::new(&database, "a")).await;
    let get = async |path: &str, query: &str| {
        let path = format!("/admin/v1/{path}{query}");
        let answer = gateway.client.get(&path).await;
        let detail = answer.json()["detail"].as_str().unwrap_or("").to_owned();
        (answer.status, detail)
    };
    assert!(READ.iter().any(|(path, _)| path.ends_with(MODULE)));
    for (path, is_paged) in READ {
        assert_eq!(get(path, "").await.0, StatusCode::OK, "{path}");
        let (status, why) = get(path, "?limt=5").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert!(why.contains("unknown field `limt`, "), "{path}: {why}");
        assert_eq!(why.contains("`limit`"), is_paged, "{path}: {why}");
        if !is_paged {
            continue;
        }
        assert_eq!(get(path, "?limit=1000").await.0, StatusCode::OK, "{path}");
        for limit in ["0", "1001"] {
            let (status, why) = get(path, &format!("?limit={limit}")).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
            let said = format!("limit: must be from 1 to 1000, not {limit}");
            assert!(why.contains(&said), "{path}: {why}");
        }
    }
    gateway.stop().await;
}
