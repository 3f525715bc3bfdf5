//! Builds the sandbox of a slot: namespaces, a root of its own, and a process that outlives nobody.
//!
//! Two processes come out of [`enter`]:
//!
//! | process | where | lives until |
//! |---|---|---|
//! | supervisor | outside, as started | the init process ended; kills it if flow is gone |
//! | init | pid 1 of new user, mount, PID and IPC namespaces | its control pipe closes or the supervisor dies |
//!
//! What user code sees: the host read-only (submounts too), `/pfs` read-only, `/pfs/out`, `/tmp` and `/dev/shm`
//! writable and private, a `/proc` of its own with the system's switches read-only, its own user and group id.
//!
//! **Invariant:** after [`enter`] returned [`Role::Init`], no process of the sandbox can write to the host's file
//! system outside the slot's `out` and `tmp`, and all of them die with init. This contains mistakes and careless
//! code; it is no wall against hostile code: the network and the host's sockets stay reachable.
//!
//! Not here: running programs in it (`run`).

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::libc;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::SlotDirs;
use super::setup::{SetupError, Step};
use super::sys::{Cloned, clone_process, mount_attributes};

/// Which of the two processes the caller has become.
#[derive(Debug)]
pub(super) enum Role {
    /// Pid 1 of the sandbox; goes on to serve commands.
    Init,
    /// The process outside; the sandbox is gone, and it ends with this code.
    Supervisor(ExitCode),
}

const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
const WRITABLE: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
/// Device files keep working on a read-only mount; only their mode, owner and times are protected.
const DEVICE: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID;

/// What root keeps of its rights inside: those over files and identities, none over mounts, devices or the system.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::KILL);

/// Top-level names that the sandbox has its own of.
const OWN_TOP: [&str; 4] = ["proc", "dev", "tmp", "pfs"];

/// Devices a program may expect; the last group is for GPUs.
const DEVICES: [&str; 9] = ["null", "zero", "full", "random", "urandom", "tty", "dri", "kfd", "dxg"];

/// Writable parts of `/proc` that belong to the whole machine.
const PROC_SWITCHES: [&str; 6] = ["sys", "sysrq-trigger", "irq", "bus", "fs", "mtrr"];

/// Splits the calling, single-threaded process into supervisor and init, and builds the sandbox around init.
///
/// Returns twice, like `fork`. An error is returned in the process that met it.
pub(super) fn enter(dirs: &SlotDirs, code: Option<&Path>) -> Result<Role, SetupError> {
    let flow =
        rustix::process::getppid().and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
    let (wait_end, go_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).step("open a pipe")?;
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC;
    match clone_process(namespaces).step("create user, mount and PID namespaces")? {
        Cloned::Parent(pid) => {
            drop(wait_end);
            let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound).step("see the init process")?;
            let mapped = map_ids(pid, uid.as_raw(), gid.as_raw());
            if mapped.is_ok() {
                // If init is gone already, supervising it says so.
                let _: rustix::io::Result<usize> = rustix::io::write(&go_end, b"g");
            }
            drop(go_end); // without the byte init ends
            mapped?;
            supervise(pid, flow).map(Role::Supervisor)
        }
        Cloned::Child => {
            drop(go_end);
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
                .step("tie init to its parent")?;
            if rustix::io::read(&wait_end, &mut [0_u8]).unwrap_or(0) == 0 {
                return Ok(Role::Supervisor(ExitCode::FAILURE)); // the parent says what went wrong
            }
            rustix::process::setsid().step("start a session")?;
            build(dirs, code)?;
            drop_rights()?;
            check()?;
            Ok(Role::Init)
        }
    }
}

/// Maps every id to itself; where that is not ours to give, only the user's own.
fn map_ids(pid: Pid, uid: u32, gid: u32) -> Result<(), SetupError> {
    let file = |name: &str| PathBuf::from(format!("/proc/{}/{name}", pid.as_raw_nonzero()));
    if uid == 0 && std::fs::write(file("uid_map"), identity("/proc/self/uid_map")).is_ok() {
        return std::fs::write(file("gid_map"), identity("/proc/self/gid_map")).step("map the group ids");
    }
    std::fs::write(file("uid_map"), format!("{uid} {uid} 1")).step("map the user id")?;
    std::fs::write(file("setgroups"), "deny").step("map the group id (setgroups)")?;
    std::fs::write(file("gid_map"), format!("{gid} {gid} 1")).step("map the group id")
}

