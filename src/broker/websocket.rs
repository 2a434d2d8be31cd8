//! MQTT over WebSocket (MQTT 5, section 6): the handshake, and the stream behind it.
//!
//! Invariant: no frame or message is taken in that is larger than [`MESSAGE_BYTES`], nor than a packet may be.

use mqtt5::broker::{transport::BrokerTransport, websocket_server::WebSocketStreamWrapper};
use tokio_tungstenite::{
    accept_hdr_async_with_config,
    tungstenite::{
        Error,
        handshake::server::{Callback, ErrorResponse, Request, Response},
        http::{HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};

use super::first_packet::Measured;

/// Where it is.
const PATH: &str = "/mqtt";

/// What the two speak in it.
const MQTT: &str = "mqtt";

/// What a connection keeps ready to read into and write from: clients say little, and are many.
const BUFFER_BYTES: usize = 4 * 1024;

/// The largest message. Only clients come here; they publish nothing, and the longest that they have to say is one SUBSCRIBE for all of
/// their channels. 100 subscriptions (`broker.subscriptions` as it comes) of the longest portable topics take 13 KiB, and of 300 bytes each
/// 30 KiB. Whoever has many more sends several, or one packet in several messages.
const MESSAGE_BYTES: usize = 64 * 1024;

/// Shakes hands, and takes what comes then as bytes of MQTT. Packets have so many bytes at most.
pub(super) async fn accept(
    stream: Measured,
    packet_bytes: usize,
) -> Result<BrokerTransport, Box<Error>> {
    let most = Some(MESSAGE_BYTES.min(packet_bytes));
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(most)
        .max_frame_size(most);
    let stream = accept_hdr_async_with_config(stream, Answering, Some(config)).await?;
    Ok(BrokerTransport::websocket(WebSocketStreamWrapper::new(
        stream,
    )))
}

/// Takes who asks for our path, and MQTT if he offers it.
struct Answering;

impl Callback for Answering {
    fn on_request(self, asked: &Request, mut answer: Response) -> Result<Response, ErrorResponse> {
        if asked.uri().path() != PATH {
            let mut nothing = ErrorResponse::new(None);
            *nothing.status_mut() = StatusCode::NOT_FOUND;
            return Err(nothing);
        }
        let offered = asked.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
        let mut offered = offered.iter().filter_map(|offer| offer.to_str().ok());
        if offered.any(|some| some.split(',').any(|one| one.trim() == MQTT)) {
            let chosen = HeaderValue::from_static(MQTT);
            answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, chosen);
        }
        Ok(answer)
    }
}
