//! Decides what each entry of `/pfs/out` means: a file, a link to an input, or a problem. Pure.
//!
//! Symlinks are followed by name over a snapshot of the tree, in the datum's own view:
//!
//! | a symlink to | becomes |
//! |---|---|
//! | a file in `/pfs/out` | that file's content, under the link's path |
//! | a folder in `/pfs/out` | the files below it, under the link's path |
//! | a file of an input | a reference to the input, which nobody has to copy |
//! | a folder of an input | such references, one for each file below it |
//! | anything else (outside `/pfs`, missing, itself) | a problem |
//!
//! **Invariant:** every file, special file and symlink of the snapshot gives at least one file or problem, unless
//! it is a symlink to an empty folder. The work is bounded by [`MAX_LINKED`] whatever links there are.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::Path;

/// Most files that symlinks to folders may add; links to links to folders grow exponentially.
const MAX_LINKED: usize = 1_000_000;

/// Most symlinks on the way to one target, as in the kernel.
const MAX_HOPS: usize = 40;

/// A kind of file that has no content to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpecialFile {
    /// A named pipe.
    Fifo,
    /// A unix socket.
    Socket,
    /// A block or character device.
    Device,
    /// A kind this program does not know.
    Unknown,
}

impl fmt::Display for SpecialFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fifo => "a named pipe (FIFO)",
            Self::Socket => "a socket",
            Self::Device => "a device",
            Self::Unknown => "a file of an unknown kind",
        })
    }
}

/// Something in `/pfs/out` that cannot become an output.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutputProblem {
    /// Path below `/pfs/out`, lossily decoded; empty for `/pfs/out` itself.
    pub path: String,
    /// What is wrong with it.
    pub kind: ProblemKind,
}

/// What is wrong with an entry of `/pfs/out`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProblemKind {
    /// Its name is not UTF-8, as paths in a repo are.
    NotUtf8,
    /// A symlink out of `/pfs`.
    LeadsOut {
        /// What it points to.
        target: String,
    },
    /// A symlink to nothing.
    Dangling {
        /// What it points to.
        target: String,
    },
    /// A symlink into itself.
    Loop {
        /// What it points to.
        target: String,
    },
    /// No regular file.
    Special(SpecialFile),
    /// Symlinks to folders that stand for more than a million files.
    TooManyLinked,
    /// `/pfs/out` itself was removed or replaced by something else.
    OutReplaced,
    /// The system does not let us read it.
    Unreadable {
        /// The system's answer.
        reason: String,
    },
}

impl fmt::Display for OutputProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path =
            if self.path.is_empty() { "/pfs/out".to_owned() } else { format!("/pfs/out/{}", self.path) };
        match &self.kind {
            ProblemKind::NotUtf8 => write!(f, "`{path}` has a name that is not UTF-8: rename it"),
            ProblemKind::LeadsOut { target } => write!(
                f,
                "`{path}` is a symlink to `{target}`, which leads out of /pfs: copy the file into /pfs/out instead"
            ),
            ProblemKind::Dangling { target } => {
                write!(f, "`{path}` is a symlink to `{target}`, which does not exist")
            }
            ProblemKind::Loop { target } => {
                write!(f, "`{path}` is a symlink to `{target}`, which leads to itself")
            }
            ProblemKind::Special(kind) => write!(f, "`{path}` is {kind}: only files can be outputs"),
            ProblemKind::TooManyLinked => {
                write!(f, "`{path}` and other symlinks to folders stand for more than {MAX_LINKED} files")
            }
            ProblemKind::OutReplaced => write!(f, "`{path}` was removed or replaced: write into it instead"),
            ProblemKind::Unreadable { reason } => write!(f, "`{path}` cannot be read: {reason}"),
        }
    }
}

/// One entry of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Folder,
    File(FileFacts),
    Link { target: Vec<u8> },
    Special(SpecialFile),
}

/// What a listing says about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileFacts {
    pub(super) size: u64,
    pub(super) executable: bool,
    /// No other name, no other owner: the file may be taken by renaming.
    pub(super) alone: bool,
}

