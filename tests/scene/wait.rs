//! Waiting for what a test is about to see. One bound serves every wait: it is there for what never comes, and no test
//! passes or fails by how long anything takes.

use std::{
    fmt::Debug,
    thread,
    time::{Duration, Instant},
};

/// What has not come by then does not come, however busy the machine is.
const HANG: Duration = Duration::from_secs(60);

/// Between two looks.
const STEP: Duration = Duration::from_millis(10);

/// Looks until what there is suits, and gives it. When that never comes, it says what there was instead.
#[expect(clippy::disallowed_methods, reason = "a test that hangs has to end in real time")]
pub(crate) fn wait_until<T: Debug>(what: &str, mut look: impl FnMut() -> T, suits: impl Fn(&T) -> bool) -> T {
    let start = Instant::now();
    loop {
        let there = look();
        if suits(&there) {
            return there;
        }
        assert!(start.elapsed() < HANG, "waited in vain for {what}; instead there is {there:#?}");
        thread::sleep(STEP);
    }
}
