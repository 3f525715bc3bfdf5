//! Runs a glob as a backtracking regular expression would, with a memory, so that its work is bounded.
//!
//! What the groups capture depends on which of several matches is preferred. Pachyderm's are those of a backtracking
//! matcher: alternatives in their order, repetitions as long as possible, and a repetition ends with a round that takes
//! no character. Automata do not always agree, and have no look ahead for `!( )`.
//!
//! A glob becomes a program for the whole path and, for each `!( )`, a program for what it forbids. The latter are
//! evaluated first, for all positions of the path at once, the innermost first; then the whole program is searched
//! depth first. **Invariant:** no state (step, position, and which rounds have taken a character) is searched twice.
//! The rounds that have taken a character are the outer ones, so a number says which; the work is at most
//! steps x positions x nesting.

use super::shape::{can_be_empty, negation_ends_path};
use super::syntax::{Class, Node, Sequence, Times};

/// One step of a program. Numbers are steps of the same program unless said otherwise.
#[derive(Debug, Clone)]
enum Step {
    Literal(char),
    OneOf(Class),
    NotSlash,
    Anything,
    /// Try the first; if that does not lead to a match, the second.
    Fork(usize, usize),
    Jump(usize),
    /// Remember the position in this slot.
    Mark(usize),
    /// Go on if the program with this index does not match here.
    Unless(usize),
    /// A round begins, of the repetition that is within so many others.
    RoundBegins(usize),
    /// That round ends; if it has taken a character, try another, which begins at the step `again`.
    RoundEnds {
        within: usize,
        again: usize,
    },
    AtEnd,
    Matched,
}

/// A compiled glob.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    whole: Vec<Step>,
    /// What the `!( )` forbid; a program uses only programs before it.
    forbidden: Vec<Vec<Step>>,
    /// Two for each group, from group 1.
    slots: usize,
    /// How deep repetitions with rounds that may be empty are nested.
    nesting: usize,
}

impl Machine {
    /// Compiles a glob.
    pub(super) fn new(sequence: &Sequence) -> Self {
        let to_end = negation_ends_path(sequence);
        let mut compiler = Compiler { forbidden: Vec::new(), slots: 0, rounds: 0, nesting: 0, to_end };
        let mut whole = Vec::new();
        compiler.sequence(sequence, &mut whole);
        whole.extend([Step::AtEnd, Step::Matched]);
        Self { whole, forbidden: compiler.forbidden, slots: compiler.slots, nesting: compiler.nesting }
    }

    /// What the groups, from group 1, hold when `path` matches; a group that took no part holds the empty string.
    pub(super) fn captures<'p>(&self, path: &'p str) -> Option<Vec<&'p str>> {
        let text: Vec<char> = path.chars().collect();
        let slots = self.search(&text)?;
        let offsets: Vec<usize> = path.char_indices().map(|(at, _)| at).chain([path.len()]).collect();
        let group = |slots: &[Option<usize>]| match slots {
            [Some(start), Some(end)] => &path[offsets[*start]..offsets[*end]],
            _ => "",
        };
        Some(slots.chunks(2).map(group).collect())
    }

    /// Searches for the preferred match of the whole text; the positions in the slots.
    fn search(&self, text: &[char]) -> Option<Vec<Option<usize>>> {
        let mut forbidden: Vec<Vec<bool>> = Vec::with_capacity(self.forbidden.len());
        for program in &self.forbidden {
            forbidden.push(matching_positions(program, text, &forbidden));
        }
        let search = Search {
            program: &self.whole,
            text,
            forbidden,
            all_taken: self.nesting,
            slots: vec![None; self.slots],
            seen: Seen::new(self.whole.len(), text.len() + 1, self.nesting + 1),
            todo: vec![Todo::Try(State { step: 0, position: 0, taken: 0 })],
        };
        search.run()
    }
}

/// A search under way.
struct Search<'m> {
    program: &'m [Step],
    text: &'m [char],
    /// For each `!( )`, whether what it forbids is at a position.
    forbidden: Vec<Vec<bool>>,
    /// See [`State::taken`]: all rounds have taken a character.
    all_taken: usize,
    slots: Vec<Option<usize>>,
    seen: Seen,
    todo: Vec<Todo>,
}

