//! Reading and writing of the binary formats. Every read is checked against what is left.

/// Bytes that are being read from the front.
#[derive(Clone, Copy)]
pub(crate) struct Wire<'a>(pub(crate) &'a [u8]);

impl<'a> Wire<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length in at most five bytes, in the one shortest form.
    pub(crate) fn varint(&mut self) -> Option<usize> {
        let mut value: u64 = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || shift == 0;
                return if shortest { usize::try_from(value).ok() } else { None };
            }
        }
        None
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Writes what [`Wire::varint`] reads.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The first eight bytes of the digest of `bytes`: enough to find a damaged block.
pub(crate) fn check64(bytes: &[u8]) -> [u8; 8] {
    let mut check = [0; 8];
    check.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_in_one_form_only() {
        for value in [0, 1, 127, 128, 300, 1 << 20, (1 << 32) - 1] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut wire = Wire(&bytes);
            assert_eq!(wire.varint(), Some(value));
            assert!(wire.is_empty());
        }
        assert_eq!(Wire(&[0x80, 0]).varint(), None);
        assert_eq!(Wire(&[0xff; 6]).varint(), None);
    }
}
