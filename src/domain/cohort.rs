//! A cohort: which clients of a module are told to take the push.
//!
//! Invariant: with the same lists, the cohort at p is a subset of the cohort at q for p < q, so shrinking removes the
//! last added first.

use std::{fmt, io, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Client, Invalid, Members, ModuleName};

/// A share of clients in hundredths of a percent, 0 to 10,000.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u16", into = "u16")]
pub struct BasisPoints(u16);

impl BasisPoints {
    /// Everyone.
    pub const ALL: Self = Self(10_000);

    /// A share from its hundredths of a percent.
    pub fn new(points: u16) -> Result<Self, Invalid> {
        if points > Self::ALL.0 {
            return Err(Invalid::new("percent", "must be between 0 and 100"));
        }
        Ok(Self(points))
    }

    /// The share in hundredths of a percent.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// What is left when another share is taken away; nothing if that is larger.
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl TryFrom<u16> for BasisPoints {
    type Error = Invalid;

    fn try_from(points: u16) -> Result<Self, Invalid> {
        Self::new(points)
    }
}

impl From<BasisPoints> for u16 {
    fn from(share: BasisPoints) -> Self {
        share.0
    }
}

/// A percentage with at most two decimals: `10`, `0.5`, `33.33`.
impl FromStr for BasisPoints {
    type Err = Invalid;

    fn from_str(percent: &str) -> Result<Self, Invalid> {
        parse_percent(percent)
            .and_then(|points| Self::new(points).ok())
            .ok_or_else(|| {
                Invalid::new(
                    "percent",
                    format!(
                        "`{}` must be a number from 0 to 100 with at most two decimals",
                        percent.escape_debug()
                    ),
                )
            })
    }
}

fn parse_percent(percent: &str) -> Option<u16> {
    let (whole, decimals) = percent.split_once('.').unwrap_or((percent, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 2 {
        return None;
    }
    let hundredths: u16 = format!("{decimals:0<2}").parse().ok()?;
    whole
        .parse::<u16>()
        .ok()?
        .checked_mul(100)?
        .checked_add(hundredths)
}

/// As a percentage without superfluous zeros.
impl fmt::Display for BasisPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}"),
        }
    }
}

/// Which clients are in: those named by `exclude` never, else those named by `include` always, else a share of all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cohort {
    /// The share of clients, by the hash of module and client id.
    pub basis_points: BasisPoints,
    /// Who is in whatever the share.
    #[serde(default, skip_serializing_if = "Members::is_empty")]
    pub include: Members,
    /// Who is out whatever the share, also if it is named by `include`.
    #[serde(default, skip_serializing_if = "Members::is_empty")]
    pub exclude: Members,
}

/// Whether a client is in a cohort, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Out, by a list.
    Excluded,
    /// In, by a list.
    Included,
    /// In, by the share.
    Within,
    /// Out, by the share.
    Beyond,
}

impl Choice {
    /// Whether it is in.
    pub const fn is_in(self) -> bool {
        matches!(self, Self::Included | Self::Within)
    }
}

impl Cohort {
    /// A cohort by share alone.
    pub fn share(basis_points: BasisPoints) -> Self {
        Self {
            basis_points,
            ..Self::default()
        }
    }

    /// Whether a client is in, and why. One without an id never is: it could not be told apart.
    pub fn choose(&self, module: &ModuleName, client: &Client<'_>) -> Choice {
        if self.exclude.name(client) {
            return Choice::Excluded;
        }
        if client.id.is_empty() {
            return Choice::Beyond;
        }
        if self.include.name(client) {
            return Choice::Included;
        }
        if bucket(module.as_str(), client.id) < self.basis_points.get() {
            Choice::Within
        } else {
            Choice::Beyond
        }
    }
}

/// `murmur3_x86_32` of `{module}:{client_id}`, seed 0: the hash that Unleash uses, so that both
/// choose the same clients at every whole percent.
pub fn hash(module: &str, client_id: &str) -> u32 {
    let mut text = io::Cursor::new(format!("{module}:{client_id}"));
    murmur3::murmur3_32(&mut text, 0).expect("reading from memory cannot fail")
}

/// A client's bucket, 0 to 9,999: the client is in a cohort whose basis points are above it.
/// The whole percents come first, so that `bucket / 100 + 1` is Unleash's number.
pub fn bucket(module: &str, client_id: &str) -> u16 {
    let h = hash(module, client_id);
    let points = (h % 100) * 100 + (h / 100) % 100;
    u16::try_from(points).expect("two numbers below 100 make one below 10,000")
}
