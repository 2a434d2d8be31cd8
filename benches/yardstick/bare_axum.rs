//! The floor for any answer by axum: fixed bytes, fixed headers, no work.

use std::net::SocketAddr;

use anyhow::Context;
use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, header},
    routing::{get, post},
};
use reqwest::Client;
use tokio::net::TcpListener;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// The answer to repeat, headers included.
    #[arg(long)]
    like: reqwest::Url,
    /// The answer is that to a POST of this body.
    #[arg(long)]
    post: Option<String>,
    /// The entity tag that the request names.
    #[arg(long)]
    if_none_match: Option<String>,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let path = arguments.like.path().to_owned();
    let client = Client::new();
    let is_post = arguments.post.is_some();
    let mut request = match arguments.post {
        Some(body) => client.post(arguments.like).body(body),
        None => client.get(arguments.like),
    };
    if let Some(tag) = arguments.if_none_match {
        request = request.header(header::IF_NONE_MATCH, tag);
    }
    let answer = request.send().await?.error_for_status()?;
    let status = answer.status();
    let mut headers: HeaderMap = answer.headers().clone();
    // The server writes these two itself.
    headers.remove(header::DATE);
    headers.remove(header::CONTENT_LENGTH);
    let body: Bytes = answer.bytes().await?;
    let handler = move || {
        let answer = (status, headers.clone(), body.clone());
        async move { answer }
    };
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.context("cannot listen")?;
    let handler = if is_post { post(handler) } else { get(handler) };
    axum::serve(listener, Router::new().route(&path, handler)).await?;
    Ok(())
}
