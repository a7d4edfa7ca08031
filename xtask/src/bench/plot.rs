//! Pictures, as SVG without fonts of their own.

use plotters::prelude::{
    BLACK, BLUE, ChartBuilder, Circle, Color as _, IntoDrawingArea as _, LineSeries, PathElement,
    RED, RGBColor, SVGBackend, WHITE,
};

use crate::process::root;

/// A line of a picture.
#[derive(Debug)]
pub(super) struct Curve {
    pub(super) name: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// A picture of some curves over one quantity.
#[derive(Debug)]
pub(super) struct Picture {
    /// Its file below `docs/pictures`.
    pub(super) file: &'static str,
    pub(super) title: &'static str,
    pub(super) x: &'static str,
    pub(super) y: &'static str,
    /// Where the limit is, if there is one.
    pub(super) limit: Option<f64>,
    pub(super) curves: Vec<Curve>,
}

const COLOURS: [RGBColor; 3] = [BLUE, RGBColor(200, 110, 0), RGBColor(0, 130, 80)];

impl Picture {
    pub(super) fn draw(&self) -> Result<(), String> {
        let path = root().join("docs/pictures").join(self.file);
        self.draw_at(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn draw_at(&self, path: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
        let points = || self.curves.iter().flat_map(|curve| curve.points.iter());
        let x_max = points().map(|point| point.0).fold(0.0, f64::max) * 1.05;
        let y_max = points().map(|point| point.1).chain(self.limit).fold(0.0, f64::max) * 1.1;
        let area = SVGBackend::new(path, (760, 400)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..x_max, 0.0..y_max)?;
        let shown = |value: &f64| {
            if *value >= 10_000.0 {
                format!("{:.0}k", value / 1_000.0)
            } else {
                format!("{value:.0}")
            }
        };
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&shown)
            .y_label_formatter(&shown)
            .draw()?;
        for (curve, colour) in self.curves.iter().zip(COLOURS) {
            chart
                .draw_series(LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2)))?
                .label(curve.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
            let dots = curve.points.iter().map(|point| Circle::new(*point, 3, colour.filled()));
            chart.draw_series(dots)?;
        }
        if let Some(limit) = self.limit {
            chart
                .draw_series(LineSeries::new([(0.0, limit), (x_max, limit)], RED.stroke_width(1)))?
                .label("limit")
                .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], RED));
        }
        chart
            .configure_series_labels()
            .border_style(BLACK.mix(0.3))
            .background_style(WHITE.mix(0.8))
            .position(plotters::chart::SeriesLabelPosition::UpperLeft)
            .draw()?;
        area.present()?;
        Ok(())
    }
}
