//! The floor for any answer by axum: fixed bytes, fixed headers, no work.

use std::net::SocketAddr;

use anyhow::Context;
use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, header},
    routing::get,
};
use tokio::net::TcpListener;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// The answer to repeat, headers included.
    #[arg(long)]
    like: reqwest::Url,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let path = arguments.like.path().to_owned();
    let answer = reqwest::get(arguments.like).await?.error_for_status()?;
    let mut headers: HeaderMap = answer.headers().clone();
    // The server writes these two itself.
    headers.remove(header::DATE);
    headers.remove(header::CONTENT_LENGTH);
    let body: Bytes = answer.bytes().await?;
    let handler = move || {
        let answer = (headers.clone(), body.clone());
        async move { answer }
    };
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.context("cannot listen")?;
    axum::serve(listener, Router::new().route(&path, get(handler))).await?;
    Ok(())
}
