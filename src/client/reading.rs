//! The reads of a module: one at a time, page after page until the end of the log, and the snapshot when the log
//! does not reach back so far.
//!
//! Invariant: a read that is wanted while one is under way is begun after it, since the answer under way may be older
//! than the want. A snapshot that broke off is begun again before anything else is read.

/// What reads are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// None. The next one is due at some time.
    Resting,
    /// A page was asked for.
    Reading,
    /// A page was asked for, and a read was wanted after that.
    ReadingAgain,
    /// A page of the snapshot was asked for.
    TakingState,
    /// None, but what is held is not whole: a snapshot is due at some time.
    OwingState,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadingEvent {
    /// The time has come.
    Due,
    /// Something may be missing.
    Wanted,
    /// A page that was cut.
    PageCut,
    /// A page that reached the end.
    PageWhole,
    /// The log, or the snapshot's page, cannot be continued from there.
    Gone,
    /// No answer, or none that could be used.
    Failed,
    /// A page of the snapshot, not the last.
    StateCut,
    /// The last page of the snapshot.
    StateWhole,
    /// The module keeps no state to take a snapshot of.
    NoState,
}

/// What is done about it, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadingAct {
    /// Ask for the page after the cursor.
    Ask,
    /// Forget what is held and ask for the first page of the snapshot.
    AskState,
    /// Ask for the next page of the snapshot.
    AskStatePage,
    /// Tell the way that something is missing, so that nothing pushed is applied meanwhile.
    Torn,
    /// Tell the way that the end was reached.
    UpToDate,
    /// Be due again after a pause.
    BackOff,
}

impl Reading {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Resting,
        Self::Reading,
        Self::ReadingAgain,
        Self::TakingState,
        Self::OwingState,
    ];

    /// The table: what follows, and what is done.
    pub const fn on(self, event: ReadingEvent) -> (Self, &'static [ReadingAct]) {
        use ReadingAct::{Ask, AskState, AskStatePage, BackOff, Torn, UpToDate};
        use ReadingEvent as On;
        match (self, event) {
            (Self::Resting, On::Due | On::Wanted)
            | (Self::Reading | Self::ReadingAgain, On::PageCut)
            | (Self::ReadingAgain, On::PageWhole)
            | (Self::TakingState, On::StateWhole | On::NoState) => (Self::Reading, &[Ask]),
            (Self::Reading, On::Wanted) => (Self::ReadingAgain, &[]),
            (Self::Reading, On::PageWhole) => (Self::Resting, &[UpToDate]),
            (Self::Reading | Self::ReadingAgain, On::Gone) => {
                (Self::TakingState, &[Torn, AskState])
            }
            (Self::Reading | Self::ReadingAgain, On::Failed) => (Self::Resting, &[BackOff]),
            (Self::OwingState, On::Due) => (Self::TakingState, &[Torn, AskState]),
            (Self::TakingState, On::StateCut) => (self, &[AskStatePage]),
            (Self::TakingState, On::Gone | On::Failed) => (Self::OwingState, &[BackOff]),
            // Answers that nobody waits for.
            (
                Self::Resting,
                On::PageCut
                | On::PageWhole
                | On::Gone
                | On::Failed
                | On::StateCut
                | On::StateWhole
                | On::NoState,
            )
            | (
                Self::Reading | Self::ReadingAgain,
                On::Due | On::StateCut | On::StateWhole | On::NoState,
            )
            | (Self::ReadingAgain, On::Wanted)
            | (Self::TakingState, On::Due | On::Wanted | On::PageCut | On::PageWhole)
            | (
                Self::OwingState,
                On::Wanted
                | On::PageCut
                | On::PageWhole
                | On::Gone
                | On::Failed
                | On::StateCut
                | On::StateWhole
                | On::NoState,
            ) => (self, &[]),
        }
    }
}

impl ReadingEvent {
    /// Every event.
    pub const ALL: [Self; 9] = [
        Self::Due,
        Self::Wanted,
        Self::PageCut,
        Self::PageWhole,
        Self::Gone,
        Self::Failed,
        Self::StateCut,
        Self::StateWhole,
        Self::NoState,
    ];
}
