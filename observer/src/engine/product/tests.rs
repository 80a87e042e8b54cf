//! Who is recognised by what, and who is not, from short heads.

use super::*;
use crate::engine::{
    event::{Field, HttpVersion, Response},
    time::Timestamp,
};

fn fields(lines: &[(&str, &str)]) -> Vec<Field> {
    lines.iter().map(|(name, value)| Field { name: (*name).into(), value: (*value).into() }).collect()
}

fn request(lines: &[(&str, &str)]) -> Request {
    Request {
        frame: 1,
        at: Timestamp::MIN,
        method: "GET".into(),
        target: "/ws".into(),
        version: HttpVersion::Http11,
        fields: fields(lines),
        complete: true,
    }
}

fn response(status: u16, lines: &[(&str, &str)]) -> Response {
    Response {
        frame: 2,
        at: Timestamp::MIN,
        status,
        version: HttpVersion::Http11,
        reason: "".into(),
        fields: fields(lines),
        complete: true,
        body: None,
    }
}

type Lines<'a> = &'a [(&'a str, &'a str)];

/// A client's request.
const ASKED: Lines<'_> = &[
    ("Host", "chat.test"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ("Sec-WebSocket-Version", "13"),
    ("User-Agent", "test"),
];

fn met(sent: Lines<'_>, answer: (u16, Lines<'_>), relayed: (u16, Lines<'_>)) -> Identity {
    let (down, up) = (request(ASKED), request(sent));
    let (behind, answer) = (response(answer.0, answer.1), response(relayed.0, relayed.1));
    let message = |request, response| Message { request, response: Some(response), body: b"" };
    identify(message(&down, &answer), Some(message(&up, &behind)))
}

fn name(identity: &Identity) -> Option<ProductName> {
    identity.product().map(|product| product.name)
}

fn version(identity: &Identity) -> Option<&str> {
    identity.product()?.version.as_deref()
}

/// By itself, with an answer of its own.
fn alone(status: u16, lines: Lines<'_>, body: &str) -> Identity {
    let (down, answer) = (request(ASKED), response(status, lines));
    identify(Message { request: &down, response: Some(&answer), body: body.as_bytes() }, None)
}

/// What is passed on of [`ASKED`], each name rewritten.
fn passed(write: impl Fn(&str) -> String) -> Vec<(String, String)> {
    ASKED.iter().map(|(name, value)| (write(name), (*value).to_owned())).collect()
}

fn lines(owned: &[(String, String)]) -> Vec<(&str, &str)> {
    owned.iter().map(|(name, value)| (&**name, &**value)).collect()
}

