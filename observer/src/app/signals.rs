//! SIGINT and SIGTERM: the first ends a run well, the second at once. SIGHUP opens a log again.

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
    signal::unix::{Signal, SignalKind, signal},
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

/// What SIGHUP means to a run.
pub(super) enum Hangup {
    /// What it means to any program.
    Usual,
    /// The terminal is gone: the run ends well.
    #[cfg_attr(not(feature = "pcap"), expect(dead_code, reason = "only live runs last so long"))]
    End,
    /// To do this.
    #[cfg_attr(not(feature = "pcap"), expect(dead_code, reason = "only live runs last so long"))]
    Run(Box<dyn Fn() + Send>),
}

/// Whether who started us, `nohup` for one, wants us to outlive the terminal. Asked before the fence is raised.
#[cfg(feature = "pcap")]
pub(super) fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let hangup = 1 << (SignalKind::hangup().as_raw_value() - 1);
    mask.is_some_and(|mask| mask & hangup != 0)
}

/// Listens from now on, on a thread of its own.
pub(super) fn listen(stop: &Stop, on_hangup: Hangup) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = match on_hangup {
        Hangup::Usual => None,
        Hangup::End | Hangup::Run(_) => Some(signal(SignalKind::hangup())?),
    };
    drop(entered);
    let stop = stop.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            loop {
                let number = tokio::select! {
                    _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
                    _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
                    _ = received(&mut hangup) => match &on_hangup {
                        Hangup::Run(run) => {
                            run();
                            continue;
                        }
                        Hangup::End | Hangup::Usual => SignalKind::hangup().as_raw_value(),
                    },
                };
                if stop.set() {
                    std::process::exit(128 + number);
                }
            }
        });
    })?;
    Ok(())
}

/// The next one; where nobody listens, never.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
