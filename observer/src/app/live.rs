//! `observer live`: one thread captures and judges. Frames go from the kernel's ring into the engine, events into the
//! [`Outlet`]. When no frame comes, the tap's clock moves capture time on.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;

use super::{
    complain,
    fence::{self, Gates},
    metrics::Endpoint,
    outlet::Outlet,
    output::{self, Output},
    owners::Owners,
    progress::Bar,
    session::Session,
    signals::{self, Hangup, Stop},
};
use crate::{
    cli::{Format, Progress},
    config::{Config, Live},
    engine::{self, Engine, event::Event, time::Timestamp},
    sink::wall,
    tap::{
        HostTap, SharedInterfaces, TapError,
        live::{Change, LAG},
    },
};

/// Frames of one handle between two looks at events, signals and the other handles.
const BATCH: usize = 512;
/// How often the outlet may look at the engine.
const LOOK: Duration = Duration::from_millis(250);
/// How often lost interfaces are tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often stats are told.
const STATS: Duration = Duration::from_secs(60);

pub(super) fn run(live: &Live, config: &Config, output: &Output) -> anyhow::Result<u8> {
    // It is to have nothing that is opened here.
    let owners = match Owners::start(&live.fence) {
        Ok(owners) => Some(owners),
        Err(error) => {
            complain(&format!("warning: processes cannot be told: {error:#}"));
            None
        }
    };
    fence::drop_lookup_caps()?;
    let interfaces = SharedInterfaces::default();
    let (tap, why) = HostTap::open(live.choice, &live.tap, &interfaces)?;
    if let Some(why) = why {
        complain(&format!("--tap auto takes libpcap: {why}"));
    }
    let waker = tap.waker();
    let stop = Stop::new(move || drop(waker.wake()));
    #[cfg(feature = "tui")]
    if live.report.tui {
        let exports = super::exports::writable(live.report.export_dir.as_deref(), &fence::target_user(&live.fence)?)?;
        raise_fence(live, Some(&exports), &tap)?;
        signals::listen(&stop, Hangup::Usual).context("cannot listen for signals")?;
        let screens = super::screens::Live { sources: (tap, owners), interfaces, exports };
        return screens.show(live, config, &stop);
    }
    let mut outlet = Box::new(output.queue(live, config.color, &interfaces)?);
    let metrics = live.metrics.map(Endpoint::bind).transpose()?;
    let nohup = signals::hangup_is_ignored();
    raise_fence(live, None, &tap)?;
    outlet.start(&stop)?;
    if let Some(metrics) = metrics {
        outlet.show(metrics.board());
        metrics.start()?;
    }
    let hangup = match &live.report.output {
        Some(_) => Hangup::Run(Box::new(outlet.reopener())),
        None if nohup => Hangup::Usual,
        None => Hangup::End,
    };
    signals::listen(&stop, hangup).context("cannot listen for signals")?;
    let on_terminal = live.report.format == Format::Text && live.report.output.is_none() && output::is_terminal();
    watch(live, (tap, owners), outlet, on_terminal, stop)
}

/// Screens need a terminal, and a directory for what they export.
fn raise_fence(live: &Live, screens: Option<&Path>, tap: &HostTap) -> anyhow::Result<()> {
    let gates = Gates {
        outputs: live.report.output.clone().into_iter().collect(),
        exports: screens.map(Path::to_owned),
        screen: screens.is_some(),
        metrics: live.metrics.is_some(),
        program: tap.has_program(),
        packets: tap.packet_sockets(),
    };
    for gap in fence::raise(&live.fence, &gates)? {
        complain(&format!("warning: fence: {gap}"));
    }
    Ok(())
}

/// What is known of this host: its frames, and its processes where they can be told.
pub(super) type Sources = (HostTap, Option<Owners>);

/// Captures and judges until it is stopped; events go to the outlet. Gives the exit code.
pub(super) fn watch(
    live: &Live,
    (tap, mut owners): Sources,
    outlet: Box<dyn Outlet>,
    on_terminal: bool,
    stop: Stop,
) -> anyhow::Result<u8> {
    if let Some(owners) = &mut owners {
        let waker = tap.waker();
        owners.listen(move || drop(waker.wake()))?;
    }
    let engine = Engine::new(engine::Config { demanding: tap.has_program(), ..live.engine.clone() });
    let session = Session::new(engine, outlet, on_terminal, Bar::new(Progress::Never, None));
    let clocks = Clocks::new(tap.now());
    let mut watch = Loop { session, tap, owners, clocks, stop };
    let ended = watch.run();
    // Whatever ended it: what was judged, and what can be, is told first.
    let finished = watch.session.finish();
    ended.and(finished)?;
    Ok(watch.session.code(live.report.fail_on))
}

