//! Counts what user code says of itself, over a socket: a sandbox has the network of its host.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// A datum that does not say anything for this long is taken for dead.
const PATIENCE: Duration = Duration::from_secs(5);

/// Counts lines. Each is acknowledged with a line, so that who has got it knows that it was counted.
pub(crate) struct Listener {
    port: u16,
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
    over: Arc<AtomicBool>,
}

impl Listener {
    pub(crate) fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let counts: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let (counting, ending) = (Arc::clone(&counts), Arc::clone(&over));
        thread::spawn(move || {
            for caller in socket.incoming().map(Result::unwrap) {
                if ending.load(Ordering::SeqCst) {
                    break;
                }
                count(caller, &counting);
            }
        });
        Self { port, counts, over }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// How often each line was said so far, by whoever had called before.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        // Callers are served one after the other: when this one is, all before it were.
        let mut line = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        line.write_all(b"\n").unwrap();
        BufReader::new(line).read_line(&mut String::new()).unwrap();
        self.counts.lock().unwrap().clone()
    }

    /// How many lines were said so far, without waiting for anybody.
    pub(crate) fn total(&self) -> usize {
        self.counts.lock().unwrap().values().sum()
    }

    pub(crate) fn reset(&self) {
        self.counts();
        self.counts.lock().unwrap().clear();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // One more caller, so that the thread looks.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn count(caller: TcpStream, counts: &Mutex<BTreeMap<String, usize>>) {
    caller.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = caller.try_clone().unwrap();
    let mut line = String::new();
    // A caller that was killed says nothing, and has not run.
    if !matches!(BufReader::new(caller).read_line(&mut line), Ok(length) if length > 0) {
        return;
    }
    let line = line.trim_end();
    if !line.is_empty() {
        *counts.lock().unwrap().entry(line.to_owned()).or_default() += 1;
    }
    let _ = answer.write_all(b"counted\n");
}
