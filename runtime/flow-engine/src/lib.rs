//! placeholder

pub mod process;
