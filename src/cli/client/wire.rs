//! The way to a gateway: plain, over connections that are kept, or over TLS, one connection a request.
//!
//! reqwest's own TLS draws a second library of cryptography, or panics where no default of the process is set (docs/adr/0039), so TLS
//! is done here with what the rest of the program has.
//!
//! Invariant: connecting and answering are each bounded in time, an answer over TLS in bytes too.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response,
    body::Bytes,
    client::conn::http1,
    header::{HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use reqwest::{Method, RequestBuilder, redirect::Policy};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, pki_types::ServerName},
};
use url::{Host, Position, Url};

use super::{
    ANSWER_BYTES,
    broken::{Broken, BrokenAt},
};

/// How long the listener may take to accept.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// The way to a gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Wire {
    http: reqwest::Client,
    agent: Option<HeaderValue>,
    tls: Option<Arc<ClientConfig>>,
}

impl Wire {
    /// `agent` is what it says that it is.
    pub(in crate::cli) fn new(
        agent: Option<&str>,
        tls: Option<Arc<ClientConfig>>,
    ) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            // No gateway answers by one, and what is shown to it is for nobody else.
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(ANSWER);
        let http = http.build().context("cannot make an HTTP client")?;
        let agent = agent.map(HeaderValue::try_from).transpose();
        let agent = agent.context("the program's name cannot stand in a header")?;
        Ok(Self { http, agent, tls })
    }

    /// Begins a request.
    pub(in crate::cli) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        // Not the client's own: over TLS it sends nothing.
        match &self.agent {
            Some(agent) => request.header(USER_AGENT, agent),
            None => request,
        }
    }

    /// Sends it and waits for the head of the answer, over TLS for all of it.
    pub(in crate::cli) async fn send(
        &self,
        request: RequestBuilder,
    ) -> Result<reqwest::Response, Broken> {
        let Some(tls) = &self.tls else {
            return request.send().await.map_err(Broken::from);
        };
        let request = request.build()?;
        let connecting = timeout(CONNECT, connect(request.url(), tls));
        let stream = connecting.await.map_err(Broken::accepting)?;
        let answering = timeout(ANSWER, Box::pin(ask(stream?, request)));
        answering.await.map_err(Broken::answering)?
    }
}

async fn connect(url: &Url, tls: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, Broken> {
    let name = match url.host() {
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()),
        Some(Host::Ipv4(address)) => Ok(ServerName::IpAddress(address.into())),
        Some(Host::Ipv6(address)) => Ok(ServerName::IpAddress(address.into())),
        None => ServerName::try_from(String::new()),
    };
    let name = name.map_err(|error| Broken::at(BrokenAt::Name, error))?;
    let host = url.host_str().unwrap_or_default();
    // As a URL has it, an IPv6 address stands in brackets.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or(443);
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(Broken::connecting)?;
    let connector = TlsConnector::from(Arc::clone(tls));
    let shaken = Box::pin(connector.connect(name, stream)).await;
    shaken.map_err(Broken::tls)
}

async fn ask(
    stream: TlsStream<TcpStream>,
    request: reqwest::Request,
) -> Result<reqwest::Response, Broken> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(Broken::asking)?;
    // It ends with the sender; what goes wrong the sender tells.
    tokio::spawn(async move { drop(connection.await) });
    let asked = sender
        .send_request(plain(&request)?)
        .await
        .map_err(Broken::asking)?;
    let (head, body) = asked.into_parts();
    let body = Limited::new(body, ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| Broken::at(BrokenAt::Answer, error))?;
    Ok(Response::from_parts(head, body.to_bytes()).into())
}

/// A request as it stands on a connection to its host.
fn plain(request: &reqwest::Request) -> Result<Request<Full<Bytes>>, Broken> {
    let other = |error: http::Error| Broken::at(BrokenAt::Other, error);
    let url = request.url();
    let host = &url[Position::BeforeHost..Position::AfterPort];
    let host = HeaderValue::try_from(host).map_err(|error| other(error.into()))?;
    let body = request.body().and_then(reqwest::Body::as_bytes);
    let body = Full::new(Bytes::copy_from_slice(body.unwrap_or_default()));
    let mut plain = Request::builder()
        .method(request.method().clone())
        .uri(&url[Position::BeforePath..Position::AfterQuery])
        .body(body)
        .map_err(other)?;
    plain.headers_mut().clone_from(request.headers());
    plain.headers_mut().insert(HOST, host);
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_name_stands_in_every_request() {
        let wire = Wire::new(Some("changeover/1"), None).unwrap();
        let url = Url::parse("https://gateway.internal:8081/a?b").unwrap();
        let request = wire.request(Method::GET, url).build().unwrap();
        let plain = plain(&request).unwrap();
        assert_eq!(plain.headers()[USER_AGENT], "changeover/1");
        assert_eq!(plain.headers()[HOST], "gateway.internal:8081");
        assert_eq!(plain.uri(), "/a?b");
    }
}