const BARE: (u16, Lines<'_>) = (426, &[("Content-Length", "0")]);
const NGINX: (u16, Lines<'_>) = (404, &[("Server", "nginx/1.22.1"), ("Date", "now"), ("Connection", "close")]);
const BY_NGINX: Lines<'_> = &[
    ("Host", "127.0.0.1:3000"),
    ("Connection", "close"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ("Sec-WebSocket-Version", "13"),
    ("User-Agent", "test"),
];
const BY_APACHE: Lines<'_> = &[
    ("Host", "chat.test"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ("Sec-WebSocket-Version", "13"),
    ("User-Agent", "test"),
    ("X-Forwarded-For", "10.0.0.7"),
    ("X-Forwarded-Host", "chat.test"),
    ("X-Forwarded-Server", "chat.test"),
    ("Connection", "Keep-Alive"),
];

#[test]
fn profiles_stand_in_order() {
    for (profile, name) in PROFILES.iter().zip(ProductName::ALL) {
        assert_eq!(profile.name, name);
        assert!(profile.servers.iter().chain(profile.via).all(|word| *word == word.to_ascii_lowercase()));
    }
}

#[test]
fn nginx_is_known_by_a_server_field_that_is_its_own() {
    let found = met(BY_NGINX, BARE, NGINX);
    assert_eq!((name(&found), version(&found)), (Some(ProductName::Nginx), Some("1.22.1")));
    // Two of them, one behind the other.
    assert_eq!(name(&met(BY_NGINX, NGINX, NGINX)), Some(ProductName::Nginx));
    // Somebody in front of nginx, who puts Connection last.
    let other = [BY_NGINX[0], BY_NGINX[2], BY_NGINX[3], BY_NGINX[4], BY_NGINX[1]];
    assert_eq!(met(&other, NGINX, NGINX), Identity::default());
    let openresty: Lines<'_> = &[("Server", "openresty/1.21.4.1"), ("Date", "now")];
    assert_eq!(version(&alone(404, openresty, "")), Some("1.21.4.1"));
    // Others begin their answers with Date.
    assert_eq!(name(&alone(404, &[("Date", "now"), ("Server", "nginx")], "")), None);
    assert_eq!(name(&alone(404, &[("server", "nginx"), ("date", "now")], "")), None);
}

#[test]
fn a_server_field_from_upstream_names_upstream() {
    let passed_on = (404, &[("Date", "now"), ("Server", "nginx/1.22.1")][..]);
    let found = met(BY_APACHE, NGINX, passed_on);
    assert_eq!((name(&found), version(&found)), (Some(ProductName::Apache), None));
    // The same three fields, set by a configuration of nginx.
    let copied = [BY_APACHE[4], BY_APACHE[5], BY_APACHE[6], BY_APACHE[7], BY_APACHE[0], BY_APACHE[1], BY_APACHE[3]];
    assert_eq!(name(&met(&copied, BARE, BARE)), None);
    assert_eq!(name(&met(&copied, BARE, NGINX)), Some(ProductName::Nginx));
}

#[test]
fn bytes_that_are_passed_on_tell_of_who_is_behind() {
    assert_eq!(met(ASKED, NGINX, NGINX), Identity::default());
}

#[test]
fn names_in_lower_case_fit_several() {
    let lower = passed(str::to_ascii_lowercase);
    let found = met(&lines(&lower), BARE, BARE);
    let expected = [ProductName::HaProxy, ProductName::Envoy, ProductName::NodeProxy, ProductName::Google];
    assert!(name(&found).is_none() && found.candidates().iter().eq(expected), "{found:?}");
    // A Server field passed on by one of them.
    let nginx = (404, &[("server", "nginx/1.22.1"), ("date", "now")][..]);
    assert!(met(&lines(&lower), NGINX, nginx).candidates().iter().eq(expected));
    let mut envoy = lines(&lower);
    envoy.push(("x-envoy-expected-rq-timeout-ms", "15000"));
    assert_eq!(name(&met(&envoy, BARE, BARE)), Some(ProductName::Envoy));
    let mut reversed = lines(&lower);
    reversed.reverse();
    assert_eq!(name(&met(&reversed, BARE, BARE)), Some(ProductName::NodeProxy));
    assert_eq!(
        name(&alone(503, &[("content-length", "107")], "No server is available to handle this request.")),
        Some(ProductName::HaProxy)
    );
}

#[test]
fn names_as_go_writes_them_fit_several() {
    let go = passed(|name| name.replace("WebSocket", "Websocket"));
    let found = met(&lines(&go), BARE, BARE);
    assert!(found.candidates().iter().eq([ProductName::Caddy, ProductName::Traefik, ProductName::GoProxy]));
    let caddy = (426, &[("Content-Length", "0"), ("Server", "Caddy")][..]);
    assert_eq!(name(&met(&lines(&go), BARE, caddy)), Some(ProductName::Caddy));
    let mut traefik = lines(&go);
    traefik.extend([("X-Forwarded-For", "10.0.0.7"), ("X-Forwarded-Host", "chat.test"), ("X-Forwarded-Port", "80")]);
    traefik.extend([("X-Forwarded-Proto", "http"), ("X-Forwarded-Server", "a"), ("X-Real-Ip", "10.0.0.7")]);
    assert_eq!(name(&met(&traefik, BARE, BARE)), Some(ProductName::Traefik));
}

#[test]
fn own_fields_and_via_name_the_product() {
    for (field, value, expected) in [
        ("X-Varnish", "3", ProductName::Varnish),
        ("X-Host", "chat.test", ProductName::Lighttpd),
        ("X-Scheme", "http", ProductName::Ingress),
        ("X-ARR-LOG-ID", "a", ProductName::Iis),
        ("CF-RAY", "a", ProductName::Cloudflare),
        ("X-Azure-FDID", "a", ProductName::Azure),
        ("Via", "1.1 cache.test (squid/5.7)", ProductName::Squid),
        ("Via", "1.0 front, 1.1 tinyproxy (tinyproxy/1.11.1)", ProductName::Tinyproxy),
        ("Via", "1.1 nghttpx", ProductName::Nghttpx),
        ("Via", "1.1 mitmproxy", ProductName::Mitmproxy),
        ("Via", "1.1 google", ProductName::Google),
        ("Via", "1.1 vegur", ProductName::Heroku),
        ("Via", "1.1 kong/3.9.0", ProductName::Kong),
    ] {
        let mut sent = ASKED.to_vec();
        sent.extend([("X-Forwarded-Proto", "http"), ("X-Forwarded-Scheme", "http"), (field, value)]);
        let found = met(&sent, BARE, BARE);
        // Google writes every name in lower case: this request cannot be its.
        let expected = (expected != ProductName::Google).then_some(expected);
        assert_eq!(name(&found), expected, "{field}: {value}");
    }
    let varnish = (200, &[("X-Varnish", "2"), ("Via", "1.1 varnish (Varnish/7.1)")][..]);
    assert_eq!(name(&met(ASKED, (200, &[]), varnish)), Some(ProductName::Varnish));
    assert_eq!(met(&[ASKED, &[("Via", "1.1 other")]].concat(), varnish, varnish), Identity::default());
}

#[test]
fn answers_of_its_own_name_the_product() {
    for (line, body, expected) in [
        (("Server", "awselb/2.0"), "", ProductName::Alb),
        (("Server", "lighttpd/1.4.69"), "", ProductName::Lighttpd),
        (("Server", "mitmproxy 9.0.1"), "", ProductName::Mitmproxy),
        (("Server", "Microsoft-IIS/10.0"), "", ProductName::Iis),
        (("server", "envoy"), "", ProductName::Envoy),
        (("Content-Length", "9"), "<center>nginx</center>", ProductName::Nginx),
        (("Content-Length", "9"), "<footer>nghttpx/1.52.0</footer>", ProductName::Nghttpx),
        (("Content-Length", "9"), "upstream connect error or disconnect/reset before headers", ProductName::Envoy),
        (("Content-Length", "9"), "Error occurred while trying to proxy: chat.test/ws", ProductName::NodeProxy),
    ] {
        assert_eq!(name(&alone(502, &[line], body)), Some(expected), "{line:?} {body}");
    }
    assert_eq!(name(&alone(404, &[("Server", "gunicorn")], "not here")), None);
}

#[test]
fn the_process_is_right() {
    let lower = passed(str::to_ascii_lowercase);
    let habit = met(&lines(&lower), BARE, BARE);
    assert_eq!(name(&habit.clone().held_by("envoy")), Some(ProductName::Envoy));
    assert_eq!(name(&habit.clone().held_by("nginx")), Some(ProductName::Nginx));
    assert_eq!(habit.clone().held_by("something"), habit);
    let nginx = met(BY_NGINX, BARE, NGINX);
    assert_eq!(version(&nginx.clone().held_by("nginx")), Some("1.22.1"));
    assert_eq!(nginx.clone().held_by("docker-proxy"), Identity::default());
    assert_eq!(name(&nginx.held_by("haproxy")), Some(ProductName::HaProxy));
    assert_eq!(sender(&request(ASKED), Some("varnishd")).map(|product| product.name), Some(ProductName::Varnish));
    assert_eq!(sender(&request(ASKED), None), None);
    let mut envoy = lines(&lower);
    envoy.push(("x-envoy-internal", "true"));
    assert_eq!(sender(&request(&envoy), None).map(|product| product.name), Some(ProductName::Envoy));
}

#[test]
fn what_is_stronger_stays() {
    let mut known = met(BY_APACHE, BARE, BARE);
    known.learn(met(BY_NGINX, BARE, NGINX));
    assert_eq!(name(&known), Some(ProductName::Apache));
    known.learn(alone(503, &[("Date", "now"), ("Server", "Apache/2.4.57 (Debian)")], ""));
    known.learn(Identity::default());
    assert_eq!((name(&known), version(&known)), (Some(ProductName::Apache), Some("2.4.57")));
}
