//! The `flow` binary under another name, so that the tests of this package can find it, and with faults on demand.

fn main() -> std::process::ExitCode {
    golden_tests::faults::main()
}
