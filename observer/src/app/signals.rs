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

/// Set once the run shall end.
pub(super) type Stop = Arc<AtomicBool>;

/// Listens from now on, on a thread of its own.
pub(super) fn listen() -> io::Result<Stop> {
    let stop = Stop::default();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    drop(entered);
    let flag = Arc::clone(&stop);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            loop {
                let number = tokio::select! {
                    _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
                    _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
                };
                if flag.swap(true, Ordering::Relaxed) {
                    std::process::exit(128 + number);
                }
            }
        });
    })?;
    Ok(stop)
}
