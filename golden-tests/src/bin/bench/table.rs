//! What was measured, as a table: one row per tool, one column per question.

use std::{collections::BTreeMap, fmt, time::Duration};

/// Times by tool and question, in the order in which they were first asked.
#[derive(Debug, Default)]
pub(crate) struct Table {
    title: String,
    tools: Vec<&'static str>,
    questions: Vec<&'static str>,
    times: BTreeMap<(&'static str, &'static str), Vec<Duration>>,
    notes: Vec<String>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    pub(crate) fn add(&mut self, tool: &'static str, question: &'static str, time: Duration) {
        if !self.tools.contains(&tool) {
            self.tools.push(tool);
        }
        if !self.questions.contains(&question) {
            self.questions.push(question);
        }
        self.times.entry((tool, question)).or_default().push(time);
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    pub(crate) fn median(&self, tool: &'static str, question: &'static str) -> Option<Duration> {
        let mut times = self.times.get(&(tool, question))?.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    /// Says how `tool` compares with `other`, and whether it is at most `goal` times as slow.
    pub(crate) fn ratio(
        &mut self,
        question: &'static str,
        tool: &'static str,
        other: &'static str,
        goal: Option<f64>,
    ) {
        let (Some(ours), Some(theirs)) = (self.median(tool, question), self.median(other, question)) else {
            return;
        };
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        let verdict = goal.map_or_else(String::new, |goal| {
            format!(", goal at most {goal:.1} x: {}", if ratio <= goal { "met" } else { "missed" })
        });
        self.note(format!("{question}: {tool} takes {ratio:.2} x the time of {other}{verdict}"));
    }

    /// Says whether `tool` answers within `goal`.
    pub(crate) fn limit(&mut self, question: &'static str, tool: &'static str, goal: Duration) {
        let Some(ours) = self.median(tool, question) else { return };
        let verdict = if ours <= goal { "met" } else { "missed" };
        self.note(format!("{question}: {tool}, goal at most {:.3} s: {verdict}", goal.as_secs_f64()));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        write!(f, "  {:<12}", "")?;
        for question in &self.questions {
            write!(f, "{question:>16}")?;
        }
        writeln!(f)?;
        for tool in &self.tools {
            write!(f, "  {tool:<12}")?;
            for question in &self.questions {
                let cell = self.median(tool, question);
                let cell = cell.map_or_else(String::new, |time| format!("{:.3} s", time.as_secs_f64()));
                write!(f, "{cell:>16}")?;
            }
            writeln!(f)?;
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        Ok(())
    }
}
