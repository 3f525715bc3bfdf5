//! Storage that fails on purpose. For tests, of this crate and of programs built on it; nothing else uses it.
//!
//! | wrapper | around | does |
//! |---|---|---|
//! | [`CountingMedia`] | a [`Media`](crate::Media) | counts reads and the objects that were opened |
//! | [`FaultMedia`] | a [`Media`](crate::Media) | crashes before, after or in the middle of the Nth write; loses replies |
//! | [`PowerDisk`] | a [`Disk`](crate::media::Disk) | loses power: what was not synced is gone |

mod counting;
mod crash;
mod power;

pub use self::{
    counting::CountingMedia,
    crash::{Crash, FaultMedia, LostReply},
    power::PowerDisk,
};
