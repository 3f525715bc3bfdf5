//! Decoded tree nodes, kept within a bound.
//!
//! Two generations: when the young one is full it becomes the old one, and what is not asked for again goes with it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use flow_model::digest::Digest;

use crate::tree::Node;

/// Bytes per generation.
const GENERATION: usize = 48 << 20;

#[derive(Debug, Default)]
pub(crate) struct NodeCache(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Digest, Arc<Node>>,
    old: HashMap<Digest, Arc<Node>>,
    weight: usize,
}

impl NodeCache {
    pub(crate) fn get(&self, id: &Digest) -> Option<Arc<Node>> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = generations.young.get(id) {
            return Some(Arc::clone(node));
        }
        let node = generations.old.get(id).map(Arc::clone)?;
        generations.put(*id, Arc::clone(&node));
        Some(node)
    }

    pub(crate) fn put(&self, id: Digest, node: Arc<Node>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(id, node);
    }
}

impl Generations {
    fn put(&mut self, id: Digest, node: Arc<Node>) {
        if self.weight > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        let weight = node.weight();
        if self.young.insert(id, node).is_none() {
            self.weight += weight;
        }
    }
}