/// The tree in `/pfs/out`: paths below it, and what is there.
pub(super) type Snapshot = BTreeMap<String, Node>;

/// What an input path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputNode {
    File,
    Folder,
}

/// The inputs as the datum saw them; paths are below `/pfs`.
pub(super) trait Inputs {
    /// What is at `path`, if anything.
    fn look(&self, path: &str) -> Option<InputNode>;
    /// Every file below the folder `path`, as paths below `/pfs`.
    fn files_below(&self, path: &str) -> Vec<String>;
}

/// A file that `/pfs/out` gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The content of this entry of the snapshot.
    File { source: String, facts: FileFacts },
    /// The content of an input.
    Input { path: String },
}

/// What a symlink leads to in the end.
enum Found {
    File(String, FileFacts),
    Folder(String),
    Input(String),
    InputFolder(String),
    Special(SpecialFile),
}

/// Reads the snapshot; `pfs` is where the datum saw `/pfs`.
pub(super) fn interpret(
    snapshot: &Snapshot,
    inputs: &dyn Inputs,
    pfs: &Path,
) -> (BTreeMap<String, Meaning>, Vec<OutputProblem>) {
    let mut reading = Reading::new(snapshot, inputs, pfs);
    reading.read();
    (reading.files, reading.problems)
}

struct Reading<'a> {
    snapshot: &'a Snapshot,
    inputs: &'a dyn Inputs,
    pfs: &'a Path,
    files: BTreeMap<String, Meaning>,
    problems: Vec<OutputProblem>,
    linked: usize,
    max_linked: usize,
}

impl<'a> Reading<'a> {
    fn new(snapshot: &'a Snapshot, inputs: &'a dyn Inputs, pfs: &'a Path) -> Self {
        let (files, problems) = (BTreeMap::new(), Vec::new());
        Self { snapshot, inputs, pfs, files, problems, linked: 0, max_linked: MAX_LINKED }
    }

    fn read(&mut self) {
        let snapshot = self.snapshot;
        for (path, node) in snapshot {
            match node {
                Node::Folder => {}
                Node::File(facts) => self.file(path.clone(), path, *facts),
                Node::Link { target } => self.link(path.clone(), path, target, &mut Vec::new()),
                Node::Special(kind) => self.problem(path.clone(), ProblemKind::Special(*kind)),
            }
        }
    }

    fn problem(&mut self, path: String, kind: ProblemKind) {
        self.problems.push(OutputProblem { path, kind });
    }

    fn file(&mut self, shown_at: String, source: &str, facts: FileFacts) {
        self.files.insert(shown_at, Meaning::File { source: source.to_owned(), facts });
    }

    /// Counts a file that a link stands for; false, with a problem, when there are too many.
    fn count(&mut self, shown_at: &str) -> bool {
        self.linked += 1;
        if self.linked == self.max_linked + 1 {
            self.problem(shown_at.to_owned(), ProblemKind::TooManyLinked);
        }
        self.linked <= self.max_linked
    }

    /// Reads the symlink that lies at `lies_at` and shows at `shown_at`; `inside` are the folders whose links
    /// are being expanded.
    fn link(&mut self, shown_at: String, lies_at: &str, target: &[u8], inside: &mut Vec<String>) {
        if !self.count(&shown_at) {
            return;
        }
        match self.follow(lies_at, target) {
            Err(kind) => self.problem(shown_at, kind),
            Ok(Found::Special(kind)) => self.problem(shown_at, ProblemKind::Special(kind)),
            Ok(Found::File(source, facts)) => self.file(shown_at, &source, facts),
            Ok(Found::Input(path)) => {
                self.files.insert(shown_at, Meaning::Input { path });
            }
            Ok(Found::InputFolder(folder)) => {
                for path in self.inputs.files_below(&folder) {
                    let rest = path.strip_prefix(&folder).unwrap_or(&path);
                    let shown = format!("{shown_at}{rest}");
                    if !self.count(&shown) {
                        return;
                    }
                    self.files.insert(shown, Meaning::Input { path });
                }
            }
            Ok(Found::Folder(folder)) => {
                if is_below(lies_at, &folder) || inside.contains(&folder) || inside.len() >= MAX_HOPS {
                    let target = String::from_utf8_lossy(target).into_owned();
                    return self.problem(shown_at, ProblemKind::Loop { target });
                }
                inside.push(folder.clone());
                self.folder(&shown_at, &folder, inside);
                inside.pop();
            }
        }
    }

