//! What runs: commands, variables, paths.

use std::collections::BTreeSet;

use flow_model::{
    span::{Span, Spanned},
    spec::Transform,
};

use super::pipeline::{Places, non_empty, place};
use crate::{
    codes::constraints,
    declare::{DeclaredCodes, DeclaredTransform, Given, Texts},
    report::Report,
};

/// Resolves a transform; `None` if something in it was reported.
pub(super) fn resolve(
    declared: &DeclaredTransform,
    places: &mut Places,
    report: &mut Report,
) -> Option<Transform> {
    let cmd = command(&declared.cmd, declared.key, report);
    let err_cmd = match &declared.err_cmd {
        Given::Value(words) if words.items.is_empty() => Some(Vec::new()),
        Given::Absent => Some(Vec::new()),
        given => command(given, declared.key, report),
    };
    let accept_return_code = return_codes(&declared.accept_return_code, report);
    let code = code_folder(&declared.code, report);
    note_places(declared, places);
    let env = match &declared.env {
        Given::Absent => Some(Default::default()),
        Given::Invalid => None,
        Given::Value(env) => {
            Some(env.variables.iter().map(|(name, (_, value))| (name.clone(), value.value.clone())).collect())
        }
    };
    Some(Transform {
        image: non_empty(&declared.image),
        cmd: cmd?,
        stdin: lines(&declared.stdin)?,
        env: env?,
        code: code?,
        working_dir: non_empty(&declared.working_dir),
        accept_return_code: accept_return_code?,
        err_cmd: err_cmd?,
        err_stdin: lines(&declared.err_stdin)?,
    })
}

fn note_places(declared: &DeclaredTransform, places: &mut Places) {
    places.insert("transform".to_owned(), declared.key);
    let lists = [
        ("cmd", &declared.cmd),
        ("stdin", &declared.stdin),
        ("errCmd", &declared.err_cmd),
        ("errStdin", &declared.err_stdin),
    ];
    for (name, list) in lists {
        if let Given::Value(texts) = list {
            places.insert(format!("transform.{name}"), texts.span);
        }
    }
    place(places, "transform.image", &declared.image);
    place(places, "transform.code", &declared.code);
    place(places, "transform.workingDir", &declared.working_dir);
    if let Given::Value(codes) = &declared.accept_return_code {
        places.insert("transform.acceptReturnCode".to_owned(), codes.span);
    }
    if let Given::Value(env) = &declared.env {
        places.insert("transform.env".to_owned(), env.span);
        for (name, (_, value)) in &env.variables {
            places.insert(format!("transform.env.{name}"), value.span);
        }
    }
}

/// A command: there, not empty, and with a program in it.
fn command(given: &Given<Texts>, around: Span, report: &mut Report) -> Option<Vec<String>> {
    let words = match given {
        Given::Invalid => return None,
        Given::Absent => {
            report.push(constraints::missing_cmd(around));
            return None;
        }
        Given::Value(words) => words,
    };
    match words.items.as_slice() {
        [] => report.push(constraints::empty_cmd(words.key)),
        [program, ..] if program.value.trim().is_empty() => report.push(constraints::empty_cmd(program.span)),
        [only] if only.value.trim().contains(char::is_whitespace) => {
            report.push(constraints::one_word_cmd(only.span, only.value.trim()));
            return Some(vec![only.value.clone()]);
        }
        _ => return Some(words.items.iter().map(|word| word.value.clone()).collect()),
    }
    None
}

fn lines(given: &Given<Texts>) -> Option<Vec<String>> {
    match given {
        Given::Absent => Some(Vec::new()),
        Given::Invalid => None,
        Given::Value(texts) => Some(texts.items.iter().map(|line| line.value.clone()).collect()),
    }
}

fn return_codes(given: &Given<DeclaredCodes>, report: &mut Report) -> Option<BTreeSet<i32>> {
    let codes = match given {
        Given::Absent => return Some(BTreeSet::new()),
        Given::Invalid => return None,
        Given::Value(codes) => &codes.codes,
    };
    let mut accepted = BTreeSet::new();
    let mut complete = true;
    for code in codes {
        match u8::try_from(code.value) {
            // 0 is success anyway; keeping it would make two specs that mean the same differ.
            Ok(0) => {}
            Ok(number) => drop(accepted.insert(i32::from(number))),
            Err(_) => {
                let wrote = code.value.to_string();
                let (name, range) = ("accept_return_code", "between 0 and 255");
                report.push(constraints::out_of_range(code.span, name, &wrote, range));
                complete = false;
            }
        }
    }
    complete.then_some(accepted)
}

/// The code folder, cleaned: inside the workspace, so that a version can be made wherever the workspace is.
fn code_folder(given: &Given<Spanned<String>>, report: &mut Report) -> Option<Option<String>> {
    let folder = match given {
        Given::Absent => return Some(None),
        Given::Invalid => return None,
        Given::Value(folder) => folder,
    };
    let help = "write a folder of the workspace, such as `code: ./src`";
    let problem = if folder.value.is_empty() {
        "is empty"
    } else if folder.value.starts_with('/') {
        "is an absolute path"
    } else {
        match clean(&folder.value) {
            cleaned if cleaned.split('/').next() != Some("..") => return Some(Some(cleaned)),
            _ => "leaves the workspace",
        }
    };
    report.push(constraints::bad_path(folder.span, "code", problem, help));
    None
}

/// A path without `.`, without `..` behind a name and without slashes at its end; `.` if nothing is left.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let absolute = path.starts_with('/');
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn paths_are_cleaned() {
        for (path, cleaned) in [
            ("./src/", "src"),
            ("src//a/./b", "src/a/b"),
            ("a/../b", "b"),
            ("a/..", "."),
            (".", "."),
            ("../x", "../x"),
            ("a/../../x", "../x"),
            ("/data/", "/data"),
            ("/../x", "/x"),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }
}
