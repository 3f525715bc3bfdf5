//! Every field that any generation of Pachyderm, or flow itself, knows, and how far it is supported.
//!
//! Names are in `snake_case`; both that and `camelCase` are accepted. A field whose value equals what flow does anyway
//! is harmless: accepting it loses nothing.

/// How far a field is supported.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Support {
    /// It works.
    Now,
    /// It says nothing about the pipeline: editors add it.
    Ignored,
    /// Known, not built yet. The help may be empty.
    Later(Harmless, &'static str),
    /// Of an earlier generation. The help shows today's form.
    Legacy(Harmless, &'static str),
    /// Belongs elsewhere; the help says where.
    Misplaced(&'static str),
}

/// Which values of an unsupported field mean "as always".
#[derive(Clone, Copy, Debug)]
pub(crate) enum Harmless {
    /// None: to write the field at all says something.
    Nothing,
    /// What Pachyderm takes for "not set": `false`, `0`, `""`, an empty list or object.
    Unset,
    /// The same, and this word.
    Word(&'static str),
}

/// A field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) support: Support,
}

/// The fields of one kind of object.
#[derive(Debug)]
pub(crate) struct Rules {
    /// For messages: `unknown field in a transform`.
    pub(crate) what: &'static str,
    /// Several lists, because a native manifest and a bare spec share most fields.
    pub(crate) fields: &'static [&'static [Rule]],
    /// Where a field that is not among these may belong instead.
    pub(crate) homes: &'static [(&'static Rules, &'static str)],
}

impl Rules {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static Rule> {
        self.fields.iter().flat_map(|fields| fields.iter())
    }

    /// The rule for a key in either spelling.
    pub(crate) fn find(&self, key: &str) -> Option<&'static Rule> {
        self.iter().find(|rule| spells(key, rule.name))
    }
}

/// Whether `key` is `name`, which is in snake case, in snake or camel case.
pub(crate) fn spells(key: &str, name: &str) -> bool {
    key == name || (name.contains('_') && is_camel_case_of(key.as_bytes(), name.as_bytes()))
}

fn is_camel_case_of(key: &[u8], name: &[u8]) -> bool {
    let mut key = key.iter();
    let mut upper = false;
    for byte in name {
        if *byte == b'_' {
            upper = true;
            continue;
        }
        let wanted = if upper { byte.to_ascii_uppercase() } else { *byte };
        upper = false;
        if key.next() != Some(&wanted) {
            return false;
        }
    }
    key.next().is_none()
}

/// A snake case name in camel case.
pub(crate) fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut camel, word| {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
        camel
    })
}

const fn now(name: &'static str) -> Rule {
    Rule { name, support: Support::Now }
}

const fn ignored(name: &'static str) -> Rule {
    Rule { name, support: Support::Ignored }
}

const fn later(name: &'static str, harmless: Harmless) -> Rule {
    Rule { name, support: Support::Later(harmless, "") }
}

const fn later_help(name: &'static str, harmless: Harmless, help: &'static str) -> Rule {
    Rule { name, support: Support::Later(harmless, help) }
}

const fn legacy(name: &'static str, harmless: Harmless, help: &'static str) -> Rule {
    Rule { name, support: Support::Legacy(harmless, help) }
}

const fn misplaced(name: &'static str, help: &'static str) -> Rule {
    Rule { name, support: Support::Misplaced(help) }
}

use Harmless::{Nothing, Unset, Word};

const BODY_FLAG: &str = "what a run is to do is said on the command line, not in the spec";

