//! The rule as tables: what is shown when, and what follows.

use super::*;

const PATIENCE: Patience = Patience {
    interval: Duration::from_secs(5),
    settle: Duration::from_secs(1),
};

const OURS: LogId = LogId::new(5);

/// Published just now.
fn of(log: Option<u128>, head: u64) -> Shown {
    shown(log, head, None, false)
}

fn shown(log: Option<u128>, head: u64, every_ms: Option<u64>, kept: bool) -> Shown {
    let log = log.map_or_else(String::new, |log| {
        format!(",\"log\":\"{}\"", LogId::new(log))
    });
    let every = every_ms.map_or_else(String::new, |every| format!(",\"every_ms\":{every}"));
    let text = format!("{{\"epoch\":1,\"head\":{head}{log}{every}}}");
    let seen = Seen::parse(text.as_bytes()).unwrap();
    Shown::new(seen, text.as_bytes(), kept)
}

/// What we are: without a lane, with one, and one that publishes.
const AWAY: Ours = Ours {
    log: OURS,
    leads: false,
    publishes: false,
};
const LEADS: Ours = Ours {
    leads: true,
    ..AWAY
};
const PUBLISHES: Ours = Ours {
    publishes: true,
    ..LEADS
};

struct Told {
    claim: Claim,
    start: Instant,
}

