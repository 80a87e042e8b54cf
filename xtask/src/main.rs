//! The project's one task runner: `cargo xtask TASK`.

fn main() {}
