//! `flow completion` and `flow version`: about the program itself; neither needs a workspace.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde::Serialize;

use crate::{
    Exit,
    args::{Arguments, Format, OutputArgs},
    error::CommandError,
    ui::Ui,
    view::listing,
};

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow completion bash > ~/.local/share/bash-completion/completions/flow
  flow completion zsh > \"${fpath[1]}/_flow\"
  flow completion fish > ~/.config/fish/completions/flow.fish")]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Print the version
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flow version\n  flow version --json")]
pub(crate) struct VersionArgs {
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct VersionView {
    version: &'static str,
    target: String,
}

/// Prints a completion script.
pub(crate) fn completion(args: &CompletionArgs, ui: &Ui) -> Result<Exit, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "flow", &mut script);
    ui.raw(&script)?;
    Ok(Exit::Done)
}

/// Prints the version.
pub(crate) fn version(args: &VersionArgs, ui: &Ui) -> Result<Exit, CommandError> {
    let view = VersionView {
        version: env!("CARGO_PKG_VERSION"),
        target: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
    };
    match args.output.format() {
        Some(Format::Json | Format::Yaml) => listing::print_value(ui, &args.output, &view)?,
        Some(Format::Wide) | None => ui.data(&format!("flow {} {}\n", view.version, view.target))?,
    }
    Ok(Exit::Done)
}
