//! `abrupt-close`: a WebSocket tunnel ended in the middle of its traffic without a Close frame (RFC 6455 7.1.4).

use super::{
    super::{
        Config,
        alert::{Alert, Details, Level, RuleId},
        attempt::Ended,
        event::{ClosedBy, Endpoint},
    },
    alert, call, path, product_at,
};

pub(super) fn check(ended: &Ended, config: &Config) -> Option<Alert> {
    let tunnel = &ended.tunnel;
    let websocket = tunnel.attempt.upgrade.to_ascii_lowercase().contains("websocket");
    // What comes behind what is no frame cannot be read.
    let unread = tunnel.incomplete || tunnel.broken().is_some();
    if !websocket || tunnel.close.is_some() || unread || tunnel.still_open || tunnel.idle >= config.idle_min {
        return None;
    }
    let by = ended.by.map(|by| Endpoint::Ip(by.address()));
    let product = by.as_ref().and_then(|by| product_at(&tunnel.attempt, by));
    let who = match tunnel.closed_by {
        ClosedBy::Client => "The client".to_owned(),
        ClosedBy::Proxy => by.as_ref().map_or("The proxy".to_owned(), |by| call(product.as_ref(), by)),
        ClosedBy::Origin => "The origin".to_owned(),
        ClosedBy::Unknown => return None,
    };
    let message = format!("{who} ended the tunnel of {} without a Close frame.", path(&tunnel.attempt));
    let details = Details::AbruptClose { closed_by: tunnel.closed_by, idle: tunnel.idle };
    Some(alert(RuleId::AbruptClose, Level::Notice, tunnel.ended_at, &tunnel.attempt, message, details))
}
