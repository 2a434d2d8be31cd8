//! The description of the private listener.

use axum::http::StatusCode;
use utoipa::OpenApi;

use super::{
    PrivateState, acts, census, compact, epochs, gates, health, history, ingest, instances,
    metrics, modules, outbox, panic, savings, target_acts, targets,
};
use crate::http::{
    description::{self, Document, Documents},
    problem::Body9457,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "changeover, the private listener",
        description = "Ingest for back ends, the admin API, metrics and health. Every refusal is a problem (RFC 9457); an unknown path \
            is 404, another method than those described 405 with `Allow`. `GET` endpoints answer `HEAD` too.",
    ),
    paths(
        acts::act,
        compact::compact,
        description::asyncapi,
        description::openapi,
        epochs::bump,
        gates::ask,
        health::healthz,
        health::readyz,
        ingest::ingest,
        metrics::metrics,
        history::history,
        modules::list,
        modules::one,
        outbox::discard,
        outbox::list,
        outbox::retry,
        panic::lift,
        panic::raise,
        panic::show,
        census::list,
        instances::list,
        savings::show,
        target_acts::act,
        targets::list,
    ),
    components(schemas(Body9457)),
    tags(
        (name = "Ingest", description = "the way in for changes"),
        (name = "Cutover", description = "where modules are, and moving them"),
        (name = "Log", description = "pruning, compaction, epochs"),
        (name = "Targets", description = "the brokers that are fed"),
        (name = "Outbox", description = "rows that could not be numbered"),
        (name = "Operations", description = "is it well"),
        (name = "Descriptions", description = "of the interfaces"),
    )
)]
struct Api;

/// What the listener says about itself.
pub(super) fn documents(state: &PrivateState) -> Documents {
    let mut api = Api::openapi();
    let wrong_host = (
        StatusCode::MISDIRECTED_REQUEST,
        "`Host` names neither loopback nor one of `server.private_hosts`",
    );
    let modules = state.tail.modules().map(crate::domain::ModuleName::as_str);
    let too_long = (StatusCode::URI_TOO_LONG, "path and query are too long");
    let late = (StatusCode::REQUEST_TIMEOUT, "the body did not arrive");
    description::refuse_late_bodies(&mut api, late);
    description::complete(&mut api, &[wrong_host, too_long], modules);
    Documents {
        openapi: Document::new(&api),
        asyncapi: Document::new(&*state.asyncapi),
    }
}
