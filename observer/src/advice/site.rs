//! Where a fix is to be made: what the capture shows of the proxy's path, host, origin and version. What comes from the wire
//! is used only where it is plain, so that it can add nothing to a configuration.

use std::time::Duration;

use crate::engine::{
    alert::{Alert, Cause, Details, Sent},
    event::{Attempt, Endpoint, Fields, Hop, Request, Role},
    handshake::field,
};

/// What is longer is not put into a configuration.
const LONGEST: usize = 60;

/// What is known of one place.
#[derive(Clone, Default, Debug)]
pub(super) struct Site {
    path: Option<String>,
    upstream_path: Option<String>,
    origin: Option<Endpoint>,
    unreached: Option<Endpoint>,
    token: Option<String>,
    version: Option<String>,
    /// The client's Host.
    pub(super) host: Option<String>,
    /// Where the proxy listens that the client spoke to.
    pub(super) listener: Option<Endpoint>,
    /// Who is at fault.
    pub(super) by: Option<Endpoint>,
    /// What the client got.
    pub(super) status: Option<u16>,
    /// What the proxy sent of the upgrade.
    pub(super) sent: Option<Sent>,
    details: Option<Details>,
}

impl Site {
    /// The site of an alert's proxy.
    pub(super) fn of(alert: &Alert, version: Option<&str>) -> Self {
        let attempt = &alert.attempt;
        let first = attempt.first();
        let (request, by) = (first.request.as_ref(), by(&alert.details).cloned());
        let upstream = next_hop(attempt, by.as_ref());
        let target =
            |request: &Request| plain(field::path(&request.target), "/_-.~").filter(|path| path.starts_with('/'));
        let host = request.and_then(|request| plain(request.field("host")?, ".-"));
        let tokens = attempt.upgrade.split(',').next().unwrap_or("").trim();
        Self {
            path: request.and_then(target),
            upstream_path: upstream.and_then(|hop| target(hop.request.as_ref()?)),
            origin: upstream.map(|hop| hop.server.clone()).filter(|origin| origin.address().is_some()),
            token: plain(tokens, "/.-_"),
            version: version.map(str::to_owned),
            host,
            listener: (first.role != Role::Upstream).then(|| first.server.clone()),
            status: first.response.as_ref().map(|response| response.status),
            sent: match &alert.details {
                Details::HeadersDropped { sent, .. } | Details::Injected { sent, .. } => Some(sent.clone()),
                _ => None,
            },
            details: Some(alert.details.clone()),
            unreached: None,
            by,
        }
    }

    /// The same, where nobody can be reached at the origin's address: it is not the one to use.
    #[must_use]
    pub(super) fn unreachable(mut self) -> Self {
        self.unreached = self.origin.take();
        self
    }

    /// The path for configurations.
    pub(super) fn path(&self) -> &str {
        self.path.as_deref().unwrap_or("/ws")
    }

    /// The path that the origin is to get.
    pub(super) fn upstream_path(&self) -> &str {
        self.upstream_path.as_deref().or(self.path.as_deref()).unwrap_or("/ws")
    }

    /// The path to speak of.
    pub(super) fn place(&self) -> &str {
        self.path.as_deref().unwrap_or("this path")
    }

    /// Where the origin listens.
    pub(super) fn origin(&self) -> String {
        let example = if self.unreached.is_some() { "192.0.2.10:3000" } else { "127.0.0.1:3000" };
        self.origin.as_ref().map_or_else(|| example.to_owned(), Endpoint::to_string)
    }

