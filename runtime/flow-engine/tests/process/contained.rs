//! What programs try against the machine, their inputs and each other.

use std::path::Path;

use flow_engine::process::{Exit, hint_for};

use crate::lab::{Lab, command, describe, err, is_root, marker, out, wait_until_gone};
use crate::{Case, both, contained, plain};

pub(crate) const CASES: &[Case] = &[
    contained("writes_outside_fail_with_a_hint", writes_outside),
    contained("mounts_cannot_be_undone", mounts),
    contained("a_nested_namespace_opens_nothing", nested),
    contained("devices_work_and_are_protected", devices),
    contained("other_processes_are_out_of_reach", isolation),
    both("user_code_is_who_the_user_is", identity),
    both("store_objects_survive_changed_inputs", changed_input),
    both("inputs_are_fresh_for_each_datum", fresh_inputs),
    contained("root_may_change_user", change_user),
    contained("rights_are_the_small_set", rights),
    plain("the_plain_slot_sees_the_host", plain_sees_host),
];

fn writes_outside(lab: &Lab) {
    std::fs::create_dir(lab.path("code")).unwrap();
    let mut bench = lab.slot_with_code(Some(lab.path("code")));
    bench.show(&[("in/a", "a")]);
    let own = lab.path("mine").display().to_string();
    let targets = [
        "/x",
        "/etc/flow-test",
        "/usr/x",
        "/pfs/x",
        "/pfs/in/x",
        "/pfs/in/a",
        "/code/x",
        "/dev/x",
        "/var/tmp/x",
        &own,
    ];
    for target in targets {
        let report = bench.sh_fails(&format!("echo x > {target}"));
        let said = err(&report);
        assert!(said.contains("Read-only file system") || target == own, "{target}: {said}");
        if target != own {
            assert!(hint_for(&report).unwrap().starts_with("only /pfs/out and /tmp are writable"), "{said}");
        }
        assert!(!Path::new(target).exists(), "{target}");
    }
    // Its own slot's folder, under the name it has on the host: read-only, too, where it is visible at all.
    for folder in ["out", "tmp", "current", "next"] {
        bench.sh_fails(&format!("echo x > {}/{folder}/x", bench.dirs.root().display()));
    }
    for writable in ["/pfs/out/x", "/tmp/x", "/dev/shm/x", "$HOME/x"] {
        bench.sh_ok(&format!("echo x > {writable}"));
    }
    bench.stop();
}

fn mounts(lab: &Lab) {
    let mut bench = lab.slot();
    bench.show(&[("in/a", "a")]);
    for attempt in [
        "mount -o remount,rw /",
        "mount -o remount,bind,rw /pfs",
        "mount -o remount,bind,rw /etc",
        "mount -o remount,bind,rw /proc/sys",
        "umount /pfs/out",
        "umount -l /pfs",
        "umount /proc/sys",
        "mount -t tmpfs none /pfs/in",
        "mount --bind /tmp /pfs/in",
        "mknod /tmp/null c 1 3",
        "mv /pfs/out /pfs/in",
        "rmdir /pfs/out",
        "rm -rf /pfs/in/a",
        "ln /pfs/in/a /pfs/out/hard",
        "chmod 777 /pfs/in/a",
        "touch /pfs/in/a",
        "echo h > /proc/sys/kernel/hostname",
        "echo 1 > /proc/sys/vm/overcommit_memory",
        "echo h > /proc/sysrq-trigger",
        "hostname flow-test",
    ] {
        bench.sh_fails(attempt);
    }
    assert_eq!(bench.sh_ok("cat /pfs/in/a"), "a");
    bench.stop();
}

