//! `abrupt-close`: a WebSocket tunnel ended in the middle of its traffic without a Close frame (RFC 6455 7.1.4).

use super::{
    super::{
        Config,
        alert::{Alert, Details, Level, RuleId},
        attempt::Ended,
        event::ClosedBy,
    },
    alert, path,
};

pub(super) fn check(ended: &Ended, config: &Config) -> Option<Alert> {
    let tunnel = &ended.tunnel;
    let websocket = tunnel.attempt.upgrade.to_ascii_lowercase().contains("websocket");
    if !websocket || ended.had_close || tunnel.incomplete || tunnel.still_open || tunnel.idle >= config.idle_min {
        return None;
    }
    let who = match tunnel.closed_by {
        ClosedBy::Client => "The client",
        ClosedBy::Proxy => "The proxy",
        ClosedBy::Origin => "The origin",
        ClosedBy::Unknown => return None,
    };
    let message = format!("{who} ended the tunnel of {} without a Close frame.", path(&tunnel.attempt));
    let details = Details::AbruptClose { closed_by: tunnel.closed_by, idle: tunnel.idle };
    Some(alert(RuleId::AbruptClose, Level::Notice, tunnel.ended_at, &tunnel.attempt, message, details))
}
