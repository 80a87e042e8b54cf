//! The tunnels of decided attempts. While one is open nothing is heard of it here, for hours maybe: until the first of its hops
//! ends it rests, as one string of bytes.

use std::collections::BTreeMap;

use super::{
    super::{event::Attempt, http::UpgradeId, memory::block},
    packed::{
        Packed, Packing,
        bytes::{number, take_number},
    },
    tunnel::{OpenHop, OpenTunnel},
};

/// All of them, by the id of their first hop's handshake.
#[derive(Default, Debug)]
pub(super) struct Tunnels {
    resting: BTreeMap<UpgradeId, Rested>,
    ending: BTreeMap<UpgradeId, OpenTunnel>,
    /// The tunnels of hops behind the first.
    behind: BTreeMap<UpgradeId, UpgradeId>,
    packing: Packing,
    /// Bytes that they refer to.
    memory: usize,
}

/// A tunnel whose hops are all open: how many hops it has, the ids of those behind the first, and its attempt.
#[derive(Debug)]
struct Rested(Box<[u8]>);

/// Bytes that an entry costs in a tree whose nodes are half full, as it grew at its end.
const fn entry<T>() -> usize {
    2 * size_of::<(UpgradeId, T)>()
}

impl Tunnels {
    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.resting.len() + self.ending.len()
    }

    /// Bytes of state, by estimate.
    pub(super) fn memory(&self) -> usize {
        let trees = self.resting.len() * entry::<Rested>()
            + self.ending.len() * entry::<OpenTunnel>()
            + self.behind.len() * entry::<UpgradeId>();
        self.memory + trees + self.packing.memory()
    }

    /// An attempt opened a tunnel. Ends of its hops may have been seen already.
    pub(super) fn open(&mut self, attempt: &Attempt, hops: Vec<OpenHop>) {
        let Some(key) = hops.first().map(|hop| hop.id) else { return };
        self.behind.extend(hops[1..].iter().map(|hop| (hop.id, key)));
        let tunnel = OpenTunnel { attempt: self.packing.pack(attempt), hops };
        if tunnel.hops.iter().all(|hop| hop.state.is_none()) {
            let rested = Rested::of(&tunnel);
            self.memory += block(rested.0.len());
            self.resting.insert(key, rested);
        } else {
            self.memory += tunnel.memory();
            self.ending.insert(key, tunnel);
        }
    }

    /// Changes the hop of a handshake, and tells of which tunnel it is.
    pub(super) fn update(
        &mut self,
        id: UpgradeId,
        change: impl FnOnce(&mut OpenHop),
    ) -> Option<(UpgradeId, &OpenTunnel)> {
        let key = self.behind.get(&id).copied().unwrap_or(id);
        if let Some(rested) = self.resting.remove(&key) {
            self.memory -= block(rested.0.len());
            let tunnel = rested.wake(key)?;
            self.memory += tunnel.memory();
            self.ending.insert(key, tunnel);
        }
        let tunnel = self.ending.get_mut(&key)?;
        let before = tunnel.memory();
        change(tunnel.hops.iter_mut().find(|hop| hop.id == id)?);
        self.memory = self.memory + tunnel.memory() - before;
        Some((key, tunnel))
    }

    /// A tunnel, if any of its hops has ended.
    pub(super) fn ending(&self, key: UpgradeId) -> Option<&OpenTunnel> {
        self.ending.get(&key)
    }

    /// The oldest one.
    pub(super) fn oldest(&self) -> Option<UpgradeId> {
        let first = [self.resting.keys().next(), self.ending.keys().next()];
        first.into_iter().flatten().min().copied()
    }

    /// Takes one out, with the attempt that opened it.
    pub(super) fn remove(&mut self, key: UpgradeId) -> Option<(OpenTunnel, Attempt)> {
        let tunnel = if let Some(rested) = self.resting.remove(&key) {
            self.memory -= block(rested.0.len());
            rested.wake(key)?
        } else {
            let tunnel = self.ending.remove(&key)?;
            self.memory -= tunnel.memory();
            tunnel
        };
        for hop in &tunnel.hops {
            self.behind.remove(&hop.id);
        }
        let attempt = self.packing.take(&tunnel.attempt);
        Some((tunnel, attempt))
    }

    /// The attempt that opened one.
    pub(super) fn attempt(&self, tunnel: &OpenTunnel) -> Attempt {
        self.packing.unpack(&tunnel.attempt)
    }

    /// Those that no hop has ended, oldest first: the ids of their hops, and what is shown of their attempts.
    pub(super) fn open_ones(&self) -> impl Iterator<Item = (Vec<UpgradeId>, Attempt)> {
        let unended = self.ending.iter().filter(|(_, tunnel)| tunnel.first_end().is_none()).map(|(key, _)| key);
        let mut keys: Vec<_> = self.resting.keys().chain(unended).copied().collect();
        keys.sort_unstable();
        keys.into_iter().filter_map(|key| {
            let woken = self.resting.get(&key).and_then(|rested| rested.wake(key));
            let tunnel = woken.as_ref().or_else(|| self.ending.get(&key))?;
            Some((tunnel.hops.iter().map(|hop| hop.id).collect(), outline(self.attempt(tunnel))))
        })
    }
}

/// An attempt without its field lines, but for the host that was asked for: lists of open tunnels may be long.
fn outline(mut attempt: Attempt) -> Attempt {
    for hop in &mut attempt.hops {
        if let Some(request) = &mut hop.request {
            request.fields.retain(|field| field.name.eq_ignore_ascii_case("host"));
            request.fields.shrink_to_fit();
        }
        if let Some(response) = &mut hop.response {
            response.fields = Vec::new();
        }
    }
    attempt
}

impl Rested {
    fn of(tunnel: &OpenTunnel) -> Self {
        let mut bytes = Vec::new();
        number(&mut bytes, tunnel.hops.len() as u64);
        for hop in &tunnel.hops[1..] {
            number(&mut bytes, hop.id.0);
        }
        bytes.extend(tunnel.attempt.as_bytes());
        Self(bytes.into())
    }

    fn wake(&self, key: UpgradeId) -> Option<OpenTunnel> {
        let mut bytes = &*self.0;
        let count = take_number(&mut bytes)?;
        let hop = |id| OpenHop { id, state: None, gone: None };
        let mut hops = vec![hop(key)];
        for _ in 1..count {
            hops.push(hop(UpgradeId(take_number(&mut bytes)?)));
        }
        Some(OpenTunnel { attempt: Packed::from_bytes(bytes), hops })
    }
}
