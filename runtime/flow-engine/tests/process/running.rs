//! Programs that behave, and programs that do not start.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use flow_engine::process::{Command, Exit, Input, LogLimits, Source};

use crate::lab::{Lab, command, describe, err, marker, out, processes_with};
use crate::{Case, both};

pub(crate) const CASES: &[Case] = &[
    both("inputs_are_read_and_outputs_written", inputs_and_outputs),
    both("exit_codes_and_signals_are_reported", exits),
    both("programs_that_do_not_start_say_why", not_started),
    both("the_environment_is_what_was_given", environment),
    both("code_is_the_working_directory", code),
    both("a_log_flood_is_capped", log_flood),
    both("standard_input_of_any_size_is_fed_or_ignored", standard_input),
    both("a_timeout_kills_everything", timeout),
    both("tmp_and_home_stay_from_datum_to_datum", scratch_space),
    both("many_datums_leak_nothing", many),
    both("cost_is_measured", cost),
    both("signals_and_umask_are_the_usual", defaults),
];

fn inputs_and_outputs(lab: &Lab) {
    let mut bench = lab.slot();
    for round in 0..3 {
        let content = format!("round {round}");
        bench.show(&[("in/a", &content), ("other/deep/b", "b")]);
        let printed = bench.sh_ok(
            "cat $FLOW_PFS/in/a; ls $FLOW_PFS; cp $FLOW_PFS/in/a $FLOW_PFS/out/copy; echo note >&2; \
             mkdir $FLOW_PFS/out/d; printf x > $FLOW_PFS/out/d/x; chmod +x $FLOW_PFS/out/d/x; mkdir $FLOW_PFS/out/empty",
        );
        assert_eq!(printed, format!("{content}in\nother\nout\n"));
        let (files, problems) = describe(&bench.collect());
        assert_eq!(files, [format!("copy={content}"), "d/x*=x".to_owned()]);
        assert!(problems.is_empty(), "{problems:?}");
        bench.reset();
        bench.stage.sweep().unwrap();
    }
    bench.stop();
}

fn exits(lab: &Lab) {
    let mut bench = lab.slot();
    for code in [0, 1, 3, 127, 255] {
        assert_eq!(bench.sh(&format!("exit {code}")).exit, Exit::Code(code));
    }
    for signal in [6, 9, 11, 15] {
        assert_eq!(bench.sh(&format!("kill -{signal} $$")).exit, Exit::Signal(signal));
    }
    assert_eq!(bench.sh("kill -9 0").exit, Exit::Signal(9));
    assert_eq!(bench.sh_ok("echo still serving"), "still serving\n");
    bench.stop();
}

fn not_started(lab: &Lab) {
    let code = lab.path("code");
    lab.script("code/no-interpreter", "#!/no/such/thing -x\n");
    lab.script("code/windows", "#!/bin/sh\r\necho hi\r\n");
    lab.script("code/no-first-line", "echo hi\n");
    let not_executable = lab.script("code/not-executable", "#!/bin/sh\n");
    std::fs::set_permissions(not_executable, PermissionsExt::from_mode(0o644)).unwrap();
    let mut bench = lab.slot_with_code(Some(code));
    let cases: &[(&[&str], Option<&str>, &str)] = &[
        (&["no-such-program"], None, "program `no-such-program` not found in PATH (`/usr/local/bin:"),
        (&["/no/such/program"], None, "program `/no/such/program` not found"),
        (&["./missing"], None, "/missing` not found"),
        (
            &["./no-interpreter"],
            None,
            "asks for the interpreter `/no/such/thing` in its first line, and there is none",
        ),
        (&["./windows"], None, "has Windows line ends"),
        (&["./no-first-line"], None, "is neither a binary for this machine nor a script"),
        (&["./not-executable"], None, "is not executable: make it so with `chmod +x`"),
        (&["/etc"], None, "program `/etc` is a directory"),
        (&[], None, "the command is empty"),
        (&[""], None, "the program's name is empty"),
        (&["sh", "a\0b"], None, "contains a NUL character"),
        (&["true"], Some("/no/such/dir"), "working directory `/no/such/dir`: no such file or directory"),
        (&["true"], Some("/etc/passwd"), "working directory `/etc/passwd` is not a directory"),
        (&["./x"], Some("missing"), "/missing`: no such file or directory"),
    ];
    for (argv, working_dir, wanted) in cases {
        let command = Command { working_dir: working_dir.map(str::to_owned), ..command(argv) };
        let report = bench.run(&command);
        match report.exit {
            Exit::NotStarted { reason } => assert!(reason.contains(wanted), "{argv:?}: {reason}"),
            other => panic!("{argv:?}: {other:?}"),
        }
    }
    assert_eq!(bench.sh_ok("echo still serving"), "still serving\n");
    bench.stop();
}

