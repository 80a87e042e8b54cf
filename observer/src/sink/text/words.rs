//! How facts are put in words: spans, times, frames, names of hops. Shared by all parts of the text output.

use std::time::Duration;

use crate::{
    engine::{
        event::{Attempt, Endpoint, Fields, Hop, Outcome, Process, Product, Role, Silence},
        time::Timestamp,
    },
    sink::{escape::escape, info_of, redact::Redactor, source_of, wall},
    tap::InterfaceInfo,
};

/// What is needed to put an attempt in words.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a> {
    pub(crate) redactor: Redactor,
    pub(crate) interfaces: &'a [InterfaceInfo],
    pub(crate) width: usize,
}

impl Words<'_> {
    /// The client's request: `GET /ws on chat.test`.
    pub(crate) fn request(&self, attempt: &Attempt) -> String {
        let Some(request) = &attempt.first().request else { return "a connection".to_owned() };
        let method = escape(&request.method);
        let target = self.redactor.target(&request.target);
        match request.field("Host") {
            Some(host) if target.starts_with('/') => {
                format!("{method} {target} on {}", self.redactor.field("Host", host))
            }
            _ => format!("{method} {target}"),
        }
    }

    /// How the attempt ended for the client: `426 after 24 ms`.
    pub(crate) fn ending(&self, attempt: &Attempt) -> String {
        let hop = attempt.first();
        let waited = |to: Timestamp| {
            let from = hop.request.as_ref().map_or(to, |request| request.at);
            span(to.since(from))
        };
        match (&hop.response, hop.silence) {
            (Some(response), _) => format!("{} after {}", response.status, waited(response.at)),
            (None, Some(silence)) => format!("{} after {}", silent(silence), waited(attempt.decided_at)),
            (None, None) if attempt.outcome == Outcome::Unknown => "outcome not captured".to_owned(),
            (None, None) => "no answer".to_owned(),
        }
    }

    /// When it was and where to look: `21:58:46Z  frames 4–11`.
    pub(super) fn place(&self, attempt: &Attempt) -> String {
        let time = attempt.first().request.as_ref().map_or(attempt.decided_at, |request| request.at);
        let time = clock(time);
        if self.sources(attempt).is_some() {
            return time;
        }
        let mut frames = attempt.path().flat_map(frames_of);
        let Some(first) = frames.next() else { return time };
        let (low, high) = frames.fold((first, first), |(low, high), frame| (low.min(frame), high.max(frame)));
        if low == high { format!("{time}  frame {low}") } else { format!("{time}  frames {low}–{high}") }
    }

    /// Which file each hop's frames are of, where several were read.
    pub(super) fn sources(&self, attempt: &Attempt) -> Option<String> {
        let of = |(index, hop): (usize, &Hop)| {
            let source = source_of(self.interfaces, hop.interface)?;
            Some(format!("hop {} in {}", index + 1, escape(source)))
        };
        let all: Vec<_> = attempt.path().enumerate().filter_map(of).collect();
        (!all.is_empty()).then(|| format!("frame numbers: {}", all.join(", ")))
    }

    /// The frame to begin with, and its file where there are several.
    pub(super) fn first_frame(&self, attempt: &Attempt) -> String {
        let Some(frame) = attempt.path().flat_map(frames_of).next() else { return "an earlier one".to_owned() };
        let hop = attempt.first();
        match source_of(self.interfaces, hop.interface) {
            Some(source) => format!("frame {frame} of {}", escape(source)),
            None => format!("frame {frame}"),
        }
    }

    /// The interface of a frame, where it is known.
    pub(super) fn interface(&self, id: crate::engine::frame::InterfaceId) -> Option<String> {
        let info = info_of(self.interfaces, id)?;
        Some(escape(info.name.as_deref().unwrap_or(&info.source)).into_owned())
    }

    /// Text from the wire, or made of it.
    pub(crate) fn text(&self, text: &str) -> String {
        self.redactor.text(text)
    }

    /// The lanes of a ladder: name and endpoint of the client, of each proxy, and of the last server.
    pub(crate) fn lanes(&self, hops: &[&Hop]) -> Vec<(String, String)> {
        let mut lanes = Vec::with_capacity(hops.len() + 1);
        if let Some(first) = hops.first() {
            let name = match first.role {
                Role::Only => "client side".to_owned(),
                // Its client was not seen.
                Role::Upstream => sender(first).map_or("proxy".to_owned(), |known| product(&known)),
                _ => "client".to_owned(),
            };
            lanes.push((name, endpoint(&first.client)));
        }
        for hop in hops {
            let known = hop.product.as_ref().map(product);
            let name = match hop.role {
                Role::Upstream => known.map_or("origin".to_owned(), |name| format!("origin ({name})")),
                Role::Only => known.unwrap_or_else(|| "server side".to_owned()),
                _ => known.unwrap_or_else(|| "proxy".to_owned()),
            };
            lanes.push((name, endpoint(&hop.server)));
        }
        lanes
    }

    /// Who holds the sockets of each lane, as `nginx[1234]`; empty where that is not known.
    pub(super) fn processes(&self, hops: &[&Hop]) -> Vec<String> {
        let client = hops.first().and_then(|hop| hop.processes[0].as_ref());
        let servers = hops.iter().enumerate().map(|(at, hop)| {
            let sender = || hops.get(at + 1).and_then(|next| next.processes[0].as_ref());
            hop.processes[1].as_ref().or_else(sender)
        });
        std::iter::once(client).chain(servers).map(|process| process.map(name).unwrap_or_default()).collect()
    }
}

