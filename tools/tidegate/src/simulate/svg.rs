//! Requests over time, as a picture.

use plotters::prelude::*;

use super::tally::{Counts, Tally};

/// The picture, as SVG.
pub(super) fn picture(tally: &Tally) -> Result<String, String> {
    let mut text = String::new();
    draw(tally, &mut text).map_err(|error| format!("the picture: {error}"))?;
    Ok(text)
}

type Drawn<'t> = Result<(), DrawingAreaErrorKind<<SVGBackend<'t> as DrawingBackend>::ErrorType>>;

/// One of the counts.
type Of = fn(&Counts) -> u64;

fn draw<'t>(tally: &Tally, text: &'t mut String) -> Drawn<'t> {
    let (width_ms, columns) = tally.series.in_columns(300);
    let per_second = |count: u64| count as f64 * 1_000.0 / width_ms as f64;
    let most = columns.iter().map(|counts| per_second(counts.sum())).fold(1.0, f64::max);
    let end = width_ms as f64 * columns.len() as f64 / 1_000.0;
    let area = SVGBackend::with_string(text, (900, 360)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..end, 0.0..most * 1.05)?;
    chart.configure_mesh().x_desc("seconds").y_desc("requests a second").light_line_style(WHITE).draw()?;
    let lines: [(&str, RGBColor, Of); 3] = [
        ("passed", RGBColor(26, 127, 55), |counts| counts.passed),
        ("refused by a limit", RGBColor(207, 34, 46), |counts| counts.limited),
        ("answered by another filter", RGBColor(191, 135, 0), |counts| counts.answered),
    ];
    for (name, colour, of) in lines {
        if columns.iter().all(|counts| of(counts) == 0) {
            continue;
        }
        let at = |index: usize| (index as f64 + 0.5) * width_ms as f64 / 1_000.0;
        let points = columns.iter().enumerate().map(|(index, counts)| (at(index), per_second(of(counts))));
        let series = chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        series
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    area.present()
}
