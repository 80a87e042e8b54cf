//! The list of attempts, newest first.

use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    text::{Line, Span},
    widgets::Row,
};

use super::{nothing, scrollbar, split_list, table, words::time};
use crate::{
    engine::event::{Attempt, Fields, Role},
    sink::redact::REDACTED,
    sink::text::shared::{Tint, cut, endpoint, product},
    tui::{
        keys::Pane,
        look::{self, Look},
        state::{self, Rows, State},
    },
};

/// Columns of each part.
struct Columns {
    time: u16,
    request: u16,
    host: u16,
    proxy: u16,
    hops: u16,
    rules: u16,
}

impl Columns {
    /// What is left after the fixed parts is shared out.
    fn of(width: u16) -> Self {
        let roomy = width >= 110;
        let (time, hops) = if roomy { (12, 4) } else { (8, 1) };
        // Time, symbol, status and hops, and seven gaps.
        let rest = width.saturating_sub(time + 1 + 3 + hops + 7);
        let rules = (rest * 36 / 100).min(44);
        let host = (rest * 17 / 100).min(28);
        let proxy = if roomy { (rest * 18 / 100).min(34) } else { (rest * 13 / 100).min(14) };
        Self { time, request: rest - rules - host - proxy, host, proxy, hops, rules }
    }

    const fn widths(&self) -> [Constraint; 8] {
        [
            Constraint::Length(self.time),
            Constraint::Length(1),
            Constraint::Length(3),
            Constraint::Length(self.request),
            Constraint::Length(self.host),
            Constraint::Length(self.proxy),
            Constraint::Length(self.hops),
            Constraint::Length(self.rules),
        ]
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &mut State, look: Look) {
    let (list, bar, page) = split_list(area);
    let window = &mut state.windows[Pane::Attempts as usize];
    window.fit(page, &state.attempts);
    let window = *window;
    if state.attempts.len() == 0 {
        return nothing(frame, area, look, empty(state));
    }
    let columns = Columns::of(list.width);
    let position = state.attempts.position();
    let rows = (window.top..window.top + page).map_while(|at| {
        let row = row(state, state.attempts.row(at)?, &columns, look);
        Some(if at == position { row.style(look.selected()) } else { row })
    });
    let hops = if columns.hops > 1 { "hops" } else { "h" };
    let heads = vec!["time", "", "got", "request", "host", "proxy", hops, "rules"];
    table(frame, list, look, heads, rows.collect(), &columns.widths());
    scrollbar(frame, bar, window, state.attempts.len(), look);
}

const fn empty(state: &State) -> &'static str {
    match (state.attempts.is_filtered(), state.finished) {
        (true, _) => "No attempt matches the filter. Esc drops it.",
        (_, true) => "No request asked for an upgrade.",
        _ => "No upgrade attempt so far.",
    }
}

fn row(state: &State, row: &state::Row, columns: &Columns, look: Look) -> Row<'static> {
    let attempt = &*row.attempt;
    let redactor = state.redactor;
    let request = attempt.first().request.as_ref();
    let at = request.map_or(attempt.decided_at, |request| request.at);
    let what = request.map_or("(no request seen)".to_owned(), |request| {
        format!("{} {}", redactor.text(&request.method), redactor.target(&request.target).replace(REDACTED, "…"))
    });
    let host = request.and_then(|request| request.field("Host"));
    let host = host.map_or(String::new(), |host| redactor.field("Host", host));
    let fit = |text: &str, columns: u16| cut(text, usize::from(columns));
    let tint = look::tint(row.level(), attempt.outcome);
    Row::new([
        Line::from(look.span(Tint::Dim, time(at, state.origin(), columns.time > 8))),
        Line::from(look.span(tint, look::symbol(attempt))),
        Line::from(look.span(tint, look::status(attempt))),
        Line::from(fit(&what, columns.request)),
        Line::from(fit(&host, columns.host)),
        Line::from(fit(&proxy(attempt, columns.hops > 1), columns.proxy)),
        Line::from(attempt.path().count().to_string()).right_aligned(),
        Line::from(rules(row, usize::from(columns.rules), look)),
    ])
}

/// The proxy that the client spoke to; with room, where it listens.
fn proxy(attempt: &Attempt, room: bool) -> String {
    let hop = attempt.first();
    let name = match &hop.product {
        Some(known) if room => product(known),
        Some(known) => known.name.as_str().to_owned(),
        None if hop.role == Role::Only => String::new(),
        None => "proxy".to_owned(),
    };
    if room { format!("{name} {}", endpoint(&hop.server)).trim_start().to_owned() } else { name }
}

/// The root cause, and how many follow.
fn rules(row: &state::Row, columns: usize, look: Look) -> Vec<Span<'static>> {
    let Some(root) = row.alerts.first() else { return Vec::new() };
    let more = match row.alerts.len() - 1 {
        0 => String::new(),
        more => format!(" +{more}"),
    };
    let name = cut(root.rule.as_str(), columns.saturating_sub(more.len()));
    vec![look.span(look::level(root.level).0, name), look.span(Tint::Dim, more)]
}
