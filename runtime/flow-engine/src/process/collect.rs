//! Reads what a datum left in `/pfs/out` after every process of it is gone, and empties it for the next.
//!
//! The tree is listed once, folder by folder, with modes repaired on the way (folders of mode 0000 are ours to
//! open), never through a symlink; what the entries mean is decided by `resolve`.
//!
//! **Invariant:** every path that is opened is opened beneath the slot's `out`, without following a symlink, so
//! that nothing user code has made leads flow to read or take a file elsewhere.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};

use super::beneath::{ensure_folder, is_other_kind, list, make_accessible, open, open_folder, open_own, os};
use super::resolve::{
    FileFacts, InputNode, Inputs, Meaning, Node, OutputProblem, ProblemKind, Snapshot, SpecialFile, interpret,
};
use super::{Sandbox, SlotDirs, View, sweep};

/// A file that a datum has produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Path below `/pfs/out`.
    pub path: String,
    /// What its content is.
    pub kind: OutputKind,
    /// Where the content lies below `/pfs/out`; differs from `path` behind a symlink.
    source: String,
}

/// What the content of an output is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputKind {
    /// A file of its own: see [`Collected::open`] and [`Collected::take`].
    File {
        /// Bytes.
        size: u64,
        /// Whether its owner may execute it.
        executable: bool,
        /// Whether [`Collected::take`] may be used: nothing else can change or needs this file.
        movable: bool,
    },
    /// The same content as an input; nothing needs to be read.
    InputLink {
        /// Path of the input below `/pfs`.
        input_path: String,
    },
}

/// What a datum left in `/pfs/out`.
#[derive(Debug)]
pub struct Collected {
    /// The outputs, sorted by path.
    pub files: Vec<OutputFile>,
    /// What cannot be an output, sorted by path. If there is any, the datum has failed.
    pub problems: Vec<OutputProblem>,
    out: Option<OwnedFd>,
}

impl Collected {
    /// Opens an output of kind [`OutputKind::File`] for reading.
    pub fn open(&self, file: &OutputFile) -> io::Result<File> {
        let out = self.out.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok(open(out, OsStr::new(&file.source), OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK)?.into())
    }

    /// Moves a movable output to `target`, which must be on the same file system; owner and mode stay.
    pub fn take(&self, file: &OutputFile, target: &Path) -> io::Result<()> {
        if !matches!(file.kind, OutputKind::File { movable: true, .. }) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "this output cannot be moved, only read",
            ));
        }
        let out = self.out.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let (parent, name) = file.source.rsplit_once('/').unwrap_or(("", &file.source));
        let parent = open_folder(out, OsStr::new(parent))?;
        Ok(rustix::fs::renameat(parent, name, CWD, target)?)
    }
}

/// Reads `/pfs/out`. No program may be running in the slot.
///
/// An error means that the slot's own folder is unusable; whatever is wrong with single outputs is a problem.
pub fn collect(dirs: &SlotDirs, sandbox: Sandbox) -> io::Result<Collected> {
    let root = open_own(dirs.root())?;
    let opened = open_folder(&root, OsStr::new("current")).and_then(|current| {
        let out = match sandbox {
            Sandbox::Namespaces => open_folder(&root, OsStr::new("out"))?,
            Sandbox::Plain => open_folder(&current, OsStr::new("out"))?,
        };
        Ok((out, current))
    });
    let (out, current) = match opened {
        Err(error) if is_other_kind(&error) => {
            let replaced = OutputProblem { path: String::new(), kind: ProblemKind::OutReplaced };
            return Ok(Collected { files: Vec::new(), problems: vec![replaced], out: None });
        }
        other => other?,
    };
    let mut problems = Vec::new();
    let snapshot = take_snapshot(&out, &mut problems)?;
    let view = View::new(dirs, sandbox, None);
    let (meanings, more) = interpret(&snapshot, &StagedInputs(current), &view.pfs);
    problems.extend(more);
    problems.sort();
    Ok(Collected { files: to_files(meanings, sandbox), problems, out: Some(out) })
}

/// Empties `/pfs/out`, and puts it back if a program in a plain slot has replaced it.
pub fn reset_out(dirs: &SlotDirs, sandbox: Sandbox) -> io::Result<()> {
    let root = open_own(dirs.root())?;
    let out = match sandbox {
        Sandbox::Namespaces => open_folder(&root, OsStr::new("out"))?,
        Sandbox::Plain => ensure_folder(ensure_folder(&root, "current")?, "out")?,
    };
    sweep::empty(&out)?;
    if rustix::fs::fstat(&out)?.st_mode & 0o7777 != 0o777 {
        rustix::fs::fchmod(&out, Mode::from_raw_mode(0o777))?;
    }
    Ok(())
}

