//! What a proxy says by an answer of its own, status by status.

use super::{
    super::{
        super::{
            alert::{AnsweredBy, Cause, Fact},
            event::{Fields, ProductName, Silence},
            handshake::field::UpgradeRequest,
        },
        path,
    },
    seen::{AtProxy, Finding, Seen, status},
};

/// The head that the proxy got is larger than its buffer.
pub(super) fn head_too_large(seen: &Seen<'_>) -> Option<Finding> {
    let proxy = seen.proxy()?;
    let response = proxy.hop.response.as_ref()?;
    let said = response.body.as_ref().and_then(|body| body.text()).unwrap_or("").to_ascii_lowercase();
    let what = match response.status {
        414 => "the request line",
        431 => "the request's head",
        400 if said.contains("too large") || said.contains("too long") || said.contains("size of a request header") => {
            "the request's head"
        }
        _ => return None,
    };
    let request = proxy.hop.request.as_ref()?;
    let size = head_size(request, request.method.len() + request.target.len() + "  HTTP/1.1".len());
    // A line of the configuration may return such a status as well.
    if request.complete && size < SMALL_HEAD {
        return None;
    }
    let who = seen.call(&proxy.hop.server);
    let why = format!("{what} is larger than {who} takes; the head has {size} bytes");
    Some(Finding { answered_by: AnsweredBy::Proxy, ..seen.at_last(Cause::HeadTooLarge, why) })
}

/// No server's buffer for a head is smaller.
const SMALL_HEAD: usize = 1024;

/// Bytes of a head whose first line has so many, line ends included.
pub(super) fn head_size(head: &impl Fields, line: usize) -> usize {
    let fields = head.lines().iter().map(|line| line.name.len() + line.value.len() + ": \r\n".len());
    line + "\r\n".len() + fields.sum::<usize>() + "\r\n".len()
}

/// A limit of requests or connections (RFC 6585 4).
pub(super) fn rate_limited(seen: &Seen<'_>) -> Option<Finding> {
    let status = status(seen.last());
    // nginx's limits answer 503 by default: on a route that works.
    let works = seen.decided.near.succeeded.is_some() && seen.decided.own_page == Some(ProductName::Nginx);
    let limited = status == Some(429) || status == Some(503) && works && seen.proxy().is_some();
    limited.then(|| seen.at_last(Cause::RateLimited, "it met a limit of requests or connections".to_owned()))
}

/// Envoy refuses upgrades that it was not told of, with an empty 403, and offers such as TLS as well.
pub(super) fn token_not_allowed(seen: &Seen<'_>) -> Option<Finding> {
    let proxy = seen.proxy()?;
    let response = proxy.hop.response.as_ref()?;
    let is_envoy = proxy.hop.product.as_ref().is_some_and(|product| product.name == ProductName::Envoy);
    let is_empty = response.complete && response.field("content-length") == Some("0");
    let own = is_envoy && is_empty && response.field("x-envoy-upstream-service-time").is_none();
    if response.status != 403 || !own || !seen.decided.claims.all_seen.holds() {
        return None;
    }
    let why = format!(
        "{} answered by itself, as Envoy does where it is not told to forward an upgrade to `{}`",
        seen.call(&proxy.hop.server),
        seen.request.upgrade()
    );
    Some(Finding { answered_by: AnsweredBy::Proxy, ..seen.at_last(Cause::TokenNotAllowed, why) })
}

/// The proxy answered by itself: only 404, and 405 and 421 as such, may be a missing route, and none on a route that works.
pub(super) fn not_forwarded(seen: &Seen<'_>) -> Option<Finding> {
    let proxy = seen.proxy()?;
    let status = status(proxy.hop)?;
    // What the proxy sent may be among what was not captured.
    let whole = seen.decided.claims.all_seen.holds() && !seen.decided.denied;
    if !whole || !seen.is_own(&proxy) || seen.is_gateway_error(&proxy) {
        return None;
    }
    let why = format!("{} answered by itself and forwarded nothing{}", seen.call(&proxy.hop.server), meaning(status));
    let worked = seen.decided.near.succeeded.as_deref().and_then(|attempt| attempt.first().request.as_ref());
    let text = || format!("an upgrade of {} there that got its 101", path(&seen.decided.attempt));
    let facts = worked.map(|request| Fact { frame: request.frame, at: request.at, text: text() });
    Some(Finding { facts: facts.into_iter().collect(), ..seen.at_last(Cause::NotForwarded, why) })
}

/// What a status says that a proxy gives by itself (RFC 9110 15, RFC 6585).
const fn meaning(status: u16) -> &'static str {
    match status {
        400 => ": it takes the request for a bad one, or has a line that returns this",
        403 => ": a rule denies it",
        404 => "",
        405 => ": it does not take this method there",
        408 => ": it waited too long for the rest of the request",
        410 => ": a line says that it is gone",
        413 => ": the request's body is larger than its limit",
        421 => ": it does not serve this host on that connection",
        500 => ": it failed, and its error log says why",
        501 => ": it does not do what was asked for",
        503 => ": a limit of connections or requests, or out of service",
        _ => "",
    }
}

/// More about an answer of which the cause is not known: the proxy's own error page about what is behind it, or none.
pub(super) fn unknown(seen: &Seen<'_>) -> Option<String> {
    let proxy = seen.proxy()?;
    let who = seen.call(&proxy.hop.server);
    let own_page = seen.decided.own_page.is_some();
    match status(proxy.hop) {
        Some(status @ 502..=504) if own_page => Some(format!(
            "{status} is {who}'s own: it got no answer from behind it, and the capture shows no connection there"
        )),
        None if proxy.hop.silence == Some(Silence::ClosedByServer) && proxy.hop.product.is_some() => {
            Some(format!("{who} closed the connection without an answer; its log, or a line that says so, tells why"))
        }
        _ => foreign_page(seen, &proxy, &who),
    }
}

/// The proxy gave an answer with a page that is not its own, where its own is known.
fn foreign_page(seen: &Seen<'_>, proxy: &AtProxy<'_>, who: &str) -> Option<String> {
    let known = [ProductName::Nginx, ProductName::HaProxy, ProductName::Apache];
    let is_known = known.contains(&proxy.hop.product.as_ref()?.name);
    let response = proxy.hop.response.as_ref().filter(|response| response.complete && response.status >= 400)?;
    (is_known && response.body.is_some() && seen.decided.own_page.is_none()).then(|| {
        format!(
            "the answer that {who} gave is not its own page. It came over a hop that the capture does not hold: a unix \
             socket, or an interface that was not captured; or it is an error page that somebody wrote"
        )
    })
}
