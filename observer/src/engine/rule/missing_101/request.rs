//! Causes in the request: what the client sent, or what a proxy made of it.

use super::{
    super::{
        super::{alert::Cause, handshake::field},
        http10_upstream, upgrade_headers_dropped,
    },
    seen::{Finding, Seen},
};

/// A proxy did not forward Upgrade or Connection.
pub(super) fn headers_dropped(seen: &Seen<'_>) -> Option<Finding> {
    let drop = upgrade_headers_dropped::find(seen.decided)?;
    let why = format!("{} did not forward the upgrade", seen.call(&drop.by));
    Some(Finding {
        cause: Cause::HeadersDropped,
        answered_by: seen.relayed(),
        by: Some(drop.by),
        why,
        facts: Vec::new(),
    })
}

/// The client's request is no valid handshake, and no proxy has mended it: then that is not why the origin declined it.
pub(super) fn malformed(seen: &Seen<'_>) -> Option<Finding> {
    let defect = field::defect(seen.request)?;
    let is_mended = seen.last().request.as_ref().is_some_and(|last| last.complete && field::defect(last).is_none());
    (!is_mended).then(|| Finding {
        cause: Cause::ClientMalformed,
        answered_by: seen.relayed(),
        by: Some(seen.client().client.clone()),
        why: format!("the client's request is no valid handshake: {defect}"),
        facts: Vec::new(),
    })
}

/// A proxy sent the request on as HTTP/1.0, and the origin declined it.
pub(super) fn http10(seen: &Seen<'_>) -> Option<Finding> {
    let (_, by, _) =
        http10_upstream::find(seen.decided).filter(|_| seen.is_forwarded() && seen.last().response.is_some())?;
    let why = format!("{} forwarded it as HTTP/1.0", seen.call(&by));
    Some(Finding { cause: Cause::Http10, answered_by: seen.relayed(), by: Some(by), why, facts: Vec::new() })
}
