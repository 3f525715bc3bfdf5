//! What programs leave in `/pfs/out`.

use std::os::unix::fs::PermissionsExt;

use flow_engine::process::{Exit, OutputKind};

use crate::lab::{Lab, describe, is_root};
use crate::{Case, both, contained, plain};

pub(crate) const CASES: &[Case] = &[
    both("links_are_followed_inside_and_named_outside", links),
    both("special_files_are_named", special_files),
    both("closed_folders_and_files_are_read", closed),
    both("odd_names_are_kept_or_named", odd_names),
    both("hard_links_are_two_files", hard_links),
    both("a_tree_too_deep_is_named_and_removed", deep),
    contained("out_cannot_be_replaced", out_stays),
    plain("a_replaced_out_is_named_and_healed", out_replaced),
    both("outputs_can_be_taken_by_renaming", taking),
    both("outputs_of_one_datum_never_reach_the_next", no_leaks),
];

fn links(lab: &Lab) {
    let mut bench = lab.slot();
    bench.show(&[("in/a", "a"), ("in/dir/b", "b"), ("in/dir/c", "c")]);
    bench.sh_ok(
        "cd $FLOW_PFS/out; echo x > file; mkdir sub; echo y > sub/y
         ln -s file to-file; ln -s sub to-folder; ln -s to-file to-link; ln -s ../file sub/up
         ln -s $FLOW_PFS/in/a to-input; ln -s ../in/dir to-input-folder
         ln -s /etc/passwd etc; ln -s ../../../../../../../../etc/passwd far; ln -s /proc/self/environ environ
         ln -s missing dangling; ln -s loop loop; ln -s . sub/self; ln -s /tmp/x tmp",
    );
    let (files, problems) = describe(&bench.collect());
    assert_eq!(
        files,
        [
            "file=x",
            "sub/up=x",
            "sub/y=y",
            "to-file=x",
            "to-folder/up=x",
            "to-folder/y=y",
            "to-input<-in/a",
            "to-input-folder/b<-in/dir/b",
            "to-input-folder/c<-in/dir/c",
            "to-link=x",
        ]
    );
    let leads_out = |path: &str, target: &str| {
        format!(
            "`/pfs/out/{path}` is a symlink to `{target}`, which leads out of /pfs: copy the file into /pfs/out instead"
        )
    };
    let leads_nowhere =
        |path: &str, target: &str, how| format!("`/pfs/out/{path}` is a symlink to `{target}`, which {how}");
    assert_eq!(
        problems,
        [
            leads_nowhere("dangling", "missing", "does not exist"),
            leads_out("environ", "/proc/self/environ"),
            leads_out("etc", "/etc/passwd"),
            leads_out("far", "../../../../../../../../etc/passwd"),
            leads_nowhere("loop", "loop", "leads to itself"),
            leads_nowhere("sub/self", ".", "leads to itself"),
            leads_out("tmp", "/tmp/x"),
            leads_nowhere("to-folder/self", ".", "leads to itself"),
        ]
    );
    bench.reset();
    bench.stop();
}

fn special_files(lab: &Lab) {
    let mut bench = lab.slot();
    bench.sh_ok(
        "cd $FLOW_PFS/out; mkfifo pipe; ln -s pipe to-pipe; echo x > good
         perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => \"socket\", Listen => 1) or die'",
    );
    let mut wanted = vec![
        "`/pfs/out/pipe` is a named pipe (FIFO): only files can be outputs",
        "`/pfs/out/socket` is a socket: only files can be outputs",
        "`/pfs/out/to-pipe` is a named pipe (FIFO): only files can be outputs",
    ];
    if lab.contained() || !is_root() {
        bench.sh_fails("mknod $FLOW_PFS/out/device c 1 3");
    } else {
        bench.sh_ok("mknod $FLOW_PFS/out/device c 1 3");
        wanted.insert(0, "`/pfs/out/device` is a device: only files can be outputs");
    }
    let (files, problems) = describe(&bench.collect());
    assert_eq!(files, ["good=x"]);
    assert_eq!(problems, wanted);
    bench.reset();
    bench.stop();
}

fn closed(lab: &Lab) {
    let mut bench = lab.slot();
    let script = "cd $FLOW_PFS/out; mkdir -p a/b/c; echo x > a/b/c/x; echo y > a/y; chmod 0 a/y a/b/c/x a/b/c a/b; \
                  ln -s a/b/c to-closed; mkdir list-only; echo z > list-only/z; chmod 0444 list-only; chmod 0 a .";
    for _ in 0..2 {
        bench.sh_ok(script);
        let (files, problems) = describe(&bench.collect());
        assert_eq!(files, ["a/b/c/x=x", "a/y=y", "list-only/z=z", "to-closed/x=x"]);
        assert!(problems.is_empty(), "{problems:?}");
        bench.reset();
    }
    // Emptying does not need the reading before it.
    bench.sh_ok(script);
    bench.reset();
    bench.sh_ok(script);
    bench.stop();
}

