//! The shape of a line: types of our own, so that the output does not change when the engine does. Names are those of
//! the Elastic Common Schema; `attempt`, `details` and `fix` are ours. The schema file says the same.

use serde::Serialize;

use super::details::Details;

/// One line.
#[derive(Serialize)]
pub(super) struct Record {
    #[serde(rename = "@timestamp")]
    pub(super) timestamp: String,
    pub(super) ecs: Ecs,
    pub(super) event: EventInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) log: Option<Log>,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<Rule>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) connection: Option<Connection>,
    pub(super) observer: Observer,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempt: Option<Attempt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) details: Option<Details>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repeated: Option<Repeated>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<Fix>,
    /// True where something was cut to keep the line short.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) truncated: bool,
}

#[derive(Serialize)]
pub(super) struct Ecs {
    pub(super) version: &'static str,
}

#[derive(Serialize)]
pub(super) struct EventInfo {
    pub(super) kind: &'static str,
    pub(super) module: &'static str,
    pub(super) dataset: &'static str,
    pub(super) action: &'static str,
    pub(super) category: &'static [&'static str],
    #[serde(rename = "type")]
    pub(super) types: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) severity: Option<u8>,
    pub(super) sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<String>,
    /// Nanoseconds, as ECS wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct Log {
    pub(super) level: &'static str,
}

#[derive(Serialize)]
pub(super) struct Rule {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) reference: &'static str,
}

/// What the first hop tells, under the names that ECS has for it.
#[derive(Serialize)]
pub(super) struct Connection {
    pub(super) source: Endpoint,
    pub(super) destination: Endpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network: Option<Network>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) http: Option<Http>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<Url>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_agent: Option<UserAgent>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Endpoint {
    Ip {
        ip: String,
        port: u16,
    },
    /// A unix socket: ECS has `address` for ends that are no IP address.
    Path {
        address: String,
    },
}

/// An end of a hop, and who holds it.
#[derive(Serialize)]
pub(super) struct Held {
    #[serde(flatten)]
    pub(super) endpoint: Endpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) process: Option<Process>,
}

#[derive(Serialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) name: String,
}

#[derive(Serialize)]
pub(super) struct Network {
    pub(super) transport: &'static str,
    #[serde(rename = "type")]
    pub(super) version: &'static str,
    pub(super) community_id: String,
}

#[derive(Serialize)]
pub(super) struct Http {
    pub(super) version: String,
    pub(super) request: HttpRequest,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<HttpResponse>,
}

#[derive(Serialize)]
pub(super) struct HttpRequest {
    pub(super) method: String,
}

#[derive(Serialize)]
pub(super) struct HttpResponse {
    pub(super) status_code: u16,
}

#[derive(Serialize)]
pub(super) struct Url {
    pub(super) path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) domain: Option<String>,
}

#[derive(Serialize)]
pub(super) struct UserAgent {
    pub(super) original: String,
}

#[derive(Serialize)]
pub(super) struct Observer {
    pub(super) product: &'static str,
    pub(super) version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ingress: Option<Ingress>,
}

#[derive(Serialize)]
pub(super) struct Ingress {
    pub(super) interface: Interface,
}

#[derive(Serialize)]
pub(super) struct Interface {
    pub(super) name: String,
}

#[derive(Serialize)]
pub(super) struct Attempt {
    pub(super) id: String,
    pub(super) upgrade: String,
    pub(super) outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) join: Option<Join>,
    /// Left out where the attempt was told before: on a tunnel's line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hops: Option<Vec<Hop>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hops_omitted: Option<usize>,
}

#[derive(Serialize)]
pub(super) struct Join {
    pub(super) method: &'static str,
    pub(super) confidence: &'static str,
}

#[derive(Serialize)]
pub(super) struct Hop {
    pub(super) role: &'static str,
    pub(super) client: Held,
    pub(super) server: Held,
    /// The file whose frames are numbered, where several are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) interface: Option<Interface>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) product: Option<Product>,
    /// The products that it may be, where none is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) product_candidates: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) proxy_header: Option<ProxyHeader>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<Request>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) interim: Option<Interim>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<Response>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) silence: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_http: Option<FirstBytes>,
}

/// What one side sent first, where that is no HTTP/1.
#[derive(Serialize)]
pub(super) struct FirstBytes {
    pub(super) frame: u64,
    pub(super) at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) protocol: Option<&'static str>,
    pub(super) bytes: String,
}

#[derive(Serialize)]
pub(super) struct Product {
    pub(super) name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
}

/// A PROXY protocol header in front of the first request.
#[derive(Serialize)]
pub(super) struct ProxyHeader {
    pub(super) version: u8,
    pub(super) frame: u64,
    pub(super) length: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<String>,
}

/// Interim responses before the final one: the first, and how many.
#[derive(Serialize)]
pub(super) struct Interim {
    pub(super) status: u16,
    pub(super) frame: u64,
    pub(super) at: String,
    pub(super) count: u32,
}

#[derive(Serialize)]
pub(super) struct Request {
    pub(super) frame: u64,
    pub(super) at: String,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upgrade: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connection: Option<String>,
    #[serde(flatten)]
    pub(super) fields: FieldLines,
}

#[derive(Serialize)]
pub(super) struct Response {
    pub(super) frame: u64,
    pub(super) at: String,
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<Body>,
    #[serde(flatten)]
    pub(super) fields: FieldLines,
}

/// The beginning of an answer's body, where it can be read.
#[derive(Serialize)]
pub(super) struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) coding: Option<String>,
}

#[derive(Serialize)]
pub(super) struct FieldLines {
    pub(super) fields: Vec<FieldLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fields_omitted: Option<usize>,
    /// True where the capture holds only the beginning of the head.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) incomplete: bool,
}

#[derive(Serialize)]
pub(super) struct FieldLine {
    pub(super) name: String,
    pub(super) value: String,
}

/// ECS has no name for a number of like events.
#[derive(Serialize)]
pub(super) struct Repeated {
    pub(super) count: u64,
}

#[derive(Serialize)]
pub(super) struct Fix {
    pub(super) product: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    /// Whether the product is not known.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) example: bool,
    pub(super) text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) snippet: String,
    pub(super) reload: &'static str,
    pub(super) check: String,
}
