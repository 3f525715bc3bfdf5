//! `flow provenance`: how something was made, and what was made from it.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use flow_engine::provenance::{Made, MadeByDatum, MadeByJob, Place, Step, Use, UseByDatum, down, up};
use flow_model::{
    address::DataAddr,
    datum::ExecutorIdentity,
    digest::{DatumId, DatumKey, JobId, TreeId, VersionId},
    path::RepoPath,
    spec::PipelineVersion,
};
use serde::Serialize;

use crate::{
    Exit,
    args::{Format, OutputArgs},
    commands::get::nothing_at,
    error::CommandError,
    find::label,
    session::Open,
    settings::Settings,
    ui::{Ui, style},
    view::{listing, words},
};

/// Lines of one kind that a person sees below one thing; `--json` has all.
const SHOWN_MAX: usize = 20;

/// Show how a file or commit was made, or what was made from it
///
/// Walks from outputs to the data that somebody put: which datum, which inputs, which version of spec and code, who and
/// when. With --down: from data to everything that jobs made from it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow provenance total@master:/total.tsv   how this file was made
  flow provenance total                     how the newest commit was made
  flow provenance texts:/alice.txt --down   what was made from this file
  flow provenance total@master^ --json")]
pub(crate) struct ProvenanceArgs {
    /// A file, a folder, or a whole commit: `repo@branch:/path`, `repo@commit`
    #[arg(value_name = "ADDRESS")]
    addr: DataAddr,
    /// What was made from it, instead of how it was made
    #[arg(long)]
    down: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// How one thing was made, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepView {
    place: Place,
    #[serde(flatten)]
    made: MadeView,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
enum MadeView {
    Put { author: String, time: String, message: String, from_source: bool },
    Job(Box<JobView>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobView {
    job: JobId,
    pipeline: String,
    version: VersionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_tree: Option<TreeId>,
    cmd: Vec<String>,
    executor: ExecutorIdentity,
    actor: String,
    tool_version: String,
    finished: String,
    reads: Vec<Place>,
    datums: Vec<DatumView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DatumView {
    id: DatumId,
    label: String,
    key: DatumKey,
    ran_in: JobId,
    started: String,
    wall_millis: u64,
    attempts: u32,
    runner: String,
}

/// The versions that jobs ran, by id.
type Versions = BTreeMap<VersionId, PipelineVersion>;

/// Shows where something came from or went to.
pub(crate) async fn provenance(
    args: &ProvenanceArgs,
    settings: &Settings,
    ui: &Ui,
) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let start = place(&open, &args.addr).await?;
    let reader = open.snapshot.reader();
    if args.down {
        let uses = down(&reader, &open.snapshot, start.clone()).await?;
        return print(ui, &args.output, &uses, || {
            if uses.is_empty() {
                "no job has read it\n".to_owned()
            } else {
                DownTree::new(&uses).text(&start)
            }
        });
    }
    let steps = up(&reader, &open.snapshot, start.clone()).await?;
    let versions = versions(&open, &steps).await?;
    let views: Vec<StepView> = steps.iter().map(|step| step_view(step, &versions)).collect();
    print(ui, &args.output, &views, || UpTree::new(&views).text(&start))
}

fn print<T: Serialize>(
    ui: &Ui,
    output: &OutputArgs,
    value: &T,
    text: impl FnOnce() -> String,
) -> Result<Exit, CommandError> {
    match output.format() {
        Some(Format::Json | Format::Yaml) => listing::print_value(ui, output, value)?,
        Some(Format::Wide) | None => ui.data(&text())?,
    }
    Ok(Exit::Done)
}

/// The commit and path that an address means; there must be something.
async fn place(open: &Open, addr: &DataAddr) -> Result<Place, CommandError> {
    let (commit, content) = open.commit(&addr.version).await?;
    let repo = addr.version.repo.clone();
    let Ok(path) = RepoPath::parse(&addr.path) else {
        return Ok(Place { repo, commit, path: "/".to_owned() });
    };
    let files = open.snapshot.reader().files(content.tree);
    if files.get(&path).await?.is_none() && !files.is_folder(&path).await? {
        return Err(nothing_at(addr));
    }
    Ok(Place { repo, commit, path: path.absolute() })
}

async fn versions(open: &Open, steps: &[Step]) -> Result<Versions, CommandError> {
    let mut versions = Versions::new();
    for step in steps {
        if let Made::Job(job) = &step.origin
            && !versions.contains_key(&job.version)
        {
            versions.insert(job.version, open.snapshot.reader().stored(job.version.0).await?);
        }
    }
    Ok(versions)
}

fn step_view(step: &Step, versions: &Versions) -> StepView {
    let made = match &step.origin {
        Made::Put { author, time, message, from_source } => MadeView::Put {
            author: author.clone(),
            time: words::time(*time),
            message: message.clone(),
            from_source: *from_source,
        },
        Made::Job(job) => MadeView::Job(Box::new(job_view(job, versions.get(&job.version)))),
    };
    StepView { place: step.place.clone(), made }
}

fn job_view(job: &MadeByJob, version: Option<&PipelineVersion>) -> JobView {
    let datum = |datum: &MadeByDatum| DatumView {
        id: datum.id,
        label: label(&datum.inputs),
        key: datum.key,
        ran_in: datum.ran_in,
        started: words::time(datum.started),
        wall_millis: datum.wall.0,
        attempts: datum.attempts,
        runner: datum.runner.clone(),
    };
    let mut datums: Vec<DatumView> = job.datums.iter().map(datum).collect();
    datums.sort_by(|a, b| (&a.label, a.id).cmp(&(&b.label, b.id)));
    JobView {
        job: job.job,
        pipeline: job.pipeline.to_string(),
        version: job.version,
        code_tree: version.and_then(|version| version.code_tree),
        cmd: version.map(|version| version.spec.transform.cmd.clone()).unwrap_or_default(),
        executor: job.executor.clone(),
        actor: job.actor.clone(),
        tool_version: job.tool_version.clone(),
        finished: words::time(job.finished),
        reads: job.reads.clone(),
        datums,
    }
}

/// `count@1671c58498c5:/counts/alice.tsv`; a whole commit without a path.
fn address(place: &Place) -> String {
    let path = if place.path == "/" { String::new() } else { format!(":{}", place.path) };
    format!("{}@{}{path}", place.repo, place.commit.short())
}

fn push(text: &mut String, depth: usize, line: &str) {
    text.push_str(&"  ".repeat(depth));
    text.push_str(line);
    text.push('\n');
}

fn push_more(text: &mut String, depth: usize, all: usize) {
    if all > SHOWN_MAX {
        push(text, depth, &format!("and {} more: `--json` has all", all - SHOWN_MAX));
    }
}

/// Steps as a tree of text: each thing with how it was made, and below it what it was made from.
struct UpTree<'a> {
    steps: BTreeMap<&'a Place, &'a MadeView>,
    told: BTreeSet<&'a Place>,
    text: String,
}

impl<'a> UpTree<'a> {
    fn new(steps: &'a [StepView]) -> Self {
        let steps = steps.iter().map(|step| (&step.place, &step.made)).collect();
        Self { steps, told: BTreeSet::new(), text: String::new() }
    }

