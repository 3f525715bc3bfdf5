//! Keeps what a program printed: its beginning, its end and its true length, never more.
//!
//! **Invariant:** a [`CappedLog`] holds at most [`LogLimits::head`] + [`LogLimits::tail`] bytes, and
//! `head.len() + left_out + tail.len() == total`.
//!
//! Not here: reading the pipes (`run`) and storing the log (the engine's worker loop).

use std::collections::VecDeque;

use super::wire::{Reader, WireError, Writer};

/// How many bytes of each output stream are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// Bytes kept from the beginning.
    pub head: usize,
    /// Bytes kept from the end, once the beginning is full.
    pub tail: usize,
}

impl Default for LogLimits {
    /// 512 KiB from the beginning and 512 KiB from the end.
    fn default() -> Self {
        Self { head: 512 << 10, tail: 512 << 10 }
    }
}

/// One output stream of a program, with its middle left out if it was long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CappedLog {
    /// The first bytes; everything, if nothing was left out.
    pub head: Vec<u8>,
    /// The last bytes; they follow `head` directly if nothing was left out.
    pub tail: Vec<u8>,
    /// Bytes between the two that were dropped.
    pub left_out: u64,
}

impl CappedLog {
    /// Bytes the program wrote.
    pub fn total(&self) -> u64 {
        self.head.len() as u64 + self.left_out + self.tail.len() as u64
    }

    /// The log as one text, with a line in the place of what was left out.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = self.head.clone();
        if self.left_out > 0 {
            if !text.ends_with(b"\n") {
                text.push(b'\n');
            }
            let note = format!("… {} bytes left out of {} …\n", self.left_out, self.total());
            text.extend_from_slice(note.as_bytes());
        }
        text.extend_from_slice(&self.tail);
        text
    }

    /// The last `count` lines, lossily decoded: what an error message shows.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let text = self.to_bytes();
        let text = text.strip_suffix(b"\n").unwrap_or(&text);
        if text.is_empty() {
            return Vec::new();
        }
        let mut lines: Vec<String> = text
            .rsplit(|byte| *byte == b'\n')
            .take(count)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        lines.reverse();
        lines
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        out.bytes(&self.head);
        out.bytes(&self.tail);
        out.u64(self.left_out);
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { head: from.bytes()?.to_vec(), tail: from.bytes()?.to_vec(), left_out: from.u64()? })
    }
}

/// Collects a stream piece by piece into a [`CappedLog`].
#[derive(Debug)]
pub(super) struct Capture {
    limits: LogLimits,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Capture {
    pub(super) fn new(limits: LogLimits) -> Self {
        Self { limits, head: Vec::new(), tail: VecDeque::new(), left_out: 0 }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        let room = self.limits.head - self.head.len();
        let (first, rest) = piece.split_at(room.min(piece.len()));
        self.head.extend_from_slice(first);
        // Of a piece longer than the tail only its end can stay.
        let (skipped, kept) = rest.split_at(rest.len().saturating_sub(self.limits.tail));
        let overflow = (self.tail.len() + kept.len()).saturating_sub(self.limits.tail);
        self.tail.drain(..overflow);
        self.tail.extend(kept);
        self.left_out += (skipped.len() + overflow) as u64;
    }

    pub(super) fn finish(self) -> CappedLog {
        CappedLog { head: self.head, tail: self.tail.into(), left_out: self.left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_middle_is_replaced_by_a_line() {
        let mut capture = Capture::new(LogLimits { head: 4, tail: 3 });
        capture.push(b"0123456789");
        let log = capture.finish();
        assert_eq!((log.left_out, log.total()), (3, 10));
        assert_eq!(String::from_utf8_lossy(&log.to_bytes()), "0123\n… 3 bytes left out of 10 …\n789");
    }

    #[test]
    fn last_lines_are_the_last() {
        let log = CappedLog { head: b"a\nb\nc\n".to_vec(), ..CappedLog::default() };
        assert_eq!(log.last_lines(2), ["b", "c"]);
        assert_eq!(log.last_lines(9), ["a", "b", "c"]);
        assert!(CappedLog::default().last_lines(3).is_empty());
    }

    proptest! {
        /// Pieces of any size give the beginning and the end of the whole.
        #[test]
        fn capture_equals_slicing(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20),
            head in 0_usize..30,
            tail in 0_usize..30,
        ) {
            let whole = pieces.concat();
            let mut capture = Capture::new(LogLimits { head, tail });
            for piece in &pieces {
                capture.push(piece);
            }
            let log = capture.finish();
            let split = head.min(whole.len());
            let end = whole.len().saturating_sub(tail).max(split);
            prop_assert_eq!(&log.head, &whole[..split]);
            prop_assert_eq!(&log.tail, &whole[end..]);
            prop_assert_eq!(log.total(), whole.len() as u64);
        }
    }
}
