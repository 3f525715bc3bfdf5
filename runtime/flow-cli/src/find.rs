//! What a name or the start of an id means: pipelines, jobs, datums.
//!
//! **Invariant:** an id is never guessed. A start of fewer than four digits, or of more than one id, is an error that
//! says what would help.

use flow_engine::provenance::{self, find_jobs};
use flow_model::{
    datum::DatumInput,
    digest::{DatumId, Digest, JobId},
    job::{DatumEntry, DatumRecord, JobManifest, RunFacts},
    name::PipelineName,
    spec::PipelineVersion,
    state::{JobState, PipelineState},
};

use crate::{condition::running, error::CommandError, session::Open};

/// The fewest digits of an id that are looked up.
const DIGITS_MIN: usize = 4;

/// An ended job.
#[derive(Debug, Clone)]
pub(crate) struct FoundJob {
    pub(crate) pipeline: PipelineName,
    pub(crate) id: JobId,
    pub(crate) state: JobState,
}

/// A datum of an ended job.
#[derive(Debug, Clone)]
pub(crate) struct FoundDatum {
    pub(crate) job: FoundJob,
    pub(crate) manifest: JobManifest,
    pub(crate) id: DatumId,
    pub(crate) entry: DatumEntry,
}

/// A datum of a job with all that is recorded of it.
#[derive(Debug, Clone)]
pub(crate) struct JobDatum {
    pub(crate) id: DatumId,
    pub(crate) entry: DatumEntry,
    pub(crate) record: DatumRecord,
    pub(crate) facts: RunFacts,
}

/// A pipeline of the state with its version.
#[derive(Debug, Clone)]
pub(crate) struct LivePipeline {
    pub(crate) name: PipelineName,
    pub(crate) state: PipelineState,
    pub(crate) version: PipelineVersion,
}

impl Open {
    /// All pipelines, by name.
    pub(crate) async fn pipelines(&self) -> Result<Vec<LivePipeline>, CommandError> {
        let states = self.snapshot.pipelines().await?;
        let ids: Vec<Digest> = states.values().map(|state| state.version.0).collect();
        let versions: Vec<PipelineVersion> = self.snapshot.reader().stored_many(&ids).await?;
        let together = states.into_iter().zip(versions);
        Ok(together.map(|((name, state), version)| LivePipeline { name, state, version }).collect())
    }

    /// A pipeline that must be there.
    pub(crate) async fn pipeline(&self, text: &str) -> Result<LivePipeline, CommandError> {
        let name = PipelineName::parse(text)?;
        let Some(state) = self.snapshot.pipeline(&name).await? else {
            return Err(self.no_pipeline(text, "pipeline").await?);
        };
        let version = self.snapshot.reader().stored(state.version.0).await?;
        Ok(LivePipeline { name, state, version })
    }

    async fn no_pipeline(&self, text: &str, what: &str) -> Result<CommandError, CommandError> {
        let names: Vec<String> = self.snapshot.pipelines().await?.keys().map(ToString::to_string).collect();
        let near = flow_model::similar_name::closest(text, names.iter().map(String::as_str));
        let error = CommandError::user(format!("{what} `{text}` does not exist"));
        Ok(match near {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None if what == "pipeline" => error.help("`flow pipeline ls` lists the pipelines"),
            None => error.help("`flow job ls` lists the jobs, `flow pipeline ls` the pipelines"),
        })
    }

    /// An ended job: by its id or the start of it, or the newest one of a pipeline.
    pub(crate) async fn job(&self, text: &str) -> Result<FoundJob, CommandError> {
        let jobs = find_jobs(&self.snapshot, text).await?;
        match jobs.as_slice() {
            [(pipeline, id)] => self.ended(pipeline, *id).await,
            [] => Err(self.no_job(text).await?),
            many => {
                let shown: Vec<String> = many.iter().map(|(_, id)| id.0.to_string()).collect();
                Err(ambiguous("job", text, &shown))
            }
        }
    }

    async fn ended(&self, pipeline: &PipelineName, id: JobId) -> Result<FoundJob, CommandError> {
        let state = self.snapshot.job(pipeline, id).await?;
        let state = state.ok_or_else(|| {
            CommandError::user(format!("job `{}` of `{pipeline}` is not recorded any more", id.short()))
                .help("`flow job ls` lists the jobs; `flow op log` shows what was undone")
        })?;
        Ok(FoundJob { pipeline: pipeline.clone(), id, state })
    }

