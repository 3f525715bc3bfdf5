//! The plan file: canonical JSON out, checked JSON in.
//!
//! The JSON is the plan; there is no other form. It is written with two-space indentation, fields in declared order and
//! a newline at the end, so equal plans have equal bytes. What is read is checked in this order, and every check reports
//! all that it finds: JSON, format version, schema (unknown fields are refused), values, and that the parts fit together.
//!
//! The schema is generated from the model's types and published as `schemas/plan.schema.json`.

use std::{collections::BTreeSet, fmt};

use flow_model::plan::{Action, PLAN_FORMAT, Plan};
use jsonschema::error::ValidationErrorKind;
use schemars::{generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Value, json};

/// How many problems of a plan file are listed; the rest is counted.
const PROBLEMS_MAX: usize = 20;

/// One thing that is wrong in a plan file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where, as a JSON pointer; empty for the whole file.
    pub pointer: String,
    /// What, as a lowercase phrase.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "/" } else { &self.pointer };
        write!(f, "`{place}`: {}", self.message)
    }
}

/// Why a text is not a plan that can be applied. Each message ends with what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanFileError {
    /// No JSON.
    #[error("not a plan file: {0}; make one with `flow plan --out FILE`")]
    NotJson(String),
    /// No `formatVersion`, so something else than a plan.
    #[error("not a plan file: it has no `formatVersion`; make one with `flow plan --out FILE`")]
    NoVersion,
    /// Made by another generation of flow.
    #[error(
        "plan format `{found}` is not supported: this flow reads format {PLAN_FORMAT}; \
         make the plan again with `flow plan --out FILE`"
    )]
    Version {
        /// The version as found.
        found: String,
    },
    /// A plan in form, but not in content.
    #[error(
        "the plan file does not fit its schema, which means that it was edited or damaged; \
         make it again with `flow plan --out FILE`:{}", listed(.problems, *.more)
    )]
    Invalid {
        /// The first problems.
        problems: Vec<Problem>,
        /// How many more there are.
        more: usize,
    },
}

fn listed(problems: &[Problem], more: usize) -> String {
    let mut text: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    if more > 0 {
        text.push_str(&format!("\n  and {more} more"));
    }
    text
}

/// How every plan file begins.
const BEGINNING: &str = "{\n  \"formatVersion\":";

/// Whether a text is a plan file rather than a spec: plans may lie beside the specs that they were made from.
#[must_use]
pub fn is_plan(text: &str) -> bool {
    text.starts_with(BEGINNING)
}

/// The canonical JSON of a plan.
///
/// # Panics
/// Never: a plan has string keys and finite numbers and is written to memory.
#[must_use]
pub fn write(plan: &Plan) -> String {
    pretty(plan)
}

/// The JSON Schema of a plan file.
#[must_use]
pub fn schema() -> Value {
    let closed = RecursiveTransform(close_object);
    let generator = SchemaSettings::draft2020_12().with_transform(closed).into_generator();
    let mut schema = generator.into_root_schema_for::<Plan>();
    schema.insert("title".to_owned(), json!("flow plan"));
    if let Some(version) = schema.pointer_mut("/properties/formatVersion").and_then(Value::as_object_mut) {
        version.insert("const".to_owned(), json!(PLAN_FORMAT));
        version
            .insert("description".to_owned(), json!("Version of the plan format; another one is refused."));
    }
    schema.to_value()
}

/// The schema as it is published.
///
/// # Panics
/// Never: a schema is plain JSON.
#[must_use]
pub fn schema_text() -> String {
    pretty(&schema())
}

fn pretty<T: serde::Serialize>(value: &T) -> String {
    let mut text =
        serde_json::to_string_pretty(value).expect("string keys, finite numbers, written to memory");
    text.push('\n');
    text
}

/// An object that lists its properties has no others: an unknown field in a plan could be an instruction that this
/// version would silently not follow.
fn close_object(schema: &mut schemars::Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if object.contains_key("properties") {
        object.entry("additionalProperties").or_insert(json!(false));
    }
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// [`PlanFileError`] lists what is wrong and says what to do.
pub fn read(text: &str) -> Result<Plan, PlanFileError> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| PlanFileError::NotJson(error.to_string()))?;
    check_version(&value)?;
    check_schema(&value)?;
    let plan: Plan = serde_json::from_value(value)
        .map_err(|error| invalid(vec![Problem { pointer: String::new(), message: error.to_string() }]))?;
    let problems = inconsistencies(&plan);
    if problems.is_empty() { Ok(plan) } else { Err(invalid(problems)) }
}

