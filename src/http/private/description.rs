//! The description of the private listener.

use axum::http::StatusCode;
use utoipa::OpenApi as _;

use super::{
    PrivateState, access::Door, acts, audit, broker_hooks, census, compact, epochs, gates, health,
    history, ingest, instances, login, metrics, modules, outbox, panic, savings,
    security_description, target_acts, targets, tokens,
};
use crate::http::{
    description::{self, Document, Documents},
    problem::Body9457,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "changeover, the private listener",
        description = "Ingest for back ends, the admin API, metrics and health. Whoever calls shows a token, or the cookie of a session, as each endpoint says. Every refusal is a problem (RFC 9457); an unknown path \
            is 404, another method than those described 405 with `Allow`. `GET` endpoints answer `HEAD` too.",
    ),
    paths(
        acts::act,
        broker_hooks::authenticate,
        broker_hooks::authorize,
        broker_hooks::resource,
        broker_hooks::resource_get,
        broker_hooks::topic,
        broker_hooks::topic_get,
        broker_hooks::user,
        broker_hooks::user_get,
        broker_hooks::vhost,
        broker_hooks::vhost_get,
        broker_hooks::ask,
        compact::compact,
        description::asyncapi,
        description::openapi,
        epochs::bump,
        gates::ask,
        health::healthz,
        health::readyz,
        ingest::ingest,
        login::begin,
        login::end,
        login::show,
        metrics::metrics,
        history::history,
        audit::audit,
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
        tokens::create,
        tokens::list,
        tokens::revoke,
    ),
    components(schemas(Body9457)),
    tags(
        (name = "Ingest", description = "the way in for changes"),
        (name = "Cutover", description = "where modules are, and moving them"),
        (name = "Log", description = "pruning, compaction, epochs"),
        (name = "Targets", description = "the brokers that are fed"),
        (name = "Outbox", description = "rows that could not be numbered"),
        (name = "Console", description = "sessions by cookie"),
        (name = "Tokens", description = "who may do what here"),
        (name = "Broker hooks", description = "brokers ask who may connect, subscribe and publish"),
        (name = "Operations", description = "is it well"),
        (name = "Descriptions", description = "of the interfaces"),
    )
)]
struct Api;

/// What the listener says about itself.
pub(super) fn documents(state: &PrivateState, door: &Door) -> Documents {
    let mut api = Api::openapi();
    security_description::ask(&mut api, door);
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
