//! `FLOW04xx`: values that cannot work.

use flow_model::{
    diagnostic::{Code, Diagnostic},
    span::Span,
};

use super::code;

/// A pipeline without a program: nothing could run.
pub const EMPTY_CMD: Code = code("FLOW0401", "empty-cmd");
/// A command whose only word has spaces in it. There is no shell, so a program of exactly that name would be looked
/// for. Split the words, or run a shell.
pub const ONE_WORD_CMD: Code = code("FLOW0402", "command-in-one-word");
/// An input of no kind: neither `pfs` nor `cross` nor `union`.
pub const NO_INPUT: Code = code("FLOW0403", "no-input");
/// An input of several kinds at once. Put them in a `cross` or a `union`.
pub const MANY_INPUTS: Code = code("FLOW0404", "many-inputs");
/// A `cross` or `union` of nothing.
pub const EMPTY_COMBINATION: Code = code("FLOW0405", "empty-combination");
/// A glob that does not parse or would match something else than meant.
pub const BAD_GLOB: Code = code("FLOW0406", "bad-glob");
/// A number or duration outside of what the field takes.
pub const OUT_OF_RANGE: Code = code("FLOW0407", "out-of-range");
/// A path that leaves the place it must stay in, or is none.
pub const BAD_PATH: Code = code("FLOW0408", "bad-path");
/// A name that cannot be an environment variable's.
pub const BAD_ENV: Code = code("FLOW0409", "bad-env");
/// A NUL character where the operating system takes none: commands, variables, paths.
pub const NUL: Code = code("FLOW0410", "nul");
/// A store that is no folder and no `file:///` address.
pub const BAD_STORE: Code = code("FLOW0411", "bad-store");

pub(crate) fn empty_cmd(at: Span) -> Diagnostic {
    Diagnostic::error(EMPTY_CMD, "`cmd` is empty: nothing would run")
        .at(at, "")
        .help("write the program and its arguments, for example `cmd: [python3, main.py]`")
}

pub(crate) fn missing_cmd(at: Span) -> Diagnostic {
    Diagnostic::error(EMPTY_CMD, "this transform has no `cmd`: nothing would run")
        .at(at, "")
        .help("write the program and its arguments, for example `cmd: [python3, main.py]`")
}

pub(crate) fn one_word_cmd(at: Span, word: &str) -> Diagnostic {
    let words: Vec<&str> = word.split_whitespace().collect();
    Diagnostic::warning(ONE_WORD_CMD, format!("the program's name would be `{word}`, spaces included"))
        .at(at, "")
        .help(format!(
            "there is no shell: write `cmd: [{}]`, or `cmd: [sh]` and the line in `stdin`",
            words.join(", ")
        ))
}

pub(crate) fn no_input(at: Span) -> Diagnostic {
    Diagnostic::error(NO_INPUT, "this input is of no kind")
        .at(at, "")
        .help("write one of `pfs`, `cross` and `union`, for example `pfs: {repo: images, glob: /*}`")
}

pub(crate) fn many_inputs(second: Span, first: Span, kinds: (&str, &str)) -> Diagnostic {
    Diagnostic::error(MANY_INPUTS, format!("an input is either `{}` or `{}`, not both", kinds.1, kinds.0))
        .at(second, "")
        .and_at(first, "the first kind")
        .help("make them the items of a `cross` (every combination) or a `union` (each on its own)")
}

pub(crate) fn empty_combination(at: Span, kind: &str) -> Diagnostic {
    Diagnostic::error(EMPTY_COMBINATION, format!("this `{kind}` has no inputs")).at(at, "")
}

pub(crate) fn bad_glob(at: Span, message: &str, help: &str) -> Diagnostic {
    Diagnostic::error(BAD_GLOB, message).at(at, "").help(help)
}

pub(crate) fn missing_glob(at: Span) -> Diagnostic {
    super::fields::missing_field(
        at,
        "glob",
        "this input",
        "write `/` for the whole repo as one datum, `/*` for a datum per file or folder at the top",
    )
}

pub(crate) fn out_of_range(at: Span, name: &str, wrote: &str, range: &str) -> Diagnostic {
    Diagnostic::error(OUT_OF_RANGE, format!("`{name}` is {wrote}; it must be {range}")).at(at, "")
}

pub(crate) fn bad_path(at: Span, name: &str, problem: &str, help: &str) -> Diagnostic {
    Diagnostic::error(BAD_PATH, format!("`{name}` {problem}")).at(at, "").help(help)
}

pub(crate) fn bad_env(at: Span, name: &str) -> Diagnostic {
    let message = if name.is_empty() {
        "an environment variable has no name".to_owned()
    } else {
        format!("`{name}` cannot be the name of an environment variable")
    };
    Diagnostic::error(BAD_ENV, message).at(at, "").help("names are not empty and have no `=`")
}

pub(crate) fn nul(at: Span, name: &str) -> Diagnostic {
    Diagnostic::error(NUL, format!("`{name}` has a NUL character")).at(at, "").help("remove it")
}

pub(crate) fn bad_store(at: Span, wrote: &str) -> Diagnostic {
    Diagnostic::error(BAD_STORE, format!("`{wrote}` is not a store that flow can use"))
        .at(at, "")
        .help("write a folder relative to this file, such as `.flow`, or `file:///` and an absolute path")
}
