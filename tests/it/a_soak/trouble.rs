//! What happens in a soak.

use std::{collections::BTreeMap, time::Duration};

use nix::sys::signal::Signal;
use rand::RngExt;
use tokio::{
    task::block_in_place,
    time::{Instant, sleep_until},
};

use super::Scene;
use crate::support::{
    broker::Broker,
    eventually,
    proxy::{Proxy, Way, Weather},
};

/// One kind of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    BrokerKilled,
    BrokerStandsStill,
    DatabaseKilled,
    GatewayKilled,
    GatewayStandsStill,
    GatewaysCut,
    GatewaysReset,
    GatewaysHalfOpen,
    GatewaysLate,
    GatewaysSlow,
    TerminalsCut,
    TerminalsReset,
    TerminalsHalfOpen,
    TerminalsLate,
    Nothing,
}

pub(super) const KINDS: [Trouble; 15] = [
    Trouble::BrokerKilled,
    Trouble::BrokerStandsStill,
    Trouble::DatabaseKilled,
    Trouble::GatewayKilled,
    Trouble::GatewayStandsStill,
    Trouble::GatewaysCut,
    Trouble::GatewaysReset,
    Trouble::GatewaysHalfOpen,
    Trouble::GatewaysLate,
    Trouble::GatewaysSlow,
    Trouble::TerminalsCut,
    Trouble::TerminalsReset,
    Trouble::TerminalsHalfOpen,
    Trouble::TerminalsLate,
    Trouble::Nothing,
];

/// Above the lease and the deadline of acknowledgements.
const LONG: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_mins(1);

impl Scene {
    /// Makes it, and ends it: what follows from it is not over then.
    pub(super) async fn make(&mut self, kind: Trouble) {
        match kind {
            Trouble::BrokerKilled => {
                self.broker.kill().await;
                self.broker.restart().await;
            }
            Trouble::BrokerStandsStill => {
                let Broker::Mosquitto(mosquitto) = &self.broker else {
                    unreachable!("it is a Mosquitto");
                };
                mosquitto.pause();
                lasts(LONG).await;
                mosquitto.resume();
            }
            Trouble::DatabaseKilled => {
                block_in_place(|| self.database.kill());
                lasts(Duration::from_millis(self.rng.random_range(0..3_000))).await;
                block_in_place(|| self.database.start());
            }
            Trouble::GatewayKilled => {
                self.mortal.kill();
                lasts(Duration::from_millis(self.rng.random_range(0..3_000))).await;
                self.mortal.restart().await;
            }
            Trouble::GatewayStandsStill => {
                self.lasting.signal(Signal::SIGSTOP);
                lasts(LONG).await;
                self.lasting.signal(Signal::SIGCONT);
            }
            Trouble::GatewaysCut => again(&self.of_gateways, Proxy::cut).await,
            Trouble::GatewaysReset => again(&self.of_gateways, Proxy::reset).await,
            Trouble::TerminalsCut => again(&self.of_terminals, Proxy::cut).await,
            Trouble::TerminalsReset => again(&self.of_terminals, Proxy::reset).await,
            Trouble::GatewaysHalfOpen => {
                let ways = half_open(self.rng.random_range(0..4));
                is_noticed(&self.of_gateways, ways).await;
            }
            Trouble::TerminalsHalfOpen => {
                let ways = half_open(self.rng.random_range(0..4));
                is_noticed(&self.of_terminals, ways).await;
            }
            Trouble::GatewaysLate => spell(&self.of_gateways, LATE).await,
            Trouble::TerminalsLate => spell(&self.of_terminals, LATE).await,
            Trouble::GatewaysSlow => spell(&self.of_gateways, SLOW).await,
            Trouble::Nothing => lasts(LONG).await,
        }
    }
}

const LATE: Weather = Weather::both(Way::Delay(Duration::from_millis(500)));
const SLOW: Weather = Weather::both(Way::Slow(100_000));

async fn lasts(time: Duration) {
    sleep_until(Instant::now() + time).await;
}

async fn spell(way: &Proxy, weather: Weather) {
    way.set(weather);
    lasts(LONG).await;
}

async fn again(way: &Proxy, blow: fn(&Proxy)) {
    for _ in 0..5 {
        blow(way);
        lasts(LONG / 10).await;
    }
}

fn half_open(which: u32) -> Weather {
    let (to_server, to_client) = match which {
        0 => (Way::Swallow, Way::Swallow),
        1 => (Way::Swallow, Way::Pass),
        2 => (Way::Pass, Way::Swallow),
        _ => (Way::Hold, Way::Hold),
    };
    Weather {
        to_server,
        to_client,
        resets_after: None,
    }
}

/// Until somebody tries another connection.
async fn is_noticed(way: &Proxy, weather: Weather) {
    let opened = way.opened();
    way.set(weather);
    eventually("the silence is noticed", PATIENCE, async || {
        (way.opened() > opened).then_some(())
    })
    .await;
}

/// Prints how often each kind was suffered, and how long it took until everybody was up to date again.
pub(super) fn print(troubles: &[(Trouble, Duration)]) {
    let mut kinds = BTreeMap::<_, Vec<Duration>>::new();
    for (kind, took) in troubles {
        kinds.entry(*kind).or_default().push(*took);
    }
    println!(
        "{:<20} {:>5} {:>10} {:>10}",
        "trouble", "times", "median", "longest"
    );
    for (kind, mut took) in kinds {
        took.sort();
        let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
        println!(
            "{:<20} {:>5} {:>8.1} s {:>8.1} s",
            format!("{kind:?}"),
            took.len(),
            median.as_secs_f64(),
            longest.as_secs_f64()
        );
    }
}
