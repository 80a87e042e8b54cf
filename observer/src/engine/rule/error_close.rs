//! `error-close`: a WebSocket tunnel ended with an error code (RFC 6455 7.4), or before it was used.

use std::time::Duration;

use super::{
    super::{
        alert::{Alert, CloseFault, Details, Level, RuleId},
        attempt::Ended,
        event::{ClosedBy, Endpoint},
    },
    alert, broken_101, call, path, product_at,
};

/// A tunnel that ends sooner was not used.
const EARLY: Duration = Duration::from_secs(1);

pub(super) fn check(ended: &Ended) -> Option<Alert> {
    let tunnel = &ended.tunnel;
    let websocket = tunnel.attempt.upgrade.to_ascii_lowercase().contains("websocket");
    if !websocket || tunnel.still_open || broken_101::missing(&tunnel.attempt).is_some() {
        return None;
    }
    let age = tunnel.ended_at.since(tunnel.opened_at);
    let code = tunnel.close.and_then(|close| close.code);
    let path = path(&tunnel.attempt);
    let (fault, level, message) = if let Some(code) = code.filter(|code| is_error(*code) && !tunnel.incomplete) {
        let from = tunnel
            .close
            .map_or(ClosedBy::Unknown, |close| if close.from_client { ClosedBy::Client } else { tunnel.closed_by });
        let who = who(ended, from);
        (
            CloseFault::Code,
            Level::Warning,
            format!("{who} closed the tunnel of {path} with code {code}{}.", means(code)),
        )
    } else if let Some(refused) = ended.refused {
        let message = format!(
            "The tunnel of {path} ended after {} ms: another request of its session went to {}, which does not know it \
             (frame {}). The proxy must send a session to one server.",
            age.as_millis(),
            refused.server,
            refused.shown.0
        );
        (CloseFault::NotSticky, Level::Warning, message)
    } else if is_unused(ended) && age < EARLY && tunnel.closed_by != ClosedBy::Unknown {
        let who = who(ended, tunnel.closed_by);
        let message =
            format!("{who} ended the tunnel of {path} after {} ms, before anything was sent.", age.as_millis());
        (CloseFault::Early, Level::Notice, message)
    } else {
        return None;
    };
    let details = Details::ErrorClose { fault, code, closed_by: tunnel.closed_by, age };
    Some(alert(RuleId::ErrorClose, level, tunnel.ended_at, &tunnel.attempt, message, details))
}

/// Whether nobody sent data through it, nor a Close frame.
fn is_unused(ended: &Ended) -> bool {
    let tunnel = &ended.tunnel;
    let frames = tunnel.frames.to_server + tunnel.frames.to_client;
    !ended.had_close && !tunnel.incomplete && frames <= tunnel.pings + tunnel.pongs
}

fn who(ended: &Ended, from: ClosedBy) -> String {
    match from {
        ClosedBy::Client => "The client".to_owned(),
        ClosedBy::Origin => "The origin".to_owned(),
        ClosedBy::Proxy => match ended.by.map(|by| Endpoint::Ip(by.address())) {
            Some(by) => call(product_at(&ended.tunnel.attempt, &by).as_ref(), &by),
            None => "The proxy".to_owned(),
        },
        ClosedBy::Unknown => "The server's side".to_owned(),
    }
}

/// Whether a code tells of an error; 1000, 1001 and 1012 are clean ends.
const fn is_error(code: u16) -> bool {
    matches!(code, 1002 | 1003 | 1007..=1011 | 1013 | 3000..=4999)
}

/// What a code means (RFC 6455 7.4.1, IANA's registry).
const fn means(code: u16) -> &'static str {
    match code {
        1002 => " (protocol error)",
        1003 => " (data of a kind that it does not take)",
        1007 => " (text that is no UTF-8)",
        1008 => " (against its policy)",
        1009 => " (a message that is too big)",
        1010 => " (an extension is missing)",
        1011 => " (an error in the server)",
        1013 => " (try again later)",
        _ => "",
    }
}
