//! Sizes, times and counts in words.

use flow_model::time::{Millis, Timestamp};
pub(crate) use flow_plan::render::words::{bytes, duration};

/// A point in time as RFC 3339 in UTC, to the second.
pub(crate) fn time(at: Timestamp) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| at.0.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A length of time.
pub(crate) fn millis(time: Millis) -> String {
    duration(time)
}
