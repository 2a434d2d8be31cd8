//! Which answer a page becomes: the whole body, the one for nothing, or that the client has it.
//!
//! Invariant: an answer without a body never leaves a client behind whose cursor memory could not
//! answer.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{
    asked::Reached,
    contract::Contract,
    etag::EntityTag,
    page::Page,
    render::{Around, render},
    request::Request,
};
use crate::config::modules::CursorKind;

/// What a client is told, before the headers around it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    pub(super) tag: Option<EntityTag>,
}

impl Told {
    /// `held` are the headers of the request, which may name what the client has.
    pub(super) fn of(
        contract: &Contract,
        page: &Page,
        request: &Request<'_>,
        held: &HeaderMap,
        around: Around<'_>,
    ) -> Self {
        let kind = contract.fields.kind;
        let is_news = page.is_news(kind);
        let must_move = page.must_move_client(kind);
        let tag = match (kind, page.cursor) {
            (CursorKind::Etag, Reached::Position(cursor)) => Some(EntityTag::of_cursor(cursor)),
            _ => None,
        };
        // A tag of ours came with the request, and nothing came after it. A client that must be
        // moved on gets a body: perhaps it takes no new tag from an answer without.
        if tag.is_some() && request.asked.names_an_epoch() && !is_news && !must_move {
            return Self::not_modified(tag);
        }
        let wording = &contract.wording;
        let (status, template) = match wording.empty(must_move) {
            Some(empty) if !is_news => (empty.status, empty.body.as_ref()),
            _ => (StatusCode::OK, Some(&wording.body)),
        };
        let body = template.map(|template| render(template, contract, page, around));
        let body = Bytes::from(body.unwrap_or_default());
        if !wording.etag || status != StatusCode::OK {
            return Self { status, body, tag };
        }
        let tag = EntityTag::of_body(&body);
        let has_it = tag.is_held(held);
        let tag = Some(tag);
        if has_it {
            Self::not_modified(tag)
        } else {
            Self { status, body, tag }
        }
    }

    const fn not_modified(tag: Option<EntityTag>) -> Self {
        Self {
            status: StatusCode::NOT_MODIFIED,
            body: Bytes::new(),
            tag,
        }
    }
}
