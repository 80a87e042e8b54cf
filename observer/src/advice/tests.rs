//! Which fix is given to whom, and where none is; what `explain` must hold.

use std::sync::Arc;

use super::{explain, fix, name, reference};
use crate::engine::{
    alert::{Alert, AnsweredBy, Cause, Details, IdleTimer, Level, RuleId},
    event::{Attempt, ClosedBy, Product, ProductName},
    sample,
};

fn attempt() -> Attempt {
    sample::bare(1, 4, "/ws?token=s3cr3t", "10.0.0.7:53012")
}

fn alert(attempt: Attempt, product: Option<Product>, details: Details) -> Alert {
    let rule = RuleId::Missing101;
    let at = attempt.decided_at;
    Alert { rule, level: Level::Error, at, message: String::new(), attempt: Arc::new(attempt), product, details }
}

fn dropped() -> Details {
    Details::HeadersDropped { dropped: vec!["Upgrade"], by: sample::ip("10.0.0.1:80"), sent: sample::sent() }
}

fn missing(cause: Cause) -> Details {
    Details::Missing101 {
        status: vec![Some(403)],
        answered_by: AnsweredBy::Proxy,
        cause,
        by: None,
        doubt: None,
        facts: Vec::new(),
    }
}

#[test]
fn nginx_is_told_of_http11_by_its_version() {
    let upgraded_to_11 = || {
        let mut details = dropped();
        if let Details::HeadersDropped { sent, .. } = &mut details {
            sent.version = crate::engine::event::HttpVersion::Http11;
        }
        details
    };
    for (version, details, wants) in [
        ("1.22.1", dropped(), true),
        ("1.29.6", upgraded_to_11(), true),
        ("1.29.7", upgraded_to_11(), false),
        ("1.31.4", upgraded_to_11(), false),
        // Somebody set 1.0 there.
        ("1.31.4", dropped(), true),
        ("", dropped(), true),
    ] {
        let product = sample::product(ProductName::Nginx, version);
        let fix = fix(&alert(attempt(), Some(product), details)).unwrap();
        assert_eq!(fix.snippet.contains("proxy_http_version"), wants, "{version}");
        assert!(fix.snippet.contains("map $http_upgrade $connection_upgrade"));
        assert!(fix.text.contains("/ws") && !fix.text.contains("s3cr3t"));
    }
}

#[test]
fn every_product_has_its_own_fix() {
    for (name, part) in [
        (ProductName::Nginx, "proxy_set_header"),
        (ProductName::Apache, "upgrade=websocket"),
        (ProductName::HaProxy, "backend"),
        (ProductName::Caddy, "reverse_proxy"),
        (ProductName::Envoy, "upgrade_configs"),
        (ProductName::Traefik, "routers"),
    ] {
        let fix = fix(&alert(attempt(), Some(sample::product(name, "")), dropped())).unwrap();
        assert_eq!(fix.product, name.as_str());
        assert!(fix.snippet.contains(part), "{}", fix.snippet);
    }
    let unknown = fix(&alert(attempt(), None, dropped())).unwrap();
    assert_eq!(unknown.product, "nginx");
    assert!(unknown.text.contains("observer explain missing-101"));
}

#[test]
fn no_fix_where_none_is_honest() {
    let nginx = || Some(sample::product(ProductName::Nginx, "1.22.1"));
    for cause in [
        Cause::ClientMalformed,
        Cause::AuthRequired,
        Cause::VersionUnsupported,
        Cause::UpstreamSilent,
        Cause::RelayLost,
        Cause::Unknown,
        // The status is 426 and not 403.
        Cause::OriginRejected,
    ] {
        assert_eq!(fix(&alert(attempt(), nginx(), missing(cause))), None, "{cause:?}");
    }
    let abrupt = Details::AbruptClose { closed_by: ClosedBy::Client, idle: std::time::Duration::ZERO };
    assert_eq!(fix(&alert(attempt(), nginx(), abrupt)), None);
}

#[test]
fn a_403_after_another_host_is_about_host() {
    let mut attempt = attempt();
    attempt.hops[0].response.as_mut().unwrap().status = 403;
    let nginx = sample::product(ProductName::Nginx, "1.22.1");
    let found = fix(&alert(attempt.clone(), Some(nginx.clone()), missing(Cause::OriginRejected))).unwrap();
    assert!(found.snippet.contains("proxy_set_header Host $http_host;"));
    let front = attempt.hops[0].request.clone();
    attempt.hops[1].request = front;
    assert_eq!(fix(&alert(attempt, Some(nginx), missing(Cause::OriginRejected))), None);
}

