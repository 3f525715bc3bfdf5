//! The scanner's events to nodes: documents, anchors, limits and what goes on after an error.
//!
//! | after | what goes on |
//! |---|---|
//! | a syntax error | the next document that begins with `---` |
//! | a JSON value with another right behind it | that value, as a document of its own |
//! | a limit is reached | nothing more of this file |

use std::{borrow::Cow, collections::BTreeMap};

use flow_model::span::{FileId, SourceFile, Span};
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StructureStyle, Tag, options};

use super::{
    MAX_DEPTH, MAX_FILE_BYTES, MAX_NODES,
    scalar::resolve_plain,
    tree::{Content, Kind, NodeData, NodeId, Tree},
};
use crate::{codes::syntax, report::Report};

/// What a new scanner in the middle of a line counts for: it looks up to 1024 characters ahead for a key that might
/// begin there, so that a file of nothing but `{}{}{}` would take minutes.
const VALUES_PER_SCANNER: usize = 1024;

/// Reads all documents of a file. What cannot be read is reported and left out.
pub(crate) fn parse<'s>(file: FileId, source: &'s SourceFile, report: &mut Report) -> Tree<'s> {
    let text = source.text();
    let mut builder = Builder {
        file,
        text,
        base: 0,
        tree: Tree::default(),
        open: Vec::new(),
        pending: Vec::new(),
        anchors: BTreeMap::new(),
        used: 0,
        report,
    };
    if text.len() > MAX_FILE_BYTES {
        builder.report.push(syntax::file_too_large(builder.span(0, 0), text.len()));
        builder.tree.lost_documents = true;
    } else {
        while let Some(next) = builder.read_documents() {
            builder.base = next;
        }
    }
    builder.tree
}

/// The file is not read any further; why is reported.
pub(super) struct LimitReached;

/// A list or an object whose end has not come yet.
struct Open {
    kind: Kind,
    flow: bool,
    start: usize,
    anchor: usize,
    /// Where its children begin among the pending ones.
    children: usize,
}

enum Anchor {
    /// Its node is still open: an alias to it would contain itself.
    Open,
    Closed(NodeId),
}

pub(super) struct Builder<'s, 'r> {
    file: FileId,
    text: &'s str,
    /// Where the scanner began.
    base: usize,
    pub(super) tree: Tree<'s>,
    open: Vec<Open>,
    pending: Vec<NodeId>,
    anchors: BTreeMap<usize, Anchor>,
    /// Values so far, what aliases brought in included.
    used: usize,
    pub(super) report: &'r mut Report,
}

