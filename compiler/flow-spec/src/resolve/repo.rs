//! Declared repos.

use flow_model::{
    name::BranchName,
    spec::{RepoSource, RepoSpec},
    workflow::Located,
};

use super::pipeline::{Places, non_empty, place};
use super::transform::clean;
use crate::{
    codes::{constraints, fields, names},
    declare::{DeclaredRepo, DeclaredSource, Given},
    report::Report,
};

/// Resolves a repo; `None` if something in it was reported.
pub(super) fn resolve(declared: &DeclaredRepo, report: &mut Report) -> Option<Located<RepoSpec>> {
    let mut places = Places::from([("name".to_owned(), declared.span)]);
    place(&mut places, "description", &declared.description);
    place(&mut places, "deletionPolicy", &declared.deletion_policy);
    let source = match &declared.source {
        Given::Absent => None,
        Given::Invalid => return None,
        Given::Value(written) => Some(source(written, &mut places, report)?),
    };
    let spec = RepoSpec {
        description: non_empty(&declared.description),
        source,
        deletion_policy: declared.deletion_policy.value().map(|policy| policy.value).unwrap_or_default(),
    };
    Some(Located { value: spec, span: declared.span, fields: places })
}

fn source(declared: &DeclaredSource, places: &mut Places, report: &mut Report) -> Option<RepoSource> {
    places.insert("source".to_owned(), declared.key);
    place(places, "source.path", &declared.path);
    place(places, "source.branch", &declared.branch);
    let help = "write a folder relative to this file, such as `path: ./data`";
    let path = match &declared.path {
        Given::Value(path) if path.value.is_empty() => {
            report.push(constraints::bad_path(path.span, "path", "is empty", help));
            None
        }
        Given::Value(path) => Some(clean(&path.value)),
        Given::Invalid => None,
        Given::Absent => {
            report.push(fields::missing_field(declared.key, "path", "`source`", help));
            None
        }
    };
    let branch = match &declared.branch {
        Given::Absent => Some(BranchName::master()),
        Given::Invalid => None,
        Given::Value(written) => match BranchName::parse(&written.value) {
            Ok(branch) => Some(branch),
            Err(error) => {
                report.push(names::bad_name(written.span, &error));
                None
            }
        },
    };
    Some(RepoSource { path: path?, branch: branch? })
}
