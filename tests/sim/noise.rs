//! Strangers' connections between the hosts of a world. They are chosen by numbers of their own: a seed's world is the same
//! with and without them.

use std::net::SocketAddr;

use super::play::Play;
use crate::traffic::{
    noise::{Noise, Places},
    random::Random,
};

/// How often each kind of them appears, in percent.
const CHANCE: usize = 40;

/// What happens beside a play.
pub fn beside(play: &Play, seed: u64) -> Noise {
    let world = &play.world;
    let servers = world.origins.iter().chain([&world.aside]);
    let mut moments: Vec<_> = play.net.sent.iter().map(|sent| sent.at).collect();
    moments.sort_unstable();
    let places = Places {
        clients: play.net.connections.iter().filter(|one| one.level == 0).map(|one| one.client.ip()).collect(),
        proxies: world.proxies.iter().map(|proxy| proxy.from).collect(),
        origins: servers.clone().map(SocketAddr::ip).collect(),
        ports: servers.copied().chain(play.listens()).map(|listen| listen.port()).collect(),
        moments,
    };
    Noise::new(places, CHANCE, Random::new("noise", seed))
}