    fn text(mut self, start: &Place) -> String {
        if let Some((place, _)) = self.steps.get_key_value(start) {
            self.tell(place, 0, "");
        }
        self.text
    }

    fn tell(&mut self, place: &'a Place, depth: usize, before: &str) {
        let strong = style::STRONG;
        let name = format!("{before}{strong}{}{strong:#}", address(place));
        let again = !self.told.insert(place);
        push(&mut self.text, depth, &if again { format!("{name} (see above)") } else { name });
        match self.steps.get(place).copied().filter(|_| !again) {
            None => {}
            Some(MadeView::Put { author, time, message, from_source }) => {
                let from = if *from_source { " from its source folder" } else { "" };
                let why = if message.is_empty() { String::new() } else { format!(": {message}") };
                push(&mut self.text, depth + 1, &format!("put{from} by {author}, {time}{why}"));
            }
            Some(MadeView::Job(job)) => {
                self.job(job, depth + 1);
                for read in job.reads.iter().take(SHOWN_MAX) {
                    self.tell(read, depth + 1, "from ");
                }
                push_more(&mut self.text, depth + 1, job.reads.len());
            }
        }
    }

    fn job(&mut self, job: &JobView, depth: usize) {
        let made = format!(
            "made by pipeline {} in job {}, {}, set off by {}",
            job.pipeline,
            job.job.short(),
            job.finished,
            job.actor
        );
        push(&mut self.text, depth, &made);
        for datum in job.datums.iter().take(SHOWN_MAX) {
            push(&mut self.text, depth, &datum_line(datum, job.job));
        }
        push_more(&mut self.text, depth, job.datums.len());
        let code = job.code_tree.map(|tree| format!(", code {}", tree.0.short())).unwrap_or_default();
        let cmd = words::first_line(&job.cmd.join(" "));
        let program = words::executor(&job.executor);
        push(&mut self.text, depth, &format!("version {}{code}: {cmd}; {program}", job.version.short()));
    }
}

fn datum_line(datum: &DatumView, job: JobId) -> String {
    let reused =
        if datum.ran_in == job { String::new() } else { format!(" in job {}, reused", datum.ran_in.short()) };
    let tries = if datum.attempts > 1 { format!(", try {}", datum.attempts) } else { String::new() };
    format!(
        "datum {} ({}) ran {} for {}{tries} by {}{reused}",
        datum.label,
        datum.id.short(),
        datum.started,
        words::millis(flow_model::time::Millis(datum.wall_millis)),
        datum.runner,
    )
}

/// Uses as a tree of text: each thing, and below it what jobs made from it.
struct DownTree<'a> {
    uses: BTreeMap<&'a Place, Vec<&'a Use>>,
    told: BTreeSet<&'a Place>,
    text: String,
}

impl<'a> DownTree<'a> {
    fn new(uses: &'a [Use]) -> Self {
        let mut by_place: BTreeMap<&Place, Vec<&Use>> = BTreeMap::new();
        uses.iter().for_each(|one| by_place.entry(&one.read).or_default().push(one));
        Self { uses: by_place, told: BTreeSet::new(), text: String::new() }
    }

