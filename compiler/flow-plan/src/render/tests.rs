//! Whole renderings, as a reader sees them.

use flow_model::{
    digest::CommitId,
    forecast::{DatumReason, ForecastAction, WorkCause},
    path::RepoPath,
    time::Millis,
};
use serde_json::json;

use super::*;
use crate::{
    resources::{CodeDiff, Mode},
    testing::*,
    text::{CodeFile, CodeText},
};

/// The text of a plan, without header and next commands.
fn body(plan: &flow_model::plan::Plan, options: &RenderOptions) -> String {
    let options = RenderOptions { next_commands: false, ..options.clone() };
    let text = human(plan, &options).to_string();
    for line in text.lines() {
        assert_eq!(line.trim_end(), line, "no blanks at line ends");
    }
    text.split_once("\n\n").map_or(text.clone(), |(_, body)| body.to_owned())
}

#[track_caller]
fn check(world: &World, expected: &str) {
    check_plan(&world.plan(Mode::Apply), &RenderOptions::default(), expected);
}

#[track_caller]
fn check_plan(plan: &flow_model::plan::Plan, options: &RenderOptions, expected: &str) {
    let found = body(plan, options);
    let expected = expected.strip_prefix('\n').unwrap_or(expected);
    assert!(found == expected, "expected:\n{expected}\nfound:\n{found}");
}

fn run(reason: DatumReason, datums: u64) -> flow_model::forecast::ForecastGroup {
    group(ForecastAction::Run, reason, datums, 10 * datums)
}

/// A pipeline `edges` that was applied as it was with `before` and is wanted with `after`.
fn edited(before: serde_json::Value, after: serde_json::Value) -> World {
    let mut world = World::default();
    world.want(pipeline("edges", &["images"], after), &["repo.images"]);
    world.have("pipeline.edges", pipeline("edges", &["images"], before), data(1, 1, 1), [].into());
    world
}

/// The plan of the design's sketch.
fn sketch() -> World {
    let mut world = World::default();
    world.want_repo("images", json!({"source": {"path": "./images", "branch": "master"}}));
    let counts = [57, 0, 0];
    world.folder("images", sync("./images", counts, 13_002_342, &["+ /a.png", "+ /b.png"]));
    world.want(pipeline("edges", &["images"], json!({})), &["repo.images"]);
    let montage = |colour: &str| {
        let line = format!("montage -shadow -background {colour}");
        pipeline("montage", &["images", "edges"], json!({"transform": {"stdin": ["set -e", line]}}))
    };
    world.want(montage("SkyBlue"), &["repo.images", "pipeline.edges"]);
    world.have("pipeline.montage", montage("White"), data(1, 1000, 1), [].into());
    for name in ["same", "thumbs"] {
        world.want(pipeline(name, &["images"], json!({})), &["repo.images"]);
        world.applied(&format!("pipeline.{name}"));
    }
    world.have(
        "pipeline.old-edges",
        pipeline("old-edges", &["images"], json!({})),
        data(57, 3_250_586, 4),
        [].into(),
    );
    let run = |reason, datums, bytes| group(ForecastAction::Run, reason, datums, bytes);
    let new_data = WorkCause::InputChanged { repos: vec!["images".to_owned()] };
    let thumbs =
        vec![run(DatumReason::New, 3, 500_000), group(ForecastAction::Reuse, DatumReason::Unchanged, 54, 0)];
    world.data = vec![
        forecast("edges", &["images"], WorkCause::Created, vec![run(DatumReason::New, 57, 13_002_342)]),
        forecast(
            "montage",
            &["images", "edges"],
            WorkCause::Changed,
            vec![run(DatumReason::TransformChanged, 1, 26_000)],
        ),
        forecast("thumbs", &["images"], new_data, thumbs),
    ];
    for (at, seconds) in [30, 4, 6].into_iter().enumerate() {
        world.data[at].estimate = Some(Millis(1000 * seconds));
    }
    world.notes =
        vec!["processes do not use `transform.image` (edges, montage); it counts on a cluster".to_owned()];
    world
}