    async fn no_job(&self, text: &str) -> Result<CommandError, CommandError> {
        if let Ok(pipeline) = PipelineName::parse(text)
            && self.snapshot.pipeline(&pipeline).await?.is_some()
        {
            return Ok(CommandError::user(format!("pipeline `{pipeline}` has no ended job yet"))
                .help("`flow apply` runs what has work"));
        }
        if let Some(error) = too_short("job", text) {
            return Ok(error);
        }
        let starts = |job: &JobId| text.len() >= DIGITS_MIN && job.to_string().starts_with(text);
        if running(&self.workspace).iter().any(starts) {
            return Ok(CommandError::user(format!("job `{text}` has not ended yet")).help(format!(
                "`flow job ls` shows how far it is, `flow job wait {text}` waits for its end"
            )));
        }
        self.no_pipeline(text, "job or pipeline").await
    }

    /// The newest ended job of a pipeline.
    pub(crate) async fn last_job(&self, pipeline: &PipelineName) -> Result<Option<FoundJob>, CommandError> {
        match self.snapshot.last_job(pipeline).await? {
            Some(last) => self.ended(pipeline, last.job).await.map(Some),
            None => Ok(None),
        }
    }

    /// The manifest of an ended job.
    pub(crate) async fn manifest(&self, job: &FoundJob) -> Result<JobManifest, CommandError> {
        Ok(self.snapshot.reader().stored(job.state.manifest.0).await?)
    }

    /// All ended jobs, or those of one pipeline, newest first.
    pub(crate) async fn jobs(&self, pipeline: Option<&PipelineName>) -> Result<Vec<FoundJob>, CommandError> {
        let mut found: Vec<FoundJob> = match pipeline {
            Some(pipeline) => {
                let jobs = self.snapshot.jobs(pipeline).await?.into_iter();
                jobs.map(|(id, state)| FoundJob { pipeline: pipeline.clone(), id, state }).collect()
            }
            None => {
                let jobs = self.snapshot.all_jobs().await?.into_iter();
                jobs.map(|((pipeline, id), state)| FoundJob { pipeline, id, state }).collect()
            }
        };
        let newest_first =
            |job: &FoundJob| std::cmp::Reverse((job.state.finished, job.state.started, job.id));
        found.sort_by_key(newest_first);
        Ok(found)
    }

    /// The datums of a job whose entries pass, with their records, by id.
    pub(crate) async fn datums_of(
        &self,
        manifest: &JobManifest,
        passes: impl Fn(&DatumEntry) -> bool,
    ) -> Result<Vec<JobDatum>, CommandError> {
        let reader = self.snapshot.reader();
        let mut entries = provenance::datums_of(&reader, manifest).await?;
        entries.retain(|(_, entry)| passes(entry));
        let ids = |of: fn(&DatumEntry) -> Digest| entries.iter().map(|(_, entry)| of(entry)).collect();
        let (records, facts): (Vec<Digest>, Vec<Digest>) =
            (ids(|entry| entry.record.0), ids(|entry| entry.facts));
        let records: Vec<DatumRecord> = reader.stored_many(&records).await?;
        let facts: Vec<RunFacts> = reader.stored_many(&facts).await?;
        let all = entries.into_iter().zip(records).zip(facts);
        Ok(all.map(|(((id, entry), record), facts)| JobDatum { id, entry, record, facts }).collect())
    }

    /// The pipeline of an ended job.
    pub(crate) async fn pipeline_of(&self, job: JobId) -> Result<Option<PipelineName>, CommandError> {
        let jobs = self.snapshot.all_jobs().await?;
        Ok(jobs.into_keys().find(|(_, id)| *id == job).map(|(pipeline, _)| pipeline))
    }

    /// All that is recorded of a datum.
    pub(crate) async fn details(&self, id: DatumId, entry: DatumEntry) -> Result<JobDatum, CommandError> {
        let (record, facts) = provenance::details(&self.snapshot.reader(), &entry).await?;
        Ok(JobDatum { id, entry, record, facts })
    }

    /// A datum by its id or the start of it: in the given job, or in the newest job that has it.
    pub(crate) async fn datum(&self, text: &str, job: Option<&str>) -> Result<FoundDatum, CommandError> {
        if let Some(error) = too_short("datum", text) {
            return Err(error);
        }
        if let Some(job) = job {
            let job = self.job(job).await?;
            let found = self.datums_in(&job, text).await?;
            return one_datum(found, text, &format!("job `{}` of `{}`", job.id.short(), job.pipeline));
        }
        let mut newest = Vec::new();
        for pipeline in self.snapshot.last_jobs().await?.into_keys() {
            let Some(job) = self.last_job(&pipeline).await? else { continue };
            newest.extend(self.datums_in(&job, text).await?);
        }
        if newest.is_empty() {
            for job in self.jobs(None).await? {
                newest = self.datums_in(&job, text).await?;
                if !newest.is_empty() {
                    break;
                }
            }
        }
        one_datum(newest, text, "any job")
    }

