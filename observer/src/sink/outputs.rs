//! Tests of what both sinks promise: lines that obey the schema, no secret and no raw control character in any output.

use std::{cell::RefCell, io, rc::Rc, sync::Arc};

use super::{Emit, Ending, Options, json, schema, text_at};
use crate::{
    engine::{
        alert::Details,
        event::{Event, Field, Outcome},
        frame::ClockId,
        sample,
    },
    tap::InterfaceInfo,
};

/// Somewhere to write that can be read afterwards.
#[derive(Clone, Default)]
pub(super) struct Memory(Rc<RefCell<Vec<u8>>>);

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

pub(super) fn options() -> Options {
    Options { emit: Emit::ALL, ..Options::default() }
}

pub(super) fn as_json(events: &[Event], options: Options) -> String {
    let memory = Memory::default();
    let mut sink = json(Box::new(memory.clone()), options);
    events.iter().for_each(|event| sink.event(event).unwrap());
    sink.finish(&Ending { warnings: vec!["a.pcap is cut at byte 1234".to_owned()] }).unwrap();
    memory.text()
}

pub(super) fn as_text(events: &[Event], options: Options, width: usize) -> String {
    let memory = Memory::default();
    let mut sink = text_at(Box::new(memory.clone()), options, width);
    events.iter().for_each(|event| sink.event(event).unwrap());
    sink.finish(&Ending { warnings: vec!["a.pcap is cut at byte 1234".to_owned()] }).unwrap();
    memory.text()
}

/// Every line obeys the schema and is short enough.
fn validate(output: &str) {
    let schema = serde_json::from_str(schema::text()).unwrap();
    let validator = jsonschema::draft202012::options().build(&schema).unwrap();
    for line in output.lines() {
        assert!(line.len() < 16 << 10, "{} bytes: {line}", line.len());
        let value = serde_json::from_str(line).unwrap();
        let branch = match serde_json::Value::pointer(&value, "/event/dataset").and_then(|name| name.as_str()) {
            Some("observer.alert") => "alert",
            Some("observer.attempt") => "attemptLine",
            Some("observer.tunnel") => "tunnelLine",
            Some("observer.anomaly") => "anomalyLine",
            _ => "statsLine",
        };
        if !validator.is_valid(&value) {
            // The branch alone says what is wrong; `oneOf` does not.
            let mut alone: serde_json::Value = schema.clone();
            alone.as_object_mut().unwrap().remove("oneOf");
            alone["$ref"] = format!("#/$defs/{branch}").into();
            let alone = jsonschema::draft202012::options().build(&alone).unwrap();
            let errors: Vec<_> = alone.iter_errors(&value).map(|error| error.to_string()).collect();
            panic!("{line}\n{errors:#?}");
        }
    }
}

fn several_sources() -> Options {
    let info = |name: Option<&str>, source: &str| InterfaceInfo {
        name: name.map(str::to_owned),
        source: source.to_owned(),
        clock: ClockId(0),
    };
    let options = options();
    options.interfaces.register(info(Some("eth0"), "client.pcapng"));
    options.interfaces.register(info(None, "origin.pcap"));
    options
}