#[test]
fn idle_closes_are_mended_by_heartbeats_or_the_timer() {
    let idle = Details::IdleClose {
        at: crate::engine::alert::TimerAt::Proxy,
        idle: std::time::Duration::from_secs(60),
        by: sample::ip("10.0.0.1:80"),
        heartbeat: false,
        candidates: Vec::<IdleTimer>::new(),
        certain: true,
    };
    for (name, part) in [
        (ProductName::Nginx, Some("proxy_read_timeout")),
        (ProductName::HaProxy, Some("timeout tunnel")),
        (ProductName::Apache, Some("Timeout 3600")),
        (ProductName::Caddy, None),
    ] {
        let fix = fix(&alert(attempt(), Some(sample::product(name, "")), idle.clone()));
        assert_eq!(fix.is_some(), part.is_some());
        if let (Some(fix), Some(part)) = (fix, part) {
            assert!(fix.snippet.contains(part) && fix.text.contains("every 30 s"));
        }
    }
}

#[test]
fn what_is_not_plain_never_reaches_a_configuration() {
    for evil in ["/ws;}\nserver{", "/ws' -o /etc/passwd '", "/$(id)", "/`id`", "/ws\" upgrade=x", "/\u{1b}[2J"] {
        let mut attempt = sample::bare(1, 4, evil, "10.0.0.7:53012");
        attempt.upgrade = format!("websocket\n{evil}");
        for hop in &mut attempt.hops {
            let fields = &mut hop.request.as_mut().unwrap().fields;
            fields.iter_mut().filter(|field| &*field.name == "Host").for_each(|field| field.value = evil.into());
        }
        for name in ProductName::ALL {
            let Some(fix) = fix(&alert(attempt.clone(), Some(sample::product(name, evil)), dropped())) else {
                continue;
            };
            for text in [&fix.text, &fix.snippet, &fix.check] {
                assert!(!text.contains(evil), "{evil}: {text}");
            }
            assert!(fix.check.contains("/ws ") && fix.check.contains("Host: example.test"), "{}", fix.check);
        }
    }
}

#[test]
fn a_fix_names_what_the_capture_shows() {
    let attempt = sample::bare(1, 4, "/rooms/7", "10.0.0.7:53012");
    let fix = |name| fix(&alert(attempt.clone(), Some(sample::product(name, "")), dropped())).unwrap();
    let apache = fix(ProductName::Apache);
    assert!(apache.snippet.contains("ProxyPass \"/rooms/7\" \"http://127.0.0.1:3000/rooms/7\" upgrade=websocket"));
    assert!(apache.check.contains("http://10.0.0.1:80/rooms/7 ") && apache.check.contains("'Host: chat.test'"));
    assert!(apache.reload.contains("graceful") && !apache.example);
    let varnish = fix(ProductName::Varnish);
    assert!(varnish.snippet.contains("return (pipe);"));
    let tinyproxy = fix(ProductName::Tinyproxy);
    assert!(tinyproxy.text.contains("cannot forward upgrades: use another proxy") && tinyproxy.snippet.is_empty());
    let mut spdy = attempt.clone();
    spdy.upgrade = "SPDY/3.1".to_owned();
    let envoy = super::fix(&alert(spdy, Some(sample::product(ProductName::Envoy, "")), dropped())).unwrap();
    assert!(envoy.snippet.contains("upgrade_type: SPDY/3.1") && envoy.check.contains("'Upgrade: SPDY/3.1'"));
    assert!(!envoy.check.contains("Sec-WebSocket"));
}

#[test]
fn habits_only_give_an_example() {
    let mut attempt = attempt();
    attempt.hops[0].product = None;
    attempt.hops[0].candidates = [ProductName::HaProxy, ProductName::Envoy].into_iter().collect();
    let fix = fix(&alert(attempt, None, dropped())).unwrap();
    assert!(fix.example && fix.product == "HAProxy" && fix.text.contains("its habits fit HAProxy or Envoy"));
}

#[test]
fn every_rule_is_explained() {
    let mut list = Vec::new();
    explain(None, &mut list, false).unwrap();
    let list = String::from_utf8(list).unwrap();
    for rule in RuleId::ALL {
        assert!(list.contains(rule.as_str()) && list.contains(name(rule)));
        let (mut page, mut coloured) = (Vec::new(), Vec::new());
        explain(Some(rule), &mut page, false).unwrap();
        explain(Some(rule), &mut coloured, true).unwrap();
        let page = String::from_utf8(page).unwrap();
        for part in ["On the wire", "What it does not mean", reference(rule)] {
            assert!(page.contains(part), "{rule}: {part}");
        }
        let is_code = |line: &&str| line.starts_with("    ");
        assert!(page.lines().filter(|line| !is_code(line)).all(|line| line.chars().count() <= 80), "{rule}");
        assert!(!page.contains("```") && !page.contains("proxy_buffering") && !page.contains("bug"), "{rule}");
        assert!(String::from_utf8(coloured).unwrap().contains('\x1b'));
    }
}
