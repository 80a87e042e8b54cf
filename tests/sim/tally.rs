//! How many of the alerts that are due were told, by kind of capture and by rule.

use std::{collections::BTreeMap, fmt};

use observer::engine::alert::RuleId;

use super::judge::Verdict;

/// Told, and due.
type Count = (u64, u64);

#[derive(Default)]
pub struct Tally {
    runs: BTreeMap<&'static str, u64>,
    wrong: BTreeMap<&'static str, u64>,
    recalled: BTreeMap<(&'static str, RuleId), Count>,
}

impl Tally {
    pub fn count(&mut self, kind: &'static str, verdict: &Verdict) {
        *self.runs.entry(kind).or_default() += 1;
        *self.wrong.entry(kind).or_default() += verdict.failures.len() as u64;
        for (rule, told) in &verdict.recalled {
            let count = self.recalled.entry((kind, *rule)).or_default();
            *count = (count.0 + u64::from(*told), count.1 + 1);
        }
    }

    pub fn add(&mut self, other: &Self) {
        other.runs.iter().for_each(|(kind, count)| *self.runs.entry(kind).or_default() += count);
        other.wrong.iter().for_each(|(kind, count)| *self.wrong.entry(kind).or_default() += count);
        for (key, (told, due)) in &other.recalled {
            let count = self.recalled.entry(*key).or_default();
            *count = (count.0 + told, count.1 + due);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:20} {:>7} {:>6}  recall by rule, of so many that were due", "capture", "runs", "wrong")?;
        for (kind, runs) in &self.runs {
            write!(f, "{kind:20} {runs:>7} {:>6} ", self.wrong[kind])?;
            for rule in RuleId::ALL {
                let (told, due) = self.recalled.get(&(*kind, rule)).copied().unwrap_or_default();
                if let Some(thousandths) = (told * 1000).checked_div(due) {
                    write!(f, " {rule} {}.{:03} of {due};", thousandths / 1000, thousandths % 1000)?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
