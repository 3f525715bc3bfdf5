//! Tests of the store from outside.

mod basics;
mod common;
mod faults;
mod jobs;
mod trees;
