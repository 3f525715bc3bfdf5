//! Durations as Go writes them: numbers with units, such as `300s`, `5m`, `1h30m`, `1.5h`, `250ms`.

use flow_model::time::Millis;

/// Why a text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DurationError {
    /// It is not numbers with units.
    Malformed,
    /// It does not fit 64 bits of nanoseconds, Go's limit.
    TooLong,
}

/// Reads a duration. What is less than a millisecond but not zero counts as one.
pub(super) fn parse(text: &str) -> Result<Millis, DurationError> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Millis(0));
    }
    if rest.is_empty() {
        return Err(DurationError::Malformed);
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (part, after) = segment(rest)?;
        nanos += part;
        if nanos > i64::MAX as u128 {
            return Err(DurationError::TooLong);
        }
        rest = after;
    }
    let millis = nanos / 1_000_000;
    Ok(Millis(if millis == 0 && nanos > 0 { 1 } else { millis as u64 }))
}

/// Units in nanoseconds; `ms` before `m`, whose start it shares.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// One number with its unit, in nanoseconds, and the text behind it.
fn segment(text: &str) -> Result<(u128, &str), DurationError> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole_length = digits(text);
    let (whole, rest) = text.split_at(whole_length);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => after.split_at(digits(after)),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::Malformed);
    }
    let (unit, rest) = UNITS
        .iter()
        .find_map(|(unit, nanos)| rest.strip_prefix(unit).map(|rest| (*nanos, rest)))
        .ok_or(DurationError::Malformed)?;
    let number = |digits: &str| match digits {
        "" => Ok(0),
        digits => digits.parse::<u64>().map(u128::from).map_err(|_| DurationError::TooLong),
    };
    // More than 18 digits of a fraction are less than a nanosecond of an hour.
    let fraction = &fraction[..fraction.len().min(18)];
    let part = number(fraction)? * unit / 10_u128.pow(fraction.len() as u32);
    Ok((number(whole)? * unit + part, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [
            ("300s", 300_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("2.s", 2_000),
            ("250ms", 250),
            ("1500us", 1),
            ("1µs", 1),
            ("1ns", 1),
            ("0", 0),
            ("0s", 0),
            ("+1s", 1_000),
            ("1h0m0.000000001s", 3_600_000),
        ] {
            assert_eq!(parse(text), Ok(Millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "10", "s", ".s", "1d", "1 s", "1s 2m", "-1s", "5minutes", "1h30", "é"] {
            assert_eq!(parse(text), Err(DurationError::Malformed), "{text}");
        }
        for text in ["9999999h", "99999999999999999999999s"] {
            assert_eq!(parse(text), Err(DurationError::TooLong), "{text}");
        }
    }
}
