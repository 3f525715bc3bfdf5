//! What happens when a list or an object ends: its children move into the arena, its keys are checked, merge keys are
//! carried out.
//!
//! A merge key `<<` brings in the keys of another object that are not there already; of several objects, the first
//! that has a key wins. **Invariant:** the keys of an object are scalars, and unique.

use std::collections::BTreeMap;

use flow_model::span::Span;

use super::{
    parse::{Builder, LimitReached},
    tree::{Content, EntryData, Kind, NodeId},
};
use crate::codes::syntax;

/// Up to this many keys, comparing each with each is faster than a map.
const FEW_KEYS: usize = 16;

impl<'s> Builder<'s, '_> {
    pub(super) fn close_list(&mut self, children: &[NodeId]) -> Content<'s> {
        let start = self.tree.items.len() as u32;
        self.tree.items.extend_from_slice(children);
        Content::List(start..self.tree.items.len() as u32)
    }

    pub(super) fn close_object(&mut self, children: &[NodeId]) -> Result<Content<'s>, LimitReached> {
        let mut entries = Vec::with_capacity(children.len() / 2);
        let mut merges = Vec::new();
        for pair in children.chunks_exact(2) {
            let entry = EntryData { key: pair[0], value: pair[1] };
            let key = self.tree.data(entry.key);
            match (key.kind, &key.content) {
                (Kind::Broken, _) => {}
                (Kind::Text, Content::Text(text)) if text == "<<" && key.span.len() == 2 => {
                    merges.push(entry)
                }
                (Kind::Null, _) | (_, Content::List(_) | Content::Object(_)) => {
                    let (kind, span) = (key.kind, key.span);
                    self.report.push(syntax::bad_key(span, kind.words()));
                }
                _ => entries.push(entry),
            }
        }
        self.drop_duplicates(&mut entries);
        for merge in merges {
            self.merge(merge, &mut entries)?;
        }
        let start = self.tree.entries.len() as u32;
        self.tree.entries.extend_from_slice(&entries);
        Ok(Content::Object(start..self.tree.entries.len() as u32))
    }

    fn key_text(&self, entry: EntryData) -> &str {
        match &self.tree.data(entry.key).content {
            Content::Text(text) => text,
            Content::List(_) | Content::Object(_) => "",
        }
    }

    fn drop_duplicates(&mut self, entries: &mut Vec<EntryData>) {
        let mut doubles: Vec<(usize, usize)> = Vec::new();
        if entries.len() <= FEW_KEYS {
            for (at, entry) in entries.iter().enumerate() {
                let text = self.key_text(*entry);
                if let Some(first) = entries[..at].iter().position(|other| self.key_text(*other) == text) {
                    doubles.push((first, at));
                }
            }
        } else {
            let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
            for (at, entry) in entries.iter().enumerate() {
                match seen.get(self.key_text(*entry)) {
                    Some(first) => doubles.push((*first, at)),
                    None => drop(seen.insert(self.key_text(*entry), at)),
                }
            }
        }
        if doubles.is_empty() {
            return;
        }
        for (first, second) in &doubles {
            let place = |at: usize| -> Span { self.tree.data(entries[at].key).span };
            let diagnostic =
                syntax::duplicate_key(place(*second), place(*first), self.key_text(entries[*second]));
            self.report.push(diagnostic);
        }
        let mut doubled = doubles.iter().map(|(_, second)| *second).peekable();
        let mut at = 0;
        entries.retain(|_| {
            let drop = doubled.next_if_eq(&at).is_some();
            at += 1;
            !drop
        });
    }

    fn merge(&mut self, merge: EntryData, entries: &mut Vec<EntryData>) -> Result<(), LimitReached> {
        let sources = self.merged_objects(merge);
        let mut additions: Vec<EntryData> = Vec::new();
        {
            let mut known: std::collections::BTreeSet<&str> =
                entries.iter().map(|entry| self.key_text(*entry)).collect();
            for range in sources {
                for entry in &self.tree.entries[range.start as usize..range.end as usize] {
                    if known.insert(self.key_text(*entry)) {
                        additions.push(*entry);
                    }
                }
            }
        }
        let weight = |id: NodeId| self.tree.data(id).weight as usize;
        let brought: usize = additions.iter().map(|entry| 1 + weight(entry.value)).sum();
        let span = self.tree.data(merge.key).span;
        self.spend(brought, span)?;
        entries.extend(additions);
        Ok(())
    }

    /// The entries of what `<<` names: one object, or each object of a list.
    fn merged_objects(&mut self, merge: EntryData) -> Vec<std::ops::Range<u32>> {
        let value = self.tree.data(merge.value);
        let candidates: Vec<NodeId> = match &value.content {
            Content::List(range) => self.tree.items[range.start as usize..range.end as usize].to_vec(),
            Content::Text(_) | Content::Object(_) => vec![merge.value],
        };
        let mut ranges = Vec::with_capacity(candidates.len());
        let mut wrong = None;
        for id in candidates {
            let node = self.tree.data(id);
            match &node.content {
                Content::Object(range) => ranges.push(range.clone()),
                _ if node.kind == Kind::Broken => {}
                _ => wrong = wrong.or(Some(node.kind)),
            }
        }
        if let Some(kind) = wrong {
            let span = self.tree.data(merge.key).span;
            self.report.push(syntax::bad_merge(span, kind.words()));
        }
        ranges
    }
}
