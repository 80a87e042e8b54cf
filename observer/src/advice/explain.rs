//! `observer explain`: what a rule means, in a file of its own for each, coloured a little for terminals.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::{
    name,
    products::{Advice, Need, manual},
    reference,
    site::Site,
};
use crate::engine::{alert::RuleId, product::PROFILES};

const HEADING: Style = Style::new().bold();
const CODE: Style = AnsiColor::Cyan.on_default();

/// Prints what a rule means, or, without one, what rules there are.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn explain(rule: Option<RuleId>, out: &mut dyn Write, color: bool) -> io::Result<()> {
    match rule {
        Some(rule) => one(rule, out, color),
        None => list(out, color),
    }
}

fn list(out: &mut dyn Write, color: bool) -> io::Result<()> {
    for rule in RuleId::ALL {
        writeln!(out, "{}  {}", styled(HEADING, &format!("{:<24}", rule.as_str()), color), name(rule))?;
    }
    writeln!(out, "\n`observer explain RULE` tells what it means, how it shows, and what mends it.")
}

fn one(rule: RuleId, out: &mut dyn Write, color: bool) -> io::Result<()> {
    writeln!(out, "{}", styled(HEADING, &format!("{rule}: {}", name(rule)), color))?;
    let mut in_code = false;
    for line in page(rule).lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        } else if in_code {
            writeln!(out, "    {}", styled(CODE, line, color))?;
        } else if let Some(heading) = line.strip_prefix("## ") {
            writeln!(out, "{}", styled(HEADING, heading, color))?;
        } else {
            writeln!(out, "{line}")?;
        }
    }
    writeln!(out, "\n{} {}", styled(HEADING, "Reference", color), reference(rule))
}

fn styled(style: Style, text: &str, color: bool) -> String {
    if color && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// The whole page of a rule: its text, and its fixes by product.
pub(super) fn page(rule: RuleId) -> String {
    let site = Site::default();
    let mut page = text(rule).to_owned();
    let mut any = false;
    for profile in &PROFILES {
        let manual = manual(profile.name);
        let fixes: Vec<_> =
            needs(rule).iter().filter_map(|(label, need)| Some((label, (manual.fix)(*need, &site)?))).collect();
        if fixes.is_empty() {
            continue;
        }
        any = true;
        let source = if profile.tried { "tried" } else { "from its documents" };
        page.push_str(&format!("\n## {} ({source})\n", profile.name.as_str()));
        for (label, Advice { text, snippet }) in fixes {
            let label = if label.is_empty() { String::new() } else { format!("{label}: ") };
            page.push_str(&wrap(&format!("{label}{text}")));
            if !snippet.is_empty() {
                page.push_str(&format!("```{}\n{snippet}\n```\n", profile.name.as_str()));
            }
        }
        page.push_str(&wrap(&format!("Reload: {}", manual.reload)));
    }
    if any {
        page.push_str(&format!("\n## How to check\n```sh\n{}\n```\n", site.check()));
    }
    page
}

/// What to fix where a rule fires, and the cause that it is for.
const fn needs(rule: RuleId) -> &'static [(&'static str, Need)] {
    match rule {
        RuleId::Broken101 => &[("field-missing", Need::Hidden), ("answered-twice", Need::Twice)],
        RuleId::UpgradeHeadersDropped => &[("", Need::Forward)],
        RuleId::Http10Upstream => &[("", Need::Version)],
        RuleId::UpgradeInjected => &[("", Need::Injected)],
        RuleId::NegotiationAltered => &[("", Need::Negotiation)],
        RuleId::Missing101 => &MISSING,
        RuleId::IdleClose => &[("", Need::Idle)],
        RuleId::LifetimeClose => &[("", Need::Lifetime)],
        RuleId::MassClose => &[("", Need::Reload)],
        RuleId::AcceptMismatch | RuleId::ErrorClose | RuleId::AbruptClose | RuleId::PollingFallback => &[],
    }
}

const MISSING: [(&str, Need); 20] = [
    ("not-forwarded", Need::Route),
    ("redirected", Need::Slash),
    ("not-forwarded with 403", Need::Denied),
    ("rate-limited", Need::Limited),
    ("upstream-refused", Need::Origin),
    ("origin-rejected with 403", Need::Host),
    ("field-doubled", Need::Doubled),
    ("query-lost", Need::Query),
    ("spelling-changed", Need::Spelling),
    ("proxy-line", Need::ProxyLine),
    ("tls-expected", Need::TlsOrigin),
    ("tls-unexpected", Need::PlainOrigin),
    ("http2-upstream", Need::Http1Origin),
    ("side-request-failed", Need::SideRequest),
    ("not-sticky", Need::Sticky),
    ("token-not-allowed", Need::Token),
    ("head-too-large", Need::Head),
    ("no-live-upstream", Need::NoLive),
    ("checks-failing", Need::Checks),
    ("stale-address", Need::Stale),
];

/// Lines of at most 80 columns.
fn wrap(text: &str) -> String {
    const COLUMNS: usize = 80;
    let mut lines = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > COLUMNS {
            lines.push('\n');
            used = 0;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += length;
    }
    lines + "\n"
}

/// The text of a rule.
const fn text(rule: RuleId) -> &'static str {
    match rule {
        RuleId::Broken101 => include_str!("explain/broken-101.md"),
        RuleId::UpgradeHeadersDropped => include_str!("explain/upgrade-headers-dropped.md"),
        RuleId::Http10Upstream => include_str!("explain/http10-upstream.md"),
        RuleId::UpgradeInjected => include_str!("explain/upgrade-injected.md"),
        RuleId::AcceptMismatch => include_str!("explain/accept-mismatch.md"),
        RuleId::NegotiationAltered => include_str!("explain/negotiation-altered.md"),
        RuleId::Missing101 => include_str!("explain/missing-101.md"),
        RuleId::IdleClose => include_str!("explain/idle-close.md"),
        RuleId::LifetimeClose => include_str!("explain/lifetime-close.md"),
        RuleId::ErrorClose => include_str!("explain/error-close.md"),
        RuleId::MassClose => include_str!("explain/mass-close.md"),
        RuleId::AbruptClose => include_str!("explain/abrupt-close.md"),
        RuleId::PollingFallback => include_str!("explain/polling-fallback.md"),
    }
}
