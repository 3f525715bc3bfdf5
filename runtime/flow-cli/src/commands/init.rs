//! `flow init`: a first workspace that works.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{Exit, error::CommandError, settings::Settings, ui::Ui};

const SPECS: &str = "\
# A repo that `flow apply` keeps in step with the folder ./data.
apiVersion: flow.dev/v1
kind: Repo
metadata:
  name: data
spec:
  source:
    path: ./data
---
# Runs once for each file of the repo; its output is the repo `lines`.
apiVersion: flow.dev/v1
kind: Pipeline
metadata:
  name: lines
spec:
  input:
    pfs:
      repo: data
      glob: /*
  transform:
    cmd: [sh, -e]
    stdin:
      - wc -l <\"$data\" >\"/pfs/out/$(basename \"$data\")\"
";
const DATA: &str = "one\ntwo\nthree\n";

/// Start a workspace: an example repo and pipeline to build on
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flow init             in this folder\n  flow init pipelines   in a new folder"
)]
pub(crate) struct InitArgs {
    /// The folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

/// Writes the example; overwrites nothing.
pub(crate) fn init(args: &InitArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let folder = settings.path(&args.folder);
    let (specs, data) = (folder.join("pipelines.yaml"), folder.join("data"));
    for path in [&specs, &data] {
        if path.exists() {
            return Err(CommandError::user(format!(
                "`{}` is there already: nothing was written",
                path.display()
            ))
            .help("`flow plan` shows what the specs here would do"));
        }
    }
    let fail = |path: &Path| {
        let path = path.display().to_string();
        move |error| CommandError::user(format!("cannot write `{path}`: {error}"))
    };
    fs::create_dir_all(&data).map_err(fail(&data))?;
    fs::write(data.join("hello.txt"), DATA).map_err(fail(&data))?;
    fs::write(&specs, SPECS).map_err(fail(&specs))?;
    ui.say(&format!("wrote {} and {}", specs.display(), data.join("hello.txt").display()));
    ui.say("next: `flow plan` shows what it would do, `flow apply` does it");
    Ok(Exit::Done)
}
