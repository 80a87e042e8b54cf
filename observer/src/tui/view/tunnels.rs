//! Open tunnels and how long each has until its proxy is expected to cut it.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    symbols,
    text::Line,
    widgets::{Block, Borders, LineGauge, Paragraph, Row},
};

use super::{
    nothing, scrollbar, split_list, table,
    words::{compact, short},
};
use crate::{
    engine::{
        event::{OpenTunnel, Traffic},
        time::Timestamp,
    },
    sink::text::shared::{Tint, Words, cut, endpoint, span},
    tui::{
        keys::Pane,
        look::Look,
        state::{Countdown, Rows, State},
    },
};

/// Rows below the list for the selected tunnel.
const PANEL: u16 = 4;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &mut State, look: Look) {
    let [list, panel] = Layout::vertical([Constraint::Fill(1), Constraint::Length(PANEL)]).areas(area);
    let (list, bar, page) = split_list(list);
    let window = &mut state.windows[Pane::Tunnels as usize];
    window.fit(page, &state.tunnels);
    let window = *window;
    if state.tunnels.len() == 0 {
        let text = if state.finished { "No tunnel was open at the end." } else { "No tunnel is open." };
        return nothing(frame, area, look, text);
    }
    let columns = columns(list.width);
    let widths = columns.map(Constraint::Length);
    let now = state.tunnels.now();
    let position = state.tunnels.position();
    let visible: Vec<_> = state.tunnels.listed().iter().enumerate().skip(window.top).take(page).collect();
    let rows = visible.iter().map(|(at, tunnel)| {
        let row = row(state, tunnel, now, &columns);
        if *at == position { row.style(look.selected()) } else { row }
    });
    let heads = vec!["tunnel", "client", "age", "bytes ↑ ↓", "frames ↑ ↓", "beat", "idle", "until cut", "timer"];
    table(frame, list, look, heads, rows.collect(), &widths);
    // A cell of a table holds text only: the gauges are laid over their column.
    let [_, _, _, _, _, _, _, column, _] = Layout::horizontal(widths).spacing(1).areas(list);
    for (index, (_, tunnel)) in visible.iter().enumerate() {
        let y = column.y + 1 + u16::try_from(index).unwrap_or(u16::MAX);
        gauge(frame, Rect { y, height: 1, ..column }, Countdown::of(tunnel, now), look);
    }
    scrollbar(frame, bar, window, state.tunnels.len(), look);
    if let Some(tunnel) = state.tunnels.selected() {
        told(frame, panel, state, tunnel, look);
    }
}

/// Tunnel, client, age, bytes, frames, heartbeat, idle, gauge, timer.
fn columns(width: u16) -> [u16; 9] {
    const FIXED: [u16; 5] = [5, 11, 11, 5, 5];
    let [age, bytes, mut frames, beat, idle] = FIXED;
    let mut rest = width.saturating_sub(FIXED.iter().sum::<u16>() + 5 + 8);
    if width < 76 {
        rest += std::mem::take(&mut frames);
    }
    let client = if width >= 110 { 22 } else { 0 };
    let gauge = (rest.saturating_sub(client) * 6 / 10).min(40);
    [rest.saturating_sub(client + gauge), client, age, bytes, frames, beat, idle, gauge, 5]
}

fn row(state: &State, tunnel: &OpenTunnel, now: Timestamp, columns: &[u16; 9]) -> Row<'static> {
    let words = Words { redactor: state.redactor, interfaces: &[], width: 80 };
    let [name, client, ..] = *columns;
    let right = |text: String| Line::from(text).right_aligned();
    let both = |traffic: Traffic| format!("{:>5} {:>5}", compact(traffic.to_server), compact(traffic.to_client));
    let countdown = Countdown::of(tunnel, now);
    let beat = tunnel.last_heartbeat_at.map_or("none".to_owned(), |at| short(now.since(at)));
    let what = words.request(&tunnel.attempt);
    let what = what.split_once(' ').map_or(&*what, |(_, target)| target);
    let timer = if countdown.known { short(countdown.timer) } else { format!("{}s?", countdown.timer.as_secs()) };
    Row::new([
        Line::from(cut(what, usize::from(name))),
        Line::from(cut(&endpoint(&tunnel.attempt.first().client), usize::from(client))),
        right(short(now.since(tunnel.opened_at))),
        Line::from(both(tunnel.bytes)),
        Line::from(both(tunnel.frames)),
        right(beat),
        right(short(countdown.idle)),
        Line::default(),
        Line::from(timer),
    ])
}

/// What is left of the timer.
fn gauge(frame: &mut Frame<'_>, area: Rect, countdown: Countdown, look: Look) {
    let (tint, text) = match countdown.left() {
        None => (Tint::Dim, "past it".to_owned()),
        Some(left) if countdown.gone() > 0.85 => (Tint::Bad, format!("! {:>5}", short(left))),
        Some(left) if countdown.gone() > 0.6 => (Tint::Doubt, format!("  {:>5}", short(left))),
        Some(left) => (Tint::Plain, format!("  {:>5}", short(left))),
    };
    let gauge = LineGauge::default()
        .ratio(1.0 - countdown.gone())
        .label(look.span(tint, text))
        .filled_symbol(symbols::line::THICK_HORIZONTAL)
        .unfilled_symbol(symbols::line::HORIZONTAL)
        .filled_style(look.style(tint))
        .unfilled_style(look.style(Tint::Dim));
    frame.render_widget(gauge, area);
}

/// The way of the selected tunnel, and what is known of its timer.
fn told(frame: &mut Frame<'_>, area: Rect, state: &State, tunnel: &OpenTunnel, look: Look) {
    let block = Block::new().borders(Borders::TOP).border_style(look.style(Tint::Dim));
    let columns = usize::from(area.width).saturating_sub(2);
    let words = Words { redactor: state.redactor, interfaces: &[], width: columns };
    let hops: Vec<_> = tunnel.attempt.path().collect();
    let lanes = words.lanes(&hops);
    let way: Vec<_> = lanes.iter().map(|(name, end)| format!("{name} {end}")).collect();
    let countdown = Countdown::of(tunnel, state.tunnels.now());
    let timer = match (countdown.known, countdown.left()) {
        (true, Some(_)) => format!("This proxy cut tunnels after {} of silence before.", span(countdown.timer)),
        (false, Some(_)) => "60 s? is a guess, the usual default: no tunnel of this proxy was cut so far.".to_owned(),
        (_, None) => format!("It outlived {} of silence: that timer is not its own.", span(countdown.timer)),
    };
    let lines = [words.request(&tunnel.attempt), way.join(" → "), timer];
    let lines: Vec<_> = lines.iter().map(|text| Line::from(cut(text, columns))).collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
