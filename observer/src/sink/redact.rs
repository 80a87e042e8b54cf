//! Keeps secrets out of every output: credentials in fields, query strings, userinfo, tokens offered as subprotocols.
//! It errs on the side of hiding; `--show-secrets` turns it off. What comes out is escaped as well.

use super::escape::escape;

/// What stands in place of a secret.
pub const REDACTED: &str = "<redacted>";

/// Decides what may be printed.
#[derive(Clone, Copy, Debug)]
pub struct Redactor {
    show: bool,
}

impl Redactor {
    /// One that hides secrets, unless they are to be shown.
    #[must_use]
    pub const fn new(show_secrets: bool) -> Self {
        Self { show: show_secrets }
    }

    /// A field's value as it may be printed.
    #[must_use]
    pub fn field(self, name: &str, value: &str) -> String {
        let hidden = if self.show || is_challenge(name) {
            value.to_owned()
        } else if holds_secret(name) && !value.is_empty() {
            REDACTED.to_owned()
        } else if name.eq_ignore_ascii_case("Sec-WebSocket-Protocol") {
            subprotocols(value)
        } else if holds_target(name) {
            words(value, target)
        } else {
            words(value, url)
        };
        escape(&hidden).into_owned()
    }

    /// A request target as it may be printed.
    #[must_use]
    pub fn target(self, value: &str) -> String {
        let hidden = if self.show { value.to_owned() } else { words(value, target) };
        escape(&hidden).into_owned()
    }

    /// Text of an answer's body as it may be printed: as other text, and without the values of what is named like a secret.
    #[must_use]
    pub fn body(self, value: &str) -> String {
        let hidden = if self.show { value.to_owned() } else { without_secrets(value) };
        escape(&hidden).into_owned()
    }

    /// Any other text from the wire, or made from it.
    #[must_use]
    pub fn text(self, value: &str) -> String {
        let hidden = if self.show { value.to_owned() } else { words(value, url) };
        escape(&hidden).into_owned()
    }
}

/// Whether a field's whole value is a secret, by its name.
fn holds_secret(name: &str) -> bool {
    const PARTS: [&str; 20] = [
        "access-key",
        "accesskey",
        "api-key",
        "api_key",
        "apikey",
        "auth",
        "client-cert",
        "cookie",
        "credential",
        "csrf",
        "jwt",
        "oidc",
        "passw",
        "private-key",
        "query",
        "secret",
        "session",
        "signature",
        "token",
        "xsrf",
    ];
    let name = name.as_bytes();
    (0..name.len()).any(|at| {
        let rest = &name[at..];
        let begins = |part: &&str| {
            let part = part.as_bytes();
            rest[0] | 0x20 == part[0] && rest.get(..part.len()).is_some_and(|word| word.eq_ignore_ascii_case(part))
        };
        PARTS.iter().any(begins)
    })
}

/// Whether a field asks for a credential: it holds none (RFC 9110 11.6.1).
fn is_challenge(name: &str) -> bool {
    name.eq_ignore_ascii_case("WWW-Authenticate") || name.eq_ignore_ascii_case("Proxy-Authenticate")
}

/// Whether a field's value is a URL or a path, so that it is read as one even where it does not look like it.
fn holds_target(name: &str) -> bool {
    const NAMES: [&str; 5] = ["referer", "referrer", "location", "content-location", "origin"];
    let name = name.to_ascii_lowercase();
    NAMES.contains(&&*name) || name.ends_with("-uri") || name.ends_with("-url")
}

/// Applies `hide` to each word. Quotes, angle brackets and white space part words, as in `Link` and `Refresh`.
fn words(value: &str, hide: fn(&str) -> String) -> String {
    if is_harmless(value) {
        return value.to_owned();
    }
    let parts = |c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>' | '\'' | '(' | ')');
    let mut out = String::with_capacity(value.len());
    let mut previous = "";
    for piece in value.split_inclusive(parts) {
        let word = piece.trim_end_matches(parts);
        if is_scheme(previous) {
            out.push_str(REDACTED);
        } else {
            out.push_str(&hide(word));
        }
        out.push_str(&piece[word.len()..]);
        previous = word;
    }
    out
}

