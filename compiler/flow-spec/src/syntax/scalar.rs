//! What an unquoted word means: the core schema of YAML 1.2, of which JSON's words are a part.
//!
//! `NO`, `yes`, `on`, `12:30` and dates are strings. Not here: ranges of numbers; those belong to the field.

use super::tree::Kind;

/// Tells what an unquoted word is.
pub(super) fn resolve_plain(text: &str) -> Kind {
    match text.as_bytes().first() {
        None => Kind::Null,
        Some(b'~' | b'n' | b'N') if matches!(text, "~" | "null" | "Null" | "NULL") => Kind::Null,
        Some(b't' | b'T' | b'f' | b'F')
            if matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE") =>
        {
            Kind::Bool
        }
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') if is_integer(text) => Kind::Int,
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') if is_float(text) => Kind::Float,
        Some(_) => Kind::Text,
    }
}

fn all(text: &str, digit: impl Fn(&u8) -> bool) -> bool {
    !text.is_empty() && text.as_bytes().iter().all(digit)
}

/// Whether a text is a whole number: decimal, `0o17` or `0xff`.
pub(crate) fn is_integer(text: &str) -> bool {
    if let Some(octal) = text.strip_prefix("0o") {
        return all(octal, |byte| matches!(byte, b'0'..=b'7'));
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return all(hex, u8::is_ascii_hexdigit);
    }
    all(text.strip_prefix(['+', '-']).unwrap_or(text), u8::is_ascii_digit)
}

/// Whether a text is a number with a fraction or an exponent, or `.inf` or `.nan`.
pub(crate) fn is_float(text: &str) -> bool {
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    if exponent
        .is_some_and(|digits| !all(digits.strip_prefix(['+', '-']).unwrap_or(digits), u8::is_ascii_digit))
    {
        return false;
    }
    match mantissa.split_once('.') {
        Some(("", fraction)) => all(fraction, u8::is_ascii_digit),
        Some((whole, "")) => all(whole, u8::is_ascii_digit),
        Some((whole, fraction)) => all(whole, u8::is_ascii_digit) && all(fraction, u8::is_ascii_digit),
        None => all(mantissa, u8::is_ascii_digit),
    }
}

/// The value of a whole number; `None` if it is none or does not fit.
pub(crate) fn parse_integer(text: &str) -> Option<i64> {
    if !is_integer(text) {
        return None;
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return i64::from_str_radix(octal, 8).ok();
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok();
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_what_the_core_schema_says() {
        for (kind, words) in [
            (Kind::Null, &["", "~", "null", "Null", "NULL"][..]),
            (Kind::Bool, &["true", "True", "TRUE", "false"]),
            (Kind::Int, &["0", "-1", "+12", "007", "0o17", "0xfF", "123456789012345678901234567890"]),
            (Kind::Float, &["1.0", "-.5", "1.", "1e9", "+1.5E-3", ".inf", "-.INF", ".nan"]),
            (
                Kind::Text,
                &[
                    "NO",
                    "yes",
                    "on",
                    "y",
                    "12:30:45",
                    "2026-11-20",
                    "1_000",
                    "0b1",
                    "-",
                    "+",
                    ".",
                    "e5",
                    "1e",
                    "tRUE",
                ],
            ),
        ] {
            for word in words {
                assert_eq!(resolve_plain(word), kind, "{word}");
            }
        }
    }

    #[test]
    fn integers_have_values() {
        for (text, value) in [("007", Some(7)), ("0o17", Some(15)), ("0xfF", Some(255)), ("-3", Some(-3))] {
            assert_eq!(parse_integer(text), value, "{text}");
        }
        assert_eq!(parse_integer("9223372036854775808"), None);
        assert_eq!(parse_integer("1.0"), None);
    }
}
