//! The body of an answer other than 101, as far as it is kept, and the line of it that tells why.

use super::{Fields, Response};

/// What is kept of the body of an answer other than 101.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// Text: its beginning, at most [`Body::KEPT`] bytes.
    Text(Box<str>),
    /// Compressed, so that it cannot be read: its content coding (RFC 9110 8.4.1).
    Coded(Box<str>),
    /// Anything else.
    Binary,
}

impl Body {
    /// Bytes that are kept: error pages say early what they have to say.
    pub const KEPT: usize = 1024;

    /// What the first bytes of a response's body are; `None` where there are none.
    #[must_use]
    pub fn of(response: &Response, bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return None;
        }
        if let Some(coding) =
            response.joined("content-encoding").filter(|coding| !coding.eq_ignore_ascii_case("identity"))
        {
            return Some(Self::Coded(coding.into()));
        }
        // The last character may be cut.
        let whole = match std::str::from_utf8(bytes) {
            Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
            _ => bytes,
        };
        let text = String::from_utf8_lossy(whole);
        let looks_like_text = !text.chars().any(|c| c == '\u{fffd}' || c.is_control() && !c.is_whitespace());
        let is_text = looks_like_text || response.field("content-type").is_some_and(is_text_type);
        Some(if is_text { Self::Text(text.into()) } else { Self::Binary })
    }

    /// The text, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Coded(_) | Self::Binary => None,
        }
    }

    /// The line of it that tells why, where it has one.
    #[must_use]
    pub fn telling_line(&self) -> Option<&str> {
        telling_line(self.text()?)
    }
}

/// Whether a media type is of text (RFC 9110 8.3.1).
fn is_text_type(value: &str) -> bool {
    let kind = value.to_ascii_lowercase();
    kind.starts_with("text/") || ["json", "xml", "javascript"].iter().any(|part| kind.contains(part))
}

/// Longest line that is told.
const LINE: usize = 120;

/// The line of an error page that tells why: of JSON its message, of HTML the title or what says more than that, else the
/// first line. At most 120 bytes.
#[must_use]
pub fn telling_line(body: &str) -> Option<&str> {
    let body = body.trim_start_matches('\u{feff}').trim();
    let line = match body.as_bytes().first()? {
        b'<' => of_markup(body)?,
        b'{' | b'[' => of_json(body)?,
        _ => body.lines().map(str::trim).find(|line| line.chars().any(char::is_alphanumeric))?,
    };
    let line = line.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(line[..line.floor_char_boundary(LINE)].trim_end())
}

/// The value of the member that tells most.
fn of_json(body: &str) -> Option<&str> {
    const NAMES: [&str; 7] = ["message", "detail", "error_description", "reason", "error", "title", "msg"];
    let of = |name: &str| body.match_indices(name).find_map(|(at, name)| member(body, at, name));
    NAMES.into_iter().find_map(of)
}

/// The text behind a member's name at `at`, if it is one, and has text. The end may be cut.
fn member<'a>(body: &'a str, at: usize, name: &str) -> Option<&'a str> {
    let before = body[..at].ends_with('"');
    let rest = body[at + name.len()..].strip_prefix('"')?.trim_start().strip_prefix(':')?.trim_start();
    let value = rest.strip_prefix('"')?;
    let mut escaped = false;
    let end = value.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    let value = value[..end.unwrap_or(value.len())].trim();
    (before && !value.is_empty()).then_some(value)
}

/// The title of a page; the first sentence in it where the title says no more than the status.
fn of_markup(page: &str) -> Option<&str> {
    let title = title(page);
    if let Some(title) = title.filter(|title| !is_bare(title)) {
        return Some(title);
    }
    let is_sentence =
        |text: &&str| text.split_whitespace().count() > 2 && !is_bare(text) && !text.contains(" Server at ");
    texts(page).find(is_sentence).or(title).or_else(|| texts(page).next())
}

fn title(page: &str) -> Option<&str> {
    let lower = page.to_ascii_lowercase();
    let from = lower.find("<title")?;
    let from = from + lower[from..].find('>')? + 1;
    let to = lower[from..].find("</title").map_or(page.len(), |length| from + length);
    Some(page[from..to].trim()).filter(|title| !title.is_empty())
}

/// The text between the tags of a page, without that of styles and scripts.
fn texts(page: &str) -> impl Iterator<Item = &str> {
    let mut is_hidden = false;
    page.split('<').skip(1).filter_map(move |piece| {
        let (tag, text) = piece.split_once('>').unwrap_or((piece, ""));
        let tag = tag.trim_start().to_ascii_lowercase();
        if tag.starts_with("style") || tag.starts_with("script") {
            is_hidden = true;
        } else if tag.starts_with("/style") || tag.starts_with("/script") {
            is_hidden = false;
        }
        let text = text.trim();
        (!is_hidden && !tag.starts_with("title") && !text.is_empty()).then_some(text)
    })
}

