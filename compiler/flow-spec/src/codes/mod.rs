//! Every kind of diagnostic that specs can cause, with its stable code.
//!
//! | ids | family | file |
//! |---|---|---|
//! | `FLOW01xx` | text that is no YAML or JSON, or too much of it | `syntax` |
//! | `FLOW02xx` | documents, fields and types | `fields` |
//! | `FLOW03xx` | names and references | `names` |
//! | `FLOW04xx` | values that cannot work | `constraints` |
//! | `FLOW05xx` | the graph | `graph` |
//! | `FLOW06xx` | what flow cannot do yet | `support` |
//!
//! Each code's comment says what it means, why it is a problem, and what to do. **Invariant:** an id never changes its
//! meaning and is never used again; each code has a case under `golden-tests/diagnostics/` or is listed with the
//! reason in that test.

use flow_model::diagnostic::Code;

pub mod constraints;
pub mod fields;
pub mod graph;
pub mod names;
pub mod support;
pub mod syntax;

const fn code(id: &'static str, slug: &'static str) -> Code {
    Code { id, slug }
}

/// Every code, by id.
pub const ALL: &[Code] = &[
    syntax::FILE_TOO_LARGE,
    syntax::NOT_UTF8,
    syntax::SYNTAX,
    syntax::DUPLICATE_KEY,
    syntax::TOO_DEEP,
    syntax::TOO_MANY_VALUES,
    syntax::UNKNOWN_ALIAS,
    syntax::RECURSIVE_ALIAS,
    syntax::BAD_MERGE,
    syntax::BAD_KEY,
    syntax::UNKNOWN_TAG,
    syntax::MORE,
    fields::UNKNOWN_FIELD,
    fields::MISSING_FIELD,
    fields::WRONG_TYPE,
    fields::NOT_A_LIST,
    fields::TWO_SPELLINGS,
    fields::UNKNOWN_VALUE,
    fields::BAD_DURATION,
    fields::NOT_A_DOCUMENT,
    fields::FOREIGN_DOCUMENT,
    fields::UNKNOWN_KIND,
    fields::UNKNOWN_API_VERSION,
    names::BAD_NAME,
    names::DUPLICATE_PIPELINE,
    names::DUPLICATE_REPO,
    names::REPO_IS_OUTPUT,
    names::COLLISION,
    names::UNKNOWN_REPO,
    names::UNKNOWN_BRANCH,
    names::DUPLICATE_INPUT,
    names::COMMIT_IN_INPUT,
    names::UNKNOWN_CONTEXT,
    names::LOST_PRODUCER,
    constraints::EMPTY_CMD,
    constraints::ONE_WORD_CMD,
    constraints::NO_INPUT,
    constraints::MANY_INPUTS,
    constraints::EMPTY_COMBINATION,
    constraints::BAD_GLOB,
    constraints::OUT_OF_RANGE,
    constraints::BAD_PATH,
    constraints::BAD_ENV,
    constraints::NUL,
    constraints::BAD_STORE,
    graph::CYCLE,
    graph::READS_ITSELF,
    support::FIELD,
    support::LEGACY,
    support::KIND,
    support::OTHER_PROJECT,
];

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn ids_and_slugs_are_unique_and_sorted() {
        assert!(ALL.windows(2).all(|pair| pair[0].id < pair[1].id));
        let mut slugs: Vec<&str> = ALL.iter().map(|code| code.slug).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), ALL.len());
        for code in ALL {
            assert!(code.id.len() == 8 && code.id.starts_with("FLOW0"), "{}", code.id);
        }
    }
}
