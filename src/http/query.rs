//! The query string of a request, refused as a problem.
//!
//! Invariant: on the private listener a query that says something nobody reads is refused, with its key and what is allowed: a misspelt filter
//! must not become the answer to another question. The structs that are read say so by `deny_unknown_fields`.

use std::error::Error as _;

use axum::{
    extract::{FromRequestParts, Query},
    http::{StatusCode, request::Parts},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};

use crate::http::Problem;

/// As axum's `Query`, with the refusal that both listeners promise.
pub struct QueryOf<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(refused) => {
                // The words of the extractor around it say nothing that the caller could do.
                let why = refused.source().map(ToString::to_string);
                let why = why.unwrap_or_else(|| refused.body_text());
                let detail = format!("the query: {why}");
                Err(Problem::new(StatusCode::BAD_REQUEST, detail))
            }
        }
    }
}

/// The query of an endpoint that takes none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoQuery {}

/// Most entries of a page: 1 to [`MOST_ENTRIES`], or `USUAL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize<const USUAL: u32>(u32);

/// Most entries of any page.
pub const MOST_ENTRIES: u32 = 1_000;

impl<const USUAL: u32> PageSize<USUAL> {
    /// How many.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<const USUAL: u32> Default for PageSize<USUAL> {
    fn default() -> Self {
        Self(USUAL)
    }
}

impl<'de, const USUAL: u32> Deserialize<'de> for PageSize<USUAL> {
    fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
        let entries = u64::deserialize(text)?;
        let fits = u32::try_from(entries).ok();
        let fits = fits.filter(|entries| (1..=MOST_ENTRIES).contains(entries));
        fits.map(Self).ok_or_else(|| {
            D::Error::custom(format!("must be from 1 to {MOST_ENTRIES}, not {entries}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        #[serde(default)]
        limit: PageSize<50>,
        #[expect(dead_code, reason = "only its name is asked about")]
        module: Option<String>,
    }

    async fn read<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
        let uri = format!("/admin/v1/x?{query}");
        let request = axum::http::Request::get(uri).body(()).unwrap();
        let (mut parts, ()) = request.into_parts();
        let read = QueryOf::from_request_parts(&mut parts, &()).await;
        read.map(|QueryOf(read)| read)
    }

    async fn refused<T: DeserializeOwned + std::fmt::Debug>(query: &str) -> String {
        format!("{:?}", read::<T>(query).await.unwrap_err())
    }

    #[tokio::test]
    async fn who_asks_for_what_there_is_not_hears_what_there_is() {
        for (query, said) in [
            ("limit=0", "limit: must be from 1 to 1000, not 0"),
            ("limit=1001", "limit: must be from 1 to 1000, not 1001"),
            ("limit=-1", "limit: "),
            ("limit=many", "limit: "),
            (
                "limt=5",
                "unknown field `limt`, expected `limit` or `module`",
            ),
            ("limit=1&limit=2", "duplicate field `limit`"),
        ] {
            let found = refused::<Asked>(query).await;
            assert!(found.contains(said), "{query}: {found}");
        }
        let found = refused::<NoQuery>("dry_run=true").await;
        assert!(found.contains("unknown field `dry_run`"), "{found}");
        read::<NoQuery>("").await.unwrap();
    }

    #[tokio::test]
    async fn a_page_has_the_usual_size_or_the_one_that_is_asked_for() {
        let asked = async |query| read::<Asked>(query).await.unwrap().limit.get();
        assert_eq!(asked("").await, 50);
        assert_eq!(asked("limit=1000&module=m").await, 1_000);
    }
}