/// What native and bare pipelines share.
const PIPELINE: &[Rule] = &[
    now("description"),
    now("transform"),
    now("input"),
    now("parallelism_spec"),
    now("datum_tries"),
    now("datum_timeout"),
    ignored("$schema"),
    later("tf_job", Nothing),
    later("egress", Nothing),
    later_help("update", Unset, BODY_FLAG),
    later_help("reprocess", Unset, BODY_FLAG),
    later_help("dry_run", Unset, BODY_FLAG),
    later_help("output_branch", Word("master"), "output goes to `master`; remove it"),
    later("s3_out", Unset),
    later("resource_requests", Nothing),
    later("resource_limits", Nothing),
    later("sidecar_resource_limits", Nothing),
    later("sidecar_resource_requests", Nothing),
    later("service", Nothing),
    later("spout", Nothing),
    later("datum_set_spec", Nothing),
    later("job_timeout", Unset),
    later("salt", Unset),
    later("reprocess_spec", Word("until_success")),
    later("autoscaling", Unset),
    later("maximum_expected_uptime", Unset),
    later("scheduling_spec", Nothing),
    later("tolerations", Unset),
    later("pod_spec", Unset),
    later("pod_patch", Unset),
    later("spec_commit", Nothing),
    later("determined", Nothing),
    legacy("parallelism", Nothing, "write `parallelism_spec: {constant: N}`"),
    legacy("inputs", Unset, "write `input: {pfs: {repo, glob}}`, or a `cross` of several"),
    legacy("no_archive", Unset, "remove it"),
    legacy("gc_policy", Unset, "remove it"),
    legacy("resource_spec", Nothing, "today's form is `resource_requests`"),
    legacy("scale_down_threshold", Unset, "today's form is `autoscaling`"),
    legacy("incremental", Unset, "remove it: datums that did not change are never run again"),
    legacy("enable_stats", Unset, "remove it: every datum is recorded"),
    legacy("batch", Unset, "remove it"),
    legacy("max_queue_size", Unset, "remove it"),
    legacy("cache_size", Unset, "remove it"),
    legacy("chunk_spec", Nothing, "today's form is `datum_set_spec`"),
    legacy("hashtree_spec", Nothing, "remove it"),
    legacy("standby", Unset, "today's form is `autoscaling`"),
];

/// A pipeline spec of Pachyderm.
pub(crate) static BARE_PIPELINE: Rules = Rules {
    what: "a pipeline spec",
    fields: &[
        &[now("pipeline")],
        PIPELINE,
        &[
            later("metadata", Nothing),
            misplaced(
                "deletion_policy",
                "only a native manifest has it: `apiVersion: flow.dev/v1`, `kind: Pipeline`",
            ),
        ],
    ],
    homes: &[
        (&PIPELINE_REF, "`pipeline`"),
        (&TRANSFORM, "`transform`"),
        (&INPUT, "`input`"),
        (&PFS, "`input.pfs`"),
        (&PARALLELISM, "`parallelism_spec`"),
    ],
};

/// The `spec` of a native pipeline.
pub(crate) static NATIVE_PIPELINE: Rules = Rules {
    what: "the spec of a pipeline",
    fields: &[
        PIPELINE,
        &[now("deletion_policy"), misplaced("pipeline", "the name of a native manifest is `metadata.name`")],
    ],
    homes: &[
        (&METADATA, "`metadata`"),
        (&TRANSFORM, "`transform`"),
        (&INPUT, "`input`"),
        (&PFS, "`input.pfs`"),
        (&PARALLELISM, "`parallelismSpec`"),
    ],
};

/// The field `pipeline` of a bare spec.
pub(crate) static PIPELINE_REF: Rules =
    Rules { what: "`pipeline`", fields: &[&[now("name"), now("project")]], homes: &[] };

/// A project by name.
pub(crate) static PROJECT_REF: Rules = Rules { what: "`project`", fields: &[&[now("name")]], homes: &[] };

pub(crate) static PARALLELISM: Rules = Rules {
    what: "`parallelism_spec`",
    fields: &[&[
        now("constant"),
        legacy("strategy", Word("CONSTANT"), "write `parallelism_spec: {constant: N}`"),
        legacy("coefficient", Unset, "write `parallelism_spec: {constant: N}`"),
    ]],
    homes: &[],
};

pub(crate) static TRANSFORM: Rules = Rules {
    what: "a transform",
    fields: &[&[
        now("image"),
        now("cmd"),
        now("stdin"),
        now("env"),
        now("code"),
        now("working_dir"),
        now("accept_return_code"),
        now("err_cmd"),
        now("err_stdin"),
        later("secrets", Unset),
        later("image_pull_secrets", Unset),
        later("debug", Unset),
        later("user", Unset),
        later("dockerfile", Unset),
        later("memory_volume", Unset),
        later("datum_batching", Unset),
        later_help("code_tree", Unset, "write `code` with the folder"),
        later("image_digest", Unset),
        legacy("build", Nothing, "ship source files with `code: ./folder`"),
        legacy("overwrite", Unset, "remove it"),
    ]],
    homes: &[(&NATIVE_PIPELINE, "the pipeline, beside `transform`")],
};

pub(crate) static INPUT: Rules = Rules {
    what: "an input",
    fields: &[&[
        now("pfs"),
        now("cross"),
        now("union"),
        later("join", Unset),
        later("group", Unset),
        later("cron", Nothing),
        legacy("atom", Nothing, "`atom` is called `pfs` today"),
        legacy("git", Nothing, "it was removed from Pachyderm 2.0; commit files with `flow put`"),
    ]],
    homes: &[(&PFS, "`pfs`, below the input"), (&NATIVE_PIPELINE, "the pipeline, beside `input`")],
};

