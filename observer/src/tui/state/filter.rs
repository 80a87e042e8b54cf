//! The filter of the attempts list: words that must all be there, anywhere or in one field (`status:4 rule:idle`),
//! and words that must not (`-host:test`). What is matched was redacted before.

use super::super::look;
use crate::{
    engine::{
        alert::Alert,
        event::{Attempt, Fields},
    },
    sink::{
        redact::Redactor,
        text::shared::{endpoint, product},
    },
};

/// The fields that can be named, in the order in which [`Facts`] holds them.
const NAMES: [&str; 9] = ["path", "host", "status", "outcome", "rule", "proxy", "method", "client", "level"];

/// What can be searched of one attempt, in lower case.
#[derive(Clone, Debug)]
pub(super) struct Facts(Box<str>);

impl Facts {
    pub(super) fn of(attempt: &Attempt, alerts: &[Alert], redactor: Redactor) -> Self {
        let hop = attempt.first();
        let request = hop.request.as_ref();
        let path = request.map_or(String::new(), |request| redactor.target(&request.target));
        let host = request.and_then(|request| request.field("Host"));
        let host = host.map_or(String::new(), |host| redactor.field("Host", host));
        let method = request.map_or(String::new(), |request| redactor.text(&request.method));
        let proxies = attempt
            .path()
            .map(|hop| format!("{} {}", hop.product.as_ref().map(product).unwrap_or_default(), endpoint(&hop.server)));
        let list = |words: Vec<&str>| words.join(" ");
        let values = [
            path,
            host,
            look::status(attempt),
            attempt.outcome.as_str().to_owned(),
            list(alerts.iter().map(|alert| alert.rule.as_str()).collect()),
            proxies.collect::<Vec<_>>().join(" "),
            method,
            endpoint(&hop.client),
            list(alerts.iter().map(|alert| alert.level.as_str()).collect()),
        ];
        Self(values.join("\n").to_lowercase().into_boxed_str())
    }

    pub(super) fn size(&self) -> usize {
        self.0.len()
    }
}

/// What must hold of an attempt to be listed.
#[derive(Clone, Default, Debug)]
pub(super) struct Filter {
    text: String,
    terms: Vec<Term>,
}

#[derive(Clone, Debug)]
struct Term {
    /// The place in [`NAMES`]; `None` for anywhere.
    field: Option<usize>,
    text: String,
    wanted: bool,
}

impl Filter {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), terms: text.split_whitespace().filter_map(Term::new).collect() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub(super) fn matches(&self, facts: &Facts) -> bool {
        self.terms.iter().all(|term| term.found(&facts.0) == term.wanted)
    }

    /// Whether all that this filter lists, `other` listed too: then only what is listed needs another look.
    pub(super) fn narrows(&self, other: &Self) -> bool {
        self.terms.len() >= other.terms.len()
            && self.terms.iter().zip(&other.terms).all(|(new, old)| {
                new.field == old.field
                    && new.wanted == old.wanted
                    && if new.wanted { new.text.starts_with(&old.text) } else { new.text == old.text }
            })
    }
}

impl Term {
    /// A word as typed; `None` while there is nothing to look for yet, as in `status:`.
    fn new(word: &str) -> Option<Self> {
        let (wanted, word) = match word.strip_prefix('-') {
            Some(rest) => (false, rest),
            None => (true, word),
        };
        let lower = word.to_lowercase();
        let named = lower.split_once(':').and_then(|(name, text)| {
            let field = NAMES.iter().position(|known| !name.is_empty() && *known == name)?;
            Some((field, text.to_owned()))
        });
        let (field, text) = match named {
            Some((field, text)) => (Some(field), text),
            None => (None, lower),
        };
        (!text.is_empty()).then_some(Self { field, text, wanted })
    }

    fn found(&self, facts: &str) -> bool {
        match self.field {
            None => facts.contains(&self.text),
            // `status:4` is every 4xx.
            Some(2) => facts.split('\n').nth(2).is_some_and(|status| status.starts_with(&self.text)),
            Some(field) => facts.split('\n').nth(field).is_some_and(|fact| fact.contains(&self.text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sample;

    fn check(filter: &str, expected: bool) {
        let attempt = std::sync::Arc::new(sample::bare(1, 4, "/app/WS?token=s3cr3t", "10.0.0.7:53012"));
        let alerts: Vec<_> = sample::bare_alerts(&attempt)
            .into_iter()
            .filter_map(|event| match event {
                crate::engine::event::Event::Alert(alert) => Some(*alert),
                _ => None,
            })
            .collect();
        let facts = Facts::of(&attempt, &alerts, Redactor::new(false));
        assert_eq!(Filter::new(filter).matches(&facts), expected, "{filter}");
    }

    #[test]
    fn words_and_fields() {
        for (filter, expected) in [
            ("", true),
            ("ws", true),
            ("/app chat.test", true),
            ("426", true),
            ("refused", true),
            ("upgrade-headers", true),
            ("status:426", true),
            ("status:4", true),
            ("status:26", false),
            ("rule:http10 host:chat", true),
            ("rule:idle", false),
            ("-rule:idle", true),
            ("-426", false),
            ("proxy:nginx client:10.0.0.7", true),
            ("level:error method:get", true),
            ("outcome:upgraded", false),
            ("status:", true),
            ("nosuch:426", false),
            ("s3cr3t", false),
        ] {
            check(filter, expected);
        }
    }

    #[test]
    fn typing_on_narrows() {
        for (old, new, narrows) in [
            ("", "a", true),
            ("a", "ab", true),
            ("ab", "a", false),
            ("ab", "ab c", true),
            ("-a", "-ab", false),
            ("status:4", "status:42", true),
            ("status", "status:4", false),
        ] {
            assert_eq!(Filter::new(new).narrows(&Filter::new(old)), narrows, "{old} {new}");
        }
    }
}
