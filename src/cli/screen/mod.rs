//! What a terminal shows: lines with a tone, tables that fit, sparklines, and a screen that is drawn in place.
//!
//! Invariants: what a stranger wrote never reaches the terminal as anything but text; widths are those of the terminal's columns, not of
//! characters; a drawing says what to show and knows neither terminal nor clock, so that tests read it.

mod display;
mod keys;
mod line;
mod sparkline;
mod surface;
mod table;

pub(super) use display::Display;
pub(super) use keys::Keys;
pub(super) use line::{Line, Tone, width_of};
pub(super) use sparkline::sparkline;
pub(super) use surface::{Surface, folded, written};
pub(super) use table::{Column, Table};