/// A map of each id this process knows to itself.
fn identity(own_map: &str) -> String {
    let text = std::fs::read_to_string(own_map).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            (fields.len() == 3).then(|| format!("{0} {0} {1}\n", fields[0], fields[2]))
        })
        .collect()
}

/// Waits until init has ended, and ends it if flow is gone.
///
/// Init watches flow through its pipe; this second watch covers an init that is stuck.
fn supervise(init: Pid, flow: Option<OwnedFd>) -> Result<ExitCode, SetupError> {
    let init_fd = rustix::process::pidfd_open(init, PidfdFlags::empty()).step("watch the init process")?;
    // The pipes to flow are init's: their ends must close when init ends, not when this process does.
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .step("open /dev/null")?;
    rustix::stdio::dup2_stdin(&null).step("let go of the control pipe")?;
    rustix::stdio::dup2_stdout(&null).step("let go of the control pipe")?;
    loop {
        let mut watched = vec![PollFd::new(&init_fd, PollFlags::IN)];
        watched.extend(flow.as_ref().map(|flow| PollFd::new(flow, PollFlags::IN)));
        match poll(&mut watched, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other.step("watch the init process")?,
        };
        let init_ended = !watched[0].revents().is_empty();
        if !init_ended {
            // An error means that init has just ended, which is what is wanted.
            let _: rustix::io::Result<()> = rustix::process::kill_process(init, Signal::KILL);
        }
        let status =
            rustix::process::waitpid(Some(init), WaitOptions::empty()).step("wait for the init process")?;
        let clean = status.is_some_and(|(_, status)| status.exit_status() == Some(0));
        return Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
}

/// A mount that is taken from the host before the new root hides it.
struct Taken {
    mount: OwnedFd,
    /// Where it goes, relative to the new root.
    to: PathBuf,
    is_dir: bool,
}

/// A symlink in the host's root, and its target.
type TopLink = (OsString, PathBuf);

/// Builds the new root and makes it the only one.
fn build(dirs: &SlotDirs, code: Option<&Path>) -> Result<(), SetupError> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).step("make the mounts private")?;
    let (mut taken, links) = take_host(code.is_some())?;
    taken.extend(take_devices()?);
    taken.push(take(&dirs.current(), "pfs".into(), READ_ONLY)?);
    taken.push(take(&dirs.out(), "pfs/out".into(), WRITABLE)?);
    taken.push(take(&dirs.tmp(), "tmp".into(), WRITABLE)?);
    if let Some(code) = code {
        taken.push(take(code, "code".into(), READ_ONLY)?);
    }

    let root = dirs.mount_point();
    mount_tmpfs(&root, "mode=0755,size=1m")?;
    std::env::set_current_dir(&root).step("enter the new root")?;
    for (name, target) in links {
        symlink(target, &name).step(format_args!("link /{}", name.display()))?;
    }
    make_dir("dev")?;
    mount_tmpfs(Path::new("dev"), "mode=0755,size=64k")?;
    taken.iter().try_for_each(place)?;
    mount_proc()?;
    make_dir("dev/shm")?;
    for (name, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        symlink(format!("/proc/self/{target}"), format!("dev/{name}"))
            .step(format_args!("link /dev/{name}"))?;
    }
    for finished in ["dev", "."] {
        let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID;
        rustix::mount::mount_remount(finished, flags, c"").step("make the new root read-only")?;
    }
    mount_tmpfs(Path::new("dev/shm"), "mode=1777")?;
    rustix::process::pivot_root(".", ".").step("change to the new root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).step("let go of the old root")?;
    std::env::set_current_dir("/").step("enter the new root")
}

/// Every top-level entry of the host that the sandbox shows, and the symlinks among them.
fn take_host(has_code: bool) -> Result<(Vec<Taken>, Vec<TopLink>), SetupError> {
    let mut taken = Vec::new();
    let mut links = Vec::new();
    for entry in std::fs::read_dir("/").step("list the host's root")? {
        let entry = entry.step("list the host's root")?;
        let name = entry.file_name();
        if OWN_TOP.iter().any(|own| name == *own) || (has_code && name == "code") {
            continue;
        }
        let kind = entry.file_type().step(format_args!("look at /{}", name.display()))?;
        if kind.is_symlink() {
            let target = std::fs::read_link(entry.path()).step(format_args!("read /{}", name.display()))?;
            links.push((name, target));
        } else if kind.is_dir() || kind.is_file() {
            taken.push(take(&entry.path(), name.into(), READ_ONLY)?);
        }
    }
    Ok((taken, links))
}

