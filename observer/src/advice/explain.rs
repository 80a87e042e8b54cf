//! `observer explain`: what a rule means, in a file of its own for each, coloured a little for terminals.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::{name, reference};
use crate::engine::alert::RuleId;

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

/// The text of a rule.
pub(super) const fn page(rule: RuleId) -> &'static str {
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
