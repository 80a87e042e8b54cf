//! Causes in what the two sides speak: TLS to a port that does not, plaintext to one that does, no HTTP at all, or a PROXY
//! line in front.

use super::{
    super::{
        super::{
            alert::{AnsweredBy, Cause, Fact},
            event::{Endpoint, FirstBytes, Hop, Protocol, Reply, Silence},
        },
        said,
    },
    seen::{Finding, Seen, status},
};

/// What servers that speak TLS answer to plaintext: nginx, Apache, Go, Tomcat.
const TLS_PAGES: [&str; 4] = [
    "plain http request was sent to https port",
    "speaking plain http to an ssl-enabled server port",
    "http request to an https server",
    "host and port requires tls",
];

/// Plaintext was sent to a port that speaks TLS.
pub(super) fn tls_expected(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.last();
    let page =
        last.response.as_ref().and_then(|response| response.body.as_ref()?.text()).unwrap_or("").to_ascii_lowercase();
    let says = status(last) == Some(400) && TLS_PAGES.iter().any(|part| page.contains(part));
    let spoken = last.not_http.as_ref().and_then(FirstBytes::protocol);
    let speaks = matches!(spoken, Some(Protocol::TlsAlert | Protocol::Tls));
    if !says && !speaks {
        return None;
    }
    let (by, who) = sender(seen);
    let how = if says { "says so" } else { "answered in TLS" };
    let why = format!("{who} spoke plain HTTP to {}, which speaks TLS and {how}", last.server);
    let found = seen.at_last(Cause::TlsExpected, why);
    // Nobody but the port itself says so.
    let own = seen.path.len() == 1 && says;
    let answered_by = if own { AnsweredBy::Proxy } else { found.answered_by };
    Some(Finding { by: Some(by), answered_by, ..found })
}

/// The proxy speaks TLS to a server that does not.
pub(super) fn tls_unexpected(seen: &Seen<'_>) -> Option<Finding> {
    let proxy = seen.proxy()?;
    let gave_up = status(proxy.hop).is_none_or(|status| status >= 500);
    let (server, first) = seen.decided.near.mixups.iter().find_map(|(server, mixup)| match &mixup.server {
        Reply::Bytes(first) if mixup.is_tls() => Some((*server, first)),
        _ => None,
    })?;
    let (by, server) = (proxy.hop.server.clone(), Endpoint::Ip(server));
    let why = format!("{} speaks TLS with {server}, which does not: it answered in plaintext", seen.call(&by));
    let facts = vec![said(&server, first)];
    let (cause, answered_by) = (Cause::TlsUnexpected, AnsweredBy::Proxy);
    gave_up.then_some(Finding { cause, answered_by, by: Some(by), why, facts })
}

/// The first bytes that the server sent are no HTTP.
pub(super) fn not_http(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.last();
    let first = last.not_http.as_ref().filter(|_| last.silence == Some(Silence::NotHttp))?;
    let what = match first.protocol() {
        Some(Protocol::Text) | None => String::new(),
        Some(protocol) => format!(" but {}", protocol.as_str()),
    };
    let why = format!("{} does not speak HTTP/1{what}", last.server);
    let found = seen.at_last(Cause::NotHttp, why);
    let relayed = seen.path.len() > 1 && seen.client().silence == Some(Silence::NotHttp);
    let answered_by = if relayed { AnsweredBy::Origin } else { found.answered_by };
    Some(Finding { answered_by, facts: vec![said(&last.server, first)], ..found })
}

/// The server got a PROXY protocol header and did not take it: it is to be told of that, or the proxy not to send it.
pub(super) fn proxy_line(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.last();
    let header = last.proxy_header.as_ref()?;
    let declined = status(last) == Some(400) || last.silence == Some(Silence::ClosedByServer);
    let has_header = |hop: &Hop| hop.server == last.server && hop.proxy_header.is_some();
    let near = [&seen.decided.near.succeeded, &seen.decided.near.at_origin];
    let taken = near.into_iter().flatten().any(|attempt| attempt.path().any(has_header));
    if !declined || taken || !seen.decided.claims.all_seen.holds() {
        return None;
    }
    let (by, who) = sender(seen);
    let got = status(last).map_or("closed without an answer".to_owned(), |status| format!("answered {status}"));
    let why = format!("{who} sent a PROXY protocol header first, and {} {got}: it does not expect one", last.server);
    let line = header.line.as_deref().map_or_else(|| "version 2".to_owned(), |line| format!("`{}`", line.trim_end()));
    let fact =
        Fact { frame: header.frame, at: last.request.as_ref()?.at, text: format!("the PROXY protocol header, {line}") };
    Some(Finding { by: Some(by), facts: vec![fact], ..seen.at_last(Cause::ProxyLine, why) })
}

/// Who sent the last hop's request: a proxy where it listens, or the client.
fn sender(seen: &Seen<'_>) -> (Endpoint, String) {
    match seen.path.iter().rev().nth(1) {
        Some(before) => (before.server.clone(), seen.call(&before.server)),
        None => (seen.client().client.clone(), "the client's side".to_owned()),
    }
}
