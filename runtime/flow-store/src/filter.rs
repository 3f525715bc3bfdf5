//! A blocked Bloom filter over keys that are digests already: ten bits per key, about one false hit in a hundred.
//!
//! It saves reading a block of a large run for most keys that are not there. The bits of a key lie in one 64-byte
//! block; their positions are taken from the key itself.

const BLOCK: usize = 64;
const PROBES: usize = 6;
const BITS_PER_KEY: usize = 10;

/// The filter of `keys`, each at least 16 bytes long.
pub(crate) fn build<'a>(keys: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<u8> {
    let blocks = (keys.len() * BITS_PER_KEY).div_ceil(BLOCK * 8).max(1);
    let mut filter = vec![0; blocks * BLOCK];
    for key in keys {
        let (block, bits) = place(key, blocks);
        for bit in bits {
            filter[block * BLOCK + bit / 8] |= 1 << (bit % 8);
        }
    }
    filter
}

/// Whether `key` may be among the keys; `false` is certain.
pub(crate) fn may_contain(filter: &[u8], key: &[u8]) -> bool {
    let blocks = filter.len() / BLOCK;
    if blocks == 0 {
        return true;
    }
    let (block, bits) = place(key, blocks);
    bits.iter().all(|bit| filter[block * BLOCK + bit / 8] & (1 << (bit % 8)) != 0)
}

fn place(key: &[u8], blocks: usize) -> (usize, [usize; PROBES]) {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&key[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    // Runs are sorted by the first bytes; the block comes from the second eight so that runs of keys spread out.
    let (mut bits, block) = (word(0), word(8));
    let bits = std::array::from_fn(|_| {
        let bit = (bits % (BLOCK as u64 * 8)) as usize;
        bits /= BLOCK as u64 * 8;
        bit
    });
    ((block % blocks as u64) as usize, bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_contains_its_keys_and_few_others() {
        let key = |number: u32| *blake3::hash(&number.to_le_bytes()).as_bytes();
        let keys: Vec<_> = (0..10_000).map(key).collect();
        let filter = build(keys.iter().map(<[u8; 32]>::as_slice));
        assert!(keys.iter().all(|key| may_contain(&filter, key)));
        let wrong = (10_000..30_000).filter(|number| may_contain(&filter, &key(*number))).count();
        assert!(wrong < 600, "{wrong} of 20000");
    }
}
