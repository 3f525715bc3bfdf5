//! Bytes to text.

use flow_model::diagnostic::Diagnostic;

use crate::codes::syntax;

/// A file that is no UTF-8 text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotUtf8 {
    /// Offset of the first byte that is wrong.
    pub offset: usize,
    /// 1-based line of that byte.
    pub line: usize,
    /// Whether the file looks like UTF-16, which editors on Windows like to write.
    pub utf16: bool,
}

impl NotUtf8 {
    /// The diagnostic for a file of this name. It has no span: without text there is no source to point into.
    #[must_use]
    pub fn diagnostic(&self, file: &str) -> Diagnostic {
        syntax::not_utf8(file, self)
    }
}

/// Takes the text out of a file's bytes.
///
/// # Errors
/// [`NotUtf8`] with the position of the first byte that is not UTF-8.
pub fn decode(bytes: Vec<u8>) -> Result<String, NotUtf8> {
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let line = 1 + bytes[..offset].iter().filter(|byte| **byte == b'\n').count();
        NotUtf8 { offset, line, utf16: bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wrong_byte_is_found() {
        assert_eq!(decode("é\n".into()).unwrap(), "é\n");
        let error = decode(b"a: 1\nb: \xff\n".to_vec()).unwrap_err();
        assert_eq!((error.offset, error.line, error.utf16), (8, 2, false));
        assert!(decode(vec![0xff, 0xfe, b'a', 0]).unwrap_err().utf16);
    }
}