/// What is due when, by the monotonic clock.
struct Clocks {
    /// Since when drops were not asked for, in capture time.
    losses_since: Timestamp,
    look: Instant,
    retry: Instant,
    stats: Instant,
}

impl Clocks {
    fn new(capture: Timestamp) -> Self {
        let now = instant();
        Self { losses_since: capture, look: now, retry: now + RETRY, stats: now + STATS }
    }
}

struct Loop {
    session: Session,
    tap: HostTap,
    owners: Option<Owners>,
    clocks: Clocks,
    stop: Stop,
}

impl Loop {
    fn run(&mut self) -> anyhow::Result<()> {
        while !self.stop.is_set() {
            if self.tap.is_deaf() && !self.tap.may_reopen() {
                anyhow::bail!(TapError::Deaf);
            }
            let drained = self.turn()?;
            self.tend()?;
            if drained {
                self.sleep()?;
            }
        }
        // What the kernel has already is part of what happened before the signal.
        std::thread::sleep(LAG);
        let end = instant() + Duration::from_millis(200);
        while !self.turn()? && instant() < end {}
        self.tap.look(true, &mut self.session);
        Ok(())
    }

    /// Takes a batch of frames. True when that were all, so that capture time has come to the wall clock's.
    fn turn(&mut self) -> anyhow::Result<bool> {
        self.tick();
        self.losses();
        let before = self.tap.now();
        let (drained, changes) = self.tap.drain(BATCH, &mut self.session);
        changes.into_iter().for_each(|change| self.tell(change));
        if let Some(owners) = &mut self.owners {
            owners.turn(&mut self.session.engine);
        }
        if drained {
            self.tick();
            self.losses();
            self.session.engine.handle_timeout(before.before(LAG));
        }
        self.session.emit(true)?;
        Ok(drained)
    }

    fn tick(&mut self) {
        if let Some(ahead) = self.tap.tick() {
            wall::set(ahead);
            self.session.say("the system's clock was set: times are told by the new one from now on");
        }
    }

    /// Asked for before each batch and before time moves on: a loss must be known before what it hides is judged. The
    /// frames of one batch were in the ring together, so none of them comes after a hole made meanwhile.
    fn losses(&mut self) {
        let (since, at) = (self.clocks.losses_since, self.tap.now());
        self.clocks.losses_since = at;
        let count = self.tap.drops();
        if count > 0 {
            self.session.engine.handle_loss(count, since, at);
        }
    }

    /// What is due now and then.
    fn tend(&mut self) -> anyhow::Result<()> {
        let now = instant();
        if now >= self.clocks.look {
            self.clocks.look = now + LOOK;
            self.session.look();
        }
        if now >= self.clocks.retry {
            self.clocks.retry = now + RETRY;
            self.tap.look(self.session.is_watched(), &mut self.session);
            self.tap.reopen().into_iter().for_each(|change| self.tell(change));
        }
        if now >= self.clocks.stats {
            self.clocks.stats = now + STATS;
            let stats = self.session.engine.stats();
            self.session.event(Event::Stats(Box::new(stats)))?;
            self.session.emit(true)?;
        }
        Ok(())
    }

    /// Until frames come, or the engine or the clocks want something.
    fn sleep(&mut self) -> anyhow::Result<()> {
        let now = instant();
        let chores = [self.clocks.look, self.clocks.retry, self.clocks.stats].into_iter().min().unwrap_or(now);
        let mut most = chores.saturating_duration_since(now);
        if let Some(at) = self.session.engine.poll_timeout() {
            most = most.min((at + LAG).since(self.tap.now()));
        }
        // Whole milliseconds: the last one would be waited for in circles.
        Ok(self.tap.wait(most + Duration::from_millis(1))?)
    }

    fn tell(&mut self, change: Change) {
        match change {
            Change::Lost(TapError::NotPermitted { name }) => self.session.say(&format!(
                "warning: {name} is there again, but cannot be opened without the privileges that were given up at the \
                 start: start again, or watch every interface (without -i)"
            )),
            Change::Lost(error) => self.session.say(&format!("warning: {error}")),
            Change::Back(name) => self.session.say(&format!("{name} is back")),
        }
    }
}

/// The clock of chores, which the user cannot set.
#[expect(clippy::disallowed_methods, reason = "chores are no capture time")]
fn instant() -> Instant {
    Instant::now()
}