/// As root of a user namespace of its own, a program has every right over its mounts, but not over ours.
fn nested(lab: &Lab) {
    let mut bench = lab.slot();
    let object = bench.show_object();
    let attempts = "
        echo entered
        for target in / /pfs /pfs/in /etc /dev /proc/sys; do
            mount -o remount,bind,rw $target && echo OPENED remount $target
            umount $target && echo OPENED umount $target
            umount -l $target && echo OPENED umount -l $target
        done
        mkdir -p /tmp/view
        mount --bind /pfs /tmp/view && echo OPENED bind
        mount --rbind /pfs /tmp/view && mount -o remount,bind,rw /tmp/view && echo OPENED rbind
        echo changed > /pfs/in/object && echo OPENED object
        echo changed > /tmp/view/in/object && echo OPENED object in view
        echo x > /etc/flow-test && echo OPENED etc
        mount -t tmpfs none /tmp && echo it may mount";
    // Root inside may not map itself (that takes a right it lacks), but any user it changes to may.
    let user = if is_root() { "setpriv --reuid 65534 --regid 65534 --clear-groups" } else { "" };
    let printed = bench.sh_ok(&format!("{user} unshare -Urm sh -c '{attempts}'"));
    assert_eq!(printed, "entered\nit may mount\n");
    let direct = bench.sh(&format!("unshare -Urm sh -c '{attempts}'"));
    assert!(!out(&direct).contains("OPENED"), "{}", out(&direct));
    assert_eq!(std::fs::read_to_string(object).unwrap(), "precious");
    // With a process namespace, too: a fresh /proc would have its switches open.
    let fresh = "mount -t proc proc /proc && echo x > /proc/sys/kernel/hostname";
    bench.sh_fails(&format!("{user} unshare -Urmpf sh -c '{fresh}'"));
    bench.stop();
}

fn devices(lab: &Lab) {
    let mut bench = lab.slot();
    let printed = bench.sh_ok(
        "echo gone > /dev/null; head -c 5 /dev/zero | wc -c; head -c 7 /dev/urandom | wc -c; \
         head -c 3 /dev/random | wc -c; echo out > /dev/stdout; echo err > /dev/stderr; echo in | cat /dev/stdin; \
         echo shm > /dev/shm/f; cat /dev/shm/f; ls /dev/fd/ > /dev/null",
    );
    assert_eq!(printed, "5\n7\n3\nout\nin\nshm\n");
    let before = std::fs::metadata("/dev/null").unwrap().permissions();
    bench.sh_fails("chmod 600 /dev/null");
    bench.sh_fails("rm /dev/null");
    bench.sh_fails("ls /dev/vda || ls /dev/sda || ls /dev/nvme0n1");
    assert_eq!(std::fs::metadata("/dev/null").unwrap().permissions(), before);
    bench.stop();
}

fn isolation(lab: &Lab) {
    let mut bench = lab.slot();
    bench.sh_fails(&format!("kill -0 {}", std::process::id()));
    // Of the whole machine it sees the helper, itself and its children.
    let processes = bench.sh_ok("ls /proc | grep -c '^[0-9]'").trim().parse::<u32>().unwrap();
    assert!(processes <= 5, "{processes}");
    // The helper cannot be killed, stopped, read or spoken for.
    bench.sh("kill -9 1; kill -STOP 1; kill -9 -1");
    bench.sh_fails("cat /proc/1/environ");
    bench.sh_fails("ls -l /proc/1/fd/0");
    bench.sh_fails("echo x > /proc/1/fd/1");
    bench.sh_fails("head -c 1 /proc/1/mem");
    assert_eq!(bench.sh_ok("echo still serving"), "still serving\n");
    // The terminal is flow's.
    bench.sh_fails("exec 3<> /dev/tty");
    bench.stop();
}

fn identity(lab: &Lab) {
    let mut bench = lab.slot();
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    assert_eq!(bench.sh_ok("id -u; id -g"), format!("{uid}\n{gid}\n"));
    bench.sh_ok("touch $FLOW_PFS/out/f");
    let collected = bench.collect();
    let owner = rustix::fs::fstat(collected.open(&collected.files[0]).unwrap()).unwrap();
    assert_eq!((owner.st_uid, owner.st_gid), (uid, gid));
    bench.stop();
}