#[test]
fn the_sketch() {
    let plan = sketch().plan(Mode::Apply);
    let text = human(&plan, &RenderOptions::default()).to_string();
    let expected = "\
context local · operation 64ae3b100f0b · 6 resources

  + repo      images     kept in step with ./images: 57 files, 12.4 MiB
  + pipeline  edges      images -> edges           57 datums run
  ~ pipeline  montage    images, edges -> montage  1 datum runs: stdin changed
      transform.stdin
      - montage -shadow -background White
      + montage -shadow -background SkyBlue
  > pipeline  thumbs     images -> thumbs
      not changed; images has new data: 3 datums run, 54 reused
  - pipeline  old-edges
      deletes its repo: 57 files, 3.1 MiB, 4 commits (protected: needs --allow-destroy)

Data work: 61 datums run, 54 reused, reads 12.9 MiB, about 40 s
Plan: 2 to create, 1 to change, 1 to delete, 2 unchanged · 1 dragged along
1 delete is refused, because data would be lost: `--allow-destroy` allows it
note: processes do not use `transform.image` (edges, montage); it counts on a cluster
`flow apply --allow-destroy` carries it out
`flow plan --out plan.json` keeps it
`flow plan --why montage` explains
";
    assert!(text == expected, "{text}");
}

#[test]
fn new_repos_are_declared_or_implied() {
    let mut world = World::default();
    world.want_repo("declared", json!({}));
    world.want_repo("implied", json!({}));
    world.desired.get_mut(&addr("repo.implied")).unwrap().implied = true;
    world.want(pipeline("edges", &["implied"], json!({})), &["repo.implied"]);
    check(
        &world,
        "
  + repo      declared  empty
  + repo      implied   empty; implied: inputs name it, no manifest declares it
  + pipeline  edges     no datums yet

Plan: 3 to create
",
    );
}

#[test]
fn short_values_stand_side_by_side() {
    let before = json!({"transform": {"env": {"LANG": "C", "OLD": "1"}}, "input": {"pfs": {"glob": "/"}}});
    let after = json!({"transform": {"env": {"LANG": "C.UTF-8", "NEW": "2"}}, "parallelism": 4});
    let mut world = edited(before, after);
    world.data = vec![forecast(
        "edges",
        &["images"],
        WorkCause::Changed,
        vec![run(DatumReason::InputAndTransformChanged, 57)],
    )];
    check(
        &world,
        "
  ~ pipeline  edges  images -> edges
      57 datums run: input and transform changed (env.LANG, env.NEW and env.OLD)
      input.pfs.glob      \"/\" -> \"/*\"
      parallelism         1 -> 4
      transform.env.LANG  \"C\" -> \"C.UTF-8\"
      transform.env.NEW   (none) -> \"2\"
      transform.env.OLD   \"1\" -> (none)

Data work: 57 datums run, reads 570 bytes
Plan: 1 to change
",
    );
}

