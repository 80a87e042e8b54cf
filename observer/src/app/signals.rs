//! SIGINT and SIGTERM: the first ends a run well, the second at once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

/// Whether the run shall end, and the way to say so from any thread.
#[derive(Clone)]
pub(super) struct Stop {
    flag: Arc<AtomicBool>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Stop {
    /// `wake` gets the one who asks [`Self::is_set`] to do so soon.
    pub(super) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self { flag: Arc::default(), wake: Arc::new(wake) }
    }

    /// Asks the run to end. True when that was asked before.
    pub(super) fn set(&self) -> bool {
        let before = self.flag.swap(true, Ordering::Relaxed);
        (self.wake)();
        before
    }

    /// Whether the run shall end.
    #[inline]
    pub(super) fn is_set(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// For those who only look.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
    }
}

/// Listens from now on, on a thread of its own.
pub(super) fn listen(stop: &Stop) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    drop(entered);
    let stop = stop.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            loop {
                let number = tokio::select! {
                    _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
                    _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
                };
                if stop.set() {
                    std::process::exit(128 + number);
                }
            }
        });
    })?;
    Ok(())
}
