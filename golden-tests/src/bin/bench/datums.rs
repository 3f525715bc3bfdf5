//! 1,000 datums that copy one file of 1 KiB, two at a time: what flow costs beside the work itself.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use golden_tests::{failure::Failure, look::Look};

use crate::{
    folder,
    table::Table,
    tool::{exists, flow, program, time},
};

const DATUMS: usize = 1000;
const CHANGED: usize = 10;

const FIRST: &str = "first run";
const NOTHING: &str = "nothing to do";
const SOME: &str = "10 changed";

const SPEC: &str = "\
apiVersion: flow.dev/v1
kind: Repo
metadata: {name: in}
spec: {source: {path: ./in}}
---
apiVersion: flow.dev/v1
kind: Pipeline
metadata: {name: copy}
spec:
  input: {pfs: {repo: in, glob: /*}}
  transform: {cmd: [cp, -r, /pfs/in/., /pfs/out]}
  parallelismSpec: {constant: 2}
";

/// A build tool, or flow, in a folder of its own.
struct Contestant {
    name: &'static str,
    folder: PathBuf,
}

pub(crate) fn measure(scratch: &Path, rounds: usize) -> Result<Table, Failure> {
    let mut table = Table::new("1,000 datums that copy one file of 1 KiB, two at a time");
    for round in 0..rounds {
        let scratch = folder(scratch, &round.to_string())?;
        table.add("cp alone", FIRST, spawn_alone(&folder(&scratch, "alone")?)?);
        for name in ["make", "ninja", "flow"] {
            if name != "flow" && !exists(name) {
                table.note(format!("{name} is not installed: skipped"));
                continue;
            }
            let contestant = Contestant { name, folder: folder(&scratch, name)? };
            contestant.compete(&mut table)?;
        }
    }
    table.ratio(FIRST, "flow", "ninja", Some(2.0));
    table.ratio(FIRST, "flow", "make", None);
    table.limit(NOTHING, "flow", Duration::from_millis(50));
    table.ratio(SOME, "flow", "ninja", None);
    Ok(table)
}

/// What the work itself costs: `cp` started by two threads, nothing else.
fn spawn_alone(scratch: &Path) -> Result<Duration, Failure> {
    write_inputs(scratch, 0..DATUMS, 'a')?;
    folder(scratch, "out")?;
    let started = Instant::now();
    let half = |first: usize| {
        (first..DATUMS).step_by(2).try_for_each(|number| {
            let mut copy = program("cp", scratch);
            copy.args([format!("in/{number:04}"), format!("out/{number:04}")]);
            copy.status().map(drop).map_err(Failure::io("start", Path::new("cp")))
        })
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        half(0).and(other.join().unwrap_or(Ok(())))
    })?;
    Ok(started.elapsed())
}

impl Contestant {
    fn compete(&self, table: &mut Table) -> Result<(), Failure> {
        write_inputs(&self.folder, 0..DATUMS, 'a')?;
        self.write_rules()?;
        table.add(self.name, FIRST, self.run()?);
        self.check('a', 'a', DATUMS)?;
        table.add(self.name, NOTHING, self.run()?);
        self.check('a', 'a', DATUMS)?;
        // Tools that go by time stamps see a change only if the clock of the file system has moved on.
        thread::sleep(Duration::from_millis(20));
        write_inputs(&self.folder, 0..CHANGED, 'b')?;
        table.add(self.name, SOME, self.run()?);
        self.check('b', 'a', CHANGED)
    }

    fn write_rules(&self) -> Result<(), Failure> {
        let (file, text) = match self.name {
            "make" => ("Makefile", makefile()),
            "ninja" => ("build.ninja", ninja_file()),
            _ => ("flow.specs.yaml", SPEC.to_owned()),
        };
        folder(&self.folder, "out")?;
        write(&self.folder.join(file), &text)
    }

    fn run(&self) -> Result<Duration, Failure> {
        time(match self.name {
            "flow" => flow(&self.folder, &["apply", "--auto-approve"])?,
            tool => {
                let mut command = program(tool, &self.folder);
                command.arg("-j2");
                command
            }
        })
    }

    /// Whether the first files have the first content and the others the other, and flow ran no more than it had to.
    fn check(&self, first: char, others: char, ran: usize) -> Result<(), Failure> {
        let outputs = if self.name == "flow" {
            let look = Look::at(&self.folder)?;
            let counts = look.last_counts("copy")?;
            if counts.processed != ran as u64 || counts.total != DATUMS as u64 {
                return Err(Failure::Differs(format!("{ran} datums were to be run: {counts:?}")));
            }
            look.files("copy", "master")?
        } else {
            read_outputs(&self.folder.join("out"))?
        };
        let expected = |number: usize| content(number, if number < CHANGED { first } else { others });
        let right = |number: usize| {
            outputs.get(number).is_some_and(|(name, text)| {
                name.trim_start_matches('/') == format!("{number:04}") && *text == expected(number)
            })
        };
        match (0..DATUMS).find(|number| !right(*number)) {
            None => Ok(()),
            Some(number) => Err(Failure::Differs(format!("output {number} of {} is wrong", self.name))),
        }
    }
}

fn read_outputs(folder: &Path) -> Result<Vec<(String, String)>, Failure> {
    (0..DATUMS)
        .map(|number| {
            let name = format!("{number:04}");
            let path = folder.join(&name);
            let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
            Ok((name, text))
        })
        .collect()
}

fn write_inputs(parent: &Path, numbers: std::ops::Range<usize>, letter: char) -> Result<(), Failure> {
    let inputs = folder(parent, "in")?;
    numbers
        .into_iter()
        .try_for_each(|number| write(&inputs.join(format!("{number:04}")), &content(number, letter)))
}

/// 1 KiB of text, different for each number.
fn content(number: usize, letter: char) -> String {
    let line = format!("{number:07}{letter}");
    line.repeat(1024 / line.len())
}

fn makefile() -> String {
    let names: Vec<String> = (0..DATUMS).map(|number| format!("out/{number:04}")).collect();
    format!("all: {}\nout/%: in/%\n\t@cp $< $@\n", names.join(" "))
}

fn ninja_file() -> String {
    let builds = (0..DATUMS).map(|number| format!("build out/{number:04}: copy in/{number:04}\n"));
    "rule copy\n  command = cp $in $out\n".to_owned() + &builds.collect::<String>()
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(Failure::io("write", path))
}