#[test]
fn long_values_stand_below_each_other_and_are_trimmed() {
    let cmd = |what: &str| json!({"transform": {"cmd": ["python3", "-m", what, "x".repeat(90)]}});
    let mut world = edited(cmd("old"), cmd("new"));
    world.data =
        vec![forecast("edges", &["images"], WorkCause::Changed, vec![run(DatumReason::TransformChanged, 1)])];
    let plan = world.plan(Mode::Apply);
    check_plan(
        &plan,
        &RenderOptions { width: 60, ..RenderOptions::default() },
        "
  ~ pipeline  edges  images -> edges
      1 datum runs: cmd changed
      transform.cmd
      - [\"python3\",\"-m\",\"old\",\"xxxxxxxxxxxxxxxxxxxxxxxxxxxx…
      + [\"python3\",\"-m\",\"new\",\"xxxxxxxxxxxxxxxxxxxxxxxxxxxx…

Data work: 1 datum runs, reads 10 bytes
Plan: 1 to change
",
    );
    let verbose = body(&plan, &RenderOptions { verbose: true, ..RenderOptions::default() });
    assert!(verbose.contains(&"x".repeat(90)) && verbose.contains("(flow.yaml:10:3)"), "{verbose}");
}

#[test]
fn fields_outside_the_key_run_nothing_again() {
    let world = edited(json!({}), json!({"parallelism": 4, "description": "finds edges"}));
    check(
        &world,
        "
  ~ pipeline  edges  description and parallelism changed: runs nothing again
      description  (none) -> \"finds edges\"
      parallelism  1 -> 4

Plan: 1 to change
",
    );
}

#[test]
fn long_diffs_are_cut_with_a_count() {
    let lines = |salt: &str| (0..20).map(|at| format!("echo {salt}{at}")).collect::<Vec<_>>();
    let stdin = |salt: &str| json!({"transform": {"stdin": lines(salt)}});
    let world = edited(stdin("a"), stdin("b"));
    let text = body(&world.plan(Mode::Apply), &RenderOptions::default());
    assert_eq!(text.matches("\n      - echo a").count(), 16);
    assert!(text.contains("\n      ... 24 more lines: `flow plan --why edges`\n"), "{text}");
    let whole = why(&world.plan(Mode::Apply), &addr("pipeline.edges"), &RenderOptions::default()).unwrap();
    assert_eq!(whole.to_string().matches("\n      + echo b").count(), 20);
}

#[test]
fn code_changes_show_each_file() {
    let code = |tree| version(spec("edges", &["images"], json!({"transform": {"code": "src"}})), Some(tree));
    let mut world = World::default();
    world.want(code("new"), &["repo.images"]);
    world.have("pipeline.edges", code("old"), data(1, 1, 1), [].into());
    let file = |path: &str, before: Option<&'static str>, after: Option<&'static str>| {
        let side = |text: &'static str| CodeText { bytes: text.as_bytes(), executable: false };
        CodeFile::between(RepoPath::parse(path).unwrap(), before.map(side), after.map(side))
    };
    let files = vec![
        file("main.py", Some("import a\nprint(1)\n"), Some("import a\nprint(2)\n")),
        file("new.sql", None, Some("-- comment\n")),
        file("old.sql", Some("-- comment\n"), None),
    ];
    world.code.insert("edges".parse().unwrap(), CodeDiff { files });
    world.data = vec![forecast(
        "edges",
        &["images"],
        WorkCause::Changed,
        vec![run(DatumReason::TransformChanged, 57)],
    )];
    check(
        &world,
        "
  ~ pipeline  edges  images -> edges  57 datums run: code changed
      transform.code
      main.py
      - print(1)
      + print(2)
      new.sql (new)
      + -- comment
      old.sql (removed)
      - -- comment

Data work: 57 datums run, reads 570 bytes
Plan: 1 to change
",
    );
}

#[test]
fn folders_show_what_they_bring_and_what_they_overwrite() {
    let mut world = World::default();
    for name in ["images", "labels"] {
        world.want_repo(name, json!({"source": {"path": format!("./{name}"), "branch": "master"}}));
        world.applied(&format!("repo.{name}"));
    }
    world.folder("images", sync("./images", [1, 2, 1], 2048, &["+ /a", "~ /b", "~ /c", "- /d"]));
    let mut labels = sync("./labels", [2, 0, 0], 10, &["+ /x", "+ /y"]);
    labels.overwrites = Some(CommitId(digest("put")));
    world.folder("labels", labels);
    check(
        &world,
        "
  ~ repo      images  kept in step with ./images: 1 file added, 2 changed, 1 removed, 2.0 KiB
      + /a
      ~ /b
      ~ /c
      ... 1 more file
  ~ repo      labels  kept in step with ./labels: 2 files added, 10 bytes
      overwrites commit f331f2886508 on branch master, which did not come from this folder
      + /x
      + /y

Plan: 2 to change
",
    );
}

#[test]
fn deletes_say_what_goes_and_what_is_refused() {
    let mut world = World::default();
    world.have("repo.empty", repo(json!({})), data(0, 0, 0), [].into());
    world.have("repo.kept", repo(json!({})), data(1, 5, 2), [].into());
    world.have("repo.loose", repo(json!({})), data(1, 5, 1), [].into());
    world.live.get_mut(&addr("repo.loose")).unwrap().protected = false;
    world.have("pipeline.p", pipeline("p", &["kept"], json!({})), data(0, 0, 0), [addr("repo.kept")].into());
    check(
        &world,
        "
  - repo      empty  empty
  - repo      loose  deletes 1 file, 5 bytes, 1 commit
  - pipeline  p      deletes its repo, which is empty
  - repo      kept   deletes 1 file, 5 bytes, 2 commits (protected: needs --allow-destroy)

Plan: 4 to delete
1 delete is refused, because data would be lost: `--allow-destroy` allows it
",
    );
    let text = human(&world.plan(Mode::Destroy), &RenderOptions::default()).to_string();
    assert!(text.ends_with("\n`flow destroy --allow-destroy` carries it out\n"), "{text}");
}

#[test]
fn work_says_why_and_what_is_not_known_yet() {
    let mut world = World::default();
    for name in ["a-failed", "b-known", "c-unknown", "d-shrunk", "e-killed", "f-mixed"] {
        world.want(pipeline(name, &["images"], json!({})), &["repo.images"]);
        world.applied(&format!("pipeline.{name}"));
    }
    let mut failed = run(DatumReason::FailedBefore, 1);
    failed.detail = Some("exit 3".to_owned());
    let reuse = |reason, datums| group(ForecastAction::Reuse, reason, datums, 0);
    let images = || WorkCause::InputChanged { repos: vec!["images".to_owned()] };
    let upstream = || WorkCause::Upstream { pipelines: vec!["a-failed".parse().unwrap()] };
    let drop = group(ForecastAction::Drop, DatumReason::Gone, 2, 0);
    world.data = vec![
        forecast(
            "a-failed",
            &["images"],
            WorkCause::FailedBefore,
            vec![failed.clone(), reuse(DatumReason::Unchanged, 56)],
        ),
        forecast(
            "b-known",
            &["images", "a-failed"],
            upstream(),
            vec![run(DatumReason::New, 1), reuse(DatumReason::Unchanged, 1200)],
        ),
        forecast("c-unknown", &["a-failed"], upstream(), vec![]),
        forecast("d-shrunk", &["images"], images(), vec![reuse(DatumReason::Unchanged, 55), drop]),
        forecast("e-killed", &["images"], WorkCause::Unfinished, vec![run(DatumReason::New, 7)]),
        forecast("f-mixed", &["images"], images(), vec![run(DatumReason::New, 2), failed]),
    ];
    for at in [1, 2] {
        world.data[at].unknown_until = vec!["a-failed".parse().unwrap()];
    }
    world.data[0].estimate = Some(Millis(70_000));
    check(
        &world,
        "
  > pipeline  a-failed   images -> a-failed
      not changed; 1 datum runs: failed before (exit 3); 56 reused
  > pipeline  b-known    images, a-failed -> b-known
      not changed; follows a-failed: 1 datum runs, 1,200 reused; more or fewer after a-failed has
      run
  > pipeline  c-unknown  a-failed -> c-unknown
      not changed; follows a-failed: datums are known after a-failed has run
  > pipeline  d-shrunk   images -> d-shrunk
      not changed; images has new data: no datum runs, 55 reused, 2 dropped
  > pipeline  e-killed   images -> e-killed
      not changed; its last job was not finished: 7 datums run
  > pipeline  f-mixed    images -> f-mixed
      not changed; images has new data: 3 datums run: 2 new, 1 failed before (exit 3)

Data work: 12 datums run, 1,311 reused, 2 dropped, reads 120 bytes, about 1 min 10 s for 1 of 4
  pipelines; more or fewer after a-failed has run
Plan: no resource changes, 6 unchanged · 6 dragged along
",
    );
}

#[test]
fn no_changes_is_one_line() {
    let plan = |world: &World, mode| body(&world.plan(mode), &RenderOptions::default());
    let mut world = World::default();
    assert_eq!(plan(&world, Mode::Apply), "no changes: there are no resources\n");
    assert_eq!(plan(&world, Mode::Destroy), "no changes: there is nothing to destroy\n");
    for (name, text) in [
        ("a", "no changes: 1 resource is as the files say, and its data is up to date\n"),
        ("b", "no changes: 2 resources are as the files say, and all data is up to date\n"),
    ] {
        world.want_repo(name, json!({}));
        world.applied(&format!("repo.{name}"));
        assert_eq!(plan(&world, Mode::Apply), text);
    }
    assert_eq!(markdown(&world.plan(Mode::Apply)), "### flow plan: no changes\n");
}

#[test]
fn why_walks_up_to_what_was_written() {
    let mut world = edited(json!({}), json!({"transform": {"stdin": ["x"]}}));
    world.want_repo("images", json!({}));
    world.applied("repo.images");
    world.folder("images", sync("./images", [1, 0, 0], 1, &["+ /a"]));
    let upstream = |names: &[&str]| WorkCause::Upstream {
        pipelines: names.iter().map(|n| n.parse().unwrap()).collect(),
    };
    let cases = [
        ("edges", WorkCause::Changed),
        ("other", WorkCause::InputChanged { repos: vec!["images".to_owned(), "labels".to_owned()] }),
        ("both", upstream(&["edges", "other"])),
        ("last", upstream(&["both", "other"])),
    ];
    world.data = cases
        .map(|(name, cause)| forecast(name, &["x"], cause, vec![run(DatumReason::InputChanged, 1)]))
        .into();
    world.data[3].groups[0].examples = vec!["x:/a".to_owned()];
    world.data[3].groups[0].datums = 3;
    world.data[3].unknown_until = vec!["both".parse().unwrap()];
    let text =
        why(&world.plan(Mode::Apply), &addr("pipeline.last"), &RenderOptions::default()).unwrap().to_string();
    let expected = "
  > pipeline  last  x -> last
      not changed; follows both and other: 3 datums run; more or fewer after both has run

Because:
      pipeline both runs, its definition unchanged
        pipeline edges: stdin changed at flow.yaml:11
        pipeline other runs, its definition unchanged
          repo images: kept in step with ./images: 1 file, 1 byte
          repo labels has data that the last job has not seen
      pipeline other runs, its definition unchanged

Datums:
      3 datums run: input changed, 10 bytes
        x:/a
        ... 2 more
      more or fewer after both has run
";
    assert!(text == expected[1..], "{text}");
    assert_eq!(why(&world.plan(Mode::Apply), &addr("pipeline.none"), &RenderOptions::default()), None);
}

#[test]
fn markdown_folds_details() {
    let text = markdown(&sketch().plan(Mode::Apply));
    let expected = "\
### flow plan: 2 to create, 1 to change, 1 to delete, 2 unchanged · 1 dragged along

> [!WARNING]
> 1 delete would lose data: refused without `--allow-destroy`

| | resource | what |
|---|---|---|
| `+` | `repo.images` | kept in step with ./images: 57 files, 12.4 MiB |
| `+` | `pipeline.edges` | images -> edges: 57 datums run |
| `~` | `pipeline.montage` | images, edges -> montage: 1 datum runs: stdin changed |
| `>` | `pipeline.thumbs` | images -> thumbs: not changed; images has new data: 3 datums run, 54 reused |
| `-` | `pipeline.old-edges` | deletes its repo: 57 files, 3.1 MiB, 4 commits (protected: needs --allow-destroy) |

**Data work:** 61 datums run, 54 reused, reads 12.9 MiB, about 40 s

> note: processes do not use `transform.image` (edges, montage); it counts on a cluster

<details><summary><code>repo.images</code></summary>

```diff
+ /a.png
+ /b.png
```

</details>

<details><summary><code>pipeline.montage</code></summary>

```diff
# transform.stdin (flow.yaml:31)
@@ -1,2 +1,2 @@
 set -e
-montage -shadow -background White
+montage -shadow -background SkyBlue
```

</details>
";
    assert!(text == expected, "{text}");
}

#[test]
fn markdown_is_bounded_and_counts_what_is_cut() {
    let mut world = World::default();
    for at in 0..2_000 {
        let name = format!("p{at}");
        let stdin = |salt: &str| json!({"transform": {"stdin": vec![salt.repeat(200); 5]}});
        world.want(pipeline(&name, &["in"], stdin("a")), &[]);
        world.have(
            &format!("pipeline.{name}"),
            pipeline(&name, &["in"], stdin("b")),
            data(0, 0, 0),
            [].into(),
        );
    }
    world.notes = vec!["note ".repeat(500); 50];
    let text = markdown(&world.plan(Mode::Apply));
    assert!(text.chars().count() < MARKDOWN_CHARS_MAX, "{}", text.chars().count());
    let table = text.matches("\n| `~` |").count();
    assert!(table > 100);
    assert!(text.contains(&format!(
        "... {} more resources: `flow plan` lists all",
        words::grouped(2000 - table as u64)
    )));
    let details = text.matches("<details>").count();
    assert!(details > 3);
    assert!(text.contains(&format!(
        "Details of {} resources do not fit here",
        words::grouped(2000 - details as u64)
    )));
    assert!(text.contains("more notes"));
}

#[test]
fn markdown_takes_nothing_from_files_for_markup() {
    let mut world = edited(json!({}), json!({"transform": {"stdin": ["```", "</details>", "````"]}}));
    world.want_repo("d", json!({}));
    world.folder("d", sync("./a|b_<c>`@me", [1, 0, 0], 0, &[]));
    world.notes = vec!["see `a_b` and a_b".to_owned()];
    let text = markdown(&world.plan(Mode::Apply));
    assert!(text.contains("\n`````diff\n"), "{text}");
    assert!(text.contains("./a\\|b\\_&lt;c>\\`@\u{200b}me"), "{text}");
    assert!(text.contains("> note: see `a_b` and a\\_b\n"), "{text}");
}

#[test]
fn what_steers_a_terminal_never_reaches_it() {
    let mut world =
        edited(json!({}), json!({"transform": {"stdin": ["\x1b[2Jgone"]}, "description": "\x1b[0m\u{202e}"}));
    world.notes = vec!["\x07".to_owned()];
    let plan = world.plan(Mode::Apply);
    let texts = [
        human(&plan, &RenderOptions::default()).to_string(),
        why(&plan, &addr("pipeline.edges"), &RenderOptions::default()).unwrap().to_string(),
        markdown(&plan),
    ];
    for text in texts {
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
    }
}

#[test]
fn a_folder_of_its_own_stands_in_the_commands() {
    let plan = sketch().plan(Mode::Apply);
    for (folder, shown) in
        [("examples/wordcount", "examples/wordcount"), ("my specs", "'my specs'"), ("it's", r"'it'\''s'")]
    {
        let options = RenderOptions { folder: folder.to_owned(), ..RenderOptions::default() };
        let text = human(&plan, &options).to_string();
        assert!(text.contains(&format!("`flow apply {shown} --allow-destroy` carries it out\n")), "{text}");
        assert!(text.contains(&format!("`flow plan {shown} --why montage` explains\n")), "{text}");
    }
}

#[test]
fn every_width_works() {
    let plan = sketch().plan(Mode::Apply);
    for width in 0..200 {
        let options = RenderOptions { width, verbose: width % 2 == 0, ..RenderOptions::default() };
        let text = human(&plan, &options).to_string();
        for resource in ["images", "edges", "montage", "thumbs", "old-edges"] {
            assert!(text.contains(&format!("  {resource}")), "{width}");
        }
    }
}
