//! A client at work: the rule of [`crate::client`] says what to do, and this does it.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::{
    task::{JoinError, JoinSet},
    time::sleep_until,
};

use super::{gateway::Gateway, line::Line, lines};
use crate::{
    client::{Action, Client, Event, LinkId, Progress, Settings, Way},
    config::mqtt::Mqtt,
    domain::ModuleName,
};

/// Between two questions for the session at the longest: somebody looks on, and wants to see a flip.
const SESSION_EVERY: Duration = Duration::from_secs(5);

/// The client of one module, with what is under way for it.
pub(super) struct Watching {
    client: Client,
    gateway: Gateway,
    mqtt: Mqtt,
    module: ModuleName,
    terminal: bool,
    begun: Instant,
    questions: JoinSet<Event>,
    line: Option<Line>,
    shown: Option<Way>,
}

/// Whether anybody still reads what is shown.
type Shown = io::Result<()>;

impl Watching {
    pub(super) fn new(
        gateway: Gateway,
        mqtt: Mqtt,
        module: ModuleName,
        progress: Progress,
        terminal: bool,
    ) -> Self {
        let settings = Settings {
            session_every: SESSION_EVERY,
            ..Settings::default()
        };
        let modules = [(module.clone(), progress)];
        Self {
            client: Client::new(settings, modules, rand::random()),
            gateway,
            mqtt,
            module,
            terminal,
            begun: Instant::now(),
            questions: JoinSet::new(),
            line: None,
            shown: None,
        }
    }

    /// Shows what comes until interrupted, or until nobody reads it any more.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let ended = tokio::select! {
            ended = self.follow() => ended,
            interrupted = tokio::signal::ctrl_c() => interrupted,
        };
        if let Some(line) = self.line.take() {
            line.close().await;
        }
        match ended {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.context("cannot go on"),
        }
    }

    async fn follow(&mut self) -> Shown {
        self.tell(Event::Time).await?;
        loop {
            for event in self.wait().await {
                self.tell(event).await?;
            }
        }
    }

    async fn wait(&mut self) -> Vec<Event> {
        let wakes = self.begun.checked_add(self.client.wakes_at());
        let pause = async {
            match wakes {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let line = async {
            match &mut self.line {
                Some(line) => line.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            events = line => events,
            Some(answer) = self.questions.join_next() => vec![answered(answer)],
            () = pause => vec![Event::Time],
        }
    }

    async fn tell(&mut self, event: Event) -> Shown {
        if let Event::Disconnected { link } = event {
            self.line.take_if(|line| line.id == link);
        }
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let actions = self.client.handle(event, self.begun.elapsed());
            for action in actions {
                events.extend(self.act(action).await?);
            }
            self.show_way()?;
        }
        Ok(())
    }

    /// Does what is to be done. What fails at once is an event.
    async fn act(&mut self, action: Action) -> io::Result<Option<Event>> {
        let gateway = self.gateway.clone();
        match action {
            Action::AskSession => {
                self.questions.spawn(async move { gateway.session().await });
            }
            Action::Read { after, .. } => {
                let way = self.client.way(self.module.as_str());
                let on_push = matches!(way, Some(Way::CatchingUp | Way::Live));
                self.questions
                    .spawn(async move { gateway.read(after, on_push).await });
            }
            Action::TakeState { page, .. } => {
                let asking = async move { gateway.state(page.as_deref()).await };
                self.questions.spawn(asking);
            }
            Action::Connect { link, connection } => match Line::open(link, &connection, &self.mqtt)
            {
                Ok(line) => self.line = Some(line),
                Err(why) => {
                    eprintln!("not connected: {why:#}");
                    return Ok(Some(Event::Disconnected { link }));
                }
            },
            Action::Disconnect { link } => {
                if let Some(line) = self.line.take_if(|line| line.id == link) {
                    line.close().await;
                }
            }
            Action::Subscribe {
                link,
                module,
                topics,
            } => {
                if let Some(line) = self.line_of(link) {
                    line.subscribe(module, &topics);
                }
            }
            Action::Unsubscribe { link, topics } => {
                if let Some(line) = self.line_of(link) {
                    line.unsubscribe(&topics);
                }
            }
            Action::Forget { module } => show(&lines::forget(&module, self.terminal))?,
            Action::Apply { module, change, by } => {
                show(&lines::change(&module, &change, by, self.terminal))?;
            }
        }
        Ok(None)
    }

    fn line_of(&mut self, link: LinkId) -> Option<&mut Line> {
        self.line.as_mut().filter(|line| line.id == link)
    }

    fn show_way(&mut self) -> Shown {
        let way = self.client.way(self.module.as_str());
        if let (Some(way), true) = (way, way != self.shown) {
            self.shown = Some(way);
            show(&lines::way(&self.module, way, self.terminal))?;
        }
        Ok(())
    }
}

fn show(line: &str) -> Shown {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// A question whose task broke down has no answer, and without one the client would wait for ever.
fn answered(answer: Result<Event, JoinError>) -> Event {
    answer.unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic()))
}
