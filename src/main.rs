//! The `saelake` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    saelake::cli::main()
}
