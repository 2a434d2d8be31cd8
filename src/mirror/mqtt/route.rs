//! The way to a broker below MQTT, where it is more than TCP: TLS, WebSocket, or both.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, future};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{self, pki_types::ServerName},
};
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{
        self, Message, client::IntoClientRequest, handshake::client::Request, http::HeaderValue,
        protocol::WebSocketConfig,
    },
};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

use super::{Endpoint, tls};
use crate::config::target_link::TlsFiles;

/// Bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How long TCP, TLS and WebSocket may take together.
const PATIENCE: Duration = Duration::from_secs(10);

/// Goes all the way, with the files as they are now.
pub(super) async fn open(endpoint: &Endpoint) -> Result<Box<dyn Stream>, String> {
    let late = |_| Err(format!("no connection in {PATIENCE:?}"));
    timeout(PATIENCE, dial(endpoint)).await.unwrap_or_else(late)
}

async fn dial(endpoint: &Endpoint) -> Result<Box<dyn Stream>, String> {
    // What cannot be shown or believed needs no connection to fail.
    let tls = match &endpoint.tls {
        Some(files) => Some((files, connector(files).await?)),
        None => None,
    };
    let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await;
    let tcp = tcp.map_err(|error| format!("no connection: {error}"))?;
    // The library hands over whole packets: waiting for more would only delay them.
    tcp.set_nodelay(true).map_err(|error| error.to_string())?;
    let stream: Box<dyn Stream> = match tls {
        Some((files, connector)) => {
            Box::new(encrypt(tcp, &connector, &endpoint.host, files).await?)
        }
        None => Box::new(tcp),
    };
    if endpoint.websocket.is_none() {
        return Ok(stream);
    }
    Ok(Box::new(upgrade(stream, endpoint).await?))
}

async fn connector(files: &TlsFiles) -> Result<TlsConnector, String> {
    let files = files.clone();
    let made = tokio::task::spawn_blocking(move || tls::client_config(&files)).await;
    let config = made.map_err(|error| error.to_string())?;
    let config = config.map_err(|unusable| unusable.to_string())?;
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn encrypt(
    tcp: TcpStream,
    connector: &TlsConnector,
    host: &str,
    files: &TlsFiles,
) -> Result<impl Stream + use<>, String> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| "the host of the URL is no name that a certificate could hold".to_owned())?;
    let encrypted = connector.connect(name, tcp).await;
    encrypted.map_err(|error| {
        explain(&error, host, files).unwrap_or_else(|| format!("TLS failed: {error}"))
    })
}

/// What an error of a stream says of TLS, if that is what failed.
pub(super) fn explain(error: &io::Error, host: &str, files: &TlsFiles) -> Option<String> {
    let inner = error.get_ref()?;
    if let Some(tungstenite::Error::Io(error)) = inner.downcast_ref() {
        return explain(error, host, files);
    }
    let inner = inner.downcast_ref::<rustls::Error>()?;
    Some(tls::explain(inner, host, files))
}

/// The largest packet that MQTT knows, with its header. One message may hold several; none that we are sent comes
/// near this.
const MAX_MESSAGE_BYTES: usize = 268_435_456 + 5;

async fn upgrade(
    stream: Box<dyn Stream>,
    endpoint: &Endpoint,
) -> Result<impl Stream + use<>, String> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let request = request(endpoint).map_err(|error| refused(&error, endpoint))?;
    let opened = client_async_with_config(request, stream, Some(config)).await;
    let (socket, _answer) = opened.map_err(|error| refused(&error, endpoint))?;
    let (sink, messages) = socket.split();
    // Packets of MQTT go on over the borders of messages: both ways are just bytes.
    let bytes = messages.filter_map(|message| future::ready(payload(message)));
    let sink = sink
        .with(|bytes: Bytes| future::ready(Ok::<_, tungstenite::Error>(Message::Binary(bytes))))
        .sink_map_err(io::Error::other);
    let (reader, writer) = (
        StreamReader::new(bytes),
        SinkWriter::new(CopyToBytes::new(sink)),
    );
    Ok(tokio::io::join(reader, writer))
}

/// As MQTT over WebSocket wants it: <https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html#_Toc3901285>.
fn request(endpoint: &Endpoint) -> Result<Request, tungstenite::Error> {
    let mut request = endpoint.to_string().into_client_request()?;
    let mqtt = HeaderValue::from_static("mqtt");
    request.headers_mut().insert("Sec-WebSocket-Protocol", mqtt);
    Ok(request)
}

fn payload(message: tungstenite::Result<Message>) -> Option<io::Result<Bytes>> {
    match message {
        Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
        // The library has answered a ping by itself; after a close comes the end.
        Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)) => None,
        Ok(Message::Text(_)) => Some(Err(io::Error::other("the broker sent text over WebSocket"))),
        Err(error) => Some(Err(io::Error::other(error))),
    }
}

fn refused(error: &tungstenite::Error, endpoint: &Endpoint) -> String {
    let of_tls = match (error, &endpoint.tls) {
        (tungstenite::Error::Io(error), Some(files)) => explain(error, &endpoint.host, files),
        _ => None,
    };
    of_tls.unwrap_or_else(|| match error {
        tungstenite::Error::Http(answer) => format!(
            "no WebSocket at this path: the answer is {}",
            answer.status()
        ),
        other => format!("no WebSocket: {other}"),
    })
}
