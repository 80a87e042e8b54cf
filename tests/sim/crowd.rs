//! Several clients at one time: ends that fall together, keys that are the same; and requests that are no attempts.

use super::{
    message::{Request, new_key},
    net::{MICRO, MILLI, SECOND, Time},
    plan::{Attempt, ClientManner, Ending, OriginManner, ProxyManner, span},
    play::{Play, Reply},
    tunnel::End,
};

impl Play {
    /// Several tunnels open at one time, each with a plan of its own.
    fn open_tunnels(
        &mut self,
        start: Time,
        ending: Ending,
        silence: impl Fn(&mut Self) -> Time,
    ) -> Vec<(usize, Time, Attempt)> {
        let mut open = Vec::new();
        for _ in 0..self.random.between(2, 5) {
            let mut plan = Attempt::good(self.world.proxies.len(), &mut self.random);
            plan.tunnel.ending = ending;
            plan.tunnel.silence = silence(self);
            let client = self.some_client();
            let at = start + span(&mut self.random, 0, 2);
            let id = self.connect(client, at);
            let request = self.attempt_request(&mut plan);
            let (story, opened) = self.handshake(id, &plan, &request, at, at + MILLI, false);
            open.push((story, opened, plan));
        }
        open
    }

    /// A proxy ends all tunnels, whatever passes through them.
    pub fn reload(&mut self, start: Time) {
        let proxy = self.random.below(self.world.proxies.len());
        let ending = if self.random.chance(25) { Ending::ClosedByProxy(proxy) } else { Ending::ByProxy(proxy, false) };
        let open = self.open_tunnels(start, ending, |play| span(&mut play.random, 0, 3));
        let at = start + span(&mut self.random, 8, 40);
        let together = self.truth.ends.len();
        for (place, (story, opened, plan)) in open.iter().enumerate() {
            let at = at + Time::try_from(place).expect("few") * 300 * MICRO;
            self.tunnel(*story, &plan.tunnel, *opened, Some(End { at, together }));
        }
        let by = self.world.proxies[proxy].listen;
        self.mass_close(open.iter().map(|(story, ..)| *story).collect(), by);
    }

    /// Tunnels that fall silent together, and end together by one timer.
    pub fn idle_together(&mut self, start: Time) {
        let proxy = self.random.below(self.world.proxies.len());
        let timer = [6, 20, 60][self.random.below(3)] * SECOND;
        let open = self.open_tunnels(start, Ending::ByProxy(proxy, false), |_| timer);
        let at = start + 8 * SECOND + timer;
        let together = self.truth.ends.len();
        for (place, (story, opened, plan)) in open.iter().enumerate() {
            let at = at + Time::try_from(place).expect("few") * 2 * MILLI;
            self.tunnel(*story, &plan.tunnel, *opened, Some(End { at, together }));
        }
    }

    /// Clients that use one key, as load tools do. There is one proxy: behind the second of a chain, or one that makes new
    /// keys, nothing tells whose hop is whose. On one host, a proxy makes no requests of its own here: nothing tells
    /// whose they are.
    pub fn equal_keys(&mut self, start: Time) {
        let key = new_key(&mut self.random);
        let target = self.path();
        self.truth.has_equal_keys = true;
        for _ in 0..self.random.between(2, 4) {
            let mut plan = Attempt::new(self.world.proxies.len(), &mut self.random);
            plan.client = if plan.origin == OriginManner::Silent { plan.client } else { ClientManner::Good };
            plan.offers = false;
            if self.world.is_one_host() {
                plan.proxies
                    .iter_mut()
                    .filter(|manner| manner.asks_aside())
                    .for_each(|manner| *manner = ProxyManner::Forwards);
            }
            if let ProxyManner::ChangesRequest(_) | ProxyManner::ChangesResponse(_) = plan.proxies[0] {
                plan.proxies[0] = ProxyManner::Forwards;
            }
            let client = self.some_client();
            let at = start + span(&mut self.random, 0, 3);
            let id = self.connect(client, at);
            let request = Request::websocket(&target, &key);
            let (story, _) = self.attempt(id, &plan, &request, at, at + MILLI, false);
            self.truth.stories[story].unclear = true;
        }
    }

    /// A proxy with hard-coded fields gets an ordinary request.
    pub fn injection(&mut self, start: Time) {
        let client = self.some_client();
        let id = self.connect(client, start);
        let proxy = self.world.proxies.len() - 1;
        let target = format!("/app/page/{:x}", self.random.next() >> 40);
        let request = Request::get(&target);
        let mut plan = Attempt::good(self.world.proxies.len(), &mut self.random);
        plan.proxies[proxy] = ProxyManner::Injects;
        let story = self.begin("injection", &request, start);
        let told = &mut self.truth.stories[story];
        (told.asks, told.alike) = (false, true);
        let (reply, at) = self.ask(story, &plan, 0, id, &request, start + MILLI, false);
        let told = &mut self.truth.stories[story];
        told.ended_at = Some(at);
        told.got = if let Reply::Answer(response) = reply { Some(response.status) } else { None };
    }

    /// An offer that anybody may decline.
    pub fn offer(&mut self, start: Time) {
        let client = self.some_client();
        let id = self.connect(client, start);
        let target = self.path();
        let mut request = Request::upgrade(&target, "h2c");
        request.fields.set("Connection", "Upgrade, HTTP2-Settings");
        request.fields.set("HTTP2-Settings", "AAMAAABkAAQAAP__");
        let mut plan = Attempt::good(self.world.proxies.len(), &mut self.random);
        if self.random.chance(50) {
            plan.proxies[0] = ProxyManner::Declines;
        }
        let story = self.begin("offer", &request, start);
        self.truth.stories[story].asks = false;
        let (_, at) = self.ask(story, &plan, 0, id, &request, start + MILLI, false);
        self.truth.stories[story].ended_at = Some(at);
    }
}
