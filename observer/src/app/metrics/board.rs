//! The numbers, as the engine's thread last put them, in the words of Prometheus.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use crate::engine::event::Stats;

/// Where one thread writes numbers and another reads them.
#[derive(Default, Debug)]
pub(in crate::app) struct Board(Mutex<Numbers>);

#[derive(Clone, Default, Debug)]
struct Numbers {
    stats: Stats,
    records_dropped: u64,
}

impl Board {
    /// Puts what is true now.
    pub(in crate::app) fn put(&self, stats: Stats, records_dropped: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Numbers { stats, records_dropped };
    }

    pub(super) fn registry(self: &Arc<Self>) -> Registry {
        let mut registry = Registry::with_prefix("observer");
        registry.register_collector(Box::new(Arc::clone(self)));
        registry
    }
}

/// The whole page.
pub(super) fn text(registry: &Registry) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = text::encode(&mut page, registry);
    classic(&page)
}

/// The crate writes OpenMetrics. The older text format, which every scraper reads, names a counter's family with its
/// suffix, and has no end mark.
fn classic(page: &str) -> String {
    let line = |line: &str| -> Option<String> {
        let Some(comment) = line.strip_prefix("# ") else { return Some(line.to_owned()) };
        let (word, rest) = comment.split_once(' ')?;
        let (name, told) = rest.split_once(' ')?;
        let total = format!("{name}_total");
        let sampled = |sample: &str| sample.strip_prefix(&*total).is_some_and(|rest| rest.starts_with([' ', '{']));
        let name = if page.lines().any(sampled) { &total } else { name };
        Some(format!("# {word} {name} {told}"))
    };
    page.lines().filter_map(line).map(|line| line + "\n").collect()
}

impl Collector for Board {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Numbers { stats, records_dropped } = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut page = Page(encoder);
        let outcomes = [
            ("upgraded", stats.upgraded),
            ("refused", stats.refused),
            ("failed", stats.failed),
            ("unknown", stats.unknown),
        ];
        let outcomes = outcomes.map(|(outcome, count)| ([("outcome", outcome)], count));
        page.counters("attempts", "Upgrade attempts decided, by outcome", &outcomes)?;
        let alerts: Vec<_> = stats
            .alerts
            .iter()
            .map(|(rule, level, count)| ([("rule", rule.as_str()), ("level", level.as_str())], *count))
            .collect();
        page.counters("alerts", "Alerts, by rule and level", &alerts)?;
        page.counter("tunnels", "Tunnels opened", stats.tunnels)?;
        page.counter("frames", "Frames captured", stats.frames)?;
        page.counter("drops", "Frames that the kernel or the tap dropped", stats.drops)?;
        page.counter("records_dropped", "Records that no reader of the output will see", records_dropped)?;
        page.counter("gaps", "Places where bytes were acknowledged but not captured", stats.gaps)?;
        page.counter("evictions", "Entries thrown out to stay under the memory limit", stats.evictions)?;
        page.gauge("tunnels_open", "Tunnels open now", stats.tunnels_open)?;
        page.gauge("memory_bytes", "State held by the engine", stats.memory)?;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let mut build = page.0.encode_descriptor("build_info", "The version that runs", None, MetricType::Gauge)?;
        ConstGauge::new(1_i64).encode(build.encode_family(&version)?)
    }
}

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        let counter = ConstCounter::new(count);
        counter.encode(self.0.encode_descriptor(name, help, None, counter.metric_type())?)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.0.encode_descriptor(name, help, None, gauge.metric_type())?)
    }

    /// One for each set of labels; nothing where there is none yet.
    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        counts: &[([(&'static str, &'static str); N], u64)],
    ) -> fmt::Result {
        if counts.is_empty() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        counts.iter().try_for_each(|(labels, count)| ConstCounter::new(*count).encode(family.encode_family(labels)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sample;

    #[test]
    fn counters_are_named_as_they_are_sampled() {
        let board = Arc::new(Board::default());
        board.put(sample::stats(), 7);
        let page = text(&board.registry());
        for line in [
            "# TYPE observer_attempts_total counter",
            "observer_attempts_total{outcome=\"refused\"} 1",
            "observer_alerts_total{rule=\"missing-101\",level=\"error\"} 1",
            "observer_records_dropped_total 7",
            "# TYPE observer_tunnels_open gauge",
            "observer_memory_bytes 4096",
            concat!("observer_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(page.lines().any(|other| other == line), "{line}\n{page}");
        }
        assert!(!page.contains("EOF") && page.ends_with('\n'));
    }
}
