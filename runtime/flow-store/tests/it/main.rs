//! Tests of the store from outside.

#[cfg(test)]
mod basics;
#[cfg(test)]
mod common;
#[cfg(test)]
mod costs;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fsck;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod media;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod trees;
