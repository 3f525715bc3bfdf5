//! What a slot costs per datum, against starting the same program directly.
//!
//! `cargo run --release -p flow-engine --example slot_cost [DATUMS] [FOLDER]`; the program is `cp` of a 1 KiB file.
#![expect(clippy::print_stdout, reason = "an example that reports to its reader")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use flow_engine::process::{
    Command, Exit, Helper, Input, LogLimits, Sandbox, Slot, SlotConfig, SlotDirs, Source, Stage, collect,
    helper_main, reset_out,
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if let Some(code) = helper_main() {
        return Ok(code);
    }
    let mut arguments = std::env::args().skip(1);
    let datums: u32 = arguments.next().map_or(Ok(1000), |number| number.parse())?;
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from).join("flow-slot-cost");
    std::fs::create_dir_all(&folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for round in 0..2 {
        println!("round {round}, {datums} datums, ms per datum:");
        print("  direct spawn of cp, bare", direct(&folder, datums, false)?, datums);
        print("  direct spawn of cp, outputs piped", direct(&folder, datums, true)?, datums);
        for sandbox in [Sandbox::Namespaces, Sandbox::Plain] {
            let costs = runtime.block_on(slot(&folder, datums, sandbox))?;
            for (what, time) in costs {
                print(&format!("  {sandbox:?}: {what}"), time, datums);
            }
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(ExitCode::SUCCESS)
}

fn print(what: &str, time: Duration, datums: u32) {
    println!("{what:50} {:8.3}", time.as_secs_f64() * 1000.0 / f64::from(datums));
}

fn direct(folder: &Path, datums: u32, piped: bool) -> Result<Duration, Box<dyn Error>> {
    let (from, to) = (folder.join("from"), folder.join("to"));
    std::fs::write(&from, [b'x'; 1024])?;
    let started = Instant::now();
    for _ in 0..datums {
        let mut cp = std::process::Command::new("/bin/cp");
        cp.arg(&from).arg(&to);
        let succeeded = if piped { cp.output()?.status.success() } else { cp.status()?.success() };
        if !succeeded {
            return Err("cp failed".into());
        }
        std::fs::remove_file(&to)?;
    }
    Ok(started.elapsed())
}

async fn slot(
    folder: &Path,
    datums: u32,
    sandbox: Sandbox,
) -> Result<Vec<(&'static str, Duration)>, Box<dyn Error>> {
    let dirs = SlotDirs::at(folder.join("slot"));
    let start = Instant::now();
    let config = SlotConfig { dirs: dirs.clone(), code: None, sandbox, helper: Helper::default() };
    let mut slot = Slot::start(config).await?;
    println!("  {sandbox:?}: start of the slot, ms {:>30.3}", start.elapsed().as_secs_f64() * 1000.0);
    let mut stage = Stage::new(&dirs, sandbox)?;
    let pfs = slot.view().pfs.display().to_string();
    let argv = ["/bin/cp".to_owned(), format!("{pfs}/in/file"), format!("{pfs}/out/file")];
    let env = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
    let command = Command { argv: argv.to_vec(), env, ..Command::default() };
    let content = [b'x'; 1024];
    let mut spent = [Duration::ZERO; 4];
    let all = Instant::now();
    for _ in 0..datums {
        let mut mark = Instant::now();
        let mut lap = |index: usize| {
            spent[index] += mark.elapsed();
            mark = Instant::now();
        };
        stage.prepare(&[Input { path: "in/file", source: Source::Bytes(&content), executable: false }])?;
        stage.show()?;
        lap(0);
        let report = slot.run(&command, LogLimits::default()).await?;
        if report.exit != Exit::Code(0) {
            return Err(format!("{report:?}").into());
        }
        lap(1);
        if collect(&dirs, sandbox)?.files.len() != 1 {
            return Err("no output".into());
        }
        lap(2);
        reset_out(&dirs, sandbox)?;
        lap(3);
    }
    let all = all.elapsed();
    let stop = Instant::now();
    slot.stop().await?;
    println!("  {sandbox:?}: stop of the slot, ms {:>31.3}", stop.elapsed().as_secs_f64() * 1000.0);
    dirs.remove()?;
    let [staged, ran, collected, swept] = spent;
    let parts =
        [("inputs", staged), ("run", ran), ("collect", collected), ("empty out", swept), ("all", all)];
    Ok(parts.to_vec())
}
