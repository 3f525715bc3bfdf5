//! 10,000 files of 10 KiB into a repo, durably, beside `restic backup` of the same folder.

use std::{fs, path::Path, time::Duration};

use golden_tests::{failure::Failure, look::Look};

use crate::{
    folder,
    table::Table,
    tool::{exists, flow, program, time},
};

const FILES: usize = 10_000;
const BYTES: usize = 10 << 10;

const FIRST: &str = "first time";
const AGAIN: &str = "unchanged";

const SPEC: &str = "\
apiVersion: flow.dev/v1
kind: Repo
metadata: {name: data}
";

pub(crate) fn measure(scratch: &Path, rounds: usize) -> Result<Table, Failure> {
    let mut table = Table::new("10,000 files of 10 KiB into a repo");
    let files = folder(scratch, "files")?;
    write_files(&files)?;
    let with_restic = provide_restic();
    if !with_restic {
        table.note("restic is not installed and cannot be: skipped");
    }
    for round in 0..rounds {
        let scratch = folder(scratch, &round.to_string())?;
        table.add("cp and sync", FIRST, copy(&files, &folder(&scratch, "cp")?)?);
        if with_restic {
            backup(&files, &folder(&scratch, "restic")?, &mut table)?;
        }
        put(&files, &folder(&scratch, "flow")?, &mut table)?;
    }
    table.ratio(FIRST, "flow", "restic", Some(0.4));
    table.ratio(AGAIN, "flow", "restic", None);
    table.ratio(FIRST, "flow", "cp and sync", None);
    Ok(table)
}

fn provide_restic() -> bool {
    if exists("restic") {
        return true;
    }
    println!("restic is not installed: apt-get install -y restic");
    let mut install = program("apt-get", Path::new("/"));
    install.args(["install", "-y", "restic"]);
    time(install).is_ok() && exists("restic")
}

fn copy(files: &Path, to: &Path) -> Result<Duration, Failure> {
    let mut copy = program("sh", to);
    copy.args(["-c", "cp -r \"$1\" . && sync -f .", "sh"]).arg(files);
    time(copy)
}

fn backup(files: &Path, scratch: &Path, table: &mut Table) -> Result<(), Failure> {
    let restic = |command: &str| {
        let mut restic = program("restic", scratch);
        restic.env("RESTIC_PASSWORD", "bench").env("RESTIC_REPOSITORY", scratch.join("repo"));
        restic.env("RESTIC_CACHE_DIR", scratch.join("cache")).arg(command);
        restic
    };
    time(restic("init"))?;
    for question in [FIRST, AGAIN] {
        let mut backup = restic("backup");
        backup.arg(files);
        table.add("restic", question, time(backup)?);
    }
    Ok(())
}

fn put(files: &Path, workspace: &Path, table: &mut Table) -> Result<(), Failure> {
    let spec = workspace.join("repo.yaml");
    fs::write(&spec, SPEC).map_err(Failure::io("write", &spec))?;
    time(flow(workspace, &["apply", "--auto-approve"])?)?;
    for question in [FIRST, AGAIN] {
        let mut put = flow(workspace, &["put", "data@master:/", "-r", "-f"])?;
        put.arg(files);
        table.add("flow", question, time(put)?);
    }
    let branch = Look::at(workspace)?.branch("data", "master")?;
    if branch.files == FILES as u64 && branch.bytes == (FILES * BYTES) as u64 {
        return Ok(());
    }
    Err(Failure::Differs(format!("{FILES} files of {BYTES} bytes were put: {branch:?}")))
}

/// Files that do not compress: 100 folders of 100, from a fixed seed.
fn write_files(parent: &Path) -> Result<(), Failure> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for number in 0..FILES {
        let path = folder(parent, &format!("{:02}", number % 100))?.join(format!("{number:05}.bin"));
        let words = (0..BYTES / 8).flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        fs::write(&path, words.collect::<Vec<u8>>()).map_err(Failure::io("write", &path))?;
    }
    Ok(())
}
