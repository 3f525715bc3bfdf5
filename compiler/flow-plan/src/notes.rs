//! Notes: what is worth knowing before saying yes and belongs to no single row.

use flow_model::{
    plan::{Action, Change},
    resource::{Desired, Resource},
};

use crate::render::words;

/// Notes for a context whose executor is `process`: images are kept in the spec and not used, which is said once.
#[must_use]
pub fn for_processes(changes: &[Change], desired: &Desired) -> Vec<String> {
    let has_image = |change: &&Change| match desired.get(&change.addr).map(|want| &want.resource) {
        Some(Resource::Pipeline(version)) => version.spec.transform.image.is_some(),
        Some(Resource::Repo(_)) | None => false,
    };
    let is_made = |change: &&Change| matches!(change.action, Action::Create | Action::Update);
    let names: Vec<&str> =
        changes.iter().filter(is_made).filter(has_image).map(|change| change.addr.name()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let names = words::list(&names);
    vec![format!("datums run as local processes, which do not use `transform.image` ({names})")]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{resources::Mode, testing::*};

    #[test]
    fn images_are_noted_once_and_only_for_what_is_made() {
        let with_image = |name: &str| pipeline(name, &["in"], json!({"transform": {"image": "x:1"}}));
        let notes = |world: &World| for_processes(&world.changes(Mode::Apply), &world.desired);
        let mut world = World::default();
        world.want(with_image("applied"), &[]);
        world.applied("pipeline.applied");
        world.want(pipeline("plain", &["in"], json!({})), &[]);
        assert_eq!(notes(&world), [] as [&str; 0]);
        world.want(with_image("a"), &[]);
        world.want(with_image("b"), &[]);
        assert_eq!(
            notes(&world),
            ["datums run as local processes, which do not use `transform.image` (a and b)"]
        );
    }
}
