//! What a proxy sends: the request as it passes it on, and its own on the side.

use std::net::SocketAddr;

use observer::engine::alert::{Cause, RuleId};

use super::{
    message::{Request, Response, new_key},
    net::{Client, Id, MICRO, MILLI, SECOND, Server, Time},
    plan::{Drops, ProxyManner},
    play::Play,
    truth::Due,
};

impl Play {
    /// What a proxy makes of a request.
    pub fn passed_on(
        &mut self,
        story: usize,
        level: usize,
        from: Id,
        request: &Request,
        manner: ProxyManner,
    ) -> Request {
        let proxy = &self.world.proxies[level];
        let (listen, client) = (proxy.listen, self.net.connections[from].client.ip());
        let mut up = request.clone();
        if proxy.strips_prefix
            && let Some(rest) = up.target.strip_prefix("/app/")
        {
            up.target = format!("/{rest}");
        }
        if proxy.renames_host {
            up.fields.set("Host", "backend");
        }
        if proxy.names_client {
            let before = up.fields.get("X-Forwarded-For").map(|before| format!("{before}, ")).unwrap_or_default();
            up.fields.set("X-Forwarded-For", format!("{before}{client}"));
        }
        if proxy.adds_id && up.fields.get("X-Request-ID").is_none() {
            up.fields.set("X-Request-ID", format!("{:016x}", self.random.next()));
        }
        if proxy.rekeys && up.key().is_some() && !matches!(manner, ProxyManner::ChangesAccept) {
            up.fields.set("Sec-WebSocket-Key", new_key(&mut self.random));
            self.truth.stories[story].alike = true;
        }
        match manner {
            ProxyManner::Drops(drops) => self.drop(story, listen, &mut up, drops),
            ProxyManner::Lowers(drops) => {
                up.old = true;
                if request.is_upgrade() && self.truth.stories[story].asks {
                    self.truth.due.push(Due::new(RuleId::Http10Upstream, story, Some(listen)));
                }
                if let Some(drops) = drops {
                    self.drop(story, listen, &mut up, drops);
                }
            }
            ProxyManner::Injects => {
                up.fields.set("Connection", "upgrade");
                up.fields.set("Upgrade", "websocket");
                self.truth.due.push(Due::new(RuleId::UpgradeInjected, story, Some(listen)));
                let causes = vec![Cause::ClientMalformed];
                let due = Due::new(RuleId::Missing101, story, Some(listen));
                self.truth.due.push(Due { causes, must: false, of_part: true, ..due });
            }
            ProxyManner::Declines => {
                ["Upgrade", "Connection", "HTTP2-Settings"].iter().for_each(|name| up.fields.remove(name));
            }
            ProxyManner::ChangesRequest(field) => {
                match field {
                    "Sec-WebSocket-Version" => up.fields.set(field, "8"),
                    _ if up.fields.get(field).is_some() && self.random.chance(50) => up.fields.remove(field),
                    _ => up.fields.set(field, "changed"),
                }
                self.truth.due.push(Due::new(RuleId::NegotiationAltered, story, Some(listen)));
            }
            _ => {}
        }
        if self.world.proxies[level].lowers_names {
            up.fields.lower();
        }
        up
    }

    fn drop(&mut self, story: usize, by: SocketAddr, up: &mut Request, drops: Drops) {
        if drops.upgrade {
            up.fields.remove("Upgrade");
        }
        if drops.connection {
            up.fields.remove("Connection");
        }
        if let Some(instead) = drops.instead {
            up.fields.set("Connection", instead);
        }
        if drops.names {
            ["Key", "Version", "Protocol", "Extensions"]
                .iter()
                .for_each(|name| up.fields.remove(&format!("Sec-WebSocket-{name}")));
            self.truth.stories[story].alike = true;
            // What is left of a negotiation when the whole of it is gone is a matter of taste.
            self.truth.due.push(Due { must: false, ..Due::new(RuleId::NegotiationAltered, story, Some(by)) });
        }
        self.truth.due.push(Due::new(RuleId::UpgradeHeadersDropped, story, Some(by)));
        self.truth.stories[story].blame(&[Cause::HeadersDropped], by);
    }

    /// A connection to the next server: a free one, or a new one.
    pub fn upstream(&mut self, level: usize, client: SocketAddr, server: SocketAddr, at: Time) -> Id {
        let free = self.pool.iter().position(|(pooled, id)| {
            let connection = &self.net.connections[*id];
            let fits = *pooled == level && connection.server == server && connection.ended == [false; 2];
            fits && connection.last + MILLI < at && at < connection.last + 20 * SECOND
        });
        match free {
            Some(place) => self.pool.swap_remove(place).1,
            None => self.net.open(client, server, level, at),
        }
    }

    /// A request of the proxy's own: about the client's (auth), or the same to another server (mirror).
    pub fn aside(&mut self, story: usize, level: usize, request: &Request, at: Time, status: u16, auth: bool) -> Time {
        let mut side = request.clone();
        side.old = true;
        side.fields.remove("Upgrade");
        side.fields.set("Connection", "close");
        if auth {
            side.fields.set("X-Original-URI", side.target.clone());
            side.target = "/auth".to_owned();
        }
        let client = SocketAddr::new(self.world.proxies[level].from, self.port());
        let id = self.net.open(client, self.world.aside, level + 1, at);
        let sent = self.net.say(id, Client, at, &side.bytes());
        self.truth.stories[story].hops.push((id, sent));
        let at = self.net.say(id, Server, sent + 300 * MICRO, &Response::new(status, b"").bytes());
        self.net.close(id, Server, at);
        at
    }

    /// A try with another origin before the one that counts.
    pub fn first_try(&mut self, story: usize, level: usize, request: &Request, at: Time, refused: bool) -> Time {
        let client = SocketAddr::new(self.world.proxies[level].from, self.port());
        let server = self.world.origins[1];
        if refused {
            let id = self.net.refused(client, server, level + 1, at);
            self.truth.failures.push(at);
            self.truth.stories[story].hops.push((id, at));
            return at + MILLI;
        }
        let id = self.net.open(client, server, level + 1, at);
        let sent = self.net.say(id, Client, at, &request.bytes());
        self.truth.stories[story].hops.push((id, sent));
        let at = self.net.say(id, Server, sent + MILLI, &Response::new(502, b"try another").bytes());
        self.net.close(id, Server, at) + MILLI
    }
}