fn check_version(value: &Value) -> Result<(), PlanFileError> {
    match value.get("formatVersion") {
        None => Err(PlanFileError::NoVersion),
        Some(found) if *found == json!(PLAN_FORMAT) => Ok(()),
        Some(found) => Err(PlanFileError::Version { found: found.to_string() }),
    }
}

fn check_schema(value: &Value) -> Result<(), PlanFileError> {
    let validator = jsonschema::validator_for(&schema())
        .map_err(|error| invalid(vec![Problem { pointer: String::new(), message: error.to_string() }]))?;
    let problems: Vec<Problem> = validator.iter_errors(value).flat_map(|error| problems_of(&error)).collect();
    if problems.is_empty() { Ok(()) } else { Err(invalid(problems)) }
}

/// A problem of the schema in our words; several for several unknown fields.
fn problems_of(error: &jsonschema::ValidationError<'_>) -> Vec<Problem> {
    let pointer = error.instance_path().to_string();
    let problem = |message: String| Problem { pointer: pointer.clone(), message };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|name| Problem { pointer: format!("{pointer}/{name}"), message: "unknown field".to_owned() })
            .collect(),
        ValidationErrorKind::Required { property } => {
            vec![problem(format!("field `{}` is missing", property.as_str().unwrap_or_default()))]
        }
        _ => vec![problem(error.to_string())],
    }
}

fn invalid(mut problems: Vec<Problem>) -> PlanFileError {
    problems.sort_by(|a, b| (&a.pointer, &a.message).cmp(&(&b.pointer, &b.message)));
    let more = problems.len().saturating_sub(PROBLEMS_MAX);
    problems.truncate(PROBLEMS_MAX);
    PlanFileError::Invalid { problems, more }
}