fn take_devices() -> Result<Vec<Taken>, SetupError> {
    let host = std::fs::read_dir("/dev").step("list /dev")?;
    let names = host.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter(|name| DEVICES.contains(&name.as_str()) || name.starts_with("nvidia"))
        .filter(|name| {
            let kind = std::fs::symlink_metadata(Path::new("/dev").join(name)).map(|data| data.file_type());
            kind.is_ok_and(|kind| kind.is_char_device() || kind.is_dir())
        })
        .map(|name| take(&Path::new("/dev").join(&name), Path::new("dev").join(&name), DEVICE))
        .collect()
}

/// Clones the mount at `path` with everything mounted below it and restricts the clone.
fn take(path: &Path, to: PathBuf, attributes: u64) -> Result<Taken, SetupError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_NO_AUTOMOUNT;
    let is_dir = std::fs::metadata(path).step(format_args!("look at {}", path.display()))?.is_dir();
    let mount = rustix::mount::open_tree(CWD, path, flags).step(format_args!("bind {}", path.display()))?;
    mount_attributes(mount.as_fd(), attributes).step(format_args!("restrict {}", path.display()))?;
    Ok(Taken { mount, to, is_dir })
}

/// Attaches a taken mount in the new root.
fn place(taken: &Taken) -> Result<(), SetupError> {
    // `/pfs/out` exists in what is mounted at `/pfs`; everything else gets its mount point here.
    if taken.to != Path::new("pfs/out") {
        if taken.is_dir {
            make_dir(&taken.to)?;
        } else {
            std::fs::write(&taken.to, "").step(format_args!("make /{}", taken.to.display()))?;
        }
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&taken.mount, "", CWD, &taken.to, flags)
        .step(format_args!("mount /{}", taken.to.display()))
}

fn mount_proc() -> Result<(), SetupError> {
    make_dir("proc")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "proc", "proc", flags, None).step("mount a fresh /proc")?;
    for name in PROC_SWITCHES {
        let path = Path::new("proc").join(name);
        if path.exists() {
            let taken = take(&path, path.clone(), READ_ONLY)?;
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            rustix::mount::move_mount(&taken.mount, "", CWD, &path, flags)
                .step(format_args!("protect /{}", path.display()))?;
        }
    }
    Ok(())
}

fn mount_tmpfs(at: &Path, options: &str) -> Result<(), SetupError> {
    let options = std::ffi::CString::new(options).step("name the options of a tmpfs")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", at, "tmpfs", flags, Some(options.as_c_str()))
        .step(format_args!("mount a tmpfs at {}", at.display()))
}

fn make_dir(path: impl AsRef<Path>) -> Result<(), SetupError> {
    let path = path.as_ref();
    std::fs::DirBuilder::new().mode(0o755).create(path).step(format_args!("make /{}", path.display()))
}

/// Gives up, for this process and all it will start, the rights to undo what was built.
fn drop_rights() -> Result<(), SetupError> {
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if KEPT.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Err(rustix::io::Errno::INVAL) => break, // past the last one this kernel knows
            other => other.step("drop capabilities")?,
        }
    }
    // Init keeps what its children may have: under no_new_privs they get no more than it has.
    let sets = CapabilitySets { effective: KEPT, permitted: KEPT, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).step("drop capabilities")?;
    rustix::thread::set_no_new_privs(true).step("forbid new privileges")?;
    // Otherwise user code of the same user id could attach to init and speak in its name.
    let hidden = rustix::process::DumpableBehavior::NotDumpable;
    rustix::process::set_dumpable_behavior(hidden).step("hide the init process")
}

/// Tries what the sandbox promises, so that a system that only pretends is found out before a datum is.
fn check() -> Result<(), SetupError> {
    if std::process::id() != 1 || std::fs::read_link("/proc/self").step("read /proc")? != Path::new("1") {
        return Err(io::Error::other("another process has it")).step("become process 1");
    }
    let create = |path: &str| std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    for closed in ["/.flow", "/pfs/.flow", "/etc/.flow", "/dev/.flow"] {
        match create(closed) {
            Ok(_) => {
                return Err(io::Error::other("it can be written")).step(format_args!("protect {closed}"));
            }
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && closed.starts_with("/etc") => {}
            Err(error) => return Err(error).step(format_args!("see that {closed} is protected")),
        }
    }
    for open in ["/pfs/out/.flow", "/tmp/.flow", "/dev/shm/.flow"] {
        drop(create(open).step(format_args!("write {open}"))?);
        std::fs::remove_file(open).step(format_args!("remove {open}"))?;
    }
    Ok(())
}
