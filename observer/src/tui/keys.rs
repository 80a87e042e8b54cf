//! What keys mean: a key and a mode make an action, as data. What an action does is the state's business.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tui_input::InputRequest;

/// Something to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    Move(Step),
    Show(Pane),
    NextPane,
    PreviousPane,
    /// Opens the detail, or what a row refers to.
    Open,
    /// Leaves what is uppermost.
    Back,
    /// Begins to type a filter.
    Filter,
    Edit(InputRequest),
    /// Keeps the filter as typed.
    Accept,
    Pause,
    Copy,
    Export,
    Help,
    /// Times of day, or times since the first frame.
    Clock,
    Quit,
}

/// A move in a list or a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
}

/// What the body shows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Pane {
    #[default]
    Attempts,
    Alerts,
    Tunnels,
}

impl Pane {
    pub(super) const ALL: [Self; 3] = [Self::Attempts, Self::Alerts, Self::Tunnels];

    pub(super) const fn next(self) -> Self {
        match self {
            Self::Attempts => Self::Alerts,
            Self::Alerts => Self::Tunnels,
            Self::Tunnels => Self::Attempts,
        }
    }

    pub(super) const fn previous(self) -> Self {
        self.next().next()
    }
}

/// Who gets the keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Browse,
    Typing,
    Help,
}

/// The keys as told by the help.
pub(super) const KEYS: [(&str, &str); 14] = [
    ("1 2 3  tab", "attempts, alerts, tunnels"),
    ("j k  ↓ ↑", "next, previous"),
    ("PgDn PgUp", "a page on, a page back (space and b too)"),
    ("g G  Home End", "first (follows what is new), last"),
    ("Enter", "open the attempt, or the one of an alert or a tunnel"),
    ("Esc", "back; in the list, drop the filter"),
    ("/", "filter as you type"),
    ("p", "pause: capture goes on, the view stands still"),
    ("y", "copy the attempt as JSON, if the terminal allows OSC 52"),
    ("e", "export the attempt: JSON, and its frames as pcapng"),
    ("t", "times of day (UTC), or since the first frame"),
    ("?", "this help"),
    ("q", "quit"),
    ("Ctrl-C", "quit, from anywhere"),
];

/// What a key asks for.
pub(super) fn action(mode: Mode, key: KeyEvent) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return Some(Action::Quit);
    }
    match mode {
        Mode::Browse => browse(key),
        Mode::Typing => typing(key),
        Mode::Help => Some(if key.code == KeyCode::Char('q') { Action::Quit } else { Action::Back }),
    }
}

fn browse(key: KeyEvent) -> Option<Action> {
    if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
        return match key.code {
            KeyCode::Char('f' | 'd') => Some(Action::Move(Step::PageDown)),
            KeyCode::Char('b' | 'u') => Some(Action::Move(Step::PageUp)),
            _ => None,
        };
    }
    Some(match key.code {
        KeyCode::Char('j') | KeyCode::Down => Action::Move(Step::Down),
        KeyCode::Char('k') | KeyCode::Up => Action::Move(Step::Up),
        KeyCode::PageDown | KeyCode::Char(' ') => Action::Move(Step::PageDown),
        KeyCode::PageUp | KeyCode::Char('b') => Action::Move(Step::PageUp),
        KeyCode::Char('g') | KeyCode::Home => Action::Move(Step::First),
        KeyCode::Char('G') | KeyCode::End => Action::Move(Step::Last),
        KeyCode::Char('1') => Action::Show(Pane::Attempts),
        KeyCode::Char('2') => Action::Show(Pane::Alerts),
        KeyCode::Char('3') => Action::Show(Pane::Tunnels),
        KeyCode::Tab => Action::NextPane,
        KeyCode::BackTab => Action::PreviousPane,
        KeyCode::Enter => Action::Open,
        KeyCode::Esc | KeyCode::Backspace => Action::Back,
        KeyCode::Char('/') => Action::Filter,
        KeyCode::Char('p') => Action::Pause,
        KeyCode::Char('y') => Action::Copy,
        KeyCode::Char('e') => Action::Export,
        KeyCode::Char('t') => Action::Clock,
        KeyCode::Char('?') | KeyCode::F(1) => Action::Help,
        KeyCode::Char('q') => Action::Quit,
        _ => return None,
    })
}

/// Keys while a filter is typed: arrows up and down still move in the list.
fn typing(key: KeyEvent) -> Option<Action> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Enter => Action::Accept,
        KeyCode::Esc => Action::Back,
        KeyCode::Down => Action::Move(Step::Down),
        KeyCode::Up => Action::Move(Step::Up),
        KeyCode::Backspace => Action::Edit(InputRequest::DeletePrevChar),
        KeyCode::Delete => Action::Edit(InputRequest::DeleteNextChar),
        KeyCode::Left => Action::Edit(InputRequest::GoToPrevChar),
        KeyCode::Right => Action::Edit(InputRequest::GoToNextChar),
        KeyCode::Home => Action::Edit(InputRequest::GoToStart),
        KeyCode::End => Action::Edit(InputRequest::GoToEnd),
        KeyCode::Char('u') if control => Action::Edit(InputRequest::DeleteLine),
        KeyCode::Char('w') if control => Action::Edit(InputRequest::DeletePrevWord),
        KeyCode::Char('a') if control => Action::Edit(InputRequest::GoToStart),
        KeyCode::Char('e') if control => Action::Edit(InputRequest::GoToEnd),
        KeyCode::Char(character) if !control => Action::Edit(InputRequest::InsertChar(character)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mode: Mode, code: KeyCode, modifiers: KeyModifiers) -> Option<Action> {
        action(mode, KeyEvent::new(code, modifiers))
    }

    #[test]
    fn letters_are_text_while_typing() {
        let q = KeyCode::Char('q');
        assert_eq!(of(Mode::Browse, q, KeyModifiers::NONE), Some(Action::Quit));
        assert_eq!(of(Mode::Typing, q, KeyModifiers::NONE), Some(Action::Edit(InputRequest::InsertChar('q'))));
        assert_eq!(of(Mode::Typing, KeyCode::Char('G'), KeyModifiers::SHIFT), {
            Some(Action::Edit(InputRequest::InsertChar('G')))
        });
    }

    #[test]
    fn control_c_quits_from_anywhere() {
        for mode in [Mode::Browse, Mode::Typing, Mode::Help] {
            assert_eq!(of(mode, KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Action::Quit));
        }
    }

    #[test]
    fn panes_go_round() {
        for pane in Pane::ALL {
            assert_eq!(pane.next().previous(), pane);
        }
    }
}
