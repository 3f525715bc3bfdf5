//! Names, parsed once into types that cannot be wrong.
//!
//! Repos, branches, pipelines and inputs follow Pachyderm's rules: letters, digits, `_` and `-`; a pipeline starts with
//! a letter or digit and has at most 51 characters.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("a {what} name must not be empty")]
    Empty {
        /// What the name is for.
        what: &'static str,
    },
    /// Too long to be used in file names and Kubernetes names.
    #[error("{what} name `{name}` has {length} characters; at most {limit} are allowed")]
    TooLong {
        /// What the name is for.
        what: &'static str,
        /// The name as given.
        name: String,
        /// Its length in characters.
        length: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// A character that is not allowed.
    #[error("{what} name `{name}` contains `{character}`: use letters, digits, `_` and `-`")]
    BadCharacter {
        /// What the name is for.
        what: &'static str,
        /// The name as given.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// A first character that is not allowed.
    #[error("{what} name `{name}` must start with a letter or digit")]
    BadStart {
        /// What the name is for.
        what: &'static str,
        /// The name as given.
        name: String,
    },
    /// A name with a meaning of its own.
    #[error("{what} name `{name}` is reserved")]
    Reserved {
        /// What the name is for.
        what: &'static str,
        /// The name as given.
        name: String,
    },
}

struct Rule {
    what: &'static str,
    limit: usize,
    alphanumeric_start: bool,
    reserved: &'static [&'static str],
}

fn check(text: &str, rule: &Rule) -> Result<(), NameError> {
    let what = rule.what;
    let Some(first) = text.chars().next() else { return Err(NameError::Empty { what }) };
    if let Some(character) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))) {
        return Err(NameError::BadCharacter { what, name: text.to_owned(), character });
    }
    if text.len() > rule.limit {
        return Err(NameError::TooLong {
            what,
            name: text.to_owned(),
            length: text.len(),
            limit: rule.limit,
        });
    }
    if rule.alphanumeric_start && !first.is_ascii_alphanumeric() {
        return Err(NameError::BadStart { what, name: text.to_owned() });
    }
    if rule.reserved.contains(&text) {
        return Err(NameError::Reserved { what, name: text.to_owned() });
    }
    Ok(())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $rule:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks `text` against the rules for this kind of name.
            ///
            /// # Errors
            /// [`NameError`] names the first rule that is broken.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check(text, &$rule)?;
                Ok(Self(text.to_owned()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

names! {
    /// A project: one view, one operation log, one namespace on Kubernetes.
    ProjectName = Rule { what: "project", limit: 63, alphanumeric_start: true, reserved: &[] };
    /// A versioned repo.
    RepoName = Rule { what: "repo", limit: 63, alphanumeric_start: false, reserved: &[] };
    /// A branch of a repo.
    BranchName = Rule { what: "branch", limit: 64, alphanumeric_start: false, reserved: &[] };
    /// A pipeline; its output repo has the same name.
    PipelineName = Rule { what: "pipeline", limit: 51, alphanumeric_start: true, reserved: &[] };
    /// An input of a pipeline: the folder below `/pfs` and the environment variable. `out` is the output folder.
    InputName = Rule { what: "input", limit: 63, alphanumeric_start: false, reserved: &["out"] };
}

impl PipelineName {
    /// The repo that this pipeline writes: it has the pipeline's name.
    #[must_use]
    pub fn output_repo(&self) -> RepoName {
        RepoName(self.0.clone())
    }
}

impl BranchName {
    /// The branch that is meant where none is named, as in every existing Pachyderm spec.
    #[must_use]
    pub fn master() -> Self {
        Self("master".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_parse() {
        for name in ["a", "A_b-9", "-x", "_"] {
            assert_eq!(RepoName::parse(name).unwrap().as_str(), name);
        }
        assert!(PipelineName::parse(&"p".repeat(51)).is_ok());
    }

    #[test]
    fn bad_names_say_why() {
        let message = |text: &str| PipelineName::parse(text).unwrap_err().to_string();
        assert_eq!(message(""), "a pipeline name must not be empty");
        assert_eq!(message("a.b"), "pipeline name `a.b` contains `.`: use letters, digits, `_` and `-`");
        assert_eq!(message("-a"), "pipeline name `-a` must start with a letter or digit");
        assert!(message(&"p".repeat(52)).contains("at most 51"));
        assert_eq!(InputName::parse("out").unwrap_err().to_string(), "input name `out` is reserved");
    }
}