fn to_files(meanings: BTreeMap<String, Meaning>, sandbox: Sandbox) -> Vec<OutputFile> {
    let mut uses: BTreeMap<&str, u32> = BTreeMap::new();
    for meaning in meanings.values() {
        if let Meaning::File { source, .. } = meaning {
            *uses.entry(source).or_default() += 1;
        }
    }
    // In a plain slot a process that got away may still have the file open for writing.
    let moves = |source: &str, facts: &FileFacts| {
        sandbox == Sandbox::Namespaces && facts.alone && uses.get(source) == Some(&1)
    };
    let movable: Vec<bool> = meanings
        .values()
        .map(|meaning| matches!(meaning, Meaning::File { source, facts } if moves(source, facts)))
        .collect();
    let with_moves = meanings.into_iter().zip(movable);
    with_moves
        .map(|((path, meaning), movable)| match meaning {
            Meaning::File { source, facts } => {
                let FileFacts { size, executable, .. } = facts;
                OutputFile { path, source, kind: OutputKind::File { size, executable, movable } }
            }
            Meaning::Input { path: input_path } => {
                OutputFile { path, source: String::new(), kind: OutputKind::InputLink { input_path } }
            }
        })
        .collect()
}

/// Lists the whole tree and makes all of it readable.
fn take_snapshot(out: &OwnedFd, problems: &mut Vec<OutputProblem>) -> io::Result<Snapshot> {
    let own_id = rustix::process::geteuid().as_raw();
    let mut snapshot = Snapshot::new();
    let mut folders = vec![String::new()];
    while let Some(folder_path) = folders.pop() {
        let listed =
            open_folder(out, OsStr::new(&folder_path)).and_then(|folder| Ok((list(&folder)?, folder)));
        let (entries, folder) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                problems.push(unreadable(folder_path, &error));
                continue;
            }
        };
        for (name, _) in entries {
            let shown = os(&name).to_string_lossy();
            let path =
                if folder_path.is_empty() { shown.into_owned() } else { format!("{folder_path}/{shown}") };
            let Ok(name) = name.into_string() else {
                problems.push(OutputProblem { path, kind: ProblemKind::NotUtf8 });
                continue;
            };
            match look(&folder, &name, own_id) {
                Ok(node) => {
                    if node == Node::Folder {
                        folders.push(path.clone());
                    }
                    snapshot.insert(path, node);
                }
                Err(error) => problems.push(unreadable(path, &error)),
            }
        }
    }
    Ok(snapshot)
}

fn unreadable(path: String, error: &io::Error) -> OutputProblem {
    OutputProblem { path, kind: ProblemKind::Unreadable { reason: error.to_string() } }
}

fn look(folder: impl AsFd, name: &str, own_id: u32) -> io::Result<Node> {
    let folder = folder.as_fd();
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Node::Folder,
        FileType::RegularFile => {
            if stat.st_mode & 0o400 == 0 {
                make_accessible(folder, OsStr::new(name), Mode::RUSR)?;
            }
            Node::File(facts(&stat, own_id))
        }
        FileType::Symlink => {
            Node::Link { target: rustix::fs::readlinkat(folder, name, Vec::new())?.into_bytes() }
        }
        FileType::Fifo => Node::Special(SpecialFile::Fifo),
        FileType::Socket => Node::Special(SpecialFile::Socket),
        FileType::BlockDevice | FileType::CharacterDevice => Node::Special(SpecialFile::Device),
        FileType::Unknown => Node::Special(SpecialFile::Unknown),
    })
}

fn facts(stat: &Stat, own_id: u32) -> FileFacts {
    FileFacts {
        size: u64::try_from(stat.st_size).unwrap_or(0),
        executable: stat.st_mode & 0o100 != 0,
        alone: stat.st_nlink == 1 && stat.st_uid == own_id,
    }
}

/// The inputs in the slot's `current` folder.
struct StagedInputs(OwnedFd);

impl Inputs for StagedInputs {
    fn look(&self, path: &str) -> Option<InputNode> {
        let handle = open(&self.0, OsStr::new(path), OFlags::PATH).ok()?;
        let stat = rustix::fs::fstat(handle).ok()?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Some(InputNode::Folder),
            FileType::RegularFile => Some(InputNode::File),
            _ => None,
        }
    }

    fn files_below(&self, path: &str) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            // What cannot be listed was put there by a program of a plain slot: no input of ours.
            let listed = open_folder(&self.0, OsStr::new(&folder)).and_then(list).unwrap_or_default();
            for (name, _) in listed {
                let path = format!("{folder}/{}", os(&name).to_string_lossy());
                match self.look(&path) {
                    Some(InputNode::Folder) => folders.push(path),
                    Some(InputNode::File) => files.push(path),
                    None => {}
                }
            }
        }
        files
    }
}
