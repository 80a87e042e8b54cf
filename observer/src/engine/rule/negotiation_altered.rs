//! `negotiation-altered`: subprotocol, extensions or version are not the same on both sides of a proxy, or a server chose
//! what its client did not offer (RFC 6455 4.1, 4.2.2, 9.1).

use std::collections::BTreeSet;

use super::{
    super::{
        alert::{Alert, Details, Level, RuleId},
        attempt::Decided,
        event::{Endpoint, Fields, Hop, Product},
        time::Timestamp,
    },
    alert, call, path, steps,
};

const PROTOCOL: &str = "Sec-WebSocket-Protocol";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
const VERSION: &str = "Sec-WebSocket-Version";

/// A difference.
pub(super) struct Change {
    pub(super) field: &'static str,
    level: Level,
    before: Option<String>,
    after: Option<String>,
    by: Endpoint,
    product: Option<Product>,
    at: Timestamp,
    pub(super) what: &'static str,
}

pub(super) fn check(decided: &Decided) -> Option<Alert> {
    if !decided.claims.hops.holds() || decided.denied {
        return None;
    }
    let attempt = &decided.attempt;
    // The hop nearest to the origin is where it began; the proxy only passed it on.
    let change = attempt.path().filter_map(unoffered).next_back().or_else(|| on_the_way(decided))?;
    let message = format!("{} {} {} for {}.", who(&change), change.what, change.field, path(attempt));
    let Change { field, level, before, after, by, product, at, .. } = change;
    let details = Details::Negotiation { field, before, after, by };
    let alert = alert(RuleId::NegotiationAltered, level, at, attempt, message, details);
    Some(Alert { product, ..alert })
}

fn who(change: &Change) -> String {
    if change.level == Level::Error && change.product.is_none() {
        return format!("the server at {}", change.by);
    }
    call(change.product.as_ref(), &change.by)
}

/// A 101 that chooses what the request on the same hop did not offer.
fn unoffered(hop: &Hop) -> Option<Change> {
    let (request, response) = (hop.request.as_ref()?, hop.response.as_ref()?);
    if response.status != 101 || !request.complete || !response.complete {
        return None;
    }
    let names = |list: BTreeSet<String>| -> BTreeSet<String> {
        list.into_iter().map(|member| member.split(';').next().unwrap_or("").to_owned()).collect()
    };
    let fields = [PROTOCOL, EXTENSIONS];
    let field =
        fields.into_iter().find(|field| !names(members(response, field)).is_subset(&names(members(request, field))))?;
    Some(Change {
        field,
        level: Level::Error,
        before: request.joined(field),
        after: response.joined(field),
        by: hop.server.clone(),
        product: hop.product.clone(),
        at: response.at,
        what: "chose what the client had not offered in",
    })
}

/// A request or a 101 that a proxy changed.
pub(super) fn on_the_way(decided: &Decided) -> Option<Change> {
    steps(&decided.attempt).find_map(|step| {
        let change = |field, before, after: Option<String>, at| Change {
            field,
            level: if field == EXTENSIONS { Level::Notice } else { Level::Warning },
            what: if after.is_none() { "removed" } else { "altered" },
            before,
            after,
            by: step.down.server.clone(),
            product: step.down.product.clone(),
            at,
        };
        let (before, after) = (step.before, step.after);
        if before.complete && after.complete && before.field("sec-websocket-key").is_some() {
            let differs = |field: &&str| members(before, field) != members(after, field);
            if let Some(field) = [PROTOCOL, VERSION, EXTENSIONS].into_iter().find(differs) {
                return Some(change(field, before.joined(field), after.joined(field), after.at));
            }
        }
        let (up, down) = (step.up.response.as_ref()?, step.down.response.as_ref()?);
        if (up.status, down.status) != (101, 101) || !up.complete || !down.complete {
            return None;
        }
        let field = [PROTOCOL, EXTENSIONS].into_iter().find(|field| members(up, field) != members(down, field))?;
        Some(change(field, up.joined(field), down.joined(field), down.at))
    })
}

/// A list field's members without white space, in any order.
fn members(head: &impl Fields, name: &str) -> BTreeSet<String> {
    head.list(name).map(|member| member.chars().filter(|glyph| !glyph.is_whitespace()).collect()).collect()
}
