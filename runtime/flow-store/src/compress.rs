//! zstd where it pays, with bounds on what a hostile frame can make us allocate.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

/// Below this length the frame costs more than it saves.
const WORTH_TRYING: usize = 160;
const LEVEL: i32 = 1;
/// Of anything longer than `SAMPLE_FROM`, a sample from the middle must shrink before the whole is tried: most large
/// files that do not shrink are compressed already.
const SAMPLE_FROM: usize = 8 << 10;
const SAMPLE: usize = 2 << 10;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The compressed form, if it is at least an eighth shorter.
pub(crate) fn compress(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.len() < WORTH_TRYING {
        return None;
    }
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Compressor::new(LEVEL).ok();
        }
        let compressor = slot.as_mut()?;
        if raw.len() > SAMPLE_FROM {
            let middle = raw.len() / 2;
            let sample = &raw[middle..middle + SAMPLE];
            if compressor.compress(sample).ok()?.len() + SAMPLE / 16 > SAMPLE {
                return None;
            }
        }
        let short = compressor.compress(raw).ok()?;
        (short.len() + raw.len() / 8 <= raw.len()).then_some(short)
    })
}

/// The content of a frame that must be exactly `raw_len` bytes long; `None` if it is not.
pub(crate) fn decompress(stored: &[u8], raw_len: usize) -> Option<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Decompressor::new().ok();
        }
        let raw = slot.as_mut()?.decompress(stored, raw_len).ok()?;
        (raw.len() == raw_len).then_some(raw)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_shrinks_and_noise_is_left_alone() {
        let text = "flow ".repeat(100);
        let short = compress(text.as_bytes()).unwrap();
        assert!(short.len() < 100);
        assert_eq!(decompress(&short, text.len()).unwrap(), text.as_bytes());
        assert_eq!(decompress(&short, text.len() - 1), None);
        assert_eq!(decompress(&short, text.len() + 1), None);
        let mut noise = vec![0; 4096];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert_eq!(compress(&noise), None);
        assert_eq!(decompress(&noise, 4096), None);
    }
}
