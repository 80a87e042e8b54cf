//! From the facts of the engine to a line: what every kind of event has in common, and the attempt with its hops.

use std::time::Duration;

use super::{
    clip::Limits,
    community,
    record::{
        Attempt, Body, Connection, Endpoint, FieldLine, FieldLines, FirstBytes, Held, Hop, Http, HttpRequest,
        HttpResponse, Ingress, Interface, Interim, Join, Network, Observer, Process, Product, ProxyHeader, Request,
        Response, Url, UserAgent,
    },
};
use crate::{
    engine::{
        event::{self, Confidence, Fields, JoinMethod, ProductName, Role, Silence},
        frame::InterfaceId,
        time::Timestamp,
    },
    sink::{info_of, redact::Redactor, source_of, wall},
    tap::InterfaceInfo,
};

/// What is needed to put an event into words.
pub(super) struct Context<'a> {
    pub(super) redactor: Redactor,
    pub(super) limits: &'a Limits,
    pub(super) interfaces: &'a [InterfaceInfo],
    pub(super) sequence: u64,
}

impl Context<'_> {
    pub(super) fn text(&self, value: &str) -> String {
        self.limits.value(self.redactor.text(value))
    }

    pub(super) fn sentence(&self, value: &str) -> String {
        self.limits.sentence(self.redactor.text(value))
    }

    pub(super) fn target(&self, value: &str) -> String {
        self.limits.value(self.redactor.target(value))
    }

    pub(super) fn field(&self, name: &str, value: &str) -> String {
        self.limits.value(self.redactor.field(name, value))
    }

    pub(super) fn endpoint(&self, endpoint: &event::Endpoint) -> Endpoint {
        match endpoint {
            event::Endpoint::Ip(address) => Endpoint::Ip { ip: address.ip().to_string(), port: address.port() },
            event::Endpoint::Path(_) => Endpoint::Path { address: self.text(&endpoint.to_string()) },
        }
    }

    /// The file of an interface, where there are several.
    pub(super) fn source(&self, interface: InterfaceId) -> Option<String> {
        source_of(self.interfaces, interface).map(|source| self.text(source))
    }

    fn interface(&self, interface: InterfaceId) -> Option<Interface> {
        let name = info_of(self.interfaces, interface)?.name.as_deref()?;
        Some(Interface { name: self.text(name) })
    }

    pub(super) fn observer(&self, interface: Option<InterfaceId>) -> Observer {
        let interface = interface.and_then(|id| self.interface(id));
        Observer {
            product: "observer",
            version: env!("CARGO_PKG_VERSION"),
            ingress: interface.map(|interface| Ingress { interface }),
        }
    }

    /// What the first hop tells.
    pub(super) fn connection(&self, attempt: &event::Attempt) -> Connection {
        let hop = attempt.first();
        let request = hop.request.as_ref();
        Connection {
            http: request.map(|request| Http {
                version: request.version.to_string(),
                request: HttpRequest { method: self.text(&request.method) },
                response: hop.response.as_ref().map(|response| HttpResponse { status_code: response.status }),
            }),
            url: request.map(|request| self.url(request)),
            user_agent: request
                .and_then(|request| request.field("User-Agent"))
                .map(|value| UserAgent { original: self.field("User-Agent", value) }),
            ..self.ends(&hop.client, &hop.server)
        }
    }

    /// A connection of which nothing but its ends is told.
    pub(super) fn ends(&self, client: &event::Endpoint, server: &event::Endpoint) -> Connection {
        Connection {
            source: self.endpoint(client),
            destination: self.endpoint(server),
            network: network(client, server),
            http: None,
            url: None,
            user_agent: None,
        }
    }

    fn url(&self, request: &event::Request) -> Url {
        let (path, authority) = split_target(&request.target);
        let domain = request.field("Host").or(authority).map(domain).filter(|domain| !domain.is_empty());
        Url { path: self.target(path), domain: domain.map(|domain| self.text(domain)) }
    }

    /// The attempt with all its hops.
    pub(super) fn attempt(&self, attempt: &event::Attempt) -> Attempt {
        let (kept, hops_omitted) = self.limits.keep(attempt.hops.len(), self.limits.hops);
        let hops = attempt.hops[..kept].iter().map(|hop| self.hop(hop)).collect();
        Attempt { hops: Some(hops), hops_omitted, ..self.attempt_name(attempt) }
    }

    /// The attempt without its hops.
    pub(super) fn attempt_name(&self, attempt: &event::Attempt) -> Attempt {
        Attempt {
            id: attempt.id.to_string(),
            upgrade: self.text(&attempt.upgrade),
            outcome: attempt.outcome.as_str(),
            join: attempt
                .join
                .map(|join| Join { method: method(join.method), confidence: confidence(join.confidence) }),
            hops: None,
            hops_omitted: None,
        }
    }

    fn hop(&self, hop: &event::Hop) -> Hop {
        Hop {
            role: role(hop.role),
            client: self.held(&hop.client, hop.processes[0].as_ref()),
            server: self.held(&hop.server, hop.processes[1].as_ref()),
            source: self.source(hop.interface),
            interface: self.interface(hop.interface),
            product: hop.product.as_ref().map(|product| Product {
                name: product.name.as_str(),
                version: product.version.as_deref().map(|version| self.text(version)),
            }),
            proxy_header: hop.proxy_header.as_ref().map(|header| ProxyHeader {
                version: header.version(),
                frame: header.frame,
                length: header.length,
                line: header.line.as_deref().map(|line| self.text(line)),
            }),
            product_candidates: hop.candidates.iter().map(ProductName::as_str).collect(),
            request: hop.request.as_ref().map(|request| self.request(request)),
            interim: hop.interim.map(|interim| Interim {
                status: interim.status,
                frame: interim.frame,
                at: time(interim.at),
                count: interim.count,
            }),
            response: hop.response.as_ref().map(|response| self.response(response)),
            silence: hop.silence.map(silence),
            not_http: hop.not_http.as_ref().map(|first| self.first_bytes(first)),
        }
    }

    fn first_bytes(&self, first: &event::FirstBytes) -> FirstBytes {
        FirstBytes {
            frame: first.frame,
            at: time(first.at),
            protocol: first.protocol().map(event::Protocol::as_str),
            bytes: self.text(&first.escaped()),
        }
    }

    fn body(&self, body: &event::Body) -> Body {
        let coding = if let event::Body::Coded(coding) = body { Some(self.text(coding)) } else { None };
        Body {
            text: body.text().map(|text| self.limits.value(self.redactor.body(text))),
            line: body.telling_line().map(|line| self.limits.value(self.redactor.body(line))),
            coding,
        }
    }

    fn held(&self, endpoint: &event::Endpoint, process: Option<&event::Process>) -> Held {
        let process = process.map(|process| Process { pid: process.pid, name: self.text(&process.command) });
        Held { endpoint: self.endpoint(endpoint), process }
    }

    fn request(&self, request: &event::Request) -> Request {
        Request {
            frame: request.frame,
            at: time(request.at),
            method: self.text(&request.method),
            target: self.target(&request.target),
            version: request.version.to_string(),
            upgrade: request.joined("Upgrade").map(|value| self.text(&value)),
            connection: request.joined("Connection").map(|value| self.text(&value)),
            fields: self.fields(request, request.complete),
        }
    }

    fn response(&self, response: &event::Response) -> Response {
        Response {
            frame: response.frame,
            at: time(response.at),
            status: response.status,
            reason: self.text(&response.reason),
            version: response.version.to_string(),
            server: response.field("Server").map(|value| self.text(value)),
            body: response.body.as_ref().map(|body| self.body(body)),
            fields: self.fields(response, response.complete),
        }
    }

    fn fields(&self, head: &impl Fields, complete: bool) -> FieldLines {
        let lines = head.lines();
        let (kept, fields_omitted) = self.limits.keep(lines.len(), self.limits.fields);
        let line =
            |line: &event::Field| FieldLine { name: self.text(&line.name), value: self.field(&line.name, &line.value) };
        FieldLines { fields: lines[..kept].iter().map(line).collect(), fields_omitted, incomplete: !complete }
    }
}