fn changed_input(lab: &Lab) {
    let mut bench = lab.slot();
    let object = bench.show_object();
    for attempt in [
        "echo changed > $FLOW_PFS/in/object",
        "chmod 666 $FLOW_PFS/in/object && echo changed >> $FLOW_PFS/in/object",
        "rm -f $FLOW_PFS/in/object",
        "mv $FLOW_PFS/in $FLOW_PFS/gone",
    ] {
        let report = bench.sh(attempt);
        if lab.contained() {
            assert!(matches!(report.exit, Exit::Code(1..)), "{attempt}: {:?}", report.exit);
            assert!(hint_for(&report).is_some(), "{attempt}");
            assert_eq!(bench.sh_ok("cat $FLOW_PFS/in/object"), "precious");
        }
        assert_eq!(std::fs::read_to_string(&object).unwrap(), "precious", "{attempt}");
    }
    bench.stop();
}

fn fresh_inputs(lab: &Lab) {
    let mut bench = lab.slot();
    bench.show(&[("in/a", "a")]);
    bench.sh("echo x > $FLOW_PFS/in/a; echo x > $FLOW_PFS/in/b; mkdir -m 0 $FLOW_PFS/closed; ln -s / $FLOW_PFS/root");
    bench.show(&[("in/a", "new")]);
    assert_eq!(bench.sh_ok("ls $FLOW_PFS $FLOW_PFS/in; cat $FLOW_PFS/in/a").replace('\n', " ").trim(), {
        let pfs = bench.slot.view().pfs.display().to_string();
        format!("{pfs}: in out  {pfs}/in: a new")
    });
    bench.stage.sweep().unwrap();
    bench.stop();
}

/// Scripts of container images change to a service user; what they leave behind is ours to kill and collect.
fn change_user(lab: &Lab) {
    if !is_root() {
        return;
    }
    let mut bench = lab.slot();
    let marker = marker();
    let script = format!(
        "echo x > /pfs/out/f; chmod 600 /pfs/out/f; mkdir -m 700 /pfs/out/d; echo y > /pfs/out/d/g; echo t > /tmp/t; \
         id -u; setsid sleep {marker} > /dev/null 2>&1 &"
    );
    let argv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", &script];
    let report = bench.run(&command(&argv));
    assert_eq!(report.exit, Exit::Code(0), "{}", err(&report));
    wait_until_gone(&marker);
    bench.sh_ok("chown 1234:1234 /pfs/out/f");
    let (files, problems) = describe(&bench.collect());
    assert_eq!((files, problems), (vec!["d/g=y".to_owned(), "f=x".to_owned()], vec![]));
    let collected = bench.collect();
    assert!(
        collected.take(&collected.files[0], &lab.path("taken")).is_err(),
        "another user's file was moved"
    );
    bench.reset();
    bench.stop();
}

fn rights(lab: &Lab) {
    let mut bench = lab.slot();
    let status = bench.sh_ok("grep -E '^(Cap|NoNewPrivs)' /proc/self/status");
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    // CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID.
    let small = 0b1110_1011;
    assert_eq!(value("CapBnd:"), small, "{status}");
    assert_eq!(value("CapEff:"), if is_root() { small } else { 0 }, "{status}");
    assert_eq!((value("CapInh:"), value("CapAmb:"), value("NoNewPrivs:")), (0, 0, 1), "{status}");
    bench.stop();
}

fn plain_sees_host(lab: &Lab) {
    let mut bench = lab.slot();
    let file = lab.path("host-file");
    let report = bench.sh(&format!("echo x > {}", file.display()));
    assert_eq!((report.exit.clone(), out(&report)), (Exit::Code(0), String::new()));
    assert!(file.exists(), "the plain slot is expected to contain nothing");
    bench.stop();
}