pub(crate) static PFS: Rules = Rules {
    what: "a pfs input",
    fields: &[&[
        now("name"),
        now("repo"),
        now("branch"),
        now("glob"),
        now("commit"),
        now("project"),
        later("repo_type", Word("user")),
        later("join_on", Unset),
        later("outer_join", Unset),
        later("group_by", Unset),
        later("lazy", Unset),
        later("empty_files", Unset),
        later("s3", Unset),
        later("trigger", Nothing),
        later("propagation_spec", Nothing),
        later("reference", Unset),
        legacy("from_commit", Unset, "remove it"),
    ]],
    homes: &[(&NATIVE_PIPELINE, "the pipeline, beside `input`"), (&INPUT, "an input, beside `pfs`")],
};

/// A native manifest.
pub(crate) static MANIFEST: Rules = Rules {
    what: "a manifest",
    fields: &[&[
        now("api_version"),
        now("kind"),
        now("metadata"),
        now("spec"),
        ignored("$schema"),
        later_help("status", Nothing, "it is the cluster's, not yours: remove it"),
    ]],
    homes: &[(&METADATA, "`metadata`"), (&NATIVE_PIPELINE, "`spec`"), (&REPO, "`spec`")],
};

pub(crate) static METADATA: Rules = Rules {
    what: "`metadata`",
    fields: &[&[
        now("name"),
        later("labels", Unset),
        later("annotations", Unset),
        later_help("namespace", Unset, "the project is named in flow.yaml or with `--project`"),
    ]],
    homes: &[(&NATIVE_PIPELINE, "`spec`"), (&REPO, "`spec`")],
};

/// The `spec` of a native repo.
pub(crate) static REPO: Rules = Rules {
    what: "the spec of a repo",
    fields: &[&[now("description"), now("source"), now("deletion_policy")]],
    homes: &[(&METADATA, "`metadata`"), (&SOURCE, "`source`")],
};

pub(crate) static SOURCE: Rules = Rules {
    what: "a source",
    fields: &[&[now("path"), now("branch"), later_help("tree", Unset, "write `path` with the folder")]],
    homes: &[(&REPO, "the repo's `spec`")],
};

/// `flow.yaml`.
pub(crate) static SETTINGS: Rules = Rules {
    what: "the settings",
    fields: &[&[
        now("project"),
        now("context"),
        now("contexts"),
        ignored("$schema"),
        later("kubernetes", Nothing),
        later("registries", Nothing),
        later("workers", Nothing),
        later("variables", Nothing),
        later("environments", Nothing),
        later("defaults", Nothing),
    ]],
    homes: &[(&CONTEXT, "a context, below `contexts`")],
};

/// A context of `flow.yaml`.
pub(crate) static CONTEXT: Rules = Rules {
    what: "a context",
    fields: &[&[
        now("store"),
        later("store_in_cluster", Nothing),
        later("kubernetes", Nothing),
        later("registries", Nothing),
        later("workers", Nothing),
    ]],
    homes: &[],
};

/// Where a field belongs that was put one level too high or too low.
pub(crate) fn home_of(key: &str, rules: &Rules) -> Option<&'static str> {
    let works = |rule: &Rule| matches!(rule.support, Support::Now) && spells(key, rule.name);
    rules.homes.iter().find(|(other, _)| other.iter().any(works)).map(|(_, home)| *home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_known_and_nothing_else() {
        for key in ["datum_tries", "datumTries"] {
            assert!(spells(key, "datum_tries"), "{key}");
        }
        for key in ["datumtries", "datum_Tries", "datum-tries", "DatumTries", "datumTriesX", "datumTrie"] {
            assert!(!spells(key, "datum_tries"), "{key}");
        }
        assert!(spells("s3Out", "s3_out") && spells("apiVersion", "api_version"));
        assert_eq!(camel_case("sidecar_resource_limits"), "sidecarResourceLimits");
    }

    #[test]
    fn no_field_has_two_rules() {
        for rules in [
            &BARE_PIPELINE,
            &NATIVE_PIPELINE,
            &PIPELINE_REF,
            &PARALLELISM,
            &TRANSFORM,
            &INPUT,
            &PFS,
            &MANIFEST,
            &METADATA,
            &REPO,
            &SOURCE,
            &SETTINGS,
            &CONTEXT,
        ] {
            let mut names: Vec<&str> = rules.iter().map(|rule| rule.name).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", rules.what);
        }
    }
}
