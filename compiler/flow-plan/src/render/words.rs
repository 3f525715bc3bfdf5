//! Amounts in words: counts with the right plural, bytes, lengths of time.

use flow_model::time::Millis;

/// `1 datum`, `57 datums`, `12,000 files`.
#[must_use]
pub fn count(number: u64, noun: &str) -> String {
    format!("{} {}", grouped(number), plural(number, noun))
}

/// The noun as this many of it are called.
#[must_use]
pub fn plural(number: u64, noun: &str) -> String {
    match noun {
        _ if number == 1 => noun.to_owned(),
        _ if noun.ends_with('y') => format!("{}ies", &noun[..noun.len() - 1]),
        _ => format!("{noun}s"),
    }
}

/// `1 datum runs`, `57 datums run`.
#[must_use]
pub fn datums_run(number: u64) -> String {
    let verb = if number == 1 { "runs" } else { "run" };
    format!("{} {verb}", count(number, "datum"))
}

/// Digits in groups of three: `12,000`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 byte`, `512 bytes`, `12.4 MiB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return count(number, "byte");
    }
    let mut unit = 0;
    // Tenths of the unit, rounded half up; in integers, so that every machine shows the same.
    let tenths = |unit: usize| (u128::from(number) * 10 + (1 << (10 * (unit + 1) - 1))) >> (10 * (unit + 1));
    while tenths(unit) >= 10_240 && unit + 1 < UNITS.len() {
        unit += 1;
    }
    let tenths = tenths(unit);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// `80 ms`, `1.4 s`, `40 s`, `1 min 20 s`, `2 h 5 min`, `3 d 4 h`.
#[must_use]
pub fn duration(time: Millis) -> String {
    let pair = |big: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{} {unit}", grouped(big)),
        _ => format!("{} {unit} {small} {small_unit}", grouped(big)),
    };
    let seconds = time.0.saturating_add(500) / 1000;
    match time.0 {
        0..=999 => format!("{} ms", time.0),
        1000..=9949 => match ((time.0 + 50) / 1000, (time.0 + 50) % 1000 / 100) {
            (seconds, 0) => format!("{seconds} s"),
            (seconds, tenths) => format!("{seconds}.{tenths} s"),
        },
        _ if seconds < 60 => format!("{seconds} s"),
        _ if seconds < 3600 => pair(seconds / 60, "min", seconds % 60, "s"),
        _ if seconds < 86_400 => pair(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// `a`, `a and b`, `a, b and c`, `a, b and 3 more`.
#[must_use]
pub fn list<T: AsRef<str>>(items: &[T]) -> String {
    const NAMED_MAX: usize = 3;
    let names: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        many if many.len() <= NAMED_MAX => {
            let (last, rest) = (many[many.len() - 1], &many[..many.len() - 1]);
            format!("{} and {last}", rest.join(", "))
        }
        many => {
            let shown = &many[..NAMED_MAX - 1];
            format!("{} and {} more", shown.join(", "), grouped((many.len() - shown.len()) as u64))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_the_right_number() {
        assert_eq!(count(1, "datum"), "1 datum");
        assert_eq!(count(0, "file"), "0 files");
        assert_eq!(count(2, "entry"), "2 entries");
        assert_eq!(count(1_234_567, "datum"), "1,234,567 datums");
        assert_eq!(datums_run(1), "1 datum runs");
        assert_eq!(datums_run(2), "2 datums run");
    }

    #[test]
    fn bytes_carry_over_to_the_next_unit() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1,023 bytes"),
            (1024, "1.0 KiB"),
            (13_002_342, "12.4 MiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (number, text) in cases {
            assert_eq!(bytes(number), text, "{number}");
        }
    }

    #[test]
    fn durations_have_at_most_two_parts() {
        let cases = [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1 s"),
            (1449, "1.4 s"),
            (9949, "9.9 s"),
            (9950, "10 s"),
            (59_499, "59 s"),
            (59_500, "1 min"),
            (80_000, "1 min 20 s"),
            (7_500_000, "2 h 5 min"),
            (273_600_000, "3 d 4 h"),
            (u64::MAX, "213,503,982,334 d 14 h"),
        ];
        for (millis, text) in cases {
            assert_eq!(duration(Millis(millis)), text, "{millis}");
        }
    }

    #[test]
    fn lists_are_cut_with_a_count() {
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(list(&["a", "b", "c", "d"]), "a, b and 2 more");
    }
}
