//! What attempts hear of each connection: requests, answers, tunnels' ends.

use super::{
    super::{
        anomaly::{Anomaly, AnomalyKind},
        event::{Endpoint, Mixup, ProxyHeader, Silence},
        handshake::Handshake,
        http::{Listener, RequestHead, ResponseHead, Ticket, TicketOf, TlsConnection, Tunnel, UpgradeId},
        knowledge::{FlowClass, Hole},
        tcp::{Closed, Link, Opening, Stamp},
        time::Timestamp,
    },
    Attempts, Case, Timer,
    tunnel::OpenHop,
};

impl Listener for Attempts {
    fn request(&mut self, link: &Link, head: &RequestHead<'_>, header: Option<&ProxyHeader>) -> Option<Ticket> {
        self.counts.requests += 1;
        self.connects.asked(link);
        if !head.is_upgrade_like() {
            if let Some(fallback) = self.polling.request(link, head) {
                self.cases.push_back(Case::Fallback(Box::new(fallback)));
            }
            return self.recent.push(link, head).map(Ticket::from);
        }
        let id = self.next_id;
        self.next_id = UpgradeId(id.0 + 1);
        let mut handshake = Handshake::new(*link, head.stamp, head.to_owned());
        handshake.proxy_header = header.map(|header| Box::new(header.clone()));
        handshake.pids = self.owners.of(link).map(|owner| owner.map(|process| process.pid));
        if handshake.pids.contains(&None) {
            let all_asked = self.owners.ask(link, head.stamp.at);
            if !all_asked {
                self.store.leave_unowned(head.stamp.at);
            }
        }
        self.at(handshake.request.at + self.answer_timeout, Timer::Answer(id));
        self.store.insert(id, handshake);
        Some(id.into())
    }

    fn response(&mut self, ticket: Ticket, head: &ResponseHead<'_>) {
        let id = match ticket.of() {
            TicketOf::Upgrade(id) => id,
            TicketOf::Ordinary(id) => {
                self.recent.answer(id, head);
                // What a server says that takes it for an upgrade it cannot make.
                if matches!(head.status, 400 | 426 | 501) {
                    self.declined(id, head.stamp.at);
                }
                return;
            }
        };
        let (at, response) = (head.stamp.at, head.to_owned());
        let known = self.store.update(id, |handshake| {
            handshake.response = Some(response);
            // It may have come before the request.
            handshake.ended_at = Some(at.max(handshake.request.at));
        });
        if known {
            self.at(at + self.settle, Timer::Decide(id));
        }
    }

    fn interim(&mut self, ticket: Ticket, head: &ResponseHead<'_>) {
        match ticket.of() {
            TicketOf::Upgrade(id) => self.store.update(id, |handshake| handshake.keep_interim(head)),
            TicketOf::Ordinary(_) => false,
        };
    }

    fn body(&mut self, ticket: Ticket, bytes: &[u8]) {
        match ticket.of() {
            TicketOf::Upgrade(id) => self.store.update(id, |handshake| handshake.keep_body(bytes)),
            TicketOf::Ordinary(_) => false,
        };
    }

    fn not_http(&mut self, ticket: Ticket, bytes: &[u8], stamp: Stamp) {
        let TicketOf::Upgrade(id) = ticket.of() else { return };
        let mut decided_at = None;
        self.store.update(id, |handshake| decided_at = handshake.keep_foreign(bytes, stamp));
        if let Some(at) = decided_at {
            self.at(at + self.settle, Timer::Decide(id));
        }
    }

    fn unanswered(&mut self, ticket: Ticket, silence: Silence, at: Timestamp) {
        let TicketOf::Upgrade(id) = ticket.of() else { return };
        let known = self.store.update(id, |handshake| {
            handshake.silence = Some(silence);
            handshake.ended_at = (silence != Silence::Waiting).then_some(at);
        });
        if known && silence != Silence::Waiting {
            self.at(at + self.settle, Timer::Decide(id));
        }
    }

    fn left(&mut self, ticket: Ticket, silence: Silence, at: Timestamp) {
        match ticket.of() {
            TicketOf::Upgrade(id) => self.store.update(id, |handshake| handshake.left = Some((at, silence))),
            TicketOf::Ordinary(_) => false,
        };
    }

    fn tunnel(&mut self, ticket: Ticket, tunnel: &Tunnel, why: Option<Closed>, at: Timestamp) {
        // A 101 to an ordinary request opens nobody's tunnel.
        let TicketOf::Upgrade(id) = ticket.of() else { return };
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
        match ticket.of() {
            TicketOf::Upgrade(id) => self.store.update(id, |handshake| handshake.spoken = true),
            TicketOf::Ordinary(_) => false,
        };
    }

    fn mixup(&mut self, link: &Link, mixup: &Mixup, stamp: Stamp) {
        self.mixed_up(link, mixup, stamp);
    }

    fn http2(&mut self, link: &Link, stamp: Stamp) {
        self.neighbours.http2(link, stamp);
    }

    fn hole(&mut self, link: &Link, hole: Hole) {
        self.holes.add_of(link.id, hole);
    }

    fn classified(&mut self, link: &Link, class: FlowClass) {
        self.holes.classify(link.id, class);
        if class == FlowClass::Opaque {
            self.connects.asked(link);
        }
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
        self.holes.close(link.id);
        if why == Closed::Ended {
            self.connects.ended(link);
        }
    }

    fn asks(&mut self, link: &Link, stamp: Stamp) {
        let evicted = self.connects.wait(link, stamp, true);
        evicted.into_iter().for_each(|hole| self.holes.add(hole));
    }

    fn opened(&mut self, link: &Link, opening: Opening, stamp: Stamp) {
        let evicted = self.connects.opened(link, opening, stamp);
        evicted.into_iter().for_each(|hole| self.holes.add(hole));
    }

    fn anomaly(&mut self, link: &Link, kind: AnomalyKind, stamp: Stamp) {
        self.counts.anomalies += 1;
        if matches!(kind, AnomalyKind::Http2) {
            self.neighbours.http2(link, stamp);
        }
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
