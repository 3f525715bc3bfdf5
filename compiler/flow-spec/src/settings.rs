//! `flow.yaml` at the root of a workspace: the project's name and where its state is kept.
//!
//! ```yaml
//! project: images
//! context: local
//! contexts:
//!   local: {store: .flow}
//!   shared: {store: "file:///srv/flow"}
//! ```

use std::collections::BTreeMap;

use flow_model::{
    diagnostic::Diagnostic,
    name::ProjectName,
    span::{FileId, SourceMap, Spanned},
};

use crate::{
    codes::{constraints, fields, names, support},
    declare::{CONTEXT, Field, Object, SETTINGS, text},
    report::Report,
    syntax::{self, Kind},
};

/// What the settings say; all of it may be left out.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The project's name; the folder's name if there is none.
    pub project: Option<Spanned<ProjectName>>,
    /// The context that holds if none is named on the command line.
    pub context: Option<Spanned<String>>,
    /// The contexts by name.
    pub contexts: BTreeMap<String, Context>,
}

/// Where a workspace is applied to.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its name.
    pub name: Spanned<String>,
    /// The store: `file:///…`, `memory://`, or a folder relative to the settings file.
    pub store: Option<Spanned<String>>,
}

impl Settings {
    /// The store of the default context, if one is set.
    #[must_use]
    pub fn store(&self) -> Option<&Spanned<String>> {
        self.contexts.get(&self.context.as_ref()?.value)?.store.as_ref()
    }
}

/// Reads the settings file. What is wrong is reported and left out.
#[must_use]
pub fn parse(sources: &SourceMap, file: FileId) -> (Settings, Vec<Diagnostic>) {
    let mut report = Report::default();
    let tree = syntax::parse(file, sources.file(file), &mut report);
    let mut documents = tree.documents().filter(|document| document.kind() != Kind::Null);
    let mut settings = Settings::default();
    if let Some(document) = documents.next()
        && let Some(object) = Object::read(document, "flow.yaml", &SETTINGS, &mut report)
    {
        settings = read(&object, &mut report);
    }
    if let Some(second) = documents.next() {
        report.push(fields::not_a_document(second.head(), "a second document of settings"));
    }
    (settings, report.finish())
}

fn read(object: &Object<'_>, report: &mut Report) -> Settings {
    let mut settings = Settings::default();
    if let Some(written) = object.get("project").and_then(|field| text(field, report)) {
        match ProjectName::parse(&written.value) {
            Ok(name) => settings.project = Some(Spanned::new(name, written.span)),
            Err(error) => report.push(names::bad_name(written.span, &error)),
        }
    }
    if let Some(field) = object.get("contexts") {
        settings.contexts = contexts(field, report);
    }
    settings.context = object.get("context").and_then(|field| text(field, report));
    if let Some(wanted) = &settings.context
        && !settings.contexts.contains_key(&wanted.value)
        && wanted.value != "local"
    {
        let known: Vec<&str> = settings.contexts.keys().map(String::as_str).collect();
        report.push(names::unknown_context(wanted.span, &wanted.value, &known));
    }
    settings
}

fn contexts(field: Field<'_>, report: &mut Report) -> BTreeMap<String, Context> {
    let mut contexts = BTreeMap::new();
    match field.value.kind() {
        Kind::Object => {}
        Kind::Broken => return contexts,
        other => {
            report.push(fields::wrong_type(field.value.span(), field.name, "an object", other.words()));
            return contexts;
        }
    }
    for (key, value) in field.value.entries() {
        let name = Spanned::new(key.text().unwrap_or_default().to_owned(), key.span());
        if value.kind() == Kind::Null {
            contexts.insert(name.value.clone(), Context { name, store: None });
            continue;
        }
        let Some(object) = Object::read(value, &name.value, &CONTEXT, report) else { continue };
        let store = object.get("store").and_then(|field| text(field, report)).filter(|store| {
            let objection = objection_to_store(store);
            let usable = objection.is_none();
            objection.into_iter().for_each(|diagnostic| report.push(diagnostic));
            usable
        });
        contexts.insert(name.value.clone(), Context { name, store });
    }
    contexts
}

/// What is to be said of a store that cannot be used now.
fn objection_to_store(store: &Spanned<String>) -> Option<Diagnostic> {
    match store.value.split_once("://") {
        None if !store.value.is_empty() => None,
        Some(("file", path)) if path.starts_with('/') => None,
        Some(("memory", _)) => None,
        Some((scheme @ ("s3" | "gs" | "az" | "http" | "https"), _)) => {
            Some(support::store(store.span, scheme))
        }
        _ => Some(constraints::bad_store(store.span, &store.value)),
    }
}