fn environment(lab: &Lab) {
    let mut bench = lab.slot();
    let mut with = command(&["env"]);
    with.env.insert("GREETING".to_owned(), "hello world".to_owned());
    let mut wanted = vec![
        format!("FLOW_PFS={}", bench.slot.view().pfs.display()),
        "GREETING=hello world".to_owned(),
        format!("HOME={}", bench.slot.view().home.display()),
        format!("PATH={}", with.env["PATH"]),
    ];
    if !lab.contained() {
        wanted.push(format!("TMPDIR={}", bench.slot.view().tmp.display()));
    }
    let report = bench.run(&with);
    let mut lines: Vec<String> = out(&report).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, wanted);

    with.env.insert("HOME".to_owned(), "/elsewhere".to_owned());
    assert!(out(&bench.run(&with)).contains("HOME=/elsewhere\n"));
    bench.stop();
}

fn code(lab: &Lab) {
    lab.script("code/bin/run.sh", "#!/bin/sh\necho $0 in $(pwd)\ncat data\n");
    std::fs::write(lab.path("code/data"), "from code\n").unwrap();
    let mut bench = lab.slot_with_code(Some(lab.path("code")));
    let here = if lab.contained() { "/code".into() } else { lab.path("code") };
    let printed = out(&bench.run(&command(&["./bin/run.sh"])));
    assert_eq!(printed, format!("{}/./bin/run.sh in {}\nfrom code\n", here.display(), here.display()));
    // Absolute names of the sandbox work in the plain slot, too, as far as flow itself reads them.
    let absolute = Command { working_dir: Some("/code".to_owned()), ..command(&["/code/bin/run.sh"]) };
    assert_eq!(bench.run(&absolute).exit, Exit::Code(0));
    if lab.contained() {
        bench.sh_fails("echo x > /code/data");
    }
    bench.stop();

    let mut without = lab.slot();
    let here = without.slot.view().tmp.display().to_string();
    assert_eq!(without.sh_ok("pwd").trim(), here);
    without.stop();
}

fn log_flood(lab: &Lab) {
    let mut bench = lab.slot();
    let script = "echo first; head -c 30000000 /dev/zero | tr '\\0' x; echo; echo last; echo oops >&2";
    let report = bench.sh(script);
    assert_eq!(report.exit, Exit::Code(0), "{}", err(&report));
    assert_eq!(report.stdout.total(), 30_000_000 + 6 + 1 + 5);
    assert_eq!((report.stdout.head.len(), report.stdout.tail.len()), (512 << 10, 512 << 10));
    assert!(out(&report).starts_with("first\nxxx") && out(&report).ends_with("x\nlast\n"));
    assert_eq!(err(&report), "oops\n");

    let limits = LogLimits { head: 3, tail: 0 };
    let short = lab.runtime.block_on(bench.slot.run(&command(&["echo", "12345"]), limits)).unwrap();
    assert_eq!((short.stdout.head.as_slice(), short.stdout.left_out), (&b"123"[..], 3));
    bench.stop();
}