    async fn datums_in(&self, job: &FoundJob, text: &str) -> Result<Vec<FoundDatum>, CommandError> {
        let manifest = self.manifest(job).await?;
        let mut entries = self.snapshot.reader().tree(manifest.datums).scan_prefix(&whole_bytes(text));
        let mut found = Vec::new();
        loop {
            let batch = entries.next_batch().await?;
            if batch.is_empty() {
                return Ok(found);
            }
            for (key, value) in batch {
                let id = key.try_into().ok().map(|bytes| DatumId(Digest::from_bytes(bytes)));
                let Some((id, entry)) = id.zip(DatumEntry::decode(&value)) else { continue };
                if id.to_string().starts_with(text) {
                    found.push(FoundDatum { job: job.clone(), manifest: manifest.clone(), id, entry });
                }
            }
        }
    }
}

fn one_datum(mut found: Vec<FoundDatum>, text: &str, place: &str) -> Result<FoundDatum, CommandError> {
    let none = || {
        CommandError::user(format!("no datum `{text}` in {place}"))
            .help("`flow datum ls PIPELINE` lists the datums of its newest job")
    };
    let first = found.first().ok_or_else(none)?;
    if found.iter().any(|datum| datum.id != first.id) {
        let ids: Vec<String> = found.iter().map(|datum| datum.id.to_string()).collect();
        return Err(ambiguous("datum", text, &ids));
    }
    if found.len() > 1 {
        let names: Vec<String> = found.iter().map(|datum| format!("`{}`", datum.job.pipeline)).collect();
        return Err(CommandError::user(format!("datum `{text}` is in jobs of {}", names.join(" and ")))
            .help("say which with `--job PIPELINE`"));
    }
    found.pop().ok_or_else(none)
}

/// An error if `text` cannot be the start of an id that is long enough to be looked up.
pub(crate) fn too_short(noun: &str, text: &str) -> Option<CommandError> {
    if !flow_store::is_id_prefix(text) {
        let error = CommandError::user(format!("`{text}` is no id of a {noun}"));
        let help = "ids are hexadecimal digits, in lower case; the first few are enough";
        return (noun != "job").then(|| error.help(help));
    }
    (text.len() < DIGITS_MIN).then(|| {
        CommandError::user(format!("`{text}` is too short for the id of a {noun}"))
            .help(format!("give at least {DIGITS_MIN} digits"))
    })
}

/// More than one id starts with `text`.
fn ambiguous(noun: &str, text: &str, ids: &[String]) -> CommandError {
    let length = digits_needed(ids).max(text.len() + 1);
    let shown: Vec<String> = ids.iter().take(5).map(|id| format!("`{}`", shorten(id, length))).collect();
    let more = ids.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    CommandError::user(format!("`{text}` is the start of more than one {noun}'s id"))
        .help(format!("give more digits: {}{more}", shown.join(", ")))
}

fn shorten(id: &str, length: usize) -> &str {
    id.get(..length).unwrap_or(id)
}

/// How many digits tell these ids apart.
fn digits_needed(ids: &[String]) -> usize {
    let mut sorted: Vec<&str> = ids.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let common = |pair: &[&str]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
    sorted.windows(2).map(common).max().map_or(DIGITS_MIN, |common| common + 1)
}

/// The whole bytes that hexadecimal digits begin with.
fn whole_bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs.map_while(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// What a human calls a datum: its matched paths.
pub(crate) fn label(inputs: &[DatumInput]) -> String {
    let name = |input: &DatumInput| format!("{}:{}", input.name, input.path);
    inputs.iter().map(name).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_become_whole_bytes() {
        assert_eq!(whole_bytes("00ff1"), [0, 255]);
        assert_eq!(whole_bytes("a"), [] as [u8; 0]);
        assert_eq!(whole_bytes("0a0b"), [10, 11]);
    }

    #[test]
    fn an_ambiguous_start_is_answered_with_digits_that_are_enough() {
        let ids = ["abcd1234ff", "abcd1235ff", "abcdffffff"].map(String::from);
        assert_eq!(digits_needed(&ids), 8);
        let error = ambiguous("job", "abcd", &ids);
        assert_eq!(error.message(), "`abcd` is the start of more than one job's id");
        assert_eq!(error.helps(), ["give more digits: `abcd1234`, `abcd1235`, `abcdffff`"]);
    }

    #[test]
    fn what_is_too_short_or_no_id_says_so() {
        let message = |noun, text| too_short(noun, text).map(|error| error.message().to_owned());
        assert_eq!(message("datum", "abc").unwrap(), "`abc` is too short for the id of a datum");
        assert_eq!(message("datum", "xyzw").unwrap(), "`xyzw` is no id of a datum");
        assert_eq!(message("datum", "abcd"), None);
        assert_eq!(message("job", "count"), None, "it may be a pipeline");
    }
}
