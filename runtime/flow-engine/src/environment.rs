//! The environment that user code gets: Pachyderm's variables, the declared ones, and three of the machine's.
//!
//! | variable | value |
//! |---|---|
//! | `PATH`, `HOME`, `LANG` | the machine's; `transform.env` may replace them |
//! | `transform.env` | as declared, not expanded |
//! | `<input>` | `/pfs/<input>/<matched path>`, `/pfs/<input>` for the glob `/` |
//! | `<input>_COMMIT` | the commit that is read |
//! | `PACH_DATUM_ID`, `PACH_JOB_ID`, `PACH_OUTPUT_COMMIT_ID` | ids; the last is the commit set's |
//! | `PPS_PIPELINE_NAME`, `PPS_PROJECT_NAME` | names |
//! | `FLOW_PFS` | the folder that holds the inputs: `/pfs`, or a temporary one without a sandbox |
//!
//! Except for the first row, Pachyderm's variables win over declared ones, as they did there.

use std::collections::BTreeMap;

use crate::{
    process::View,
    protocol::{DatumTask, JobSpec},
};

/// The part of the environment that is the machine's, read once by the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Where programs are looked for.
    pub path: String,
    /// Language and character set.
    pub lang: String,
}

/// The whole environment of a datum; `view` says where the slot shows things.
#[must_use]
pub fn datum_environment(
    job: &JobSpec,
    task: &DatumTask,
    machine: &Environment,
    view: &View,
) -> BTreeMap<String, String> {
    let pfs = view.pfs.display();
    let mut env = BTreeMap::from([
        ("HOME".to_owned(), view.home.display().to_string()),
        ("PATH".to_owned(), machine.path.clone()),
        ("LANG".to_owned(), machine.lang.clone()),
    ]);
    env.extend(job.version.spec.transform.env.clone());
    for input in &task.inputs {
        let path = input.path.trim_end_matches('/');
        env.insert(input.name.to_string(), format!("{pfs}/{}{path}", input.name));
        let leaf = job
            .inputs
            .iter()
            .find(|leaf| leaf.name == input.name && leaf.repo == input.repo && leaf.branch == input.branch);
        if let Some(leaf) = leaf {
            env.insert(format!("{}_COMMIT", input.name), leaf.commit.to_string());
        }
    }
    env.extend([
        ("FLOW_PFS".to_owned(), pfs.to_string()),
        ("PACH_DATUM_ID".to_owned(), task.id.to_string()),
        ("PACH_JOB_ID".to_owned(), job.job.to_string()),
        ("PACH_OUTPUT_COMMIT_ID".to_owned(), job.commit_set.to_string()),
        ("PPS_PIPELINE_NAME".to_owned(), job.pipeline.to_string()),
        ("PPS_PROJECT_NAME".to_owned(), job.project.to_string()),
    ]);
    env
}