impl Search<'_> {
    fn run(mut self) -> Option<Vec<Option<usize>>> {
        while let Some(next) = self.todo.pop() {
            match next {
                Todo::Try(state) if self.follow(state) => return Some(self.slots),
                Todo::Try(_) => {}
                Todo::Forget { slot, before } => self.slots[slot] = before,
            }
        }
        None
    }

    /// Goes on from `state`, leaving the less preferred ways for later, until a match (then true) or a dead end.
    fn follow(&mut self, mut state: State) -> bool {
        while self.seen.is_new(state) {
            match &self.program[state.step] {
                Step::Matched => return true,
                Step::Fork(first, second) => {
                    self.todo.push(Todo::Try(State { step: *second, ..state }));
                    state.step = *first;
                    continue;
                }
                Step::Jump(target) => {
                    state.step = *target;
                    continue;
                }
                Step::Mark(slot) => {
                    let before = self.slots[*slot].replace(state.position);
                    self.todo.push(Todo::Forget { slot: *slot, before });
                }
                Step::Unless(program) if self.forbidden[*program][state.position] => return false,
                Step::AtEnd if state.position < self.text.len() => return false,
                Step::Unless(_) | Step::AtEnd => {}
                Step::RoundBegins(within) => state.taken = state.taken.min(*within),
                Step::RoundEnds { within, again } => {
                    if state.taken > *within {
                        let leave = State { step: state.step + 1, taken: *within, ..state };
                        self.todo.push(Todo::Try(leave));
                        state.step = *again;
                        continue;
                    }
                }
                consuming => {
                    if !self.text.get(state.position).is_some_and(|next| consuming.takes(*next)) {
                        return false;
                    }
                    state.position += 1;
                    state.taken = self.all_taken;
                }
            }
            state.step += 1;
        }
        false
    }
}

/// Where a search is.
#[derive(Clone, Copy)]
struct State {
    step: usize,
    position: usize,
    /// How many of the rounds around this step have taken a character: the outermost ones.
    taken: usize,
}

/// The states that a search has been in, one bit each.
struct Seen {
    bits: Vec<u64>,
    positions: usize,
    levels: usize,
}

impl Seen {
    fn new(steps: usize, positions: usize, levels: usize) -> Self {
        Self { bits: vec![0; (steps * positions * levels).div_ceil(64)], positions, levels }
    }

