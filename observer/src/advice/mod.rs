//! Placeholder for the rules' explanations; replaced in the merge.

use std::io::{self, Write};

use crate::engine::alert::RuleId;

/// Explains one rule, or lists all.
///
/// # Errors
/// When `out` cannot be written.
pub fn explain(rule: Option<RuleId>, out: &mut dyn Write, _color: bool) -> io::Result<()> {
    for known in RuleId::ALL.into_iter().filter(|known| rule.is_none_or(|rule| rule == *known)) {
        writeln!(out, "{known}")?;
    }
    Ok(())
}
