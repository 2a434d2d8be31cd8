//! What of a change this broker takes: its event, or a pointer to it.
//!
//! Invariant: nothing is passed over. A change that goes in no form at all halts its module.

use bytes::Bytes;

use super::{Publisher, jobs::MirrorStore};
use crate::{
    config::targets::Encoding,
    domain::Change,
    mirror::message::{binary_event, event, pointers::Why},
};

/// Memory that is taken at once for encoded events.
const SCRATCH_BYTES: usize = 64 * 1024;

/// A publish packet's bytes besides topic and payload, rounded up.
const PACKET_FRAME_BYTES: usize = 128;

/// What is sent for a change.
pub(super) struct Fitting {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    /// What stands beside the payload, if it is an event in binary mode. A pointer never is: it has no value.
    pub(super) attributes: Option<binary_event::Attributes>,
    /// Why it is a pointer, if it is one.
    pub(super) pointer: Option<Why>,
}

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// The change of a lane as this broker takes it on a line, or why it takes no form of it.
    pub(super) fn fit(&mut self, at: usize, on: usize, change: &Change) -> Result<Fitting, String> {
        let position = change.position;
        let lane = &self.lanes[at];
        let topic = self.topics.channel(&lane.module, &change.audience);
        if !self.topics.can_be(&topic) {
            return Err(format!(
                "position {position}: its topic has {} bytes, more than this broker takes",
                topic.len()
            ));
        }
        let most = self.payload_room(on, &topic);
        let why = if lane.ways[on].trouble.points_at(change.cursor()) {
            Why::Refused
        } else {
            if change.value.as_str().len() <= most {
                let (payload, attributes) = self.encode_whole(at, change);
                if payload.len() + attributes.as_ref().map_or(0, binary_event::size) <= most {
                    return Ok(Fitting {
                        topic,
                        payload,
                        attributes,
                        pointer: None,
                    });
                }
            }
            Why::TooLarge
        };
        let lane = &self.lanes[at];
        let pointers = &self.target.pointers;
        pointers.encode(&lane.module, change, &mut self.scratch);
        let payload = self.scratch.split().freeze();
        if payload.len() > most {
            return Err(format!(
                "position {position}: without its value its message has {} bytes, the broker takes {most}",
                payload.len()
            ));
        }
        Ok(Fitting {
            topic,
            payload,
            attributes: None,
            pointer: Some(why),
        })
    }

    fn encode_whole(
        &mut self,
        at: usize,
        change: &Change,
    ) -> (Bytes, Option<binary_event::Attributes>) {
        if self.scratch.capacity() < change.value.as_str().len() + SCRATCH_BYTES / 16 {
            self.scratch.reserve(SCRATCH_BYTES);
        }
        let module = &self.lanes[at].module;
        let attributes = match self.target.encoding {
            Encoding::Structured => {
                event::encode(module, change, &mut self.scratch);
                None
            }
            Encoding::Binary => {
                let value = change.value.as_str().as_bytes();
                self.scratch.extend_from_slice(value);
                Some(binary_event::attributes(module, change))
            }
        };
        (self.scratch.split().freeze(), attributes)
    }

    /// The largest payload that goes to this topic.
    fn payload_room(&self, on: usize, topic: &str) -> usize {
        let admitted = self.lines[on].admitted();
        let announced = admitted.and_then(|admitted| admitted.max_packet_bytes);
        let announced = announced.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        let packet = announced.into_iter().chain(self.target.packet_bytes).min();
        let frame = topic.len() + PACKET_FRAME_BYTES;
        let room = packet.map(|packet| packet.saturating_sub(frame));
        let rooms = room.into_iter().chain(self.target.limits.payload_bytes);
        rooms.min().unwrap_or(usize::MAX)
    }
}