fn standard_input(lab: &Lab) {
    let mut bench = lab.slot();
    let big: Vec<u8> = (0..5_000_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
    let with = |argv: &[&str]| Command { stdin: Some(big.clone()), ..command(argv) };
    assert_eq!(bench.run(&with(&["true"])).exit, Exit::Code(0));
    assert_eq!(bench.run(&with(&["sh", "-c", "exec <&-; sleep 0.1"])).exit, Exit::Code(0));
    assert_eq!(out(&bench.run(&with(&["wc", "-c"]))).trim(), big.len().to_string());
    // Both directions at once.
    let echoed = bench.run(&with(&["cat"]));
    assert_eq!(echoed.stdout.total(), big.len() as u64);
    assert!(echoed.stdout.head == big[..512 << 10] && echoed.stdout.tail == big[big.len() - (512 << 10)..]);
    assert_eq!(bench.sh_ok("wc -c").trim(), "0");
    bench.stop();
}

fn timeout(lab: &Lab) {
    let mut bench = lab.slot();
    let marker = marker();
    let script =
        format!("trap '' TERM INT HUP; setsid sleep {marker} & echo started; sleep {marker}; sleep {marker}");
    let limited = Command { timeout: Some(Duration::from_millis(800)), ..command(&["sh", "-c", &script]) };
    let started = Instant::now();
    let report = bench.run(&limited);
    assert_eq!(report.exit, Exit::TimedOut);
    assert_eq!(out(&report), "started\n");
    assert!(report.wall >= Duration::from_millis(800) && started.elapsed() < Duration::from_secs(5));
    assert!(report.leftovers_killed >= 1, "{report:?}");
    assert_eq!(processes_with(&marker), Vec::<std::path::PathBuf>::new());
    let in_time = Command { timeout: Some(Duration::from_secs(60)), ..command(&["true"]) };
    assert_eq!(bench.run(&in_time).exit, Exit::Code(0));
    bench.stop();
}

fn scratch_space(lab: &Lab) {
    let mut bench = lab.slot();
    let tmp = bench.slot.view().tmp.display().to_string();
    bench.sh_ok(&format!("echo kept > {tmp}/file; echo home > $HOME/file"));
    assert_eq!(bench.sh_ok(&format!("cat {tmp}/file $HOME/file")), "kept\nhome\n");
    if lab.contained() {
        assert!(!std::path::Path::new("/tmp/file").exists());
        bench.sh_ok("rm -rf /tmp/*");
        assert_eq!(bench.sh_ok("echo again > $HOME/file; cat $HOME/file"), "again\n");
    }
    bench.stop();
    let mut next = lab.slot();
    assert_eq!(next.sh_ok(&format!("ls {tmp}; ls $HOME")), "home\n");
    next.stop();
}

/// More runs than a process may have files open or a slot may have zombies.
fn many(lab: &Lab) {
    let mut bench = lab.slot();
    for round in 0..1100 {
        let name = format!("in/{round}");
        let input = Input { path: &name, source: Source::Bytes(b"x"), executable: false };
        bench.stage.prepare(&[input]).unwrap();
        bench.stage.show().unwrap();
        let report = bench.run(&command(&["/bin/true"]));
        assert_eq!((report.exit, report.leftovers_killed), (Exit::Code(0), 0));
        if round % 100 == 99 {
            bench.stage.sweep().unwrap();
        }
    }
    let shell = "for i in 1 2 3 4 5 6 7 8 9; do (true &); done; wait; ls $FLOW_PFS/in";
    assert_eq!(bench.sh_ok(shell), "1099\n");
    bench.stop();
}

fn cost(lab: &Lab) {
    let mut bench = lab.slot();
    let idle = bench.sh("sleep 0.2");
    assert!(idle.wall >= Duration::from_millis(200) && idle.cpu_ms < 150, "{idle:?}");
    // Processor time and memory of grandchildren count, too.
    let busy = bench.sh("awk 'BEGIN { for (i = 0; i < 3000000; i++) x += i }'; \
         head -c 60000000 /dev/zero | tail -c 60000000 > /dev/null; true");
    assert_eq!(busy.exit, Exit::Code(0), "{}", err(&busy));
    assert!(busy.cpu_ms > 20 && busy.max_rss_kib > 30_000, "{busy:?}");
    assert!(bench.sh("true").max_rss_kib < 30_000);
    bench.stop();
}

fn defaults(lab: &Lab) {
    let mut bench = lab.slot();
    assert_eq!(bench.sh_ok("umask").trim(), "0022");
    // A writer whose reader is gone dies of SIGPIPE instead of looping.
    assert_eq!(bench.sh_ok("yes | head -n 1"), "y\n");
    let status = bench.sh_ok("grep -E '^Sig(Blk|Ign)' /proc/self/status");
    for line in status.lines() {
        let set = u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap();
        assert_eq!(set & 0x7fff_ffff, 0, "{status}"); // the C library ignores two signals of its own
    }
    // Nothing but the three standard descriptors (and the listing's own).
    assert_eq!(bench.sh_ok("ls /proc/self/fd").split_whitespace().count(), 4);
    bench.stop();
}
