//! Puts together the tunnels that one proxy ended at one moment.

use std::time::Duration;

use super::{
    super::{host::Socket, time::Timestamp},
    Attempts, Case, SAME_IDLE, Timer,
    proxy::EndKind,
    tunnel::{Ended, Group},
};

/// Ends closer than this are one moment.
pub const MOMENT: Duration = Duration::from_millis(20);
/// A worker that closes all its tunnels may be stopped in between for as long: what was silent looks then as if a timer had
/// ended it, unless the rest is waited for.
const PAUSE: Duration = Duration::from_millis(100);
/// Tunnels that are put together, and the time they span, at most.
const MOST: usize = 4096;
const LONGEST: Duration = Duration::from_millis(500);

/// Ends that one proxy made lately, and that others may belong to.
#[derive(Debug)]
pub(super) struct Closing {
    members: Vec<Ended>,
    /// How far the next end may be from the last.
    wait: Duration,
    /// When no other is waited for any more.
    due: Timestamp,
}

impl Attempts {
    pub(super) fn join_closing(&mut self, by: Socket, ended: Ended, now: Timestamp) {
        let end = ended.tunnel.ended_at;
        let timed = self.proxies.get(by).is_some_and(|proxy| proxy.closed_at(ended.tunnel.idle, SAME_IDLE));
        let wait = if timed { MOMENT } else { PAUSE };
        let apart = self.closings.get(&by).is_some_and(|closing| {
            let (first, last) = (closing.members.first(), closing.members.last());
            first.is_some_and(|first| end.distance(first.tunnel.ended_at) > LONGEST)
                || last.is_some_and(|last| end.distance(last.tunnel.ended_at) > closing.wait.max(wait))
                || closing.members.len() >= MOST
        });
        if apart {
            self.flush_closing(by);
        }
        self.closing_memory += ended.memory();
        let closing = self.closings.entry(by).or_insert_with(|| Closing { members: Vec::new(), wait, due: now });
        closing.members.push(ended);
        closing.wait = closing.wait.max(wait);
        closing.due = now + closing.wait;
        let due = closing.due;
        self.at(due, Timer::Closing(by));
    }

    pub(super) fn closing_due(&mut self, by: Socket, at: Timestamp) {
        if self.closings.get(&by).is_some_and(|closing| closing.due <= at) {
            self.flush_closing(by);
        }
    }

    pub(super) fn flush_closing(&mut self, by: Socket) {
        let Some(Closing { mut members, .. }) = self.closings.remove(&by) else { return };
        self.closing_memory -= members.iter().map(Ended::memory).sum::<usize>();
        members.sort_by_key(|member| (member.tunnel.ended_at, member.tunnel.attempt.id));
        let proxy = self.proxies.entry(by);
        for member in &mut members {
            member.repeated = proxy.closed_at(member.tunnel.idle, SAME_IDLE);
            let tunnel = &member.tunnel;
            if tunnel.idle < self.idle_min && !member.had_close {
                let age = tunnel.ended_at.since(tunnel.opened_at);
                member.alike = proxy.count_alike(EndKind::InUse, age, tunnel.ended_at);
            }
        }
        for members in moments(members, self.idle_min) {
            // Tunnels that end together after different silences were not ended by a timer.
            if let Some(first) = members.first()
                && members.iter().all(|member| member.tunnel.idle.abs_diff(first.tunnel.idle) <= SAME_IDLE)
                && first.is_silent(self.idle_min)
                && !first.repeated
            {
                proxy.remember(first.tunnel.idle);
            }
            self.cases.push_back(Case::Closed(Box::new(Group { by, members })));
        }
    }
}

/// Parts ends, which are in their order, where there is more than a moment between two of them. What goes on after a pause is
/// one sweep over all tunnels, and silent ones that no known timer explains belong to it.
fn moments(ends: Vec<Ended>, idle_min: Duration) -> Vec<Vec<Ended>> {
    let is_sweep = |part: &[Ended]| part.iter().filter(|ended| !ended.is_silent(idle_min)).count() > 1;
    let may_be_swept =
        |part: &[Ended]| part.iter().all(|ended| ended.is_silent(idle_min)) && part.iter().any(|ended| !ended.repeated);
    let goes_on = |one: &[Ended], other: &[Ended]| is_sweep(one) && (is_sweep(other) || may_be_swept(other));
    let mut parts: Vec<Vec<Ended>> = Vec::new();
    for ended in ends {
        let near = |last: &Ended| last.tunnel.ended_at.distance(ended.tunnel.ended_at) <= MOMENT;
        match parts.last_mut() {
            Some(part) if part.last().is_some_and(near) => part.push(ended),
            _ => parts.push(vec![ended]),
        }
    }
    let mut joined: Vec<Vec<Ended>> = Vec::new();
    for mut part in parts {
        while let Some(mut before) = joined.pop_if(|before| goes_on(before, &part) || goes_on(&part, before)) {
            before.append(&mut part);
            part = before;
        }
        joined.push(part);
    }
    joined
}
