//! Addresses of data, as Pachyderm's users know them.
//!
//! `repo`, `repo@branch`, `repo@commit`, `repo@branch^`, `repo@branch^3`, each optionally followed by `:/path`.

use std::{fmt, str::FromStr};

use crate::name::{BranchName, NameError, RepoName};

/// Which version of a repo is meant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct VersionAddr {
    /// The repo.
    pub repo: RepoName,
    /// A branch; or a commit's id or the start of one, if no branch has that name.
    pub base: BranchName,
    /// How many parents back.
    pub back: u32,
}

/// A version of a repo and a path in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DataAddr {
    /// The version.
    pub version: VersionAddr,
    /// The path as written after the colon; `/` if there is none.
    pub path: String,
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A name in it does not parse.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What stands behind `^` is no number.
    #[error("`{0}` is not an address: after `^` comes a number or nothing")]
    Ancestry(String),
}

impl FromStr for VersionAddr {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (repo, version) = text.split_once('@').unwrap_or((text, ""));
        let (base, back) = ancestry(version).ok_or_else(|| AddressError::Ancestry(text.to_owned()))?;
        let branch = if base.is_empty() { BranchName::master() } else { BranchName::parse(base)? };
        Ok(Self { repo: repo.parse()?, base: branch, back })
    }
}

/// Splits `name^^3` into the name and the number of parents: each `^` counts one, `^3` counts three.
fn ancestry(text: &str) -> Option<(&str, u32)> {
    let Some(at) = text.find('^') else { return Some((text, 0)) };
    let mut back: u32 = 0;
    for step in text[at + 1..].split('^') {
        let count = if step.is_empty() { 1 } else { step.parse().ok()? };
        back = back.checked_add(count)?;
    }
    Some((&text[..at], back))
}

impl FromStr for DataAddr {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (version, path) = text.split_once(':').unwrap_or((text, "/"));
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { version: version.parse()?, path: path.to_owned() })
    }
}

impl fmt::Display for VersionAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repo, self.base)?;
        match self.back {
            0 => Ok(()),
            1 => f.write_str("^"),
            back => write!(f, "^{back}"),
        }
    }
}

impl fmt::Display for DataAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.version, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_and_print() {
        for (text, shown) in [
            ("images", "images@master:/"),
            ("images@dev:/a b/c", "images@dev:/a b/c"),
            ("images@master^", "images@master^:/"),
            ("images@master^^^:/x", "images@master^3:/x"),
            ("images@master^3", "images@master^3:/"),
            ("images:/x:y", "images@master:/x:y"),
        ] {
            assert_eq!(text.parse::<DataAddr>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for text in ["", "@master", "a b", "r@m^x", "r@m^99999999999"] {
            assert!(text.parse::<VersionAddr>().is_err(), "{text}");
        }
    }
}
