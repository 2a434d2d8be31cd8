use super::*;
use crate::domain::{Audience, Change, Epoch, JsonText, Op};

fn change(position: u64, previous: u64) -> Change {
    Change {
        epoch: Epoch::FIRST,
        position: Position::new(position),
        previous: Position::new(previous),
        audience: Audience::everyone(),
        key: format!("k{position}").into(),
        op: Op::Upsert,
        value: JsonText::null(),
        change_id: None,
        occurred_at: Micros::new(0),
        sequenced_at: Micros::new(0),
    }
}

fn entry(position: u64, channel: u64) -> Entry {
    let change = change(position, position - 1);
    Entry {
        position: change.position,
        previous: change.previous,
        sequenced_at: change.sequenced_at,
        channel,
        print: Print::of(&change),
        state: State::Expected,
    }
}

fn event(position: u64, channel: u64) -> Received {
    let change = change(position, position.saturating_sub(1));
    Received {
        channel,
        epoch: change.epoch,
        position: change.position,
        previous: change.previous,
        print: Print::of(&change),
    }
}

fn window(bound: usize, entries: u64) -> Window {
    let mut window = Window::new(bound, Position::ZERO);
    for position in 1..=entries {
        window.enter(entry(position, position % 2));
    }
    window
}

fn arrive(window: &mut Window, position: u64, channel: u64) -> Arrival {
    let event = event(position, channel);
    window.arrive(&event, Share::default(), Instant::now())
}

fn first(reordered: bool) -> Arrival {
    Arrival::First {
        sequenced_at: Micros::new(0),
        reordered,
        previous: None,
    }
}

#[test]
fn a_channel_is_in_order_although_another_overtakes_it() {
    let mut window = window(10, 5);
    assert_eq!(arrive(&mut window, 2, 0), first(false));
    assert_eq!(arrive(&mut window, 1, 1), first(false));
    assert_eq!(arrive(&mut window, 5, 1), first(false));
    assert_eq!(arrive(&mut window, 3, 1), first(true));
    assert_eq!(arrive(&mut window, 4, 0), first(false));
}

#[test]
fn what_comes_again_is_known_and_so_is_what_differs() {
    let mut window = window(10, 2);
    assert_eq!(arrive(&mut window, 1, 1), first(false));
    assert!(matches!(arrive(&mut window, 1, 1), Arrival::Again(Some(_))));
    assert_eq!(arrive(&mut window, 2, 1), Arrival::Unlike);
    let mut otherwise = event(1, 1);
    otherwise.previous = Position::new(9);
    let again = window.arrive(&otherwise, Share::default(), Instant::now());
    assert_eq!(again, Arrival::AgainOtherwise(Position::ZERO));
    assert_eq!(arrive(&mut window, 2, 0), first(false));
}

#[test]
fn what_is_missing_is_counted_once_and_may_come_after_all() {
    let mut window = window(10, 4);
    assert_eq!(arrive(&mut window, 2, 0), first(false));
    assert!(window.waits_below(Position::new(3)));
    let found = window.miss(Position::new(3));
    assert_eq!(found, Some((2, Position::new(1))));
    assert_eq!(window.miss(Position::new(3)), None);
    assert_eq!(arrive(&mut window, 3, 1), Arrival::AfterAll);
    assert_eq!(window.give_up(), 1, "only the fourth was still expected");
}

#[test]
fn nothing_is_judged_that_nobody_could_see() {
    let mut window = window(10, 2);
    assert_eq!(window.give_up(), 2);
    assert_eq!(window.miss(Position::new(2)), None);
    assert_eq!(arrive(&mut window, 1, 1), Arrival::Passed);
    assert!(matches!(arrive(&mut window, 1, 1), Arrival::Again(Some(_))));
    window.pass(Position::new(5));
    assert_eq!(arrive(&mut window, 4, 0), Arrival::Passed);
    assert_eq!(arrive(&mut window, 6, 0), Arrival::Unknown);
}

#[test]
fn it_stays_within_its_bound() {
    let mut window = window(3, 3);
    assert_eq!(arrive(&mut window, 1, 1), first(false));
    assert_eq!(window.enter(entry(4, 0)), 0, "the first had come");
    assert_eq!(window.enter(entry(5, 1)), 1, "the second had not");
    assert_eq!(window.entries.len(), 3);
    assert_eq!(arrive(&mut window, 2, 0), Arrival::Passed);
    assert_eq!(window.give_up(), 3);
}

#[test]
fn a_smaller_share_leaves_channels_out() {
    let mut sampler = crate::mirror::verifier::sampler::Sampler::new(1, Instant::now());
    sampler.count();
    sampler.count();
    let half = sampler.look(Instant::now() + std::time::Duration::from_secs(1));
    let half = half.unwrap();
    let mut window = window(10, 4);
    window.narrow(half);
    assert_eq!(window.expected, 2);
    let odd = window.arrive(&event(3, 1), half, Instant::now());
    assert_eq!(odd, Arrival::Passed);
    let even = window.arrive(&event(4, 0), half, Instant::now());
    assert_eq!(even, first(false));
}
