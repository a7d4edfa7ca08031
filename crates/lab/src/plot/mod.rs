//! The two pictures of a table, as SVG and as PNG.
//!
//! - [`canvas`]: lines, dots and letters on either.
//! - [`axis`]: logarithmic scales and their labels.
//! - [`labels`]: names beside lines and dots, none over another.
//! - [`linkage`]: what is known after how many events.
//! - [`frontier`]: what a design costs, and what it leaves to the observer.

mod axis;
mod canvas;
mod frontier;
mod labels;
mod linkage;
mod picture;

pub use canvas::PlotError;
pub use picture::{Picture, png, svg};
