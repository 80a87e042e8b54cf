//! How things look: tints as terminal styles, symbols and short words. The 16 colours of the terminal's own palette, so
//! that dark and light backgrounds both work; nothing is told by colour alone.

use ratatui::{
    style::{Color, Modifier, Style},
    text::{Line, Span},
};

use crate::{
    engine::{
        alert::Level,
        event::{Attempt, ClosedBy, Outcome, Silence},
    },
    sink::text::shared::{self, Tint},
};

/// With or without colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) color: bool,
}

impl Look {
    pub(super) const fn style(self, tint: Tint) -> Style {
        let style = Style::new();
        match (tint, self.color) {
            (Tint::Plain, _) | (Tint::Good | Tint::Code | Tint::Doubt, false) => style,
            (Tint::Dim, _) => style.add_modifier(Modifier::DIM),
            (Tint::Strong, _) | (Tint::Bad, false) => style.add_modifier(Modifier::BOLD),
            (Tint::Bad, true) => style.fg(Color::Red).add_modifier(Modifier::BOLD),
            (Tint::Doubt, true) => style.fg(Color::Yellow),
            (Tint::Good, true) => style.fg(Color::Green),
            (Tint::Code, true) => style.fg(Color::Cyan),
        }
    }

    /// A selected row: reversed, as every terminal can.
    pub(super) const fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn span(self, tint: Tint, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.style(tint))
    }

    /// A line of the report.
    pub(super) fn line(self, line: &shared::Line) -> Line<'static> {
        line.parts().iter().map(|(tint, text)| self.span(*tint, text.clone())).collect()
    }
}

/// How an attempt ended, in one column.
pub(super) fn symbol(attempt: &Attempt) -> &'static str {
    match attempt.outcome {
        _ if attempt.first().silence == Some(Silence::Waiting) => "…",
        Outcome::Upgraded => "✓",
        Outcome::Refused | Outcome::Failed => "✗",
        Outcome::Unknown => "?",
    }
}

/// The tint of an attempt: what the rules say of it counts more than how it ended.
pub(super) const fn tint(level: Option<Level>, outcome: Outcome) -> Tint {
    match (level, outcome) {
        (Some(Level::Error), _) => Tint::Bad,
        (Some(Level::Warning), _) | (_, Outcome::Unknown) => Tint::Doubt,
        (_, Outcome::Upgraded) => Tint::Good,
        (_, Outcome::Refused | Outcome::Failed) => Tint::Plain,
    }
}

pub(super) const fn level(level: Level) -> (Tint, &'static str) {
    match level {
        Level::Error => (Tint::Bad, "✗"),
        Level::Warning => (Tint::Doubt, "!"),
        Level::Notice => (Tint::Dim, "·"),
    }
}

pub(super) const fn side(side: ClosedBy) -> &'static str {
    match side {
        ClosedBy::Client => "the client",
        ClosedBy::Proxy => "the proxy",
        ClosedBy::Origin => "the origin",
        ClosedBy::Unknown => "not seen",
    }
}

/// The status that the client got, or a dash.
pub(super) fn status(attempt: &Attempt) -> String {
    attempt.first().response.as_ref().map_or("–".to_owned(), |response| response.status.to_string())
}