/// Who sent a hop whose client was not seen.
fn sender(hop: &Hop) -> Option<Product> {
    let process = hop.processes[0].as_ref().map(|process| &*process.command);
    crate::engine::product::sender(hop.request.as_ref()?, process)
}

fn name(process: &Process) -> String {
    format!("{}[{}]", escape(&process.command), process.pid)
}

/// An endpoint as printed.
pub(crate) fn endpoint(endpoint: &Endpoint) -> String {
    escape(&endpoint.to_string()).into_owned()
}

/// A product as it names itself: `nginx/1.22.1`.
pub(crate) fn product(product: &Product) -> String {
    match &product.version {
        Some(version) => format!("{}/{}", product.name.as_str(), escape(version)),
        None => product.name.as_str().to_owned(),
    }
}

fn frames_of(hop: &Hop) -> impl Iterator<Item = u64> {
    let request = hop.request.as_ref().map(|request| request.frame);
    request.into_iter().chain(hop.response.as_ref().map(|response| response.frame))
}

/// Why a hop has no response, in few words.
pub(super) const fn silent(silence: Silence) -> &'static str {
    match silence {
        Silence::Waiting => "still waiting",
        Silence::Refused => "connection refused",
        Silence::Unreachable => "no answer to SYN",
        Silence::ClosedByServer => "closed unanswered",
        Silence::ClosedByClient => "given up",
        Silence::NotCaptured => "answer not captured",
        Silence::NotHttp => "answer is no HTTP",
    }
}

/// A span with three digits that matter.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    let hours = span.as_secs() / 3600;
    match seconds {
        0.0 => "0 ms".to_owned(),
        s if s < 0.01 => format!("{:.2} ms", s * 1000.0),
        s if s < 0.1 => format!("{:.1} ms", s * 1000.0),
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 10.0 => format!("{s:.2} s"),
        s if s < 600.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        _ => format!("{hours} h {} min", span.as_secs() / 60 % 60),
    }
}

/// The time of day.
pub(crate) fn clock(at: Timestamp) -> String {
    wall::time(at).strftime("%H:%M:%SZ").to_string()
}

/// The time of day to the millisecond.
pub(crate) fn exact(at: Timestamp) -> String {
    wall::time(at).strftime("%H:%M:%S%.3f").to_string()
}

/// The date.
pub(super) fn date(at: Timestamp) -> String {
    wall::time(at).strftime("%Y-%m-%d").to_string()
}

/// `1 tunnel`, `2 tunnels`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number))
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_the_digits_that_matter() {
        for (millis, shown) in [
            (0.0, "0 ms"),
            (1.24, "1.24 ms"),
            (24.13, "24.1 ms"),
            (401.2, "401 ms"),
            (4001.0, "4.00 s"),
            (60_060.0, "60.1 s"),
            (900_000.0, "15 min"),
            (7_380_000.0, "2 h 3 min"),
        ] {
            assert_eq!(span(Duration::from_secs_f64(millis / 1000.0)), shown);
        }
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1234), "1,234");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(count(1, "gap"), "1 gap");
    }
}