/// Text in which members such as `"token": "..."` and `token=...` have lost their values, and so has what looks random.
fn without_secrets(text: &str) -> String {
    let parts =
        |c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>' | '\'' | '(' | ')' | '{' | '}' | ',' | '&' | ';');
    let (mut out, mut named) = (String::with_capacity(text.len()), false);
    for piece in text.split_inclusive(parts) {
        let word = piece.trim_end_matches(parts);
        let (name, value) = word.split_at(word.find(['=', ':']).map_or(word.len(), |at| at + 1));
        let is_name = holds_secret(word) || is_scheme(word);
        match word {
            // What parts a name from its value.
            "" | ":" | "=" => out.push_str(word),
            _ if named && !is_name => out.push_str(REDACTED),
            _ if holds_secret(name) && !value.is_empty() => {
                out.push_str(name);
                out.push_str(REDACTED);
            }
            _ if word.len() >= RANDOM && is_random(word) => out.push_str(REDACTED),
            _ => out.push_str(&url(word)),
        }
        out.push_str(&piece[word.len()..]);
        // A name is told by what follows it: in a sentence, a secret may be spoken of.
        let is_member = piece.ends_with(['"', '\'']) || name.ends_with(['=', ':']) && value.is_empty();
        named = match word {
            "" | ":" | "=" => named,
            _ => is_scheme(word) || is_name && is_member,
        };
    }
    out
}

/// Shorter words are no tokens.
const RANDOM: usize = 16;

/// Whether a value is one word in which nothing can be hidden: no part of a URL's marks, nor a token.
fn is_harmless(value: &str) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b',' | b'=' | b'+' | b'*');
    value.bytes().all(is_plain) && memchr::memmem::find(value.as_bytes(), JWT.as_bytes()).is_none()
}

/// Whether the word after this one is a credential (RFC 9110 11.4).
fn is_scheme(word: &str) -> bool {
    word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic")
}

/// A word that may be a URL: only then has it a query to hide.
fn url(word: &str) -> String {
    let before = word.split(['?', '#']).next().unwrap_or(word);
    let query = word[before.len()..].contains('=');
    if query || before.contains('/') || word.contains(['@', ';']) { target(word) } else { token(word) }
}

/// Hides userinfo, the values of path parameters, query and fragment.
fn target(word: &str) -> String {
    let end = word.find(['?', '#']).unwrap_or(word.len());
    let (place, rest) = word.split_at(end);
    let mut out = path_parameters(&userinfo(place));
    match rest.chars().next() {
        Some(mark) if rest.len() > mark.len_utf8() => {
            out.push(mark);
            out.push_str(REDACTED);
        }
        // A bare mark, as at the end of a sentence, hides nothing.
        _ => out.push_str(rest),
    }
    out
}

/// `scheme://user:password@host/...`, or `user:password@host` alone, without what stands before the `@`.
fn userinfo(place: &str) -> String {
    let start = place.find("://").map_or(if place.starts_with("//") { 2 } else { 0 }, |at| at + 3);
    let (scheme, rest) = place.split_at(start);
    let authority = rest.find('/').unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}{REDACTED}{}", &rest[at..]),
        None => place.to_owned(),
    }
}

/// `/path;jsessionid=...` without the values; tokens that are segments of the path are hidden too.
fn path_parameters(place: &str) -> String {
    let mut out = String::with_capacity(place.len());
    for (index, segment) in place.split('/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        for (index, part) in segment.split(';').enumerate() {
            if index == 0 {
                out.push_str(&token(part));
                continue;
            }
            out.push(';');
            match part.split_once('=') {
                // `q=0.8` in an Accept field and the like.
                Some((name, value)) if value.len() > 4 && !is_known_parameter(name) => {
                    out.push_str(name);
                    out.push('=');
                    out.push_str(REDACTED);
                }
                _ => out.push_str(&token(part)),
            }
        }
    }
    out
}

