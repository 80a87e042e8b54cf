//! The thin binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    observer::app::main()
}
