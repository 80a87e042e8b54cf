//! Writes the seeds: `seed CAPTURES CORPUS`.

use std::{fs, io, path::PathBuf};

use bodies::seeds;

fn main() -> io::Result<()> {
    let mut paths = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(captures), Some(corpus)) = (paths.next(), paths.next()) else {
        return Err(io::Error::other("seed CAPTURES CORPUS"));
    };
    for capture in seeds::captures(&captures)? {
        let case = capture.parent().and_then(|case| case.file_name()).unwrap_or_default().to_string_lossy();
        for (number, seed) in seeds::of(&capture)?.into_iter().enumerate() {
            let folder = corpus.join(seed.body);
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(format!("{case}-{number}")), seed.bytes)?;
        }
    }
    Ok(())
}
