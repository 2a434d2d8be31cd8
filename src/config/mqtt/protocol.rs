//! The version of MQTT that the gateway speaks to a broker.

use serde::{Deserialize, Serialize};

/// A version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Protocol {
    /// MQTT 5.
    V5,
    /// MQTT 3.1.1.
    V311,
}

impl Protocol {
    /// As it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V5 => "5",
            Self::V311 => "3.1.1",
        }
    }
}

impl TryFrom<String> for Protocol {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "5" => Ok(Self::V5),
            "3.1.1" => Ok(Self::V311),
            other => Err(format!(
                "`{}` must be \"5\" or \"3.1.1\"",
                other.escape_debug()
            )),
        }
    }
}

impl From<Protocol> for String {
    fn from(protocol: Protocol) -> Self {
        protocol.as_str().to_owned()
    }
}