    /// What has to be adapted in a snippet, as the capture does not show it.
    pub(super) fn adapt(&self) -> &'static str {
        match (&self.path, &self.origin) {
            (Some(_), Some(_)) => "",
            (Some(_), None) => " Put your origin's address there:",
            (None, Some(_)) => " Put your path there:",
            (None, None) => " Put your path and your origin's address there:",
        }
    }

    /// The protocol asked for.
    pub(super) fn token(&self) -> &str {
        self.token.as_deref().unwrap_or("websocket")
    }

    pub(super) fn is_websocket(&self) -> bool {
        self.token().eq_ignore_ascii_case("websocket")
    }

    /// The field that was altered.
    pub(super) fn field(&self) -> &'static str {
        match &self.details {
            Some(Details::Negotiation { field, .. }) => field,
            _ => "Sec-WebSocket-Protocol",
        }
    }

    /// Whether the product's version is known to be at least this one.
    pub(super) fn is_at_least(&self, wanted: [u32; 3]) -> Option<bool> {
        let version = self.version.as_deref()?;
        let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        Some([parts.next()?, parts.next().unwrap_or(0), parts.next().unwrap_or(0)] >= wanted)
    }

    /// What to do where no connection could be made.
    pub(super) fn unreached(&self) -> String {
        let at = self.unreached.as_ref().map_or_else(String::new, |origin| format!(" to {origin}"));
        match self.details {
            Some(Details::Missing101 { cause: Cause::UpstreamUnreachable, .. }) => format!(
                "Look for a firewall, a missing route or a host that is down{at}, or correct the address: nothing answered."
            ),
            _ => format!("Start the origin, or correct its address: no connection{at} could be made."),
        }
    }

    pub(super) fn host_changed(&self) -> String {
        let place = self.place();
        format!(
            "The origin saw another Host than the client sent; many compare it with Origin and answer 403. For {place}:"
        )
    }

    /// Heartbeats, or a longer timer.
    pub(super) fn idle(&self, more: &str) -> String {
        match self.details {
            Some(_) => format!("{} Or raise the timer for {}.{more}", self.heartbeat(), self.place()),
            None => format!("Where heartbeats cannot be sent, raise the timer.{more}"),
        }
    }

    /// Heartbeats at half the time.
    pub(super) fn heartbeat(&self) -> String {
        let (idle, seen) = match &self.details {
            Some(Details::IdleClose { idle, heartbeat, .. }) => (*idle, *heartbeat),
            _ => (Duration::from_secs(60), false),
        };
        let often = match (idle / 2).as_secs() {
            0 => "every second".to_owned(),
            half => format!("every {half} s"),
        };
        if seen {
            format!("Pings were seen, but not in that time: send one {often}, always.")
        } else {
            format!("Send a WebSocket ping {often} from either end, which is best.")
        }
    }

    /// A command that asks for the upgrade as the client did.
    pub(super) fn check(&self) -> String {
        let host = self.host.as_deref().unwrap_or("example.test");
        let at =
            self.listener.as_ref().and_then(Endpoint::address).map_or_else(|| host.to_owned(), |at| at.to_string());
        let keyed = if self.is_websocket() {
            " \\\n  -H 'Sec-WebSocket-Version: 13' \\\n  -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='"
        } else {
            ""
        };
        format!(
            "curl -i -N --http1.1 -m 5 http://{at}{} \\\n  -H 'Host: {host}' \\\n  -H 'Connection: Upgrade' -H 'Upgrade: {}'{keyed}",
            self.path(),
            self.token()
        )
    }
}

/// Text that is short and holds only letters, digits and these.
fn plain(text: &str, also: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    (!text.is_empty() && text.len() <= LONGEST && text.chars().all(is_plain)).then(|| text.to_owned())
}

/// Who is at fault, where an alert names that.
pub(super) fn by(details: &Details) -> Option<&Endpoint> {
    match details {
        Details::HeadersDropped { by, .. }
        | Details::Http10 { by }
        | Details::Injected { by, .. }
        | Details::Accept { by, .. }
        | Details::Negotiation { by, .. }
        | Details::IdleClose { by, .. }
        | Details::Broken { by, .. }
        | Details::LifetimeClose { by, .. }
        | Details::MassClose { by, .. } => Some(by),
        Details::Missing101 { by, .. } => by.as_ref(),
        Details::ErrorClose { .. } | Details::AbruptClose { .. } | Details::PollingFallback { .. } => None,
    }
}

/// The hop behind the proxy at fault, or the one to the origin at fault; without either, the last that a proxy opened.
fn next_hop<'a>(attempt: &'a Attempt, by: Option<&Endpoint>) -> Option<&'a Hop> {
    let path: Vec<_> = attempt.path().collect();
    let at = by.and_then(|by| path.iter().position(|hop| hop.server == *by));
    let behind = at.and_then(|at| path.get(at + 1)).copied();
    let opened = |hop: &&Hop| matches!(hop.role, Role::Upstream | Role::Retry);
    let named = || attempt.hops.iter().filter(opened).find(|hop| by == Some(&hop.server));
    behind.or_else(named).or_else(|| attempt.hops.iter().rfind(|hop| opened(hop)))
}
