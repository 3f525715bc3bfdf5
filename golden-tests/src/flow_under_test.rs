//! The `flow` binary under another name, so that the tests of this package can find it.

fn main() -> std::process::ExitCode {
    flow_cli::main()
}
