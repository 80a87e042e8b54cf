//! The tables of `cargo xtask bench offline` as a picture: seconds by program, a panel for each shape.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use super::{Row, Table};

/// Of a panel.
const SIZE: (u32, u32) = (720, 220);

/// Draws those that read whole files.
pub(super) fn draw(path: &Path, tables: &[Table]) -> Result<()> {
    let panels = u32::try_from(tables.len())?;
    let area = SVGBackend::new(path, (SIZE.0, SIZE.1 * panels)).into_drawing_area();
    area.fill(&WHITE)?;
    for (panel, table) in area.split_evenly((tables.len(), 1)).iter().zip(tables) {
        let rows: Vec<_> = table.rows.iter().filter(|row| row.turns.len() > 1).collect();
        let most = rows.iter().map(|row| row.seconds).fold(0.0, f64::max) * 1.1;
        let count = i32::try_from(rows.len())?;
        let mut chart = ChartBuilder::on(panel)
            .caption(format!("{}, {:.0} MB", table.shape, table.megabytes), ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(130)
            .build_cartesian_2d(0.0..most, (0..count).into_segmented())?;
        let name = |place: &SegmentValue<i32>| match place {
            SegmentValue::CenterOf(number) => {
                let row = usize::try_from(*number).ok().and_then(|number| rows.get(number));
                row.map(|row| row.name.to_owned()).unwrap_or_default()
            }
            _ => String::new(),
        };
        chart.configure_mesh().disable_y_mesh().y_label_formatter(&name).x_desc("seconds").draw()?;
        let bar = |(number, row): (i32, &&Row)| {
            let color = if row.name.starts_with("observer") { RED.mix(0.7) } else { BLUE.mix(0.4) };
            let places = [SegmentValue::Exact(number), SegmentValue::Exact(number + 1)];
            let [low, high] = places;
            let mut bar = Rectangle::new([(0.0, low), (row.seconds, high)], color.filled());
            bar.set_margin(4, 4, 0, 0);
            bar
        };
        chart.draw_series((0..).zip(&rows).map(bar))?;
    }
    area.present()?;
    println!("written to {}", path.display());
    Ok(())
}
