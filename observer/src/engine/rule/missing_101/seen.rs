//! What was seen of an attempt, as the causes ask for it, and what one of them found.

use std::net::SocketAddr;

use super::super::{
    super::{
        alert::{AnsweredBy, Cause, Fact},
        attempt::{Decided, Last},
        event::{Endpoint, Hop, ProductName, Request, Role, Silence},
    },
    call_of, lone_upstream, product_at,
};

/// A cause that was found.
pub(super) struct Finding {
    /// Which.
    pub(super) cause: Cause,
    /// Who gave the client its answer.
    pub(super) answered_by: AnsweredBy,
    /// Whom to look at, where one can be named.
    pub(super) by: Option<Endpoint>,
    /// What happened, as the second half of a sentence: "... instead of 101: {why}."
    pub(super) why: String,
    /// What was seen beside the hops that tells it.
    pub(super) facts: Vec<Fact>,
}

/// An attempt without 101.
pub(super) struct Seen<'a> {
    pub(super) decided: &'a Decided,
    /// The client's request.
    pub(super) request: &'a Request,
    /// The way of the forwarded request, client's hop first.
    pub(super) path: Vec<&'a Hop>,
}

impl<'a> Seen<'a> {
    pub(super) fn of(decided: &'a Decided, request: &'a Request) -> Self {
        Self { decided, request, path: decided.attempt.path().collect() }
    }

    /// The client's hop, or the nearest to it that was seen.
    pub(super) fn client(&self) -> &'a Hop {
        self.path[0]
    }

    /// The last hop that the request was seen on.
    pub(super) fn last(&self) -> &'a Hop {
        self.path[self.path.len() - 1]
    }

    /// The status that the client got.
    pub(super) fn status(&self) -> Option<u16> {
        status(self.client())
    }

    /// Whether the request was seen on its way to a server that passes nothing on.
    pub(super) fn is_forwarded(&self) -> bool {
        self.decided.last == Last::Origin || lone_upstream(self.decided).is_some()
    }

    /// Whether the capture shows what the last proxy sends upstream, and its failed connection of the time. `None` where the
    /// request was forwarded.
    pub(super) fn proxy(&self) -> Option<AtProxy<'a>> {
        match self.decided.last {
            Last::Proxy { upstream_seen, failed } if !self.is_forwarded() => {
                Some(AtProxy { hop: self.last(), upstream_seen, failed })
            }
            Last::Origin | Last::Proxy { .. } => None,
        }
    }

    /// Who gave the answer that the client got, of those whose hops were seen.
    pub(super) fn relayed(&self) -> AnsweredBy {
        match (self.status(), status(self.last())) {
            (None, _) => AnsweredBy::Nobody,
            _ if self.client().role == Role::Only && self.decided.own_page.is_none() => AnsweredBy::Unknown,
            _ if self.client().role == Role::Only => AnsweredBy::Proxy,
            (Some(one), Some(other)) if one == other => AnsweredBy::Origin,
            _ => AnsweredBy::Proxy,
        }
    }

    /// Who answered, where the last server that was seen is a proxy or may be one.
    pub(super) fn answered_by(&self) -> AnsweredBy {
        let Some(proxy) = self.proxy() else { return self.relayed() };
        match proxy.hop.role {
            _ if proxy.hop.response.is_none() => AnsweredBy::Nobody,
            Role::Upstream => AnsweredBy::Origin,
            _ if self.is_own(&proxy) => AnsweredBy::Proxy,
            _ => AnsweredBy::Unknown,
        }
    }

    /// Whether the answer of a proxy is its own.
    pub(super) fn is_own(&self, proxy: &AtProxy<'_>) -> bool {
        proxy.upstream_seen || self.decided.own_page.is_some()
    }

    /// Whether a proxy answered with an error that it gives when it has no connection to an origin.
    pub(super) fn is_gateway_error(&self, proxy: &AtProxy<'_>) -> bool {
        match status(proxy.hop) {
            Some(502 | 504) => true,
            Some(503) => self.decided.own_page == Some(ProductName::HaProxy),
            _ => false,
        }
    }

    /// A cause at the server of the last hop.
    pub(super) fn at_last(&self, cause: Cause, why: String) -> Finding {
        Finding { cause, answered_by: self.answered_by(), by: Some(self.last().server.clone()), why, facts: Vec::new() }
    }

    /// The proxy at an endpoint, as it is called in a sentence.
    pub(super) fn call(&self, by: &Endpoint) -> String {
        call_of(&self.decided.attempt, product_at(&self.decided.attempt, by).as_ref(), by)
    }
}

/// The last server that got the request, where it is a proxy or may be one.
pub(super) struct AtProxy<'a> {
    /// The hop that it answered on.
    pub(super) hop: &'a Hop,
    /// Whether the capture shows requests that it sent upstream, for this attempt or another.
    pub(super) upstream_seen: bool,
    /// Its connection that failed meanwhile.
    pub(super) failed: Option<(Silence, SocketAddr)>,
}

pub(super) fn status(hop: &Hop) -> Option<u16> {
    hop.response.as_ref().map(|response| response.status)
}
