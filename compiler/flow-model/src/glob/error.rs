//! Says what is wrong with a glob, where, and what to write instead.
//!
//! Some of these globs Pachyderm takes and then reads in a way nobody meant (`/{a` matches `/a`, `/a)` matches
//! nothing, `[a!b]` means "neither a nor b"). They are errors here, on purpose: a glob that silently matches other
//! files than meant makes a job that silently processes other files than meant.

/// The longest glob that is taken, in bytes.
pub const MAX_GLOB_BYTES: usize = 4096;

/// How deep `( )` and `{ }` may be nested.
pub const MAX_GLOB_NESTING: usize = 16;

/// A glob that can not be used. Displays as the message; the place and the next step are apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct GlobError {
    offset: usize,
    problem: GlobProblem,
}

impl GlobError {
    pub(super) fn new(offset: usize, problem: GlobProblem) -> Self {
        Self { offset, problem }
    }

    /// Where the problem begins: a byte offset into the text given to [`super::Glob::parse`], at a character
    /// boundary.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What the problem is.
    pub fn problem(&self) -> &GlobProblem {
        &self.problem
    }

    /// What to write instead.
    pub fn help(&self) -> String {
        self.problem.help()
    }
}

/// What can be wrong with a glob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GlobProblem {
    /// More than [`MAX_GLOB_BYTES`].
    #[error("the glob is {bytes} bytes long")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Groups in groups, more than [`MAX_GLOB_NESTING`] deep.
    #[error("groups are nested more than {MAX_GLOB_NESTING} deep")]
    TooDeep,
    /// The matcher for the glob would be too large to build.
    #[error("the glob is too complex to compile")]
    TooComplex,
    /// A NUL character, which no path has.
    #[error("the glob has a NUL character, which no path has")]
    Nul,
    /// `(`, `{` or `[` without its partner.
    #[error("`{opener}` is never closed")]
    Unclosed {
        /// The character that opens.
        opener: char,
    },
    /// `)`, `}` or `]` without its partner.
    #[error("`{closer}` closes nothing")]
    Unopened {
        /// The character that closes.
        closer: char,
    },
    /// A backslash with nothing behind it.
    #[error("`\\` at the end escapes nothing")]
    TrailingBackslash,
    /// `^(...)`, a group that does not exist.
    #[error("`^(` is no kind of group")]
    CaretGroup,
    /// `[]` or `[!]`.
    #[error("the character class is empty")]
    EmptyClass,
    /// `[z-a]`.
    #[error("the range `{low}-{high}` is backwards")]
    BackwardsRange {
        /// Its first character.
        low: char,
        /// Its last character, which comes before the first.
        high: char,
    },
    /// `[[:name:]]` with a name that does not exist.
    #[error("there is no character class `[:{name}:]`")]
    UnknownClass {
        /// The name between the colons.
        name: String,
    },
    /// A `[` inside a class that begins no `[:name:]`.
    #[error("`[` inside a character class begins nothing")]
    BracketInClass,
    /// `[a!b]`: Pachyderm takes the first `!` or `^` for "none of these", wherever it is.
    #[error("`{sign}` inside a character class negates all of it, even when it is not the first character")]
    LateNegation {
        /// `!` or `^`.
        sign: char,
    },
    /// `[a\-z]` or `[a-[:digit:]]`: Pachyderm makes a range of it.
    #[error("`-` inside this character class can mean itself or a range")]
    AmbiguousDash,
    /// `{(a),b}` and the like: Pachyderm takes the character for a part of a name, or for another separator.
    #[error("`{character}` is ambiguous where `( )` and `{{ }}` are nested")]
    AmbiguousNesting {
        /// The character in question: `)`, `|` or `,`.
        character: char,
    },
}

impl GlobProblem {
    fn help(&self) -> String {
        match self {
            Self::TooLong { .. } => format!("a glob has at most {MAX_GLOB_BYTES} bytes; use `*` or `**`"),
            Self::TooDeep | Self::TooComplex => "split it into several inputs of a union".into(),
            Self::Nul => "remove it".into(),
            Self::Unclosed { opener } => {
                let closer = match opener {
                    '(' => ')',
                    '{' => '}',
                    _ => ']',
                };
                format!("add `{closer}`, or write `\\{opener}` for the character itself")
            }
            Self::Unopened { closer } => format!("remove it, or write `\\{closer}` for the character itself"),
            Self::TrailingBackslash => "remove it, or write `\\\\` for a backslash".into(),
            Self::CaretGroup => {
                "write `!(...)` for anything but these, or `\\^` for the character itself".into()
            }
            Self::EmptyClass => "put characters in it; write `\\]` for a `]`".into(),
            Self::BackwardsRange { low, high } => format!("write `{high}-{low}`"),
            Self::UnknownClass { .. } => {
                let names: Vec<_> = super::class::NAMED.iter().map(|(name, _)| *name).collect();
                format!("the classes are {}", names.join(", "))
            }
            Self::BracketInClass => "write `\\[` for the character itself".into(),
            Self::LateNegation { sign } => {
                format!("put it first to negate, or write `\\{sign}` for the character itself")
            }
            Self::AmbiguousDash => "put `-` first or last in the class".into(),
            Self::AmbiguousNesting { character } => format!(
                "write the alternatives with `(a|b)` alone or with `{{a,b}}` alone, or `\\{character}` for the \
                 character itself"
            ),
        }
    }
}
