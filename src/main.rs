//! The `sayso` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    sayso::cli::main(std::env::args_os())
}
