//! `changeover module get --watch`: looks each second, and shows what it sees.
//!
//! Invariants: a gateway that is away, or hangs, holds up neither the screen nor the keys; what is shown then is marked as old.
//! The terminal is given back however this ends.

use std::{
    io,
    pin::pin,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant as At, sleep_until},
};

use super::{
    looking::{Away, EVERY, Looking, Seen},
    page::Page,
    rates::{History, Series},
    view::ModuleView,
    waiting::{Goal, Last},
    words,
};
use crate::cli::{
    Failure, Format, Output,
    output::write_line,
    screen::{Display, Keys, Line, Surface, Tone},
};

/// Watches until somebody leaves, or until the goal is reached: then what was seen.
pub(super) async fn run(
    looking: &Looking<'_>,
    goal: Option<&Goal>,
    output: Output,
) -> Result<Option<Seen>, Failure> {
    let surface = Surface::of_output();
    let shown = match (output.output, surface.in_place) {
        (Some(Format::Json), _) => Shown::Json,
        (_, true) => Shown::InPlace(Display::open(surface.paint).context("the terminal")?),
        (_, false) => Shown::Lines,
    };
    let watching = Watching {
        looking,
        goal,
        shown,
        begun: Instant::now(),
        rates: History::default(),
        seen: None,
        away: None,
    };
    watching.run().await
}

/// How it is shown.
enum Shown {
    InPlace(Display),
    /// A line for each look.
    Lines,
    /// The answer to each look, a line.
    Json,
}

/// That the gateway is away.
struct Gone {
    since: SystemTime,
    why: String,
}

struct Watching<'a> {
    looking: &'a Looking<'a>,
    goal: Option<&'a Goal>,
    shown: Shown,
    begun: Instant,
    rates: History,
    seen: Option<Seen>,
    away: Option<Gone>,
}

impl Watching<'_> {
    async fn run(mut self) -> Result<Option<Seen>, Failure> {
        let mut ends = Ends::listen(matches!(self.shown, Shown::InPlace(_)))?;
        self.draw().context("cannot draw")?;
        loop {
            let next = At::now() + EVERY;
            let (looking, left) = (self.looking, self.left());
            let Some(look) = self.meanwhile(&mut ends, looking.briefly(left)).await? else {
                return self.left_early();
            };
            self.take(look)?;
            match self.show() {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return self.left_early();
                }
                shown => shown.context("cannot show it")?,
            }
            if let Some(goal) = self.goal {
                let last = self.last(goal);
                if matches!(&last, Last::Missing(missing) if missing.is_empty()) {
                    return Ok(self.seen.filter(|_| !matches!(self.shown, Shown::Json)));
                }
                if self.left().is_zero() {
                    return Err(goal.given_up(&last));
                }
            }
            let next = next.min(At::now() + self.left());
            if self
                .meanwhile(&mut ends, sleep_until(next))
                .await?
                .is_none()
            {
                return self.left_early();
            }
        }
    }

    /// Waits for `what`, and draws anew when the terminal gets another size; nothing if somebody leaves.
    async fn meanwhile<T>(
        &mut self,
        ends: &mut Ends,
        what: impl Future<Output = T>,
    ) -> anyhow::Result<Option<T>> {
        let mut what = pin!(what);
        loop {
            tokio::select! {
                done = &mut what => return Ok(Some(done)),
                happened = ends.next() => match happened {
                    Happened::Leaves => return Ok(None),
                    Happened::Resized => self.draw().context("cannot draw")?,
                },
            }
        }
    }

    /// Who leaves has seen enough, unless something was waited for.
    fn left_early(self) -> Result<Option<Seen>, Failure> {
        match self.goal {
            Some(_) => Err(Failure::Interrupted),
            None => Ok(None),
        }
    }

    /// What is left of the time. A day, again and again, where there is no end.
    fn left(&self) -> Duration {
        let within = self.goal.map(|goal| goal.within);
        within.map_or(Duration::from_hours(24), |within| {
            within.saturating_sub(self.begun.elapsed())
        })
    }

    fn take(&mut self, look: Result<Seen, Away>) -> anyhow::Result<()> {
        match look {
            Ok(seen) => {
                self.rates.saw(self.begun.elapsed(), &seen.module);
                self.seen = Some(seen);
                self.away = None;
            }
            Err(Away::For(why)) => {
                self.rates.saw_nothing();
                let since = self.away.take().map(|gone| gone.since);
                let since = since.unwrap_or_else(SystemTime::now);
                self.away = Some(Gone { since, why });
            }
            Err(Away::ForEver(error)) => return Err(error),
        }
        Ok(())
    }

    fn last(&self, goal: &Goal) -> Last {
        match (&self.away, &self.seen) {
            (None, Some(seen)) => Last::Missing(goal.missing(&seen.module)),
            (Some(gone), _) => Last::Away(gone.why.clone()),
            (None, None) => Last::Away("it was not asked yet".to_owned()),
        }
    }

    fn show(&mut self) -> io::Result<()> {
        match (&self.shown, &self.away, &self.seen) {
            (Shown::InPlace(_), ..) => self.draw(),
            (Shown::Lines, Some(gone), _) => write_line(&format!("{}  away: {}", now(), gone.why)),
            (Shown::Lines, None, Some(seen)) => {
                let rates = self.rates.series();
                write_line(&format!("{}  {}", now(), plain_line(&seen.module, rates)))
            }
            (Shown::Json, None, Some(seen)) => write_line(seen.answer.trim_end()),
            (Shown::Json, Some(gone), _) => {
                write_line(&serde_json::json!({"away": gone.why}).to_string())
            }
            (_, None, None) => Ok(()),
        }
    }

    /// Draws what is known now; nothing where nothing is drawn in place.
    fn draw(&mut self) -> io::Result<()> {
        if !matches!(self.shown, Shown::InPlace(_)) {
            return Ok(());
        }
        let (columns, _) = Display::size();
        let lines = self.lines(columns);
        match &mut self.shown {
            Shown::InPlace(display) => display.draw(&lines),
            Shown::Lines | Shown::Json => Ok(()),
        }
    }

    fn lines(&self, columns: usize) -> Vec<Line> {
        let mut lines = vec![self.status()];
        if let (Some(goal), Some(_)) = (self.goal, &self.seen) {
            let text = format!("waiting: {}", self.last(goal).text());
            lines.push(Line::of(Tone::Warn, text));
        }
        lines.push(Line::default());
        if let Some(seen) = &self.seen {
            let page = Page {
                module: &seen.module,
                acts: &seen.acts,
                series: self.rates.series(),
            };
            lines.extend(page.lines(Some(columns)));
        }
        lines
    }

    fn status(&self) -> Line {
        match &self.away {
            Some(gone) => {
                let since = humantime::format_rfc3339_seconds(gone.since).to_string();
                let text = format!(
                    "the gateway is away since {}: {}",
                    words::time(&since),
                    gone.why
                );
                Line::of(Tone::Bad, text)
            }
            None => Line::of(Tone::Faint, format!("{}, each second; q leaves", now())),
        }
    }
}

