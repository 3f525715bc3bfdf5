//! Tests of the store from outside.

mod basics;
mod common;
mod costs;
mod faults;
mod fsck;
mod jobs;
mod trees;
