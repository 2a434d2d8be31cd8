//! What became of a change on its way through a broker.

/// One answer per change that was compared, and one for each event that should not have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It came once, in time, in its order, as the log has it.
    Ok,
    /// The broker acknowledged it and did not deliver it.
    Missing,
    /// It came once more.
    Duplicate,
    /// It came after a later change of its channel.
    Reordered,
    /// It names another predecessor than the log does.
    Previous,
    /// It came, but later than `verifier.late_ms`, or after it was counted as missing.
    Late,
    /// The log holds no such change, or another one at its position.
    Foreign,
    /// Nobody was there to see whether it came.
    Unobserved,
}

impl Outcome {
    /// All of them, in the order of their counts.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::Missing,
        Self::Duplicate,
        Self::Reordered,
        Self::Previous,
        Self::Late,
        Self::Foreign,
        Self::Unobserved,
    ];

    /// Its word in metrics and answers.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Duplicate => "duplicate",
            Self::Reordered => "reordered",
            Self::Previous => "previous",
            Self::Late => "late",
            Self::Foreign => "foreign",
            Self::Unobserved => "unobserved",
        }
    }
}