/// What ends a watch early, or wants it drawn anew.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    resized: Signal,
    keys: Option<Keys>,
}

/// What happens meanwhile.
enum Happened {
    Leaves,
    Resized,
}

impl Ends {
    fn listen(with_keys: bool) -> anyhow::Result<Self> {
        let of = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: of(SignalKind::interrupt())?,
            terminate: of(SignalKind::terminate())?,
            hang_up: of(SignalKind::hangup())?,
            resized: of(SignalKind::window_change())?,
            keys: with_keys.then(Keys::of_input),
        })
    }

    async fn next(&mut self) -> Happened {
        let keys = async {
            match &mut self.keys {
                Some(keys) => keys.leave().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Happened::Leaves,
            _ = self.terminate.recv() => Happened::Leaves,
            _ = self.hang_up.recv() => Happened::Leaves,
            _ = self.resized.recv() => Happened::Resized,
            () = keys => Happened::Leaves,
        }
    }
}

fn now() -> String {
    words::time(&humantime::format_rfc3339_seconds(SystemTime::now()).to_string())
}

/// What matters most, in a line.
fn plain_line(m: &ModuleView, rates: &[Series]) -> String {
    let figures = rates.iter().filter_map(|one| {
        let rate = words::number(one.latest()?);
        Some(format!("{} {rate}", one.name()))
    });
    let memory = m.from_memory.as_ref().map(words::from_memory);
    let facts = [
        m.module.clone(),
        words::requested(m),
        format!("in force {}", words::effective(m).written(false)),
        format!("on push {}", words::on_push(m)),
        format!("lag {}", words::lag(m).written(false)),
        format!("guard {}", words::guard(m, false).written(false)),
        format!("gate {}", words::gate(m, false).written(false)),
        format!("head {}", m.head),
    ];
    let facts = facts.into_iter().chain(figures).chain(memory);
    facts.collect::<Vec<_>>().join("  ")
}
