//! Who the process is from now on: nobody of note, without capabilities.

use anyhow::Context;
use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::{Gid, Uid, User, geteuid, setgroups, setresgid, setresuid};

/// Drops root, if that is what we are, and all capabilities but those to keep, as far as there were any.
///
/// Root becomes the user that was named, else the one who called `sudo`, who then owns what is written, else `nobody`.
/// Where Landlock is absent the caller of `sudo` is passed over: all of that user's files would be in reach.
pub(super) fn change(name: Option<&str>, keep: &[Capability]) -> anyhow::Result<()> {
    let held = caps::read(None, CapSet::Permitted).context("cannot read capabilities")?;
    let kept: CapsHashSet = keep.iter().copied().filter(|wanted| held.contains(wanted)).collect();
    if geteuid().is_root() {
        let (uid, gid) = target(name)?;
        // What is not in the bounding set can never come back. It may be refused in a container, which has done so.
        let _ = caps::clear(None, CapSet::Bounding);
        caps::securebits::set_keepcaps(!kept.is_empty()).context("cannot keep capabilities")?;
        setgroups(&[gid]).context("cannot leave root's groups")?;
        setresgid(gid, gid, gid).context("cannot leave root's group")?;
        setresuid(uid, uid, uid).context("cannot stop being root")?;
    } else if name.is_some() {
        anyhow::bail!("--user needs root: only root can become another user");
    }
    let none = CapsHashSet::new();
    caps::clear(None, CapSet::Ambient).context("cannot drop capabilities (Ambient)")?;
    for (set, rest) in [(CapSet::Effective, &kept), (CapSet::Permitted, &kept), (CapSet::Inheritable, &none)] {
        caps::set(None, set, rest).with_context(|| format!("cannot drop capabilities ({set:?})"))?;
    }
    Ok(())
}

/// Drops some capabilities of a process that is not root. Root does not need them for what they allow.
pub(super) fn drop_caps(capabilities: &[Capability]) -> anyhow::Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    for set in [CapSet::Ambient, CapSet::Effective, CapSet::Permitted] {
        let mut rest = caps::read(None, set).context("cannot read capabilities")?;
        rest.retain(|held| !capabilities.contains(held));
        caps::set(None, set, &rest).with_context(|| format!("cannot drop capabilities ({set:?})"))?;
    }
    Ok(())
}

pub(super) fn target(name: Option<&str>) -> anyhow::Result<(Uid, Gid)> {
    if let Some(name) = name {
        let user = User::from_name(name).ok().flatten();
        let user = user.with_context(|| format!("there is no user {name:?} to become (--user)"))?;
        anyhow::ensure!(!user.uid.is_root(), "--user {name} is root; name another user, or use --fence off");
        return Ok((user.uid, user.gid));
    }
    if let Some(caller) = sudo_caller().filter(|_| super::has_landlock()) {
        return Ok(caller);
    }
    Ok(match User::from_name("nobody").ok().flatten() {
        Some(user) => (user.uid, user.gid),
        // The kernel's own overflow user.
        None => (Uid::from_raw(65_534), Gid::from_raw(65_534)),
    })
}

/// Who called `sudo`.
fn sudo_caller() -> Option<(Uid, Gid)> {
    let number = |name| std::env::var(name).ok()?.parse().ok().filter(|number| *number != 0);
    Some((Uid::from_raw(number("SUDO_UID")?), Gid::from_raw(number("SUDO_GID")?)))
}
