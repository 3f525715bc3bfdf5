//! The frames between a slot and its helper: how they look as bytes, nothing else.
//!
//! A frame is its length (`u32`, little endian) and that many bytes; inside, numbers are little endian and
//! byte strings carry their length. Both ends are the same binary, so there is no version and no schema.
//!
//! **Invariant:** whatever bytes arrive, decoding ends with a value or a [`WireError`]; it never panics and
//! never allocates more than the frame itself.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Upper bound of a frame: the command's standard input or two captured logs, with room to spare.
pub(super) const MAX_FRAME: usize = 1 << 30;

/// The other end sent something that is no frame of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a malformed frame")]
pub(super) struct WireError;

/// Builds one frame; [`Writer::finish`] puts the length in front.
#[derive(Debug)]
pub(super) struct Writer {
    frame: Vec<u8>,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { frame: vec![0; 4] }
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.frame.push(value);
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.frame.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, value: &[u8]) {
        self.u64(value.len() as u64);
        self.frame.extend_from_slice(value);
    }

    pub(super) fn os(&mut self, value: impl AsRef<OsStr>) {
        self.bytes(value.as_ref().as_bytes());
    }

    pub(super) fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            put(self, value);
        }
    }

    /// The frame as it goes over the pipe; an error if it is larger than [`MAX_FRAME`].
    pub(super) fn finish(mut self) -> Result<Vec<u8>, WireError> {
        let length = self.frame.len() - 4;
        if length > MAX_FRAME {
            return Err(WireError);
        }
        let length = u32::try_from(length).map_err(|_| WireError)?;
        self.frame[..4].copy_from_slice(&length.to_le_bytes());
        Ok(self.frame)
    }
}

/// The payload length announced by the first four bytes of a frame.
pub(super) fn frame_length(header: [u8; 4]) -> Result<usize, WireError> {
    let length = u32::from_le_bytes(header) as usize;
    if length > MAX_FRAME { Err(WireError) } else { Ok(length) }
}

/// Reads the values of one frame in the order they were written.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WireError)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        let bytes = self.take(8)?.try_into().map_err(|_| WireError)?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.u64()?).map_err(|_| WireError)?;
        self.take(length)
    }

    pub(super) fn string(&mut self) -> Result<String, WireError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| WireError)
    }

    pub(super) fn path(&mut self) -> Result<PathBuf, WireError> {
        Ok(PathBuf::from(OsString::from_vec(self.bytes()?.to_vec())))
    }

    pub(super) fn option<T>(
        &mut self,
        get: impl FnOnce(&mut Self) -> Result<T, WireError>,
    ) -> Result<Option<T>, WireError> {
        match self.u8()? {
            0 => Ok(None),
            1 => get(self).map(Some),
            _ => Err(WireError),
        }
    }

    /// Succeeds if everything was read.
    pub(super) fn end(self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError) }
    }
}
