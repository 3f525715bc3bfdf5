//! `flow fsck`: whether everything that the store promises is there.

use clap::Args;
use flow_model::digest::{CommitId, DatumId, Digest, JobId, OperationId};
use flow_store::{Affected, FsckLevel, FsckReport, Problem};
use serde::Serialize;

use crate::{
    Exit,
    args::{Format, OutputArgs},
    error::CommandError,
    session::Session,
    settings::Settings,
    ui::{Ui, style},
    view::{listing, words},
    workspace::Workspace,
};

/// Affected things that a problem names; `-o wide` names all.
const AFFECTED_SHOWN: usize = 10;

/// Check the store for damage
///
/// Checks that everything which the project's history names is there and is what it should be. Changes nothing. Exits
/// with 1 if something is wrong, and names the objects and what they affect.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow fsck             structure: everything but the contents of files
  flow fsck --data      every byte
  flow fsck --json      for programs
  flow fsck -o wide     everything that a problem affects")]
pub(crate) struct FsckArgs {
    /// Read and check the contents of all files too
    #[arg(long)]
    data: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// The result of a check.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FsckView<'a> {
    clean: bool,
    data: bool,
    problems: Vec<ProblemView<'a>>,
    /// Objects of writes that never finished.
    leftovers: &'a [String],
    counts: CountsView,
}

#[derive(Serialize)]
struct ProblemView<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    object: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    detail: &'a str,
    affects: Vec<AffectedView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
enum AffectedView {
    File {
        repo: String,
        commit: CommitId,
        path: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        datum: Option<DatumId>,
    },
    Commit {
        repo: String,
        commit: CommitId,
    },
    Job {
        pipeline: String,
        job: JobId,
    },
    Pipeline {
        pipeline: String,
    },
    Operation {
        operation: OperationId,
    },
}

#[derive(Serialize)]
struct CountsView {
    objects: u64,
    bytes: u64,
    operations: u64,
    commits: u64,
    nodes: u64,
    files: u64,
}

impl From<&Affected> for AffectedView {
    fn from(affected: &Affected) -> Self {
        match affected {
            Affected::File { repo, commit, path, datum } => {
                Self::File { repo: repo.to_string(), commit: *commit, path: path.to_string(), datum: *datum }
            }
            Affected::Commit { repo, commit } => Self::Commit { repo: repo.to_string(), commit: *commit },
            Affected::Job { pipeline, job } => Self::Job { pipeline: pipeline.to_string(), job: *job },
            Affected::Pipeline { pipeline } => Self::Pipeline { pipeline: pipeline.to_string() },
            Affected::Operation { operation } => Self::Operation { operation: *operation },
        }
    }
}

/// Checks the store.
pub(crate) async fn fsck(args: &FsckArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    // Not `Open`: the newest state need not be readable.
    let session = Session::open(Workspace::around(settings)?, settings).await?;
    let project = session.project().ok_or_else(|| {
        CommandError::user(format!("there is no store in `{}`", session.workspace.root.display()))
            .help("`flow apply` makes one")
    })?;
    let level = if args.data { FsckLevel::Data } else { FsckLevel::Structure };
    let report = flow_store::fsck(&project, level).await?;
    match args.output.format() {
        Some(Format::Json | Format::Yaml) => {
            listing::print_value(ui, &args.output, &view(&report, args.data))?;
        }
        format => {
            let shown = if format == Some(Format::Wide) { usize::MAX } else { AFFECTED_SHOWN };
            ui.data(&report.problems.iter().map(|problem| text(problem, shown)).collect::<String>())?;
            summarise(&report, args.data, ui);
        }
    }
    Ok(if report.is_clean() { Exit::Done } else { Exit::Failed })
}

fn view<'a>(report: &'a FsckReport, data: bool) -> FsckView<'a> {
    let problem = |problem: &'a Problem| ProblemView {
        object: &problem.object,
        digest: problem.digest,
        detail: &problem.detail,
        affects: problem.affects.iter().map(AffectedView::from).collect(),
    };
    let counts = report.counts;
    FsckView {
        clean: report.is_clean(),
        data,
        problems: report.problems.iter().map(problem).collect(),
        leftovers: &report.leftovers,
        counts: CountsView {
            objects: counts.objects,
            bytes: counts.bytes,
            operations: counts.operations,
            commits: counts.commits,
            nodes: counts.nodes,
            files: counts.files,
        },
    }
}

fn text(problem: &Problem, shown: usize) -> String {
    let bad = style::BAD;
    let mut text = format!("{bad}damaged{bad:#}: {problem}\n");
    for affected in problem.affects.iter().take(shown) {
        text.push_str(&format!("  affects {affected}\n"));
    }
    let more = problem.affects.len().saturating_sub(shown);
    if more > 0 {
        text.push_str(&format!("  affects {more} more: `-o wide` names them\n"));
    }
    if problem.affects.is_empty() {
        text.push_str("  affects nothing: nothing refers to it\n");
    }
    text
}

fn summarise(report: &FsckReport, data: bool, ui: &Ui) {
    let counts = report.counts;
    let level = if data { "structure and data" } else { "structure" };
    let found = match report.problems.len() as u64 {
        0 => "no problems".to_owned(),
        number => words::count(number, "problem"),
    };
    ui.say(&format!(
        "checked {level}: {} ({}), {}, {}, {}: {found}",
        words::count(counts.objects, "object"),
        words::bytes(counts.bytes),
        words::count(counts.operations, "operation"),
        words::count(counts.commits, "commit"),
        words::count(counts.files, "file"),
    ));
    if !report.leftovers.is_empty() {
        let left = words::count(report.leftovers.len() as u64, "object");
        ui.say(&format!("{left} of writes that never finished: harmless, and of no use"));
    }
    if !report.is_clean() {
        ui.say("  help: restore the named objects from a copy of the store");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_a_problem_affects_is_named_up_to_a_bound() {
        let pipeline = |name: &str| Affected::Pipeline { pipeline: name.parse().unwrap() };
        let problem = Problem {
            object: "packs/x".to_owned(),
            digest: None,
            detail: "it does not exist".to_owned(),
            affects: BTreeSet::from([pipeline("a"), pipeline("b"), pipeline("c")]),
        };
        let strip = |text: String| anstream::adapter::strip_str(&text).to_string();
        let expected = "damaged: `packs/x`: it does not exist\n  affects pipeline a\n  affects pipeline b\n  affects 1 more: `-o wide` names them\n";
        assert_eq!(strip(text(&problem, 2)), expected);
        let alone = Problem { affects: BTreeSet::new(), ..problem };
        assert!(strip(text(&alone, 2)).ends_with("  affects nothing: nothing refers to it\n"));
    }
}
