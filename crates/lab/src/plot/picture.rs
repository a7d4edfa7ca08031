//! Which pictures there are, and their two formats.

use plotters::prelude::{BitMapBackend, SVGBackend};

use super::canvas::{Canvas, PlotError};
use super::{frontier, linkage};
use crate::table::Row;

/// A picture is so wide and high, in points.
const SIZE: (u32, u32) = (1_080, 520);
/// A PNG has so many dots for a point.
const SCALE: u32 = 2;

/// A picture of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// Success and anonymity set against the number of events.
    Linkage,
    /// Pushes per event against success after the most events.
    Frontier,
}

impl Picture {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Linkage, Self::Frontier];

    /// What its files are called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linkage => "linkage",
            Self::Frontier => "frontier",
        }
    }
}

/// The picture as SVG.
pub fn svg(picture: Picture, rows: &[Row]) -> Result<String, PlotError> {
    let mut text = String::new();
    {
        let mut canvas = Canvas::new(SVGBackend::with_string(&mut text, SIZE), 1)?;
        match picture {
            Picture::Linkage => linkage::draw(&mut canvas, rows)?,
            Picture::Frontier => frontier::draw(&mut canvas, rows)?,
        }
        canvas.finish()?;
    }
    Ok(text)
}

/// The picture as PNG.
pub fn png(picture: Picture, rows: &[Row]) -> Result<Vec<u8>, PlotError> {
    let (width, height) = (SIZE.0 * SCALE, SIZE.1 * SCALE);
    let mut dots = vec![0; 3 * width as usize * height as usize];
    {
        let backend = BitMapBackend::with_buffer(&mut dots, (width, height));
        let mut canvas = Canvas::new(backend, SCALE)?;
        match picture {
            Picture::Linkage => linkage::draw(&mut canvas, rows)?,
            Picture::Frontier => frontier::draw(&mut canvas, rows)?,
        }
        canvas.finish()?;
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&dots)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Picture, png, svg};
    use crate::cost::Wakeups;
    use crate::design::Design;
    use crate::table::{Point, Row};

    fn rows() -> Vec<Row> {
        let point = |events| Point {
            events,
            trials: 2,
            top1: 0.125,
            top1_error: 0.0,
            top1_deviation: 0.0,
            hit: 0.125,
            hit_error: 0.0,
            eas: 8.0,
            rank: 4.5,
        };
        let row = |design| Row {
            design,
            pushes_per_event: 8.0,
            wakeups: Wakeups { mean: 1.0, p95: 1.0, p99: 1.0 },
            capped: None,
            delays: None,
            counted: None,
            order_rho: None,
            points: vec![point(1), point(20)],
        };
        Design::DEFAULT.into_iter().map(row).collect()
    }

    #[test]
    fn pictures_are_drawn_with_their_names_and_repeat_exactly() {
        for picture in Picture::ALL {
            let text = svg(picture, &rows()).unwrap();
            assert!(text.starts_with("<svg") && text.contains("cohort-16"), "{text}");
            assert_eq!(text, svg(picture, &rows()).unwrap());
            let bytes = png(picture, &rows()).unwrap();
            assert_eq!(bytes.get(..8), Some(&b"\x89PNG\r\n\x1a\n"[..]));
            assert_eq!(bytes, png(picture, &rows()).unwrap());
        }
        assert!(svg(Picture::Linkage, &[]).unwrap().starts_with("<svg"), "an empty table too");
        assert!(svg(Picture::Frontier, &[]).unwrap().starts_with("<svg"));
    }
}
