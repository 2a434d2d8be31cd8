//! What the legacy back ends do: a query per poll. It is the shortest such handler: one prepared
//! statement on an index over module, audience and position, and an answer in the gateway's shape.
//! The module is in the path.

use std::{fmt::Write, net::SocketAddr};

use anyhow::Context;
use axum::{
    Router,
    extract::{Path, Query, State},
    http::{HeaderName, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde::Deserialize;
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::net::TcpListener;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// The database that the gateway uses too.
    #[arg(long)]
    database: String,
    /// Path of the endpoints.
    #[arg(long, default_value = "/api/{module}/list")]
    path: String,
    /// Database connections, as many as the gateway may have by default.
    #[arg(long, default_value_t = 8)]
    connections: u32,
}

#[derive(Debug, Deserialize)]
struct Asked {
    since: i64,
    uid: String,
    #[serde(default = "default_size")]
    size: i64,
}

const fn default_size() -> i64 {
    100
}

const POLL: &str = "\
    SELECT position, entity_key, op, value FROM change_log \
    WHERE module = $1 AND audience = ANY($2) AND position > $3 \
    ORDER BY position LIMIT $4";

type Row = (i64, String, String, String);

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new()
        .max_connections(arguments.connections)
        .test_before_acquire(false)
        .connect(&arguments.database)
        .await?;
    let router = Router::new().route(&arguments.path, get(poll));
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.context("cannot listen")?;
    axum::serve(listener, router.with_state(pool)).await?;
    Ok(())
}

async fn poll(
    State(pool): State<PgPool>,
    Path(module): Path<String>,
    Query(asked): Query<Asked>,
) -> impl IntoResponse {
    let rows = sqlx::query_as(POLL)
        .bind(module)
        .bind(["*", asked.uid.as_str()])
        .bind(asked.since)
        .bind(asked.size + 1)
        .fetch_all(&pool)
        .await;
    match rows {
        Ok(rows) => Ok((headers(), body(&asked, &rows))),
        Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

fn headers() -> [(HeaderName, &'static str); 3] {
    [
        (header::CONTENT_TYPE, "application/json"),
        (HeaderName::from_static("changeover-stage"), "mirror"),
        (HeaderName::from_static("changeover-transport"), "poll"),
    ]
}

fn body(asked: &Asked, rows: &[Row]) -> String {
    let size = usize::try_from(asked.size).unwrap_or(usize::MAX);
    let shown = &rows[..rows.len().min(size)];
    let mut items = String::new();
    for (position, key, op, value) in shown {
        let comma = if items.is_empty() { "" } else { "," };
        // Writing to a String does not fail.
        let _ = write!(
            items,
            r#"{comma}{{"id":"{key}","op":"{op}","seq":{position},"body":{value}}}"#
        );
    }
    let since = shown.last().map_or(asked.since, |row| row.0);
    let more = rows.len() > shown.len();
    format!(r#"{{"code":0,"msg":"ok","data":{{"list":[{items}],"since":{since},"more":{more}}}}}"#)
}
