//! The screens of `--tui`. The engine runs on a thread of its own and tells of what it sees through a [`Feed`]; the
//! state is pure, keys are data, views only draw.

mod evidence;
mod feed;
mod keys;
mod look;
mod session;
mod state;
mod terminal;
mod view;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    thread,
};

use anyhow::Context;

pub use self::{
    evidence::{Evidence, FoundClocks, Ring},
    feed::{Feed, Overflow},
};
use self::{session::Session, terminal::Screen};

/// What the screens have to know.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What is watched, in words: a file, interfaces.
    pub source: String,
    /// Whether to use colours.
    pub color: bool,
    /// Whether credentials, query strings and the like are shown as captured.
    pub show_secrets: bool,
    /// Whether times count from the first frame; otherwise they are times of day.
    pub relative: bool,
    /// What happens to events when the screen is slow.
    pub overflow: Overflow,
    /// Where an attempt's frames can be had for an export.
    pub evidence: Evidence,
    /// Where exports are written.
    pub exports: PathBuf,
    /// Who is told each file that was.
    pub exported: Sender<PathBuf>,
}

/// Runs `source` on a thread of its own, and the screens here, until the user quits or `stop` is set (which quitting
/// does too). `source` has to end soon after [`Feed::is_closed`] says so. When it ends by itself, the screens stay.
///
/// # Errors
///
/// When `source` fails, or the terminal does.
pub fn run<T: Send + 'static>(
    setup: Setup,
    stop: &AtomicBool,
    source: impl FnOnce(Feed) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let (feed, inbox) = feed::feed(setup.overflow);
    let mut screen = Screen::enter().context("cannot use the terminal")?;
    let failed = Arc::new(AtomicBool::new(false));
    let mut session = Session::new(setup, inbox, Arc::clone(&failed));
    let engine = thread::Builder::new().name("engine".to_owned()).spawn(move || {
        let ended = source(feed);
        failed.store(ended.is_err(), Ordering::Relaxed);
        ended
    })?;
    let shown = session.show(&mut screen, stop, &engine);
    stop.store(true, Ordering::Relaxed);
    // Dropping the inbox frees a source that waits to be read.
    drop(session);
    drop(screen);
    let ended = engine.join().map_err(|_| anyhow::anyhow!("the engine's thread panicked"))?;
    // A failed source is the better story: the terminal may have failed with it.
    ended.and_then(|ended| shown.map(|()| ended))
}
