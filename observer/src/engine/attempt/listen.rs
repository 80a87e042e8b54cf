//! What attempts hear of each connection: requests, answers, tunnels' ends.

use std::net::SocketAddr;

use super::{
    super::{
        anomaly::{Anomaly, AnomalyKind},
        event::{Endpoint, Silence},
        handshake::Handshake,
        http::{Listener, RequestHead, ResponseHead, Ticket, TlsConnection, Tunnel},
        tcp::{Closed, Link, Opening, Stamp},
        time::Timestamp,
    },
    Attempts, Case, Timer,
    adopt::{of_handshake, of_recent},
    tunnel::OpenHop,
};

impl Listener for Attempts {
    fn request(&mut self, link: &Link, head: &RequestHead<'_>, forwarded_for: Option<SocketAddr>) -> Option<Ticket> {
        self.counts.requests += 1;
        self.connects.asked(link);
        if !head.is_upgrade_like() {
            if let Some(fallback) = self.polling.request(link, head) {
                self.cases.push_back(Case::Fallback(Box::new(fallback)));
            }
            return self.recent.push(link, head).map(of_recent);
        }
        let id = self.next_id;
        self.next_id += 1;
        let mut handshake = Handshake::new(*link, head.stamp.interface, head.stamp.sequence, head.to_owned());
        handshake.forwarded_for = forwarded_for;
        handshake.pids = self.owners.of(link).map(|owner| owner.map(|process| process.pid));
        if handshake.pids.contains(&None) {
            self.owners.ask(link);
        }
        self.at(handshake.request.at + self.answer_timeout, Timer::Answer(id));
        self.store.insert(id, handshake);
        Some(of_handshake(id))
    }

    fn response(&mut self, ticket: Ticket, head: &ResponseHead<'_>) {
        let (id, at) = (ticket.number() >> 1, head.stamp.at);
        if ticket.number() & 1 == 1 {
            self.recent.answer(id, head);
            return;
        }
        let response = head.to_owned();
        let known = self.store.update(id, |handshake| {
            handshake.response = Some(response);
            handshake.ended_at = Some(at);
        });
        if known {
            self.at(at + self.settle, Timer::Decide(id));
        }
    }

    fn body(&mut self, ticket: Ticket, bytes: &[u8]) {
        if ticket.number() & 1 == 0 {
            self.store.update(ticket.number() >> 1, |handshake| handshake.keep_body(bytes));
        }
    }

    fn unanswered(&mut self, ticket: Ticket, silence: Silence, at: Timestamp) {
        let id = ticket.number() >> 1;
        if ticket.number() & 1 == 1 {
            return;
        }
        let known = self.store.update(id, |handshake| {
            handshake.silence = Some(silence);
            handshake.ended_at = (silence != Silence::Waiting).then_some(at);
        });
        if known && silence != Silence::Waiting {
            self.at(at + self.settle, Timer::Decide(id));
        }
    }

    fn left(&mut self, ticket: Ticket, silence: Silence, at: Timestamp) {
        if ticket.number() & 1 == 0 {
            self.store.update(ticket.number() >> 1, |handshake| handshake.left = Some((at, silence)));
        }
    }

    fn tunnel(&mut self, ticket: Ticket, tunnel: &Tunnel, why: Option<Closed>, at: Timestamp) {
        let id = ticket.number() >> 1;
        if self.store.update(id, |handshake| handshake.tunnel = Some(Box::new(tunnel.clone()))) {
            return;
        }
        let update = |hop: &mut OpenHop| {
            hop.state = Some(Box::new(tunnel.clone()));
            hop.gone = why.or(hop.gone);
        };
        let Some((key, open)) = self.tunnels.update(id, update) else { return };
        if matches!(why, Some(Closed::CaptureEnded)) {
            return;
        }
        let lost = open.is_gone() && open.first_end().is_none();
        if tunnel.is_ending() || lost {
            self.at(at + self.settle, Timer::Tunnel(key));
        }
    }

    fn spoke(&mut self, ticket: Ticket) {
        self.store.update(ticket.number() >> 1, |handshake| handshake.spoken = true);
    }

    fn unread(&mut self, link: &Link, since: Timestamp, at: Timestamp) {
        self.unread.note(link, since, at);
    }

    fn tls_ended(&mut self, link: &Link, connection: &TlsConnection) {
        self.opaque.ended(link, connection);
    }

    fn disowned(&mut self, link: &Link) {
        self.store.remove_of(link);
        self.connects.asked(link);
    }

    fn closed(&mut self, link: &Link, why: Closed) {
        self.owners.forget(link);
        if why == Closed::Ended {
            self.connects.ended(link);
        }
    }

    fn asks(&mut self, link: &Link, stamp: Stamp) {
        self.connects.wait(link, stamp, true);
    }

    fn opened(&mut self, link: &Link, opening: Opening, stamp: Stamp) {
        self.connects.opened(link, opening, stamp);
    }

    fn anomaly(&mut self, link: &Link, kind: AnomalyKind, stamp: Stamp) {
        self.counts.anomalies += 1;
        self.counts.tls += u64::from(matches!(kind, AnomalyKind::Tls { .. }));
        self.cases.push_back(Case::Anomaly(Anomaly {
            at: stamp.at,
            frame: stamp.frame,
            interface: stamp.interface,
            kind,
            connection: Some((Endpoint::Ip(link.client), Endpoint::Ip(link.server))),
        }));
    }
}
