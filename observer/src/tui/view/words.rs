//! Numbers and times in few columns.

use std::time::Duration;

use crate::{
    engine::time::Timestamp,
    sink::text::shared::{clock, exact},
};

/// A time in 8 columns, or 12 with room: of the day, or since the first frame.
pub(super) fn time(at: Timestamp, origin: Option<Timestamp>, room: bool) -> String {
    match origin {
        Some(origin) => since(at.since(origin)),
        None if room => exact(at),
        None => clock(at).trim_end_matches('Z').to_owned(),
    }
}

/// `+12.345`, `+12:34.5`, `+1:02:03`, `+3d 04h`.
fn since(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0..60 => format!("+{}.{:03}", seconds, span.subsec_millis()),
        60..3600 => format!("+{minutes}:{:02}.{}", seconds % 60, span.subsec_millis() / 100),
        3600..86_400 => format!("+{hours}:{minutes:02}:{:02}", seconds % 60),
        _ => format!("+{days}d {hours:02}h"),
    }
}

/// A span in 5 columns: `340ms`, `12.3s`, `4m05s`, `2h07m`, `3d04h`.
pub(super) fn short(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{}ms", span.subsec_millis()),
        1..100 => format!("{:.1}s", span.as_secs_f64()),
        100..6000 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        6000..36_000 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        36_000..360_000 => format!("{}h", seconds / 3600),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A count in 5 columns: `987`, `12.3k`, `4.5M`.
pub(super) fn compact(number: u64) -> String {
    const UNITS: [(u64, char); 4] = [(1_000_000_000_000, 'T'), (1_000_000_000, 'G'), (1_000_000, 'M'), (1_000, 'k')];
    for (unit, letter) in UNITS {
        if number >= unit {
            let (whole, tenth) = (number / unit, number % unit * 10 / unit);
            return if whole < 100 { format!("{whole}.{tenth}{letter}") } else { format!("{whole}{letter}") };
        }
    }
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_take_few_columns() {
        for (millis, long, small) in [
            (0, "+0.000", "0ms"),
            (340, "+0.340", "340ms"),
            (12_345, "+12.345", "12.3s"),
            (754_567, "+12:34.5", "12m34s"),
            (3_723_000, "+1:02:03", "62m03s"),
            (7_620_000, "+2:07:00", "2h07m"),
            (273_600_000, "+3d 04h", "76h"),
            (446_400_000, "+5d 04h", "5d04h"),
        ] {
            let span = Duration::from_millis(millis);
            assert_eq!((&*since(span), &*short(span)), (long, small));
        }
    }

    #[test]
    fn counts_take_few_columns() {
        for (number, shown) in
            [(0, "0"), (999, "999"), (1234, "1.2k"), (88_213, "88.2k"), (123_456, "123k"), (4_567_890, "4.5M")]
        {
            assert_eq!(compact(number), shown);
        }
    }
}