/// Parameters of ordinary fields, which are no secrets.
fn is_known_parameter(name: &str) -> bool {
    ["charset", "for", "by", "host", "proto", "rel", "boundary", "max-age", "includesubdomains", "type", "as"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
        || name.to_ascii_lowercase().contains("window_bits")
}

/// How a JSON Web Token begins: `{"` in base64url.
const JWT: &str = "eyJ";

/// A JSON Web Token, wherever it stands.
fn token(word: &str) -> String {
    match memchr::memmem::find(word.as_bytes(), JWT.as_bytes()) {
        Some(at) if word.len() - at >= 16 => format!("{}{REDACTED}", &word[..at]),
        _ => word.to_owned(),
    }
}

/// A subprotocol list with the members hidden that are credentials. Browsers can set no other field on a WebSocket, so
/// that is where applications put them.
fn subprotocols(value: &str) -> String {
    let mut after_credential_word = false;
    let members = value.split(',').map(str::trim).map(|member| {
        let hide = after_credential_word || is_token(member);
        after_credential_word = is_credential_word(member);
        if hide { REDACTED } else { member }
    });
    members.collect::<Vec<_>>().join(", ")
}

/// Words that announce a credential: `["access_token", "s3cr3t"]`.
fn is_credential_word(member: &str) -> bool {
    const WORDS: [&str; 9] =
        ["access_token", "access-token", "token", "authorization", "bearer", "jwt", "apikey", "api_key", "auth"];
    WORDS.iter().any(|word| member.eq_ignore_ascii_case(word))
}

/// Whether a subprotocol looks like a credential rather than a name from a registry.
fn is_token(member: &str) -> bool {
    const MARKS: [&str; 9] =
        ["bearer", "authorization", "token", "jwt", "api-key", "apikey", "api_key", "secret", "passw"];
    let lower = member.to_ascii_lowercase();
    if is_credential_word(member) {
        return false;
    }
    member.len() > 32 || member.contains(JWT) || MARKS.iter().any(|mark| lower.contains(mark)) || is_random(member)
}

/// Whether no person would have made up this name: long runs with digits in them, or many changes between lower case,
/// upper case and digits.
fn is_random(member: &str) -> bool {
    let kind = |c: char| (u8::from(c.is_ascii_uppercase()) << 1) | u8::from(c.is_ascii_digit());
    member.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| run.len() >= 16 && run.contains(digit))
        || member
            .chars()
            .zip(member.chars().skip(1))
            .filter(|(a, b)| a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric())
            // From upper to lower case is how every word begins.
            .filter(|(a, b)| kind(*a) != kind(*b) && !(a.is_ascii_uppercase() && b.is_ascii_lowercase()))
            .count()
            >= 5
}