impl<'s> Builder<'s, '_> {
    /// Reads from `base` on; gives the offset at which to begin anew, if the text goes on there.
    fn read_documents(&mut self) -> Option<usize> {
        let mut settings = options! {
            emit_unresolved_aliases: true,
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
        };
        settings.set_emit_comments(false);
        let mut parser = Parser::new_from_str_with_options(&self.text[self.base..], settings);
        loop {
            match parser.next_event()? {
                Ok((event, span)) => {
                    let range = span.byte_range().unwrap_or_default();
                    let tag_at = span.tag_start().and_then(|mark| mark.byte_offset()).unwrap_or(range.start);
                    let place = Place {
                        start: self.base + range.start,
                        end: self.base + range.end,
                        tag: self.base + tag_at,
                    };
                    self.event(event, place).ok()?;
                }
                Err(error) => {
                    let at = (self.base + error.marker().byte_offset().unwrap_or(0)).min(self.text.len());
                    let after_value = *error.kind() == ErrorKind::ExpectedDocumentStart && self.json_ends(at);
                    if after_value && self.text[at..].starts_with(['{', '[']) {
                        return self.begin_anew(at);
                    }
                    self.syntax_error(&error, at);
                    if after_value && self.text[at..].starts_with(',') {
                        return self.begin_anew(at + 1);
                    }
                    if !parser.proceed_next_document().unwrap_or(false) {
                        return None;
                    }
                }
            }
        }
    }

    /// Goes on at `at` with a new scanner, unless the file has used up its values.
    fn begin_anew(&mut self, at: usize) -> Option<usize> {
        let same_line = !self.text[self.base..at].trim_end_matches([' ', '\t']).ends_with('\n');
        let cost = if same_line { VALUES_PER_SCANNER } else { 1 };
        self.spend(cost, self.span(at, at)).ok()?;
        Some(at)
    }

    /// Whether a JSON value ends right before this place.
    fn json_ends(&self, at: usize) -> bool {
        at > self.base && self.text[self.base..at].trim_end().ends_with(['}', ']'])
    }

    fn syntax_error(&mut self, error: &ScanError, at: usize) {
        self.tree.lost_documents = true;
        let end = at + self.text[at..].chars().next().filter(|c| !c.is_control()).map_or(0, char::len_utf8);
        let span = self.span(at, end);
        self.report.push(match error.kind() {
            ErrorKind::RecursionLimitExceeded => syntax::too_deep(span),
            kind => {
                let bracket = self.open.iter().rfind(|open| open.flow);
                syntax::broken(span, kind, bracket.map(|open| self.span(open.start, open.start + 1)))
            }
        });
        self.abandon();
    }

    fn abandon(&mut self) {
        self.open.clear();
        self.pending.clear();
        self.anchors.clear();
    }

    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: start as u32, end: end.max(start) as u32 }
    }

    fn event(&mut self, event: Event<'s>, place: Place) -> Result<(), LimitReached> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(text, style, anchor, tag.as_deref(), place)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.begin(Kind::List, style, anchor, tag.as_deref(), place)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.begin(Kind::Object, style, anchor, tag.as_deref(), place)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(place),
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::UnresolvedAlias(name) => {
                let span = self.span(place.start, place.end);
                self.report.push(syntax::unknown_alias(span, &name));
                self.add(Kind::Broken, span, Content::Text(name), 0)
            }
            Event::DocumentEnd => {
                self.abandon();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'s, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        place: Place,
    ) -> Result<(), LimitReached> {
        let plain = matches!(style, ScalarStyle::Plain);
        let absent = plain && place.start == place.end;
        let text = if absent { Cow::Borrowed("") } else { text };
        let untagged = if plain { resolve_plain(&text) } else { Kind::Text };
        let kind = match tag.map(|tag| (tag, tag.core_suffix())) {
            None => untagged,
            Some((_, Some("str"))) => Kind::Text,
            Some((tag, None)) if tag.original() == "!" => Kind::Text,
            Some((_, Some("int" | "float" | "bool" | "null"))) => resolve_plain(&text),
            Some((tag, _)) => {
                self.unknown_tag(tag, place);
                Kind::Broken
            }
        };
        let end = place.end.min(self.text.len());
        let written = self.text.get(place.start..end).unwrap_or_default().trim_end();
        let span = self.span(place.start, place.start + written.len());
        self.add(kind, span, Content::Text(text), anchor)
    }

    fn unknown_tag(&mut self, tag: &Tag, place: Place) {
        let name = tag.original();
        let span = self.span(place.tag, (place.tag + name.len()).min(place.start.max(place.tag)));
        self.report.push(syntax::unknown_tag(span, &name));
    }

    fn begin(
        &mut self,
        kind: Kind,
        style: StructureStyle,
        anchor: usize,
        tag: Option<&Tag>,
        place: Place,
    ) -> Result<(), LimitReached> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.limit(syntax::too_deep(self.span(place.start, place.end))));
        }
        let expected = if kind == Kind::List { "seq" } else { "map" };
        if let Some(tag) = tag.filter(|tag| tag.core_suffix() != Some(expected)) {
            self.unknown_tag(tag, place);
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Anchor::Open);
        }
        let flow = style == StructureStyle::Flow;
        self.open.push(Open { kind, flow, start: place.start, anchor, children: self.pending.len() });
        Ok(())
    }

    fn end(&mut self, place: Place) -> Result<(), LimitReached> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let children = self.pending.split_off(open.children);
        let last = children.last().map_or(open.start, |id| self.tree.data(*id).span.end as usize);
        let end = if open.flow { place.end } else { last };
        let span = self.span(open.start, end);
        let content = match open.kind {
            Kind::List => self.close_list(&children),
            _ => self.close_object(&children)?,
        };
        self.add(open.kind, span, content, open.anchor)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), LimitReached> {
        let span = self.span(place.start, place.end);
        match self.anchors.get(&anchor) {
            Some(Anchor::Closed(target)) => {
                let target = *target;
                let (weight, height) = (self.tree.data(target).weight, self.tree.data(target).height);
                if self.open.len() + height as usize > MAX_DEPTH {
                    return Err(self.limit(syntax::too_deep(span)));
                }
                self.spend(weight as usize, span)?;
                self.attach(target);
                Ok(())
            }
            Some(Anchor::Open) | None => {
                self.report.push(syntax::recursive_alias(span));
                self.add(Kind::Broken, span, Content::Text(Cow::Borrowed("")), 0)
            }
        }
    }

    /// Counts values; what is too much ends the file.
    pub(super) fn spend(&mut self, values: usize, span: Span) -> Result<(), LimitReached> {
        self.used = self.used.saturating_add(values);
        if self.used > MAX_NODES { Err(self.limit(syntax::too_many_values(span))) } else { Ok(()) }
    }

    fn limit(&mut self, diagnostic: flow_model::diagnostic::Diagnostic) -> LimitReached {
        self.tree.lost_documents = true;
        self.report.push(diagnostic);
        self.abandon();
        LimitReached
    }

    fn add(
        &mut self,
        kind: Kind,
        span: Span,
        content: Content<'s>,
        anchor: usize,
    ) -> Result<(), LimitReached> {
        self.spend(1, span)?;
        let (weight, height) = self.measure(&content);
        let id = self.tree.push(NodeData { kind, span, content, weight, height });
        if anchor != 0 {
            self.anchors.insert(anchor, Anchor::Closed(id));
        }
        self.attach(id);
        Ok(())
    }

    fn attach(&mut self, id: NodeId) {
        if self.open.is_empty() {
            self.tree.roots.push(id);
        } else {
            self.pending.push(id);
        }
    }

    fn measure(&self, content: &Content<'_>) -> (u32, u32) {
        let sum = |(weight, height): (u32, u32), id: &NodeId| {
            let node = self.tree.data(*id);
            (weight.saturating_add(node.weight), height.max(node.height + 1))
        };
        match content {
            Content::Text(_) => (1, 0),
            Content::List(range) => {
                self.tree.items[range.start as usize..range.end as usize].iter().fold((1, 1), sum)
            }
            Content::Object(range) => self.tree.entries[range.start as usize..range.end as usize]
                .iter()
                .flat_map(|entry| [&entry.key, &entry.value])
                .fold((1, 1), sum),
        }
    }
}

/// Where an event was written, in bytes of the whole text.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    end: usize,
    tag: usize,
}
