//! Where the screens put what `e` exports. Chosen before the fence is raised, for whom we are behind it.

#[cfg(feature = "pcap")]
use std::{env, os::unix::fs::MetadataExt};
use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// The directory that was asked for, as a whole path; else the working directory.
pub(super) fn named(directory: Option<&Path>) -> anyhow::Result<PathBuf> {
    let directory = directory.unwrap_or(Path::new("."));
    let whole = fs::canonicalize(directory)
        .with_context(|| format!("cannot export to {}; name a directory with --export-dir", directory.display()))?;
    anyhow::ensure!(whole.is_dir(), "cannot export to {}: it is no directory", whole.display());
    Ok(whole)
}

/// The directory that was asked for, else the working directory, else that of temporary files: the first where `user`
/// may write.
#[cfg(feature = "pcap")]
pub(super) fn writable(directory: Option<&Path>, user: &super::fence::TargetUser) -> anyhow::Result<PathBuf> {
    let may_write = |directory: &Path| match user.ids {
        Some(ids) => may(directory, ids),
        None => rustix::fs::access(directory, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok(),
    };
    if directory.is_some() {
        let named = named(directory)?;
        let (path, name) = (named.display(), &user.name);
        anyhow::ensure!(
            may_write(&named),
            "cannot export to {path}: {name} may not write there; choose another directory"
        );
        return Ok(named);
    }
    let usual = [named(None), named(Some(&env::temp_dir()))].into_iter().flatten();
    let mut usual: Vec<_> = usual.collect();
    let chosen = usual.iter().position(|directory| may_write(directory)).unwrap_or(0);
    anyhow::ensure!(!usual.is_empty(), "there is no directory to export to; name one with --export-dir");
    Ok(usual.swap_remove(chosen))
}

/// Whether a user with one group may come to a directory and write there, by the mode of it and of those above it. Other
/// rights (ACLs) are not looked at.
#[cfg(feature = "pcap")]
fn may(directory: &Path, (uid, gid): (u32, u32)) -> bool {
    let has = |path: &Path, bits: u32| {
        fs::metadata(path).is_ok_and(|metadata| {
            let shift = match (metadata.uid() == uid, metadata.gid() == gid) {
                (true, _) => 6,
                (false, true) => 3,
                (false, false) => 0,
            };
            metadata.mode() >> shift & bits == bits
        })
    };
    has(directory, 0o3) && directory.ancestors().skip(1).all(|above| has(above, 0o1))
}

#[cfg(all(test, feature = "pcap"))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_mode_tells_who_may_write() {
        let above = env::temp_dir().join(format!("observer-exports-{}", std::process::id()));
        let directory = above.join("in");
        fs::create_dir_all(&directory).unwrap();
        let metadata = fs::metadata(&directory).unwrap();
        let (uid, gid) = (metadata.uid(), metadata.gid());
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(&above, 0o755);
        for (bits, owner, group, other) in [
            (0o755, true, false, false),
            (0o775, true, true, false),
            (0o577, false, true, true),
            (0o766, true, false, false),
        ] {
            mode(&directory, bits);
            let told = [(uid, gid), (uid + 1, gid), (uid + 1, gid + 1)].map(|ids| may(&directory, ids));
            assert_eq!(told, [owner, group, other], "{bits:o}");
        }
        mode(&directory, 0o777);
        mode(&above, 0o700);
        assert!(!may(&directory, (uid + 1, gid + 1)), "he cannot come there");
        fs::remove_dir_all(above).unwrap();
    }
}
