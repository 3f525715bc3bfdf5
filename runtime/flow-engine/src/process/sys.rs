//! The four system calls for which neither `rustix` nor `nix` has a safe wrapper, each behind a safe function.
//!
//! This is the only file of the crate with `unsafe` in it.
#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc;

/// Which side of [`clone_process`] this is.
#[derive(Debug)]
pub(super) enum Cloned {
    /// The new process.
    Child,
    /// The calling process, with the child's process id.
    Parent(i32),
}

/// `struct clone_args`, first version.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// Like `fork`, with the child in new namespaces (`CLONE_NEW*` of `namespaces`).
///
/// Fails with `EINVAL` unless the process has exactly one thread.
pub(super) fn clone_process(namespaces: libc::c_int) -> io::Result<Cloned> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let args = CloneArgs {
        flags: u64::from(namespaces.cast_unsigned()),
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        ..CloneArgs::default()
    };
    // SAFETY: without `CLONE_VM` and without a stack the call is a fork: the child gets a copy of all memory and
    // returns here. Only one thread exists (checked above), so no lock can be held by a thread that is missing in
    // the child. `args` is a valid `struct clone_args` of the size given and outlives the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    match i32::try_from(pid) {
        Ok(0) => Ok(Cloned::Child),
        Ok(pid) if pid > 0 => Ok(Cloned::Parent(pid)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `struct mount_attr`.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Adds `attributes` (`MOUNT_ATTR_*`) to the mount `fd` stands for and to every mount below it.
pub(super) fn mount_attributes(fd: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    let attr = MountAttr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the path is a NUL-terminated literal, `attr` is a valid `struct mount_attr` of the size given, both
    // outlive the call, and the kernel only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A child that ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reaped {
    pub(super) pid: i32,
    /// Wait status as the kernel gives it.
    pub(super) status: i32,
    /// Processor time of the child and of the descendants it waited for.
    pub(super) cpu_us: u64,
    /// Peak resident memory of the largest of them.
    pub(super) max_rss_kib: u64,
}

/// What [`reap`] found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reap {
    Ended(Reaped),
    /// Children exist and none has ended.
    StillRunning,
    /// There are no children.
    NoChildren,
}

/// Waits for any child (`block`) or looks whether one has ended.
pub(super) fn reap(block: bool) -> io::Result<Reap> {
    let mut status = 0;
    let options = if block { 0 } else { libc::WNOHANG };
    loop {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: both pointers are to live, writable memory of the right types.
        let pid = unsafe { libc::wait4(-1, &raw mut status, options, usage.as_mut_ptr()) };
        if pid < 0 {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => continue,
                Some(libc::ECHILD) => return Ok(Reap::NoChildren),
                _ => return Err(error),
            }
        }
        if pid == 0 {
            return Ok(Reap::StillRunning);
        }
        // SAFETY: `rusage` is plain numbers, for which all zeroes are valid, and the kernel has filled it.
        let usage = unsafe { usage.assume_init() };
        return Ok(Reap::Ended(Reaped {
            pid,
            status,
            cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
            max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
        }));
    }
}

fn micros(time: libc::timeval) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
}

/// Marks every descriptor but the three standard ones as closed on exec, whoever opened them.
pub(super) fn close_all_on_exec() -> io::Result<()> {
    // SAFETY: with this flag nothing is closed now, so no owner of a descriptor loses it.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
