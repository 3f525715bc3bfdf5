//! Pipelines: defaults and constraints, and the place of every field.

use std::{collections::BTreeMap, num::NonZeroU32};

use flow_model::{
    name::PipelineName,
    span::{Span, Spanned},
    spec::PipelineSpec,
    workflow::Located,
};

use super::{Context, input, transform};
use crate::{
    codes::{constraints, fields},
    declare::{DeclaredPipeline, Given},
    report::Report,
};

/// Tries of a datum where the spec says nothing, as in Pachyderm.
const DATUM_TRIES: NonZeroU32 = NonZeroU32::new(3).expect("3 is not zero");

/// The places of a resolved spec's fields, by path.
pub(super) type Places = BTreeMap<String, Span>;

/// Resolves a pipeline; `None` if something in it was reported.
pub(super) fn resolve(
    name: &PipelineName,
    declared: &DeclaredPipeline,
    context: &mut Context<'_>,
) -> Option<Located<PipelineSpec>> {
    let mut places = Places::from([("name".to_owned(), declared.span)]);
    let transform = match &declared.transform {
        Given::Value(written) => transform::resolve(written, &mut places, context.report),
        Given::Invalid => None,
        Given::Absent => {
            let help = "add `transform: {cmd: [program, argument]}`";
            context.report.push(fields::missing_field(declared.span, "transform", &named(name), help));
            None
        }
    };
    let input = match &declared.input {
        Given::Value(written) => input::resolve(Some(name), written, &mut places, context),
        Given::Invalid => None,
        Given::Absent => {
            let help = "add `input: {pfs: {repo: REPO, glob: /*}}`";
            context.report.push(fields::missing_field(declared.span, "input", &named(name), help));
            None
        }
    };
    // A pipeline without inputs is still a node that others read.
    context.reads.entry(name.clone()).or_default();
    let report = &mut *context.report;
    let parallelism = count(&declared.parallelism, "parallelism_spec.constant", NonZeroU32::MIN, report);
    let datum_tries = count(&declared.datum_tries, "datum_tries", DATUM_TRIES, report);
    if let Given::Value(timeout) = &declared.datum_timeout
        && timeout.value.0 == 0
    {
        report.push(constraints::out_of_range(timeout.span, "datum_timeout", "zero", "more than zero"));
    }
    place(&mut places, "description", &declared.description);
    place(&mut places, "parallelism", &declared.parallelism);
    place(&mut places, "datumTries", &declared.datum_tries);
    place(&mut places, "datumTimeout", &declared.datum_timeout);
    place(&mut places, "deletionPolicy", &declared.deletion_policy);
    let spec = PipelineSpec {
        name: name.clone(),
        description: non_empty(&declared.description),
        transform: transform?,
        input: input?,
        parallelism: parallelism?,
        datum_tries: datum_tries?,
        datum_timeout: declared.datum_timeout.value().map(|timeout| timeout.value),
        deletion_policy: declared.deletion_policy.value().map(|policy| policy.value).unwrap_or_default(),
    };
    Some(Located { value: spec, span: declared.span, fields: places })
}

/// Checks a pipeline whose name nobody can use, so that its other problems are reported in the same run.
pub(super) fn check_nameless(declared: &DeclaredPipeline, context: &mut Context<'_>) {
    let mut places = Places::new();
    if let Given::Value(written) = &declared.transform {
        transform::resolve(written, &mut places, context.report);
    }
    if let Given::Value(written) = &declared.input {
        input::resolve(None, written, &mut places, context);
    }
    count(&declared.parallelism, "parallelism_spec.constant", NonZeroU32::MIN, context.report);
    count(&declared.datum_tries, "datum_tries", DATUM_TRIES, context.report);
}

fn named(name: &PipelineName) -> String {
    format!("pipeline `{name}`")
}

fn count(
    given: &Given<Spanned<i64>>,
    name: &str,
    default: NonZeroU32,
    report: &mut Report,
) -> Option<NonZeroU32> {
    let written = match given {
        Given::Absent => return Some(default),
        Given::Invalid => return None,
        Given::Value(written) => written,
    };
    let count = u32::try_from(written.value).ok().and_then(NonZeroU32::new);
    if count.is_none() {
        let wrote = written.value.to_string();
        report.push(constraints::out_of_range(written.span, name, &wrote, "1 or more"));
    }
    count
}

/// Notes where a field is written.
pub(super) fn place<T>(places: &mut Places, path: &str, given: &Given<Spanned<T>>) {
    if let Given::Value(value) = given {
        places.insert(path.to_owned(), value.span);
    }
}

/// A text, where an empty one means none.
pub(super) fn non_empty(given: &Given<Spanned<String>>) -> Option<String> {
    given.value().map(|text| text.value.clone()).filter(|text| !text.is_empty())
}
