//! Where randomness and the time inside names come from.
//!
//! Names of packs and runs are ULIDs, commits and operations carry nonces. Both come from one [`Entropy`] that is
//! handed in when a store is opened, so that a test replays a whole run from a seed.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use flow_model::{commit::Nonce, time::Timestamp};
use ulid::Ulid;

use crate::error::StoreError;

/// A source of random bytes and of the current time.
pub trait Entropy: Send + Sync + std::fmt::Debug {
    /// Fills `bytes` with random bytes.
    ///
    /// # Errors
    /// [`StoreError::Entropy`] if the system has none.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), StoreError>;

    /// The time that goes into names; it only has to be roughly right.
    fn now(&self) -> Timestamp;
}

/// The operating system's random numbers and clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), StoreError> {
        getrandom::fill(bytes).map_err(|error| StoreError::Entropy { detail: error.to_string() })
    }

    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The same sequence for the same seed: for tests. The clock advances by one millisecond per question.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    drawn: AtomicU64,
    clock: AtomicU64,
}

impl SeededEntropy {
    /// Starts the sequence of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0), clock: AtomicU64::new(1_700_000_000_000) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), StoreError> {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        let mut hasher = blake3::Hasher::new_derive_key("flow seeded entropy v1");
        hasher.update(&self.seed.to_le_bytes()).update(&number.to_le_bytes());
        hasher.finalize_xof().fill(bytes);
        Ok(())
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.clock.fetch_add(1, Ordering::Relaxed))
    }
}

/// A new name that is never used again.
pub(crate) fn new_ulid(entropy: &dyn Entropy) -> Result<Ulid, StoreError> {
    let mut random = [0; 16];
    entropy.fill(&mut random)?;
    Ok(Ulid::from_parts(entropy.now().0, u128::from_le_bytes(random)))
}

/// A new nonce for a commit or an operation.
///
/// # Errors
/// [`StoreError::Entropy`] if the system has no random bytes.
pub fn new_nonce(entropy: &dyn Entropy) -> Result<Nonce, StoreError> {
    let mut random = [0; 8];
    entropy.fill(&mut random)?;
    Ok(Nonce(u64::from_le_bytes(random)))
}