    /// Shows what is below `folder` below `shown_at`, too.
    fn folder(&mut self, shown_at: &str, folder: &str, inside: &mut Vec<String>) {
        let snapshot = self.snapshot;
        let prefix = format!("{folder}/");
        for (path, node) in snapshot.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix))
        {
            let shown = format!("{shown_at}/{}", &path[prefix.len()..]);
            match node {
                Node::Folder | Node::Special(_) => {} // a special file is a problem where it lies
                Node::Link { target } => self.link(shown, path, target, inside),
                Node::File(facts) => {
                    if !self.count(&shown) {
                        return;
                    }
                    self.file(shown, path, *facts);
                }
            }
        }
    }

    /// Walks from the link at `lies_at` to the end of its target.
    fn follow(&self, lies_at: &str, target: &[u8]) -> Result<Found, ProblemKind> {
        let shown = || String::from_utf8_lossy(target).into_owned();
        let leads_out = || ProblemKind::LeadsOut { target: shown() };
        let dangling = || ProblemKind::Dangling { target: shown() };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| dangling());

        // Where we are, as parts below /pfs; all of them are known to be folders.
        let mut here: Vec<String> =
            std::iter::once("out").chain(lies_at.split('/')).map(str::to_owned).collect();
        here.pop();
        let mut ahead = VecDeque::new();
        enqueue(&mut ahead, &mut here, &text(target)?, self.pfs).ok_or_else(leads_out)?;
        let mut hops = 0;
        while let Some(part) = ahead.pop_front() {
            if part == ".." {
                here.pop().ok_or_else(leads_out)?;
                continue;
            }
            here.push(part);
            let rest_is_empty = ahead.is_empty();
            match self.look(&here).ok_or_else(dangling)? {
                Spot::Folder => {}
                Spot::Link(next) => {
                    hops += 1;
                    if hops > MAX_HOPS {
                        return Err(ProblemKind::Loop { target: shown() });
                    }
                    here.pop();
                    enqueue(&mut ahead, &mut here, &text(next)?, self.pfs).ok_or_else(leads_out)?;
                }
                Spot::End(found) if rest_is_empty => return Ok(found),
                Spot::End(_) => return Err(dangling()), // a file has nothing below it
            }
        }
        match here.split_first() {
            None => Err(ProblemKind::Loop { target: shown() }), // /pfs, with out and the link in it
            Some((first, rest)) if first == "out" => Ok(Found::Folder(rest.join("/"))),
            Some(_) => Ok(Found::InputFolder(here.join("/"))),
        }
    }

    fn look(&self, parts: &[String]) -> Option<Spot<'_>> {
        let (first, rest) = parts.split_first()?;
        if first != "out" {
            let path = parts.join("/");
            return Some(match self.inputs.look(&path)? {
                InputNode::Folder => Spot::Folder,
                InputNode::File => Spot::End(Found::Input(path)),
            });
        }
        if rest.is_empty() {
            return Some(Spot::Folder);
        }
        let path = rest.join("/");
        Some(match self.snapshot.get(&path)? {
            Node::Folder => Spot::Folder,
            Node::Link { target } => Spot::Link(target),
            Node::File(facts) => Spot::End(Found::File(path, *facts)),
            Node::Special(kind) => Spot::End(Found::Special(*kind)),
        })
    }
}

/// What one step of a walk has come to.
enum Spot<'a> {
    Folder,
    Link(&'a [u8]),
    End(Found),
}