/// Whether a title, or a reason phrase, says no more than a status does.
#[must_use]
pub fn is_bare(title: &str) -> bool {
    const BARE: [&str; 32] = [
        "",
        "error",
        "bad request",
        "unauthorized",
        "authorization required",
        "forbidden",
        "not found",
        "method not allowed",
        "not allowed",
        "request timeout",
        "request time-out",
        "upgrade required",
        "internal server error",
        "not implemented",
        "bad gateway",
        "service unavailable",
        "service temporarily unavailable",
        "gateway timeout",
        "gateway time-out",
        "gone",
        "moved permanently",
        "found",
        "temporary redirect",
        "too many requests",
        "request entity too large",
        "payload too large",
        "content too large",
        "request-uri too large",
        "uri too long",
        "request header fields too large",
        "misdirected request",
        "see other",
    ];
    let lower = title.to_ascii_lowercase();
    let words = lower.trim_start_matches("http").trim_start().trim_start_matches("status").trim_start_matches("error");
    let words = words.trim_matches(|c: char| {
        c.is_ascii_digit() || c.is_whitespace() || matches!(c, '-' | '\u{2013}' | ':' | '.' | '!')
    });
    BARE.contains(&words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sample;

    #[test]
    fn the_line_that_tells_why_is_found() {
        let long = "x".repeat(200);
        for (body, line) in [
            ("Client must offer a subprotocol\nmore", Some("Client must offer a subprotocol")),
            ("\r\n\r\n  Session ID unknown", Some("Session ID unknown")),
            (r#"{"code":1,"message":"Session ID unknown"}"#, Some("Session ID unknown")),
            (r#"{"error":{"code":3,"message":"a \"b\" c"}}"#, Some(r#"a \"b\" c"#)),
            (r#"{ "detail" : "Not authenticated" }"#, Some("Not authenticated")),
            (r#"{"error":"no such room"#, Some("no such room")),
            (r#"{"code":1,"message":3}"#, None),
            (
                "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head>",
                Some("400 The plain HTTP request was sent to HTTPS port"),
            ),
            (
                "<html>\r\n<head><title>400 Bad Request</title></head>\r\n<body>\r\n<center><h1>400 Bad Request</h1>\
                 </center>\r\n<hr><center>nginx/1.22.1</center>",
                Some("400 Bad Request"),
            ),
            (
                "<!DOCTYPE HTML><html><head>\n<title>400 Bad Request</title>\n</head><body>\n<h1>Bad Request</h1>\n<p>Your \
                 browser sent a request that this server could not understand.<br />\nReason: You're speaking plain HTTP",
                Some("Your browser sent a request that this server could not understand."),
            ),
            ("<!DOCTYPE html><title>Error</title><body><pre>Cannot GET /ws</pre>", Some("Cannot GET /ws")),
            ("<h1>Oops</h1>", Some("Oops")),
            ("<style>a b c d { }</style><p>The real reason is here</p>", Some("The real reason is here")),
            ("<TITLE>Blocked by policy</TITLE>", Some("Blocked by policy")),
            (&long, Some(&long[..120])),
            ("", None),
            ("<", None),
        ] {
            assert_eq!(telling_line(body), line, "{body}");
        }
    }

    #[test]
    fn only_text_is_text() {
        let of = |fields: &[(&str, &str)], bytes: &[u8]| Body::of(&sample::response(1, 0.0, 400, "", fields), bytes);
        let text = |text: &str| Some(Body::Text(text.into()));
        assert_eq!(of(&[], b"why"), text("why"));
        assert_eq!(of(&[("Content-Type", "image/png")], b"\x89PNG\0"), Some(Body::Binary));
        assert_eq!(of(&[("Content-Type", "text/plain; charset=latin1")], b"gr\xfc\xdf"), text("gr\u{fffd}\u{fffd}"));
        assert_eq!(of(&[], &"gr\u{fc}\u{df}".as_bytes()[..5]), text("gr\u{fc}"));
        assert_eq!(of(&[("Content-Encoding", "gzip")], b"\x1f\x8b"), Some(Body::Coded("gzip".into())));
        assert_eq!(of(&[("Content-Encoding", "identity")], b"why"), text("why"));
        assert_eq!(of(&[], b""), None);
    }
}