    fn text(mut self, start: &Place) -> String {
        if let Some((place, _)) = self.uses.get_key_value(start) {
            self.tell(place, 0, "");
        }
        self.text
    }

    fn tell(&mut self, place: &'a Place, depth: usize, before: &str) {
        let strong = style::STRONG;
        let name = format!("{before}{strong}{}{strong:#}", address(place));
        let has_more = self.uses.contains_key(place);
        let again = !self.told.insert(place) && has_more;
        push(&mut self.text, depth, &if again { format!("{name} (see above)") } else { name });
        let uses: Vec<&'a Use> =
            if again { Vec::new() } else { self.uses.get(place).cloned().unwrap_or_default() };
        for one in uses {
            let line = format!("read by pipeline {} in job {}", one.pipeline, one.job.short());
            push(&mut self.text, depth + 1, &line);
            for datum in one.datums.iter().take(SHOWN_MAX) {
                self.datum(datum, depth + 2);
            }
            push_more(&mut self.text, depth + 2, one.datums.len());
        }
    }

    fn datum(&mut self, datum: &'a UseByDatum, depth: usize) {
        let line = format!("datum {} ({}) wrote", datum.label, datum.id.short());
        let nothing = if datum.wrote.is_empty() { " nothing" } else { "" };
        push(&mut self.text, depth, &format!("{line}{nothing}"));
        for place in datum.wrote.iter().take(SHOWN_MAX) {
            self.tell(place, depth + 1, "-> ");
        }
        push_more(&mut self.text, depth + 1, datum.wrote.len());
    }
}

#[cfg(test)]
mod tests {
    use flow_model::digest::{CommitId, Digest};

    use super::*;

    fn place(repo: &str, path: &str) -> Place {
        let commit = CommitId(Digest::of(repo.as_bytes()));
        Place { repo: repo.parse().unwrap(), commit, path: path.to_owned() }
    }

    fn put() -> MadeView {
        let (author, time) = ("me@here".to_owned(), "2026-01-01T00:00:00Z".to_owned());
        MadeView::Put { author, time, message: String::new(), from_source: true }
    }

    fn made_from(reads: &[Place]) -> MadeView {
        let digest = Digest::of(b"x");
        let executor = ExecutorIdentity::Process {
            platform: "linux/x".to_owned(),
            program: "/bin/sh".to_owned(),
            digest,
        };
        MadeView::Job(Box::new(JobView {
            job: JobId(digest),
            pipeline: "p".to_owned(),
            version: VersionId(digest),
            code_tree: None,
            cmd: vec!["sh".to_owned()],
            executor,
            actor: "me@here".to_owned(),
            tool_version: "0".to_owned(),
            finished: "2026-01-01T00:00:01Z".to_owned(),
            reads: reads.to_vec(),
            datums: Vec::new(),
        }))
    }

    #[test]
    fn what_several_things_come_from_is_told_once() {
        let (end, left, right, root) =
            (place("end", "/f"), place("left", "/"), place("right", "/"), place("root", "/x"));
        let steps = [
            StepView { place: end.clone(), made: made_from(&[left.clone(), right.clone()]) },
            StepView { place: left, made: made_from(std::slice::from_ref(&root)) },
            StepView { place: right, made: made_from(std::slice::from_ref(&root)) },
            StepView { place: root.clone(), made: put() },
        ];
        let text = anstream::adapter::strip_str(&UpTree::new(&steps).text(&end)).to_string();
        assert!(text.starts_with(&format!("{}\n  made by pipeline p in job ", address(&end))), "{text}");
        let root = address(&root);
        assert_eq!(
            text.matches(&format!("    from {root}\n      put from its source folder by me@here")).count(),
            1
        );
        assert_eq!(text.matches(&format!("    from {root} (see above)\n")).count(), 1, "{text}");
    }

    #[test]
    fn uses_lead_from_place_to_place() {
        let (start, middle, end) = (place("a", "/f"), place("b", "/g"), place("c", "/h"));
        let one = |read: &Place, wrote: &Place| Use {
            read: read.clone(),
            job: JobId(Digest::of(b"j")),
            pipeline: wrote.repo.as_str().parse().unwrap(),
            datums: vec![UseByDatum {
                id: DatumId(Digest::of(b"d")),
                label: "in:/f".to_owned(),
                wrote: vec![wrote.clone()],
            }],
        };
        let uses = [one(&start, &middle), one(&middle, &end)];
        let text = anstream::adapter::strip_str(&DownTree::new(&uses).text(&start)).to_string();
        let depth = |place: &Place| {
            let line = text.lines().find(|line| line.contains(&address(place))).unwrap();
            line.len() - line.trim_start().len()
        };
        assert_eq!([depth(&start), depth(&middle), depth(&end)], [0, 6, 12], "{text}");
    }
}
