//! How many of the alerts that are due were told, by kind of capture and by rule, and where that is too few.

use std::{collections::BTreeMap, fmt};

use observer::engine::alert::RuleId;

use super::{
    floors,
    judge::{Recalled, Verdict},
};

/// Misses that are shown of one kind and rule.
const SHOWN: usize = 20;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Share {
    /// Alerts of a rule.
    Rule(RuleId),
    /// Those of missing-101 that tell a cause.
    Cause,
}

impl Share {
    /// All that is counted: what the worlds here have to show.
    pub fn all() -> impl Iterator<Item = Self> {
        let shown = |rule: &RuleId| !matches!(rule, RuleId::Broken101 | RuleId::LifetimeClose | RuleId::ErrorClose);
        RuleId::ALL.into_iter().filter(shown).map(Self::Rule).chain([Self::Cause])
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => rule.fmt(f),
            Self::Cause => f.write_str("cause"),
        }
    }
}

/// Alerts that were due.
#[derive(Default)]
struct Count {
    told: u64,
    due: u64,
    /// The others, with their seeds.
    missed: Vec<(u64, String)>,
}

#[derive(Default)]
pub struct Tally {
    runs: BTreeMap<&'static str, u64>,
    wrong: BTreeMap<&'static str, u64>,
    recalled: BTreeMap<(&'static str, Share), Count>,
}

impl Tally {
    pub fn count(&mut self, kind: &'static str, seed: u64, verdict: &Verdict) {
        *self.runs.entry(kind).or_default() += 1;
        *self.wrong.entry(kind).or_default() += verdict.failures.len() as u64;
        for Recalled { due, told, explained } in &verdict.recalled {
            let rule = (Share::Rule(due.rule), *told);
            for (share, told) in [Some(rule), explained.map(|told| (Share::Cause, told))].into_iter().flatten() {
                let count = self.recalled.entry((kind, share)).or_default();
                count.due += 1;
                count.told += u64::from(told);
                if !told && count.missed.len() < SHOWN {
                    count.missed.push((seed, format!("{due:?}")));
                }
            }
        }
    }

    pub fn add(&mut self, other: Self) {
        other.runs.iter().for_each(|(kind, count)| *self.runs.entry(kind).or_default() += count);
        other.wrong.iter().for_each(|(kind, count)| *self.wrong.entry(kind).or_default() += count);
        for (key, other) in other.recalled {
            let count = self.recalled.entry(key).or_default();
            count.told += other.told;
            count.due += other.due;
            count.missed.extend(other.missed);
        }
    }

    /// Where fewer alerts were told than must be, with the first that were missed.
    pub fn silences(&self) -> Vec<String> {
        let silence = |((kind, share), Count { told, due, missed }): (&(&str, Share), &Count)| {
            let floor = floors::is_below(kind, *share, *told, *due)?;
            let mut missed: Vec<_> = missed.iter().collect();
            missed.sort();
            let missed: String =
                missed.iter().take(SHOWN).map(|(seed, due)| format!("\n    seed {seed} missed {due}")).collect();
            Some(format!("{kind}: {share} was told {told} times of {due}, below {floor} in 1000{missed}"))
        };
        self.recalled.iter().filter_map(silence).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:20} {:>7} {:>6}  recall by rule, of so many that were due", "capture", "runs", "wrong")?;
        for (kind, runs) in &self.runs {
            write!(f, "{kind:20} {runs:>7} {:>6} ", self.wrong[kind])?;
            for share in Share::all() {
                let (told, due) = self.recalled.get(&(*kind, share)).map_or((0, 0), |count| (count.told, count.due));
                if let Some(thousandths) = (told * 1000).checked_div(due) {
                    write!(f, " {share} {}.{:03} of {due};", thousandths / 1000, thousandths % 1000)?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