/// Puts the parts of a link's target before what is still ahead; `None` if it is absolute and not below `pfs`.
fn enqueue(ahead: &mut VecDeque<String>, here: &mut Vec<String>, target: &str, pfs: &Path) -> Option<()> {
    let target = Path::new(target);
    let relative = if target.is_absolute() {
        here.clear();
        target.strip_prefix("/pfs").or_else(|_| target.strip_prefix(pfs)).ok()?
    } else {
        target
    };
    for part in relative.to_str()?.split('/').rev() {
        if !matches!(part, "" | ".") {
            ahead.push_front(part.to_owned());
        }
    }
    Some(())
}

/// Whether `path` is `folder` or lies below it.
fn is_below(path: &str, folder: &str) -> bool {
    folder.is_empty()
        || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct FixedInputs(&'static [&'static str]);

    impl Inputs for FixedInputs {
        fn look(&self, path: &str) -> Option<InputNode> {
            if self.0.contains(&path) {
                return Some(InputNode::File);
            }
            let prefix = format!("{path}/");
            self.0.iter().any(|file| file.starts_with(&prefix)).then_some(InputNode::Folder)
        }

        fn files_below(&self, path: &str) -> Vec<String> {
            let prefix = format!("{path}/");
            self.0.iter().filter(|file| file.starts_with(&prefix)).map(|&file| file.to_owned()).collect()
        }
    }

    const INPUTS: FixedInputs = FixedInputs(&["in/a", "in/dir/b", "in/dir/c"]);
    const FACTS: FileFacts = FileFacts { size: 1, executable: false, alone: true };

    fn snapshot(links: &[(&str, &str)]) -> Snapshot {
        let mut tree = Snapshot::new();
        for folder in ["d", "d/e", "empty"] {
            tree.insert(folder.to_owned(), Node::Folder);
        }
        for file in ["f", "d/g", "d/e/h"] {
            tree.insert(file.to_owned(), Node::File(FACTS));
        }
        tree.insert("fifo".to_owned(), Node::Special(SpecialFile::Fifo));
        for (path, target) in links {
            tree.insert((*path).to_owned(), Node::Link { target: target.as_bytes().to_vec() });
        }
        tree
    }

    /// What the links alone give, as `path=source` for files, `path<-input` for inputs, `path!problem`.
    fn outcome(links: &[(&str, &str)]) -> Vec<String> {
        let read = |links| interpret(&snapshot(links), &INPUTS, Path::new("/scratch/slot/current"));
        let (without, _) = read(&[]);
        let (files, problems) = read(links);
        let mut lines: Vec<String> = files
            .iter()
            .filter(|(path, _)| !without.contains_key(*path))
            .map(|(path, meaning)| match meaning {
                Meaning::File { source, .. } => format!("{path}={source}"),
                Meaning::Input { path: input } => format!("{path}<-{input}"),
            })
            .collect();
        for OutputProblem { path, kind } in problems.into_iter().filter(|problem| problem.path != "fifo") {
            lines.push(match kind {
                ProblemKind::LeadsOut { .. } => format!("{path}!out"),
                ProblemKind::Dangling { .. } => format!("{path}!dangling"),
                ProblemKind::Loop { .. } => format!("{path}!loop"),
                ProblemKind::Special(_) => format!("{path}!special"),
                other => format!("{path}!{other:?}"),
            });
        }
        lines
    }

    #[test]
    fn links_mean_what_the_table_says() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("l", "f", &["l=f"]),
            ("l", "./d//e/../g", &["l=d/g"]),
            ("d/l", "../f", &["d/l=f"]),
            ("l", "/pfs/out/f", &["l=f"]),
            ("l", "/scratch/slot/current/out/f", &["l=f"]),
            ("l", "d", &["l/e/h=d/e/h", "l/g=d/g"]),
            ("l", "empty", &[]),
            ("l", "/pfs/in/a", &["l<-in/a"]),
            ("l", "../in/a", &["l<-in/a"]),
            ("d/e/l", "../../../in/dir", &["d/e/l/b<-in/dir/b", "d/e/l/c<-in/dir/c"]),
            ("l", "/scratch/slot/current/in/a", &["l<-in/a"]),
            ("l", "/etc/passwd", &["l!out"]),
            ("l", "/pfs/../etc/passwd", &["l!out"]),
            ("l", "../../etc/passwd", &["l!out"]),
            ("l", "/pfsx/in/a", &["l!out"]),
            ("l", "nothing", &["l!dangling"]),
            ("l", "/pfs/in/nothing", &["l!dangling"]),
            ("l", "/pfs/other", &["l!dangling"]),
            ("l", "f/below", &["l!dangling"]),
            ("l", "/pfs/in/a/..", &["l!dangling"]),
            ("l", "l", &["l!loop"]),
            ("d/l", ".", &["d/l!loop"]),
            ("d/e/l", "..", &["d/e/l!loop"]),
            ("l", "/pfs/out", &["l!loop"]),
            ("l", "/pfs", &["l!loop"]),
            ("l", "fifo", &["l!special"]),
        ];
        for (path, target, wanted) in cases {
            assert_eq!(outcome(&[(path, target)]), *wanted, "{path} -> {target}");
        }
    }

    #[test]
    fn links_through_links() {
        assert_eq!(
            outcome(&[("l", "m"), ("m", "d"), ("n", "l/g")]),
            ["l/e/h=d/e/h", "l/g=d/g", "m/e/h=d/e/h", "m/g=d/g", "n=d/g"]
        );
        assert_eq!(outcome(&[("l", "m"), ("m", "l")]), ["l!loop", "m!loop"]);
        // Two folders that link to each other: each level is shown once.
        let lines = outcome(&[("d/l", "../empty"), ("empty/m", "../d")]);
        assert!(lines.contains(&"empty/m/l/m!loop".to_owned()), "{lines:?}");
        assert!(lines.contains(&"empty/m/g=d/g".to_owned()), "{lines:?}");
    }

    #[test]
    fn a_bomb_of_links_is_bounded() {
        let mut tree = Snapshot::new();
        for level in 0..30 {
            tree.insert(format!("{level:02}"), Node::Folder);
            for side in ["l", "r"] {
                let target = format!("../{:02}", level + 1).into_bytes();
                tree.insert(format!("{level:02}/{side}"), Node::Link { target });
            }
        }
        tree.insert("30".to_owned(), Node::Folder);
        tree.insert("30/f".to_owned(), Node::File(FACTS));
        let mut reading = Reading::new(&tree, &INPUTS, Path::new("/pfs"));
        reading.max_linked = 1000;
        reading.read();
        assert!(reading.files.len() <= 1001);
        let problems = reading.problems;
        assert_eq!(problems.iter().filter(|problem| problem.kind == ProblemKind::TooManyLinked).count(), 1);
    }

    proptest! {
        /// Whatever the links, nothing outside the tree and the inputs is ever named as content.
        #[test]
        fn only_what_is_there_is_found(
            links in prop::collection::vec(("[a-d]|d/[a-d]|d/e/[a-d]", "(/pfs/)?((\\.\\.|\\.|[a-h]|in|out|d|dir)/){0,4}(\\.\\.|[a-h]|in)"), 0..6),
        ) {
            let links: Vec<(&str, &str)> = links.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            let tree = snapshot(&links);
            let (files, problems) = interpret(&tree, &INPUTS, Path::new("/pfs"));
            for meaning in files.values() {
                match meaning {
                    Meaning::File { source, .. } => prop_assert!(matches!(tree.get(source), Some(Node::File(_)))),
                    Meaning::Input { path } => prop_assert_eq!(INPUTS.look(path), Some(InputNode::File)),
                }
            }
            for (path, node) in &tree {
                let prefix = format!("{path}/");
                let answered = files.keys().any(|file| file == path || file.starts_with(&prefix))
                    || problems.iter().any(|problem| problem.path == *path || problem.path.starts_with(&prefix));
                prop_assert!(answered || !matches!(node, Node::File(_) | Node::Special(_)), "{}", path);
            }
        }
    }
}
