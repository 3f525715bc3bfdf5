//! `FLOW03xx`: names and references.

use flow_model::{
    diagnostic::{Code, Diagnostic},
    name::NameError,
    span::Span,
};

use super::code;

/// A text that cannot be the name of a pipeline, repo, branch or input.
pub const BAD_NAME: Code = code("FLOW0301", "bad-name");
/// Two pipelines have one name; one would replace the other. Rename one.
pub const DUPLICATE_PIPELINE: Code = code("FLOW0302", "duplicate-pipeline");
/// Two repos have one name. Rename or remove one.
pub const DUPLICATE_REPO: Code = code("FLOW0303", "duplicate-repo");
/// A repo is declared that has the name of a pipeline: it is that pipeline's output, which nobody else declares.
pub const REPO_IS_OUTPUT: Code = code("FLOW0304", "repo-is-output");
/// Two names become one on Kubernetes, where `_` turns into `-` and upper case into lower. Rename one.
pub const COLLISION: Code = code("FLOW0305", "name-collision");
/// An input reads a repo that does not exist while one with nearly this name does: a typo, most likely. If it is a new
/// repo, declare it.
pub const UNKNOWN_REPO: Code = code("FLOW0306", "unknown-repo");
/// An input reads a branch that does not exist. Branches are not made by being read.
pub const UNKNOWN_BRANCH: Code = code("FLOW0307", "unknown-branch");
/// Two inputs of one datum have the same name: both would be `/pfs/NAME`. Give one a `name`.
pub const DUPLICATE_INPUT: Code = code("FLOW0308", "duplicate-input");
/// An input names a commit. Inputs follow a branch; a commit is chosen when a job is started.
pub const COMMIT_IN_INPUT: Code = code("FLOW0309", "commit-in-input");
/// The default context is none of those that the settings declare.
pub const UNKNOWN_CONTEXT: Code = code("FLOW0310", "unknown-context");
/// An input reads the output of a pipeline that is still live but no longer in these files: applying them would remove
/// the pipeline and what is read here.
pub const LOST_PRODUCER: Code = code("FLOW0311", "lost-producer");

pub(crate) fn bad_name(at: Span, error: &NameError) -> Diagnostic {
    let diagnostic = Diagnostic::error(BAD_NAME, error.to_string()).at(at, "");
    match error {
        NameError::Reserved { what: "input", .. } => {
            diagnostic.help("`/pfs/out` is where output goes; give the input another `name`")
        }
        NameError::BadCharacter { name, .. } => {
            let mended: String =
                name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
            match mended.trim_matches(['-', '_']) {
                "" => diagnostic,
                mended => diagnostic.help(format!("for example `{mended}`")),
            }
        }
        _ => diagnostic,
    }
}

pub(crate) fn duplicate(code: Code, second: Span, first: Span, what: &str, name: &str) -> Diagnostic {
    Diagnostic::error(code, format!("{what} `{name}` is declared twice"))
        .at(second, "again here")
        .and_at(first, "first here")
        .help("rename or remove one of them")
}

pub(crate) fn repo_is_output(repo: Span, pipeline: Span, name: &str) -> Diagnostic {
    Diagnostic::error(REPO_IS_OUTPUT, format!("repo `{name}` is the output of pipeline `{name}`"))
        .at(repo, "declared here")
        .and_at(pipeline, "made by this pipeline")
        .help("remove the repo: a pipeline brings its output repo along; or rename one of them")
}

pub(crate) fn collision(second: Span, first: Span, names: (&str, &str)) -> Diagnostic {
    let (second_name, first_name) = names;
    Diagnostic::error(COLLISION, format!("`{second_name}` and `{first_name}` are one name on Kubernetes"))
        .at(second, "")
        .and_at(first, format!("`{first_name}` is here"))
        .help("names there are in lower case with `-` for `_`; rename one of them")
}

pub(crate) fn unknown_repo(at: Span, wrote: &str, near: &[&str]) -> Diagnostic {
    let diagnostic = Diagnostic::error(UNKNOWN_REPO, format!("there is no repo `{wrote}`")).at(at, "");
    let declare = format!("if `{wrote}` is to be a new repo, declare it: `kind: Repo`");
    match near {
        [one] => diagnostic.help(format!("did you mean `{one}`? {declare}")).fix(at, *one),
        several => {
            let names: Vec<String> = several.iter().map(|name| format!("`{name}`")).collect();
            diagnostic.help(format!("did you mean {}? {declare}", names.join(" or ")))
        }
    }
}

/// What is known of a branch that does not exist.
pub(crate) struct UnknownBranch<'a> {
    pub(crate) at: Span,
    pub(crate) repo: &'a str,
    pub(crate) wrote: &'a str,
    pub(crate) near: Option<&'a str>,
    pub(crate) known: Vec<&'a str>,
    /// Whether the repo is the output of a pipeline of these files.
    pub(crate) output: bool,
}

pub(crate) fn unknown_branch(branch: &UnknownBranch<'_>) -> Diagnostic {
    let UnknownBranch { at, repo, wrote, near, known, output } = branch;
    let diagnostic =
        Diagnostic::error(UNKNOWN_BRANCH, format!("repo `{repo}` has no branch `{wrote}`")).at(*at, "");
    if let Some(near) = near {
        return diagnostic.help(format!("did you mean `{near}`?")).fix(*at, *near);
    }
    if *output {
        return diagnostic.help(format!("pipeline `{repo}` writes to `master` only"));
    }
    let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    diagnostic.help(format!(
        "it has {}; a new branch is made with `flow put {repo}@{wrote}:/…` or by the repo's `source`",
        names.join(", ")
    ))
}

pub(crate) fn duplicate_input(second: Span, first: Span, name: &str) -> Diagnostic {
    Diagnostic::error(DUPLICATE_INPUT, format!("two inputs are named `{name}`"))
        .at(second, format!("would be `/pfs/{name}`"))
        .and_at(first, "as would this")
        .help("give one of them another `name`")
}

pub(crate) fn commit_in_input(at: Span) -> Diagnostic {
    Diagnostic::error(COMMIT_IN_INPUT, "an input follows a branch and cannot name a commit")
        .at(at, "")
        .help("remove `commit`; move a branch to the commit and read that branch")
}

pub(crate) fn unknown_context(at: Span, wrote: &str, known: &[&str]) -> Diagnostic {
    let diagnostic = Diagnostic::error(UNKNOWN_CONTEXT, format!("there is no context `{wrote}`")).at(at, "");
    match flow_model::similar_name::closest(wrote, known.iter().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")).fix(at, near),
        None if known.is_empty() => {
            diagnostic.help(format!("declare it: `contexts: {{{wrote}: {{store: …}}}}`"))
        }
        None => diagnostic.help(format!("the contexts are: {}", known.join(", "))),
    }
}

pub(crate) fn lost_producer(at: Span, repo: &str, pipeline: &str) -> Diagnostic {
    Diagnostic::error(
        LOST_PRODUCER,
        format!("repo `{repo}` is the output of pipeline `{pipeline}`, which these files do not have"),
    )
    .at(at, "")
    .help("bring the pipeline back, or read another repo: applying these files removes both")
}