    /// Whether this is the first time in `state`.
    fn is_new(&mut self, state: State) -> bool {
        let index = (state.step * self.positions + state.position) * self.levels + state.taken;
        let (word, bit) = (&mut self.bits[index / 64], 1 << (index % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

/// What is left to do in a search.
enum Todo {
    Try(State),
    Forget { slot: usize, before: Option<usize> },
}

impl Step {
    /// Whether this is a step that takes a character, and would take this one.
    fn takes(&self, next: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == next,
            Self::OneOf(class) => class.contains(next),
            Self::NotSlash => next != '/',
            Self::Anything => true,
            _ => false,
        }
    }
}

/// For each position of the text (its end too), whether `program` matches from there on.
///
/// Goes from the end backwards, and at each position repeats until nothing changes, because loops jump back. A way
/// without taking a character jumps back at most once for each loop around it, so that the nesting bounds the repeats.
fn matching_positions(program: &[Step], text: &[char], forbidden: &[Vec<bool>]) -> Vec<bool> {
    let mut result = vec![false; text.len() + 1];
    let mut after = vec![false; program.len()];
    for position in (0..=text.len()).rev() {
        let mut here = vec![false; program.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for (index, step) in program.iter().enumerate().rev() {
                let matches = match step {
                    Step::Matched => true,
                    Step::Fork(first, second) => here[*first] || here[*second],
                    Step::Jump(target) => here[*target],
                    Step::Mark(_) | Step::RoundBegins(_) => here[index + 1],
                    Step::RoundEnds { again, .. } => here[*again] || here[index + 1],
                    Step::Unless(program) => !forbidden[*program][position] && here[index + 1],
                    Step::AtEnd => position == text.len() && here[index + 1],
                    consuming => {
                        after[index + 1] && text.get(position).is_some_and(|next| consuming.takes(*next))
                    }
                };
                changed |= matches && !here[index];
                here[index] |= matches;
            }
        }
        result[position] = here[0];
        after = here;
    }
    result
}

struct Compiler {
    forbidden: Vec<Vec<Step>>,
    slots: usize,
    /// How many repetitions with rounds that may be empty are around this step.
    rounds: usize,
    /// The most there were.
    nesting: usize,
    /// See [`negation_ends_path`].
    to_end: bool,
}

impl Compiler {
    fn sequence(&mut self, sequence: &Sequence, steps: &mut Vec<Step>) {
        for node in sequence {
            match node {
                Node::Text(text) => steps.extend(text.chars().map(Step::Literal)),
                Node::One => steps.push(Step::NotSlash),
                Node::Star => star(Step::NotSlash, steps),
                Node::DoubleStar => star(Step::Anything, steps),
                Node::Class(class) => steps.push(Step::OneOf(class.clone())),
                Node::Either(alternatives) => self.alternatives(alternatives, steps),
                Node::Group(times, alternatives) => {
                    let slot = self.slots;
                    self.slots += 2;
                    steps.push(Step::Mark(slot));
                    self.group(*times, alternatives, steps);
                    steps.push(Step::Mark(slot + 1));
                }
            }
        }
    }

    fn group(&mut self, times: Times, alternatives: &[Sequence], steps: &mut Vec<Step>) {
        match times {
            Times::Once => self.alternatives(alternatives, steps),
            Times::AtMostOnce => {
                self.optional(steps, |compiler, steps| compiler.alternatives(alternatives, steps))
            }
            Times::AtLeastOnce => self.repeated(alternatives, steps),
            Times::AnyNumber => {
                self.optional(steps, |compiler, steps| compiler.repeated(alternatives, steps))
            }
            Times::Never => {
                let mut program = Vec::new();
                self.alternatives(alternatives, &mut program);
                if self.to_end {
                    program.push(Step::AtEnd);
                }
                program.push(Step::Matched);
                steps.push(Step::Unless(self.forbidden.len()));
                self.forbidden.push(program);
                star(Step::NotSlash, steps);
            }
        }
    }

    fn optional(&mut self, steps: &mut Vec<Step>, body: impl FnOnce(&mut Self, &mut Vec<Step>)) {
        let fork = steps.len();
        steps.push(Step::Fork(fork + 1, 0));
        body(self, steps);
        steps[fork] = Step::Fork(fork + 1, steps.len());
    }

    fn repeated(&mut self, alternatives: &[Sequence], steps: &mut Vec<Step>) {
        let again = steps.len();
        if !alternatives.iter().any(can_be_empty) {
            self.alternatives(alternatives, steps);
            steps.push(Step::Fork(again, steps.len() + 1));
            return;
        }
        let within = self.rounds;
        self.rounds += 1;
        self.nesting = self.nesting.max(self.rounds);
        steps.push(Step::RoundBegins(within));
        self.alternatives(alternatives, steps);
        steps.push(Step::RoundEnds { within, again });
        self.rounds = within;
    }

    fn alternatives(&mut self, alternatives: &[Sequence], steps: &mut Vec<Step>) {
        let mut exits = Vec::new();
        for (index, alternative) in alternatives.iter().enumerate() {
            if index + 1 == alternatives.len() {
                self.sequence(alternative, steps);
                break;
            }
            let fork = steps.len();
            steps.push(Step::Fork(fork + 1, 0));
            self.sequence(alternative, steps);
            exits.push(steps.len());
            steps.push(Step::Jump(0));
            steps[fork] = Step::Fork(fork + 1, steps.len());
        }
        for exit in exits {
            steps[exit] = Step::Jump(steps.len());
        }
    }
}

/// Takes as many characters as `taking` allows, then fewer.
fn star(taking: Step, steps: &mut Vec<Step>) {
    let start = steps.len();
    steps.extend([Step::Fork(start + 1, start + 3), taking, Step::Jump(start)]);
}
