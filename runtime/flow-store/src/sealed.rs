//! Small JSON objects that a human can read and that notice a flipped byte: `flow.json` and the refs.
//!
//! ```text
//! {"check":"<digest of the body's bytes>","body":{...}}
//! ```
//!
//! The frame is compared byte for byte, so that no byte is without meaning.

use bytes::Bytes;
use flow_model::digest::Digest;
use serde::{Serialize, de::DeserializeOwned};

const OPEN: &str = "{\"check\":\"";
const MIDDLE: &str = "\",\"body\":";
const CLOSE: &str = "}\n";

pub(crate) fn seal<T: Serialize>(body: &T) -> Bytes {
    let body = serde_json::to_string(body).expect("sealed types have string keys and write to memory");
    let check = Digest::of(body.as_bytes());
    Bytes::from(format!("{OPEN}{check}{MIDDLE}{body}{CLOSE}"))
}

/// The body, or what is wrong with the bytes.
pub(crate) fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let frame = || {
        let text = std::str::from_utf8(bytes).ok()?;
        let (check, rest) = text.strip_prefix(OPEN)?.split_at_checked(64)?;
        Some((check, rest.strip_prefix(MIDDLE)?.strip_suffix(CLOSE)?))
    };
    let (check, body) = frame().ok_or("it has another form")?;
    if check != Digest::of(body.as_bytes()).to_string() {
        return Err("it has another hash".to_owned());
    }
    serde_json::from_str(body).map_err(|error| format!("its body does not decode: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_byte_anywhere_is_found() {
        let sealed = seal(&vec!["a", "b"]);
        assert_eq!(unseal::<Vec<String>>(&sealed).unwrap(), ["a", "b"]);
        for at in 0..sealed.len() {
            let mut bad = sealed.to_vec();
            bad[at] ^= 1;
            assert!(unseal::<Vec<String>>(&bad).is_err(), "byte {at}");
        }
    }
}
