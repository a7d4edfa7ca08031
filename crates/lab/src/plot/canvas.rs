//! Lines, dots and letters, in points from the upper left.

use plotters::coord::Shift;
use plotters::prelude::{
    Circle, Color as _, DrawingArea, DrawingBackend, IntoDrawingArea as _, IntoFont as _,
    PathElement, RGBColor, Text, WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, FontTransform, TextStyle, register_font};

/// The name the font goes by. SVG readers that have no such font take the one they have for it.
const FONT: &str = "sans-serif";
/// Letters that are not written in another size.
pub(super) const LETTERS: f64 = 13.0;

/// Black, but for the eye.
pub(super) const INK: RGBColor = RGBColor(40, 44, 52);
/// What stands back.
pub(super) const PALE: RGBColor = RGBColor(222, 225, 230);
/// In between.
pub(super) const GREY: RGBColor = RGBColor(110, 116, 126);

/// Why a picture could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The font that comes with the lab cannot be read.
    #[error("the font cannot be read")]
    Font,
    /// Something could not be drawn.
    #[error("cannot draw: {0}")]
    Draw(String),
    /// The PNG could not be made.
    #[error("cannot write a PNG")]
    Png(#[from] png::EncodingError),
}

/// Where letters stand against their point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// To the right of it.
    Right,
    /// To the left of it.
    Left,
    /// Centred on it.
    Middle,
    /// Centred on it, and read from below.
    Upward,
}

/// A place, in points.
pub(super) type Place = (f64, f64);

/// Something to draw on.
pub(super) struct Canvas<B: DrawingBackend> {
    area: DrawingArea<B, Shift>,
    scale: u32,
}

impl<B: DrawingBackend> Canvas<B> {
    /// Empty. `scale` is how many dots there are for a point.
    pub(super) fn new(backend: B, scale: u32) -> Result<Self, PlotError> {
        register_font(FONT, FontStyle::Normal, dejavu::sans::regular())
            .map_err(|_| PlotError::Font)?;
        register_font(FONT, FontStyle::Bold, dejavu::sans::bold()).map_err(|_| PlotError::Font)?;
        let area = backend.into_drawing_area();
        area.fill(&WHITE).map_err(|error| PlotError::Draw(error.to_string()))?;
        Ok(Self { area, scale })
    }

    /// Nothing more is drawn.
    pub(super) fn finish(self) -> Result<(), PlotError> {
        self.area.present().map_err(|error| PlotError::Draw(error.to_string()))
    }

    fn dots(&self, place: Place) -> (i32, i32) {
        (self.length(place.0), self.length(place.1))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates; what is outside is not drawn"
    )]
    fn length(&self, points: f64) -> i32 {
        (points * f64::from(self.scale)).round() as i32
    }

    /// A line through places.
    pub(super) fn line(
        &mut self,
        places: &[Place],
        colour: RGBColor,
        width: u32,
    ) -> Result<(), PlotError> {
        let dots: Vec<(i32, i32)> = places.iter().map(|place| self.dots(*place)).collect();
        let path = PathElement::new(dots, colour.stroke_width(width * self.scale));
        self.area.draw(&path).map_err(|error| PlotError::Draw(error.to_string()))
    }

    /// A dot.
    pub(super) fn dot(
        &mut self,
        place: Place,
        colour: RGBColor,
        radius: f64,
    ) -> Result<(), PlotError> {
        let circle = Circle::new(self.dots(place), self.length(radius), colour.filled());
        self.area.draw(&circle).map_err(|error| PlotError::Draw(error.to_string()))
    }

    /// Letters.
    pub(super) fn text(
        &mut self,
        text: &str,
        place: Place,
        side: Side,
        colour: RGBColor,
    ) -> Result<(), PlotError> {
        let font = (FONT, LETTERS * f64::from(self.scale)).into_font();
        self.write(text, place, side, &font.color(&colour))
    }

    /// Letters that stand out.
    pub(super) fn title(&mut self, text: &str, place: Place) -> Result<(), PlotError> {
        let font = (FONT, 16.0 * f64::from(self.scale), FontStyle::Bold).into_font();
        self.write(text, place, Side::Right, &font.color(&INK))
    }

    fn write(
        &mut self,
        text: &str,
        place: Place,
        side: Side,
        style: &TextStyle<'_>,
    ) -> Result<(), PlotError> {
        let across = match side {
            Side::Right => HPos::Left,
            Side::Left => HPos::Right,
            Side::Middle | Side::Upward => HPos::Center,
        };
        let style = style.clone().pos(Pos::new(across, VPos::Center));
        let style =
            if side == Side::Upward { style.transform(FontTransform::Rotate270) } else { style };
        let text = Text::new(text.to_owned(), self.dots(place), style);
        self.area.draw(&text).map_err(|error| PlotError::Draw(error.to_string()))
    }
}