/// What no schema can say: `changes` is sorted without repeats, and `order` and `basis` speak of the changed resources.
fn inconsistencies(plan: &Plan) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |pointer: String, message: String| problems.push(Problem { pointer, message });
    for (at, pair) in plan.changes.windows(2).enumerate() {
        if pair[0].addr >= pair[1].addr {
            problem(
                format!("/changes/{}", at + 1),
                format!("`{}` is out of order or repeated", pair[1].addr),
            );
        }
    }
    let changed: BTreeSet<_> = plan
        .changes
        .iter()
        .filter(|change| change.action != Action::NoOp)
        .map(|change| &change.addr)
        .collect();
    let mut ordered = BTreeSet::new();
    for (at, addr) in plan.order.iter().enumerate() {
        if !changed.contains(addr) || !ordered.insert(addr) {
            problem(format!("/order/{at}"), format!("`{addr}` is no changed resource or is repeated"));
        }
    }
    for addr in changed.difference(&ordered) {
        problem("/order".to_owned(), format!("changed resource `{addr}` is missing"));
    }
    for addr in changed.iter().filter(|addr| !plan.basis.touched.contains_key(**addr)) {
        problem("/basis/touched".to_owned(), format!("changed resource `{addr}` is missing"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use flow_model::forecast::{DatumReason, ForecastAction, WorkCause};
    use serde_json::json;

    use super::*;
    use crate::{resources::Mode, testing::*};

    fn plan() -> Plan {
        let mut world = World::default();
        world.want_repo("images", json!({"source": {"path": "./images", "branch": "master"}}));
        world.folder("images", sync("./images", [1, 0, 0], 5, &["+ /a"]));
        world.want(pipeline("edges", &["images"], json!({})), &["repo.images"]);
        world.want(
            pipeline("montage", &["edges"], json!({"transform": {"stdin": ["a", "b"]}})),
            &["pipeline.edges"],
        );
        world.have("pipeline.montage", pipeline("montage", &["edges"], json!({})), data(1, 2, 3), [].into());
        world.have("repo.old", repo(json!({})), data(1, 2, 3), [].into());
        let group = group(ForecastAction::Run, DatumReason::New, 1, 5);
        world.data = vec![forecast(
            "edges",
            &["images"],
            WorkCause::InputChanged { repos: vec!["images".into()] },
            vec![group],
        )];
        world.notes = vec!["a note".to_owned()];
        world.plan(Mode::Apply)
    }

    fn edited(edit: impl FnOnce(&mut Value)) -> String {
        let mut value = serde_json::to_value(plan()).unwrap();
        edit(&mut value);
        read(&value.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn plans_round_trip_to_the_byte() {
        let text = write(&plan());
        assert!(text.ends_with("}\n") && text.starts_with("{\n  \"formatVersion\": 1,\n"));
        let read = read(&text).unwrap();
        assert_eq!(read, plan());
        assert_eq!(write(&read), text);
    }

    #[test]
    fn the_published_schema_is_the_generated_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/plan.schema.json");
        #[expect(clippy::disallowed_methods, reason = "a golden test reads and writes its file")]
        let published = {
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(path, schema_text()).unwrap();
            }
            std::fs::read_to_string(path).unwrap_or_default()
        };
        assert!(
            published == schema_text(),
            "schemas/plan.schema.json is out of date: run `UPDATE_GOLDEN=1 cargo test -p flow-plan`"
        );
    }

    #[test]
    fn the_schema_is_closed_and_says_what_it_is() {
        let schema = schema();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["title"], "flow plan");
        assert!(jsonschema::meta::is_valid(&schema));
        let mut open = vec![&schema];
        let mut objects = 0;
        while let Some(value) = open.pop() {
            if value.get("type") == Some(&json!("object")) {
                objects += 1;
                assert!(value.get("additionalProperties").is_some(), "open object: {value}");
            }
            match value {
                Value::Object(fields) => open.extend(fields.values()),
                Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
        assert!(objects > 10, "{objects}");
    }

    #[test]
    fn what_is_no_plan_is_refused_with_a_next_step() {
        let message = |text: &str| read(text).unwrap_err().to_string();
        assert!(message("kind: Pipeline").starts_with("not a plan file: expected value"));
        assert!(message("{}").contains("no `formatVersion`"));
        assert!(
            message("{\"formatVersion\": 2}")
                .starts_with("plan format `2` is not supported: this flow reads")
        );
        for text in ["", "{}", "{\"formatVersion\": \"1\"}", "{\"formatVersion\": 1}"] {
            assert!(message(text).contains("flow plan --out FILE"), "{text}");
        }
        let deep = format!("{{\"formatVersion\": 1, \"x\": {}", "[".repeat(100_000));
        assert!(message(&deep).starts_with("not a plan file: recursion limit exceeded"));
    }

    #[test]
    fn all_problems_are_listed_with_pointers() {
        let message = edited(|plan| {
            plan["suprise"] = json!(true);
            plan["changes"][1]["action"] = json!("destroyEverything");
            plan["basis"]["workspace"] = json!("xyz");
            plan["data"][0]["cause"]["because"] = json!(1);
            plan.as_object_mut().unwrap().remove("context");
        });
        for expected in [
            "`/suprise`: unknown field",
            "/changes/1/action",
            "`/basis/workspace`: ",
            "`context` is missing",
            "/data/0/cause",
        ] {
            assert!(message.contains(expected), "{expected} not in:\n{message}");
        }
    }

    #[test]
    fn values_that_no_schema_can_check_are_refused() {
        let message =
            edited(|plan| plan["changes"][0]["addr"] = json!(format!("pipeline.{}", "p".repeat(60))));
        assert!(message.contains("at most 51"), "{message}");
        let message = edited(|plan| plan["changes"][0]["location"]["line"] = json!(1_u64 << 40));
        assert!(message.contains("u32"), "{message}");
    }

    #[test]
    fn parts_that_do_not_fit_together_are_refused() {
        let swapped = edited(|plan| plan["changes"].as_array_mut().unwrap().swap(0, 1));
        assert!(swapped.contains("`/changes/1`: `repo.images` is out of order or repeated"), "{swapped}");
        let missing = edited(|plan| drop(plan["order"].as_array_mut().unwrap().pop()));
        assert!(missing.contains("`/order`: changed resource"), "{missing}");
        let twice = edited(|plan| plan["order"][1] = plan["order"][0].clone());
        assert!(twice.contains("`/order/1`: `repo.images` is no changed resource or is repeated"), "{twice}");
        let untouched = edited(|plan| plan["basis"]["touched"] = json!({}));
        assert_eq!(untouched.matches("`/basis/touched`").count(), 4, "{untouched}");
    }

    #[test]
    fn problems_are_counted_beyond_the_first_ones() {
        let message = edited(|plan| {
            for n in 0..30 {
                plan[format!("extra{n}")] = json!(n);
            }
        });
        assert!(message.ends_with("and 10 more"), "{message}");
    }
}
