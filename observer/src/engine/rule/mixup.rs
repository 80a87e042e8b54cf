//! A client that speaks another protocol than the port it came to: no upgrade can be asked for there. Told as `missing-101`.

use super::{
    super::{
        alert::{Alert, AnsweredBy, Cause, Details, Level, RuleId},
        attempt::Mixup,
        event::{Protocol, Reply},
    },
    alert, said,
};

/// A server that closes without a byte may have other reasons: that proves nothing.
pub(super) fn check(mixup: &Mixup) -> Option<Alert> {
    let Reply::Bytes(answer) = &mixup.said.server else { return None };
    let hop = mixup.attempt.first();
    let server = &hop.server;
    let got = answer.status().map_or("an answer in plaintext".to_owned(), |status| status.to_string());
    let (cause, message) = match mixup.said.client.protocol() {
        Some(Protocol::Tls) => (
            Cause::TlsUnexpected,
            format!("A client spoke TLS to {server}, which does not, and got {got}: use ws://, or a port with TLS."),
        ),
        Some(protocol) => {
            (Cause::NotHttp, format!("A client spoke {}, no HTTP/1, to {server}, and got {got}.", protocol.as_str()))
        }
        None => (Cause::NotHttp, format!("What a client sent to {server} is no HTTP/1, and it got {got}.")),
    };
    let details = Details::Missing101 {
        status: vec![answer.status()],
        answered_by: AnsweredBy::Unknown,
        cause,
        by: Some(hop.client.clone()),
        doubt: None,
        facts: vec![said(&"the client", &mixup.said.client), said(server, answer)],
    };
    Some(alert(RuleId::Missing101, Level::Notice, mixup.said.at(), &mixup.attempt, message, details))
}