fn odd_names(lab: &Lab) {
    let mut bench = lab.slot();
    bench.sh_ok(
        "cd $FLOW_PFS/out; echo 1 > 'with space'; echo 2 > ünï; echo 3 > '-dash'; echo 4 > \"$(printf 'new\\nline')\"
         mkdir sub; echo 5 > \"sub/$(printf 'bad\\377')\"; ln -s \"$(printf 'sub/bad\\377')\" to-bad",
    );
    let (files, problems) = describe(&bench.collect());
    assert_eq!(files, ["-dash=3", "new\nline=4", "with space=1", "ünï=2"]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert_eq!(problems[0], "`/pfs/out/sub/bad\u{fffd}` has a name that is not UTF-8: rename it");
    assert!(problems[1].starts_with("`/pfs/out/to-bad` is a symlink to"), "{problems:?}");
    bench.reset();
    bench.stop();
}

fn hard_links(lab: &Lab) {
    let mut bench = lab.slot();
    bench.sh_ok("cd $FLOW_PFS/out; echo x > one; ln one two");
    let collected = bench.collect();
    assert_eq!(describe(&collected).0, ["one=x", "two=x"]);
    for file in &collected.files {
        assert!(matches!(file.kind, OutputKind::File { movable: false, .. }));
    }
    bench.reset();
    bench.stop();
}

fn deep(lab: &Lab) {
    let mut bench = lab.slot();
    let down = "perl -e 'chdir shift or die; for (1..1000) { mkdir \"deeper\" or die; chdir \"deeper\" or die } \
                open(F, \">\", \"file\") or die' $FLOW_PFS/out";
    bench.sh_ok(down);
    let (files, problems) = describe(&bench.collect());
    assert!(files.is_empty());
    assert!(
        problems.len() == 1 && problems[0].contains("cannot be read: File name too long"),
        "{problems:?}"
    );
    bench.reset();
    bench.stop();
}

fn out_stays(lab: &Lab) {
    let mut bench = lab.slot();
    for attempt in
        ["rmdir /pfs/out", "mv /pfs/out /pfs/other", "rm -rf /pfs/out", "ln -sfn /etc /pfs/out/../out"]
    {
        bench.sh(attempt);
    }
    bench.sh_ok("cd /pfs; chmod 0 out");
    bench.reset();
    bench.sh_ok("rm -rf /pfs/out/*; echo x > /pfs/out/f");
    assert_eq!(describe(&bench.collect()).0, ["f=x"]);
    bench.stop();
}

fn out_replaced(lab: &Lab) {
    let mut bench = lab.slot();
    let victim = lab.path("victim");
    std::fs::create_dir(&victim).unwrap();
    std::fs::write(victim.join("precious"), "x").unwrap();
    let here = victim.display();
    for attempt in [
        "rm -rf $FLOW_PFS/out".to_owned(),
        format!("rm -rf $FLOW_PFS/out; ln -s {here} $FLOW_PFS/out"),
        "rm -rf $FLOW_PFS/out; echo x > $FLOW_PFS/out".to_owned(),
        "rm -rf $FLOW_PFS".to_owned(),
        format!("rm -rf $FLOW_PFS; ln -s {here} $FLOW_PFS"),
    ] {
        bench.show(&[("in/a", "a")]);
        bench.sh_ok(&attempt);
        let (files, problems) = describe(&bench.collect());
        assert!(files.is_empty(), "{attempt}: {files:?}");
        assert_eq!(problems, ["`/pfs/out` was removed or replaced: write into it instead"], "{attempt}");
        bench.reset();
        assert_eq!(std::fs::read_to_string(victim.join("precious")).unwrap(), "x", "{attempt}");
    }
    bench.show(&[("in/a", "a")]);
    bench.sh_ok("cp $FLOW_PFS/in/a $FLOW_PFS/out/a");
    assert_eq!(describe(&bench.collect()).0, ["a=a"]);
    bench.stop();
}

fn taking(lab: &Lab) {
    let mut bench = lab.slot();
    bench.sh_ok("cd $FLOW_PFS/out; mkdir -p d/e; echo big > d/e/big; echo shared > shared; ln -s shared link; chmod 500 d/e");
    let collected = bench.collect();
    let movable = |name: &str| {
        let file = collected.files.iter().find(|file| file.path == name).unwrap();
        (file, matches!(file.kind, OutputKind::File { movable: true, .. }))
    };
    assert_eq!((movable("shared").1, movable("link").1), (false, false));
    let (big, can_move) = movable("d/e/big");
    assert_eq!(can_move, lab.contained(), "a plain slot's files may still be open for writing somewhere");
    let target = lab.path("taken");
    assert_eq!(collected.take(big, &target).is_ok(), can_move);
    if can_move {
        assert_eq!(std::fs::read_to_string(target).unwrap(), "big\n");
        assert_eq!(describe(&bench.collect()).0, ["link=shared", "shared=shared"]);
    }
    bench.reset();
    bench.stop();
}

fn no_leaks(lab: &Lab) {
    let mut bench = lab.slot();
    bench.sh_ok(
        "cd $FLOW_PFS/out; mkdir -p a/b .hidden; echo x > a/b/c; echo x > .hidden/x; mkfifo p; ln -s / root",
    );
    bench.reset();
    assert_eq!(bench.sh_ok("ls -A $FLOW_PFS/out"), "");
    assert_eq!(bench.sh("echo x > $FLOW_PFS/out/f").exit, Exit::Code(0));
    assert_eq!(std::fs::metadata("/etc/passwd").unwrap().permissions().mode() & 0o777, 0o644);
    bench.stop();
}
