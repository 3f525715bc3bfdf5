//! `flow validate`: check the specs, offline.

use clap::Args;
use serde_json::json;

use crate::{
    Exit,
    args::{OutputArgs, SpecArgs},
    error::CommandError,
    planning,
    session::Session,
    settings::Settings,
    ui::Ui,
    view::{listing, words},
    workspace::Workspace,
};

/// Check the specs, offline
///
/// Reads all specs, the folders and the programs that they name, and reports every problem with its place. Names are
/// also looked up in the local state, if there is one. Nothing is written.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flow validate\n  flow validate pipelines/ --json")]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    specs: SpecArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints the diagnostics; exit 1 if one is an error.
pub(crate) async fn validate(
    args: &ValidateArgs,
    settings: &Settings,
    ui: &Ui,
) -> Result<Exit, CommandError> {
    let workspace = Workspace::of_paths(&args.specs.paths, settings)?;
    let session = Session::open(workspace, settings).await?;
    let snapshot = match session.project() {
        Some(project) => project.head().await?,
        None => None,
    };
    let known = planning::known_repos(&session.workspace, snapshot.as_ref()).await?;
    if args.output.format().is_some() {
        let report = planning::diagnose(&session.workspace, &args.specs.paths, &known, settings)?;
        let valid = report.diagnostics.iter().all(|diagnostic| !diagnostic.is_error());
        let list: Vec<_> =
            report.diagnostics.iter().map(|one| diagnostic_json(one, &report.sources)).collect();
        listing::print_value(
            ui,
            &args.output,
            &json!({"formatVersion": 1, "valid": valid, "diagnostics": list}),
        )?;
        return Ok(if valid { Exit::Done } else { Exit::Failed });
    }
    match planning::check(&session.workspace, &args.specs.paths, &known, settings, ui)? {
        Ok(checked) => {
            let (pipelines, repos) = checked.size();
            ui.say(&format!(
                "{}, {}, {}: no problems",
                words::count(checked.files as u64, "file"),
                words::count(pipelines as u64, "pipeline"),
                words::count(repos as u64, "repo")
            ));
            Ok(Exit::Done)
        }
        Err(errors) => {
            ui.say(&words::count(errors as u64, "error"));
            Ok(Exit::Failed)
        }
    }
}

fn diagnostic_json(
    diagnostic: &flow_model::diagnostic::Diagnostic,
    sources: &flow_model::span::SourceMap,
) -> serde_json::Value {
    let place = |label: &flow_model::diagnostic::Label| {
        let at = sources.location(label.span);
        let (end_line, end_column) = sources.file(label.span.file).line_column(label.span.end);
        json!({
            "file": at.file, "line": at.line, "column": at.column,
            "endLine": end_line, "endColumn": end_column, "text": label.text,
        })
    };
    json!({
        "code": diagnostic.code.id,
        "slug": diagnostic.code.slug,
        "severity": diagnostic.severity.word(),
        "message": diagnostic.message,
        "location": diagnostic.primary.as_ref().map(place),
        "related": diagnostic.related.iter().map(place).collect::<Vec<_>>(),
        "help": diagnostic.help,
    })
}
