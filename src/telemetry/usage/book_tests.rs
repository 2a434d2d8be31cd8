use std::time::Instant;

use super::*;

fn module(name: &str) -> ModuleName {
    name.parse().unwrap()
}

fn at(minutes: i64) -> Micros {
    Micros::new(1_800_000_000_000_000 + minutes * 60_000_000)
}

fn polls(rows: &[UsageRow]) -> Vec<(i64, u64, i64)> {
    let of_m = rows
        .iter()
        .filter(|row| row.module == "m" && row.transport == Transport::Poll);
    let minutes = |row: &UsageRow| (row.to.get() - row.from.get()) / 60_000_000;
    of_m.map(|row| {
        (
            row.hour.get() - at(0).get(),
            row.counts.requests,
            minutes(row),
        )
    })
    .map(|(hour, requests, minutes)| (hour / HOUR_MICROS, requests, minutes))
    .collect()
}

#[test]
fn what_is_counted_is_entered_once_and_in_its_hour() {
    assert_eq!(hour_of(at(0)), at(0), "the tests begin with an hour");
    let usage = Usage::of(&[module("m")], Instant::now());
    let meter = usage.of_module(&module("m"));
    let mut book = Book::new(at(30));
    assert_eq!(book.hour_ends(), at(60));
    meter.polls.idle.add(5);
    book.enter(&usage, |_| Stage::Mirror, at(40));
    meter.polls.idle.add(5);
    book.enter(&usage, |_| Stage::Ramp, at(60));
    meter.polls.idle.add(5);
    // Late: the span began in the second hour.
    book.enter(&usage, |_| Stage::Mirror, at(121));
    let rows = book.take();
    assert_eq!(polls(&rows), [(0, 2, 30), (1, 1, 60)]);
    let of_m = rows.iter().find(|row| row.module == "m").unwrap();
    assert_eq!(of_m.stage, Stage::Ramp, "the highest of the hour");
    assert!(
        rows.iter().any(|row| row.module == NO_MODULE),
        "that somebody counted is known"
    );
    assert_eq!(book.take(), []);
    book.enter(&usage, |_| Stage::Mirror, at(122));
    assert_eq!(polls(&book.take()), [(2, 0, 1)], "nothing is entered twice");
}

#[test]
fn push_has_a_row_only_if_there_was_some() {
    let usage = Usage::of(&[module("m")], Instant::now());
    let mut book = Book::new(at(0));
    book.enter(&usage, |_| Stage::Ramp, at(1));
    let is_push = |row: &UsageRow| row.transport == Transport::Push;
    assert!(!book.take().iter().any(is_push));
    usage.of_module(&module("m")).push.messages.add(10);
    book.enter(&usage, |_| Stage::Ramp, at(2));
    let rows = book.take();
    let pushed: Vec<_> = rows.iter().filter(|row| is_push(row)).collect();
    assert_eq!(pushed.len(), 1);
    assert_eq!(pushed[0].counts.messages, 1);
}

#[test]
fn a_clock_that_jumps_back_loses_and_invents_nothing() {
    let usage = Usage::of(&[module("m")], Instant::now());
    let meter = usage.of_module(&module("m"));
    let mut book = Book::new(at(90));
    meter.polls.idle.add(5);
    book.enter(&usage, |_| Stage::Mirror, at(10));
    meter.polls.idle.add(5);
    book.enter(&usage, |_| Stage::Mirror, at(11));
    assert_eq!(polls(&book.take()), [(0, 1, 1), (1, 1, 0)]);
}

#[test]
fn of_a_long_absence_the_oldest_hours_are_added_up() {
    let usage = Usage::of(&[module("m")], Instant::now());
    let meter = usage.of_module(&module("m"));
    let mut book = Book::new(at(0));
    for hour in 1..=100 {
        meter.polls.idle.add(5);
        book.enter(&usage, |_| Stage::Mirror, at(60 * hour));
    }
    let rows = polls(&book.take());
    assert_eq!(rows.len(), MOST_HOURS);
    assert_eq!(
        rows[0],
        (52, 53, 60),
        "its own time, the counts of all before"
    );
    assert_eq!(rows[1], (53, 1, 60));
    let sum: u64 = rows.iter().map(|(_, requests, _)| requests).sum();
    assert_eq!(sum, 100);
}