/// The path without its query, and the authority where the target has one (RFC 9112 3.2.2).
pub(super) fn split_target(target: &str) -> (&str, Option<&str>) {
    let target = target.split(['?', '#']).next().unwrap_or(target);
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => match rest.find('/') {
            Some(at) => (&rest[at..], Some(&rest[..at])),
            None => ("/", Some(rest)),
        },
        _ => (target, None),
    }
}

/// The host without userinfo and port; an IPv6 address keeps its brackets, as ECS wants.
pub(super) fn domain(host: &str) -> &str {
    let host = host.rsplit('@').next().unwrap_or(host);
    match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    }
}

fn network(client: &event::Endpoint, server: &event::Endpoint) -> Option<Network> {
    let (event::Endpoint::Ip(client), event::Endpoint::Ip(server)) = (client, server) else { return None };
    Some(Network {
        transport: "tcp",
        version: if client.is_ipv4() { "ipv4" } else { "ipv6" },
        community_id: community::id(*client, *server),
    })
}

/// A time as in RFC 3339, in UTC with nanoseconds.
pub(super) fn time(at: Timestamp) -> String {
    format!("{:.9}", wall::time(at))
}

/// A span as ECS counts it; saturating.
pub(super) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

const fn method(method: JoinMethod) -> &'static str {
    match method {
        JoinMethod::WebSocketKey => "websocket-key",
        JoinMethod::RequestId => "request-id",
        JoinMethod::Fingerprint => "fingerprint",
        JoinMethod::Process => "process",
    }
}

const fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Certain => "certain",
        Confidence::Probable => "probable",
        Confidence::Ambiguous => "ambiguous",
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Downstream => "downstream",
        Role::Middle => "middle",
        Role::Upstream => "upstream",
        Role::Only => "only",
        Role::Retry => "retry",
        Role::Side => "side",
    }
}

const fn silence(silence: Silence) -> &'static str {
    match silence {
        Silence::Waiting => "waiting",
        Silence::Refused => "refused",
        Silence::Unreachable => "unreachable",
        Silence::ClosedByServer => "closed-by-server",
        Silence::ClosedByClient => "closed-by-client",
        Silence::NotCaptured => "not-captured",
        Silence::NotHttp => "not-http",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_hosts_are_taken_apart() {
        for (target, path, authority) in [
            ("/ws?x=1", "/ws", None),
            ("http://a.test:80/ws?x", "/ws", Some("a.test:80")),
            ("http://a.test", "/", Some("a.test")),
            ("*", "*", None),
            ("/to/http://b", "/to/http://b", None),
        ] {
            assert_eq!(split_target(target), (path, authority));
        }
        for (host, name) in [
            ("a.test:8080", "a.test"),
            ("a.test", "a.test"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("u:p@h:1", "h"),
        ] {
            assert_eq!(domain(host), name);
        }
    }

    #[test]
    fn times_have_nanoseconds() {
        assert_eq!(time(Timestamp::from_nanos(1_795_211_926_082_913_000)), "2026-11-20T21:58:46.082913000Z");
        assert_eq!(time(Timestamp::from_nanos(-1)), "1969-12-31T23:59:59.999999999Z");
    }
}