const fn digit(c: char) -> bool {
    c.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str, shown: &str) {
        assert_eq!(Redactor::new(false).field(name, value), shown, "{name}: {value}");
    }

    #[test]
    fn credentials_are_hidden_by_name() {
        for name in [
            "Cookie",
            "set-cookie",
            "AUTHORIZATION",
            "Proxy-Authorization",
            "X-Api-Key",
            "X-Auth-Token",
            "X-CSRF-Token",
            "X-Amz-Security-Token",
            "X-Forwarded-Access-Token",
            "X-Amzn-Oidc-Data",
            "X-Session-Id",
            "ApiKey",
            "X-XSRF-TOKEN",
            "Cf-Access-Jwt-Assertion",
            "X-Hub-Signature-256",
            "X-SSL-Client-Cert",
        ] {
            check(name, "hunter2", REDACTED);
        }
        for name in ["Sec-WebSocket-Key", "Sec-WebSocket-Accept", "X-Request-ID", "traceparent", "WWW-Authenticate"] {
            check(name, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ==");
        }
    }

    #[test]
    fn urls_lose_what_may_be_secret() {
        for (name, value, shown) in [
            ("Referer", "https://a.test/x?t=1#f", "https://a.test/x?<redacted>"),
            ("Location", "/login#access_token=1", "/login#<redacted>"),
            ("Location", "login?next=1", "login?<redacted>"),
            ("Origin", "https://me:pw@a.test", "https://<redacted>@a.test"),
            ("X-Original-URI", "/ws?token=1", "/ws?<redacted>"),
            ("X-Rewrite-URL", "/ws;jsessionid=12345?x", "/ws;jsessionid=<redacted>?<redacted>"),
            ("Link", "</a?b=c>; rel=preload", "</a?<redacted>>; rel=preload"),
            ("Refresh", "5; url=http://u:p@h/?q", "5; url=http://<redacted>@h/?<redacted>"),
            ("Host", "me:pw@a.test", "<redacted>@a.test"),
            ("X-Note", "ws?token=1", "ws?<redacted>"),
            ("X-Note", "see Bearer abc", "see Bearer <redacted>"),
            ("X-Note", "eyJhbGciOiJIUzI1NiJ9.e30.x", "<redacted>"),
            ("Accept", "text/html;q=0.8, */*", "text/html;q=0.8, */*"),
            ("Content-Type", "text/html;charset=utf-8", "text/html;charset=utf-8"),
            ("Forwarded", "for=10.0.0.7;host=a.test;proto=https", "for=10.0.0.7;host=a.test;proto=https"),
            ("User-Agent", "Mozilla/5.0 (X11; Linux) wtf?", "Mozilla/5.0 (X11; Linux) wtf?"),
            (
                "Sec-WebSocket-Extensions",
                "permessage-deflate;server_max_window_bits=15",
                "permessage-deflate;server_max_window_bits=15",
            ),
        ] {
            check(name, value, shown);
        }
    }

    #[test]
    fn subprotocols_that_are_tokens_are_hidden() {
        for kept in [
            "mqtt",
            "graphql-transport-ws",
            "v12.stomp",
            "SPDY/3.1+portforward.k8s.io",
            "base64.binary.k8s.io",
            "actioncable-unsupported",
            "Json.webpubsub.azure.v1",
            "ocpp2.0.1",
            "MQTTv3.1",
            "myAppProtocolV2",
        ] {
            check("Sec-WebSocket-Protocol", kept, kept);
        }
        for hidden in [
            "bearer.abc",
            "base64UrlBearerAuthorization.x",
            "base64url.bearer.authorization.k8s.io.YWJj",
            "openai-insecure-api-key.sk-1",
            "a3f9c2d4e5b6a7f8",
            "aZ3kQ9xW2pL7",
            "eyJhbGci",
            "an-overlong-name-that-nobody-would-choose",
        ] {
            check("Sec-WebSocket-Protocol", hidden, REDACTED);
        }
        check("sec-websocket-protocol", "access_token,pass", "access_token, <redacted>");
        check("sec-websocket-protocol", "mqtt, bearer.x", "mqtt, <redacted>");
    }

    #[test]
    fn targets_keep_their_path() {
        let redactor = Redactor::new(false);
        for (value, shown) in [
            ("/ws?token=1", "/ws?<redacted>"),
            ("/ws?", "/ws?"),
            ("http://u:p@a.test/ws?x", "http://<redacted>@a.test/ws?<redacted>"),
            ("/user@home/ws", "/user@home/ws"),
            ("/t/eyJhbGciOiJIUzI1NiJ9.e30/ws", "/t/<redacted>/ws"),
            ("*", "*"),
        ] {
            assert_eq!(redactor.target(value), shown);
        }
        assert_eq!(redactor.text("Does a location serve /ws?"), "Does a location serve /ws?");
        assert_eq!(Redactor::new(true).target("/ws?token=\x1b"), "/ws?token=\\x1b");
    }

    #[test]
    fn bodies_lose_what_is_named_like_a_secret() {
        for (value, shown) in [
            (r#"{"token":"abc","message":"no"}"#, r#"{"token":"<redacted>","message":"no"}"#),
            (r#"{"access_token" : "abc def"}"#, r#"{"access_token" : "<redacted> def"}"#),
            ("token=abc&x=1", "token=<redacted>&x=1"),
            ("password: hunter2 is wrong", "password: <redacted> is wrong"),
            ("Missing or invalid token", "Missing or invalid token"),
            ("Client must support 'binary' or 'base64' protocol", "Client must support 'binary' or 'base64' protocol"),
            ("Authorization: Bearer abc", "Authorization: Bearer <redacted>"),
            ("sid a3f9c2d4e5b6a7f8 unknown", "sid <redacted> unknown"),
            ("see https://a.test/?t=1", "see https://a.test/?<redacted>"),
            ("<title>400 Bad Request</title>", "<title>400 Bad Request</title>"),
            ("eyJhbGciOiJIUzI1NiJ9.e30.x", "<redacted>"),
        ] {
            assert_eq!(Redactor::new(false).body(value), shown);
        }
        assert_eq!(Redactor::new(true).body("token=\x1b"), "token=\\x1b");
    }
}