#[test]
fn every_line_obeys_the_schema() {
    let output = as_json(&sample::all(), options());
    assert_eq!(output.lines().count(), sample::all().len() + 1);
    validate(&output);
    let output = as_json(&sample::all(), several_sources());
    validate(&output);
    assert!(output.contains(r#""source":"client.pcapng","interface":{"name":"eth0"}"#));
}

#[test]
fn hops_carry_their_processes() {
    let mut attempt = sample::bare(1, 4, "/ws", "10.0.0.7:53012");
    sample::own(&mut attempt);
    let output = as_json(&[Event::Attempt(Arc::new(attempt))], options());
    validate(&output);
    assert!(output.contains(r#""port":53012},"server""#), "nothing is told of who is not known: {output}");
    assert!(output.contains(r#""process":{"pid":812,"name":"nginx"}"#), "{output}");
}

#[test]
fn the_schema_is_closed_at_every_level() {
    fn walk(value: &serde_json::Value) {
        match value {
            serde_json::Value::Object(map) => {
                if map.get("type").is_some_and(|name| name == "object") {
                    assert_eq!(map.get("additionalProperties"), Some(&false.into()), "{value}");
                }
                map.values().for_each(walk);
            }
            serde_json::Value::Array(list) => list.iter().for_each(walk),
            _ => {}
        }
    }
    walk(&serde_json::from_str(schema::text()).unwrap());
}

#[test]
fn what_is_not_asked_for_is_not_printed() {
    let output = as_json(&sample::all(), Options { emit: Emit::ALERT, ..Options::default() });
    assert!(output.lines().all(|line| line.contains(r#""dataset":"observer.alert""#)));
    assert_eq!(as_json(&sample::all(), Options { emit: Emit::NONE, ..Options::default() }), "");
}

/// Everything from the wire as long as it gets, and made of what takes most room.
#[test]
fn no_line_is_too_long() {
    for filler in ["\"", "\u{202e}", "x", "日"] {
        let mut attempt = sample::bare(1, 4, "/ws", "[2001:db8:1111:2222:3333:4444:5555:6666]:60211");
        let long: Box<str> = filler.repeat(2_000).into();
        attempt.upgrade = long.clone().into();
        let hop = &mut attempt.hops[0];
        hop.client = crate::engine::event::Endpoint::Path((&*long).into());
        hop.product.as_mut().unwrap().version = Some(long.clone());
        let request = hop.request.as_mut().unwrap();
        (request.method, request.target) = (long.clone(), long.clone());
        for name in ["Upgrade", "Connection", "User-Agent", "Host"] {
            request.fields.push(Field { name: name.into(), value: long.clone() });
        }
        request
            .fields
            .extend((0..120).map(|_| Field { name: filler.repeat(20).into(), value: filler.repeat(40).into() }));
        let response = hop.response.as_mut().unwrap();
        response.reason = long.clone();
        response.fields = request.fields.clone();
        let hop = hop.clone();
        attempt.hops.extend((0..8).map(|_| hop.clone()));
        let attempt = Arc::new(attempt);
        let mut events = sample::bare_alerts(&attempt);
        events.push(Event::Attempt(Arc::clone(&attempt)));
        events.push(Event::Tunnel(Box::new(sample::tunnel(&attempt))));
        for event in &mut events {
            let Event::Alert(alert) = event else { continue };
            alert.message = long.to_string();
            if let Details::HeadersDropped { sent, .. } = &mut alert.details {
                (sent.upgrade, sent.connection) = (Some(long.to_string()), Some(long.to_string()));
            }
            if let Details::Http10 { by } = &alert.details {
                let tunnels = vec![Arc::clone(&attempt); 300];
                alert.details =
                    Details::MassClose { by: by.clone(), tunnels, within: std::time::Duration::from_secs(1) };
                alert.rule = crate::engine::alert::RuleId::MassClose;
            }
        }
        let output = as_json(&events, options());
        validate(&output);
        assert!(output.lines().filter(|line| line.contains(r#""truncated":true"#)).count() >= 4);
        as_text(&events, options(), 80);
    }
}

const MARKER: &str = "MARKERsecret";

/// An attempt with a secret in every place where one may be.
fn with_secrets() -> Vec<Event> {
    let token = "eyJhbGciOiJIUzI1NiJ9.MARKERsecret.c2ln";
    let secrets = [
        ("Cookie", "a=MARKERsecret; b=1"),
        ("Authorization", "Bearer MARKERsecret"),
        ("Proxy-Authorization", "Basic MARKERsecret"),
        ("X-Api-Key", MARKER),
        ("X-Auth-Token", MARKER),
        ("X-CSRF-Token", MARKER),
        ("X-Amz-Security-Token", MARKER),
        ("X-Forwarded-Access-Token", MARKER),
        ("X-Original-URI", "/ws?t=MARKERsecret"),
        ("X-Forwarded-Uri", "/ws;jsessionid=MARKERsecret"),
        ("X-Original-URL", "http://h.test/?MARKERsecret"),
        ("Referer", "https://u:MARKERsecret@a.test/p?MARKERsecret#MARKERsecret"),
        ("Origin", "https://MARKERsecret@a.test"),
        ("Host", "u:MARKERsecret@a.test"),
        ("User-Agent", "bot (+http://a.test/?MARKERsecret)"),
        ("X-Anything", token),
        ("Sec-WebSocket-Protocol", "mqtt, bearer.MARKERsecret"),
        ("Sec-WebSocket-Protocol", "base64UrlBearerAuthorization.MARKERsecret, access_token, MARKERsecret"),
        ("Sec-WebSocket-Protocol", "MARKERsecret-and-so-much-more-that-it-must-be-one"),
    ];
    let mut attempt = sample::bare(1, 4, "http://u:MARKERsecret@a.test/ws?token=MARKERsecret", "10.0.0.7:53012");
    for hop in &mut attempt.hops {
        let request = hop.request.as_mut().unwrap();
        request.fields.retain(|line| !secrets.iter().any(|(name, _)| line.name.eq_ignore_ascii_case(name)));
        request.fields.extend(sample::fields(&secrets));
        hop.response.as_mut().unwrap().fields.extend(sample::fields(&[
            ("Set-Cookie", "sid=MARKERsecret"),
            ("Location", "/login?next=MARKERsecret"),
            ("Content-Location", "x?MARKERsecret"),
            ("Link", "</x?MARKERsecret>; rel=preload"),
            ("Refresh", "0; url=/x?MARKERsecret"),
            ("Sec-WebSocket-Protocol", "bearer.MARKERsecret"),
        ]));
    }
    // The second hop differs in all of them, so that a sink that shows differences shows these.
    for line in &mut attempt.hops[1].request.as_mut().unwrap().fields {
        line.value = line.value.replace("MARKERsecret", "MARKERsecret2").into();
    }
    let mut side = attempt.hops[1].clone();
    side.role = crate::engine::event::Role::Side;
    attempt.hops.push(side);
    let attempt = Arc::new(attempt);
    let mut upgraded = (*attempt).clone();
    upgraded.outcome = Outcome::Upgraded;
    let upgraded = Arc::new(upgraded);
    let mut events = vec![Event::Attempt(Arc::clone(&attempt))];
    events.extend(sample::bare_alerts(&attempt));
    for event in sample::rest().into_iter().chain(sample::idle()) {
        let Event::Alert(mut alert) = event else { continue };
        alert.attempt = Arc::clone(&upgraded);
        alert.message.push_str(" in /ws?MARKERsecret");
        match &mut alert.details {
            Details::Negotiation { before, after, .. } => {
                *before = Some("mqtt, bearer.MARKERsecret".to_owned());
                *after = Some("bearer.MARKERsecret".to_owned());
            }
            Details::PollingFallback { target, .. } => *target = "/socket.io/?sid=MARKERsecret".to_owned(),
            _ => {}
        }
        events.push(Event::Alert(alert));
    }
    events.push(Event::Tunnel(Box::new(sample::tunnel(&upgraded))));
    events
}

#[test]
fn no_output_holds_a_secret() {
    let outputs = [
        as_json(&with_secrets(), options()),
        as_text(&with_secrets(), options(), 80),
        as_text(&with_secrets(), options(), 120),
    ];
    for output in &outputs {
        if let Some(line) = output.lines().find(|line| line.to_lowercase().contains("markers")) {
            panic!("{line}");
        }
        assert!(output.contains("<redacted>"));
    }
    validate(&outputs[0]);
    let shown = as_json(&with_secrets(), Options { show_secrets: true, ..options() });
    assert!(shown.contains("u:MARKERsecret@a.test") && shown.contains("bearer.MARKERsecret"));
}

/// Bytes that act on terminals, in every place.
#[test]
fn no_output_holds_a_raw_control_character() {
    let evil = "a\x1b]0;x\x07\r\n\u{9b}31m\u{202e}b\u{200b}\u{2028}";
    let mut attempt = sample::bare(1, 4, "/ws", "10.0.0.7:53012");
    attempt.upgrade = evil.to_owned();
    for (index, hop) in attempt.hops.iter_mut().enumerate() {
        hop.product.as_mut().map(|product| product.version.replace(evil.into()));
        let request = hop.request.as_mut().unwrap();
        (request.method, request.target) = (evil.into(), evil.into());
        for line in &mut request.fields {
            line.value = format!("{evil}{index}").into();
            line.name = if index == 0 { line.name.clone() } else { format!("{}{evil}", line.name).into() };
        }
        let response = hop.response.as_mut().unwrap();
        response.reason = evil.into();
        response.fields.extend(sample::fields(&[("Server", evil), (evil, evil)]));
    }
    let attempt = Arc::new(attempt);
    let mut events = vec![Event::Attempt(Arc::clone(&attempt))];
    for event in sample::all() {
        let Event::Alert(mut alert) = event else { continue };
        alert.attempt = Arc::clone(&attempt);
        alert.message = evil.to_owned();
        events.push(Event::Alert(alert));
    }
    for output in [as_json(&events, options()), as_text(&events, options(), 80), as_text(&events, options(), 120)] {
        let raw = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{200b}' | '\u{2028}');
        assert!(!output.contains(raw), "{:?}", output.lines().find(|line| line.contains(raw)));
        assert!(output.contains("\\x1b"));
    }
}

/// Not a check: `cargo test lines -- --ignored --nocapture` prints what to look at.
#[test]
#[ignore = "for eyes"]
fn lines() {
    eprintln!("{}", as_json(&sample::all(), options()));
}