impl Told {
    fn new() -> Self {
        Self {
            claim: Claim::default(),
            start: Instant::now(),
        }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn see(&mut self, second: u64, log: Option<u128>, head: u64, ours: Ours) -> Option<LogId> {
        let now = self.at(second);
        self.claim.see(of(log, head), ours, now)
    }

    fn due(&mut self, second: u64) -> Due {
        let now = self.at(second);
        self.claim.due(PATIENCE, now)
    }

    fn keeps_off(&self) -> Option<Keeps> {
        self.claim.keeps_off()
    }
}

#[test]
fn the_first_message_says_whose_it_is() {
    use Keeps::{Found, Lives};
    let table = [
        // Ours, or of a gateway of before.
        (Some(5), LEADS, None),
        (Some(5), PUBLISHES, None),
        (None, AWAY, None),
        (None, LEADS, None),
        // It stands there, and nobody knows whether anybody is behind it.
        (Some(4), AWAY, Some(Found)),
        (Some(4), LEADS, Some(Found)),
        (Some(6), LEADS, Some(Found)),
        // It came after ours.
        (Some(4), PUBLISHES, Some(Lives)),
        (None, PUBLISHES, Some(Lives)),
        (Some(6), PUBLISHES, None),
    ];
    for (log, ours, keeps_off) in table {
        let mut told = Told::new();
        told.see(0, log, 7, ours);
        assert_eq!(told.keeps_off(), keeps_off, "{log:?} {ours:?}");
    }
}

#[test]
fn after_silence_and_a_last_look_it_is_taken_over() {
    let mut told = Told::new();
    told.see(0, Some(6), 7, LEADS);
    assert_eq!(told.due(14), Due::Nothing);
    assert_eq!(told.due(15), Due::Look);
    assert_eq!(told.due(99), Due::Nothing, "the broker does not answer");
    // The look shows the same message: nobody has said anything.
    told.see(100, Some(6), 7, LEADS);
    assert_eq!(told.keeps_off(), Some(Keeps::Found));
    told.claim.answered(true, told.at(100));
    assert_eq!(told.due(100), Due::Nothing);
    assert_eq!(told.due(101), Due::TakeOver);
    told.claim.take_over();
    assert_eq!((told.keeps_off(), told.due(200)), (None, Due::Nothing));
}

#[test]
fn whoever_lives_keeps_us_off_for_as_long() {
    let mut told = Told::new();
    told.see(0, Some(6), 7, LEADS);
    assert_eq!(told.keeps_off(), Some(Keeps::Found));
    told.see(5, Some(6), 8, LEADS);
    for second in (10..100).step_by(5) {
        told.see(second, Some(6), second, LEADS);
        assert_eq!(told.keeps_off(), Some(Keeps::Lives));
        assert_eq!(told.due(second + 4), Due::Nothing);
    }
    assert_eq!(told.due(110), Due::Look);
    // The look shows what was not heard.
    told.see(110, Some(6), 200, LEADS);
    told.claim.answered(true, told.at(110));
    assert_eq!(told.due(124), Due::Nothing);
    assert_eq!(told.due(125), Due::Look);
    told.claim.answered(true, told.at(126));
    assert_eq!(told.due(127), Due::TakeOver);
}

#[test]
fn time_without_a_connection_is_no_silence() {
    let mut told = Told::new();
    told.see(0, Some(6), 7, LEADS);
    told.claim.begin_connection(told.at(14));
    assert_eq!((told.due(15), told.due(29)), (Due::Nothing, Due::Look));
    told.claim.begin_connection(told.at(30));
    told.claim.answered(true, told.at(30));
    assert_eq!((told.due(44), told.due(45)), (Due::Nothing, Due::Look));
}

#[test]
fn echoes_of_our_own_end_nothing_that_another_replica_would() {
    let mut told = Told::new();
    told.see(0, Some(4), 7, PUBLISHES);
    told.see(0, Some(5), 9, LEADS);
    assert_eq!(told.keeps_off(), Some(Keeps::Lives), "it was sent before");
    told.see(1, Some(5), 10, AWAY);
    assert_eq!(told.keeps_off(), None, "another replica of ours publishes");
}

#[test]
fn a_message_that_is_taken_away_ends_the_wait_for_the_dead_only() {
    let mut told = Told::new();
    told.see(0, Some(6), 7, LEADS);
    told.claim.see_nothing(told.at(2));
    // Clients followed it all the same: the topics are taken over, and not just used.
    assert_eq!(told.keeps_off(), Some(Keeps::Found));
    assert_eq!((told.due(2), told.due(3)), (Due::Nothing, Due::TakeOver));
    let mut told = Told::new();
    told.see(0, Some(6), 7, LEADS);
    told.see(1, Some(6), 8, LEADS);
    told.claim.see_nothing(told.at(2));
    assert_eq!(
        (told.keeps_off(), told.due(3)),
        (Some(Keeps::Lives), Due::Nothing)
    );
}

#[test]
fn whoever_hears_nothing_any_more_takes_no_living_one_for_dead() {
    for (lives, due) in [(false, Due::TakeOver), (true, Due::Nothing)] {
        let mut told = Told::new();
        told.see(0, Some(6), 7, LEADS);
        if lives {
            told.see(0, Some(6), 8, LEADS);
        }
        assert_eq!(told.due(15), Due::Look);
        told.claim.answered(false, told.at(15));
        assert_eq!(told.due(99), due, "{lives}");
    }
}

#[test]
fn a_look_that_was_not_asked_for_is_asked_for_again() {
    let mut told = Told::new();
    told.see(0, Some(6), 7, LEADS);
    assert_eq!(told.due(15), Due::Look);
    told.claim.not_asked();
    told.claim.answered(true, told.at(15));
    assert_eq!(told.due(16), Due::Look);
}

#[test]
fn who_must_yield_is_told_of_once() {
    let mut told = Told::new();
    let (six, seven) = (LogId::new(6), LogId::new(7));
    assert_eq!(told.see(0, Some(6), 1, PUBLISHES), Some(six));
    assert_eq!(told.see(5, Some(6), 2, PUBLISHES), None);
    assert_eq!(told.see(6, Some(7), 2, PUBLISHES), Some(seven));
    assert_eq!(told.keeps_off(), None);
}

#[test]
fn what_the_broker_kept_is_found_and_not_heard_however_late_it_comes() {
    let table = [
        (Some(4), Some(Keeps::Found)),
        (Some(6), Some(Keeps::Found)),
        (Some(5), None),
        (None, None),
    ];
    for (log, keeps_off) in table {
        let mut told = Told::new();
        let now = told.at(0);
        let yields = told.claim.see(shown(log, 7, None, true), PUBLISHES, now);
        assert_eq!((yields, told.keeps_off()), (None, keeps_off), "{log:?}");
    }
}

#[test]
fn whoever_speaks_more_rarely_than_we_is_silent_later() {
    let mut told = Told::new();
    let now = told.at(0);
    let rare = shown(Some(6), 7, Some(60_000), true);
    told.claim.see(rare, LEADS, now);
    let reason = told.claim.reason(PATIENCE, now).unwrap();
    assert!(reason.contains("none does for 3m"), "{reason}");
    assert_eq!((told.due(179), told.due(180)), (Due::Nothing, Due::Look));
    // And nobody earlier than we would be.
    let mut told = Told::new();
    let often = shown(Some(6), 7, Some(100), true);
    told.claim.see(often, LEADS, now);
    assert_eq!((told.due(14), told.due(15)), (Due::Nothing, Due::Look));
}

#[test]
fn the_end_of_who_published_beside_us_is_noticed() {
    let mut told = Told::new();
    told.see(0, Some(6), 1, PUBLISHES);
    told.see(5, Some(6), 2, PUBLISHES);
    assert_eq!(told.due(19), Due::Nothing);
    let last = of(Some(6), 2).seen.cursor();
    assert_eq!(told.due(20), Due::Outlived(last));
    told.claim.begin_connection(told.at(21));
    assert_eq!(
        (told.due(35), told.due(36)),
        (Due::Nothing, Due::Outlived(last))
    );
    assert!(told.claim.note_late() && !told.claim.note_late(), "once");
    assert!(told.claim.forget_outlived() && !told.claim.forget_outlived());
    assert_eq!(told.due(99), Due::Nothing);
    // It comes back, and is told of again.
    let six = LogId::new(6);
    assert_eq!(told.see(100, Some(6), 3, PUBLISHES), Some(six));
}

#[test]
fn of_several_that_yield_the_furthest_counts() {
    let mut told = Told::new();
    for (log, head) in [(6, 9), (7, 2)] {
        told.see(0, Some(log), head, PUBLISHES);
    }
    let furthest = of(Some(6), 9).seen.cursor();
    assert_eq!(told.due(15), Due::Outlived(furthest));
}

/// Two that publish, and hear each other in any order: one is left, whatever the other says.
#[test]
fn of_two_that_publish_one_is_left() {
    for (first, second) in [(4, 5), (5, 4)] {
        let mut claims = [(4, Claim::default()), (5, Claim::default())];
        let now = Instant::now();
        for (head, from) in [first, second, first, second].into_iter().enumerate() {
            let publishes = |claim: &Claim| claim.keeps_off().is_none();
            let speaker = claims.iter().find(|(log, _)| *log == from);
            if !speaker.is_some_and(|(_, claim)| publishes(claim)) {
                continue;
            }
            for (log, claim) in &mut claims {
                let ours = Ours {
                    log: LogId::new(*log),
                    leads: true,
                    publishes: publishes(claim),
                };
                claim.see(of(Some(from), head as u64), ours, now);
            }
        }
        let left = claims
            .iter()
            .filter(|(_, claim)| claim.keeps_off().is_none());
        let left: Vec<_> = left.map(|(log, _)| *log).collect();
        assert_eq!(left, [4]);
    }
}

#[test]
fn each_reason_says_what_to_do() {
    let mut told = Told::new();
    let reason = |told: &Told| told.claim.reason(PATIENCE, told.start);
    assert_eq!(reason(&told), None);
    told.see(0, Some(6), 7, LEADS);
    let found = "the retained message there is of another log (00000000000000000000000000000006): listening whether a gateway publishes it; if none does for 15s, this one goes on";
    assert_eq!(reason(&told).as_deref(), Some(found));
    told.see(5, Some(6), 8, LEADS);
    let lives = "another gateway publishes its own log (00000000000000000000000000000006) there: give each gateway its own `mqtt.topic_prefix`; once none has done so for 15s, this one goes on";
    assert_eq!(reason(&told).as_deref(), Some(lives));
    told.claim.rest_until(Some(told.at(599)));
    assert_eq!(told.keeps_off(), Some(Keeps::Rests));
    let rests = reason(&told).unwrap();
    assert!(rests.contains("in 10 min"), "{rests}");
    told.claim.rest_until(None);
    assert_eq!(reason(&told).as_deref(), Some(lives));
}

#[test]
fn a_log_that_lives_again_is_told_in_place_of_a_rest() {
    let mut told = Told::new();
    told.see(0, Some(6), 7, LEADS);
    let end = told.at(600);
    told.claim.rest_until(Some(end));
    assert_eq!(told.keeps_off(), Some(Keeps::Rests));
    told.see(1, Some(6), 8, LEADS);
    assert_eq!(told.keeps_off(), Some(Keeps::Lives));
}
