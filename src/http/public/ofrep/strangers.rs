//! What evaluations of flags must hold whatever their requests say.

use axum::body::Bytes;

use super::asker::Asker;
use crate::{domain::strangers::Pieces, identity::Who};

const AUDIENCE_BYTES: usize = 64;

/// Reads a context from a body and from a query.
pub fn flags(input: &[u8]) {
    let mut pieces = Pieces::of(input);
    let body = Bytes::copy_from_slice(pieces.bytes().unwrap_or_default());
    let query = pieces.text();
    let read = [
        Asker::read(&body, &Who::Open, AUDIENCE_BYTES).ok(),
        Asker::of_query(query, &Who::Open, AUDIENCE_BYTES).ok(),
    ];
    for asker in read.into_iter().flatten() {
        assert!(!asker.client_id.is_empty());
        assert!(asker.bytes() <= 128 + 256 + AUDIENCE_BYTES);
        let stream = asker.stream();
        assert!(
            stream.bytes().all(|byte| byte.is_ascii_graphic()),
            "{stream}"
        );
        let (_, query) = stream.split_once('?').expect("it tells who asks");
        // The stream that a client is sent to is its own.
        let again = Asker::of_query(query, &Who::Open, AUDIENCE_BYTES).ok();
        assert_eq!(again, Some(asker));
    }
}
