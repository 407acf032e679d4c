//! An SVG as PNG.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use super::ReportError;

/// In the program, so that a machine without fonts draws text, and every machine the same.
const FONT: &[u8] = include_bytes!("../../vendor/dejavu/DejaVuSans.ttf");

/// What the font calls itself.
const FAMILY: &str = "DejaVu Sans";

/// Pixels of the picture for each of the SVG, so that text is sharp on dense screens and in print.
const SCALE: f32 = 2.0;

/// The picture in pixels. Fonts of the machine are asked for characters that the own one lacks.
pub(super) fn png(svg: &str) -> Result<Vec<u8>, ReportError> {
    let failed = |reason: String| ReportError::Drawing { reason };
    let mut options = Options { font_family: FAMILY.to_owned(), ..Options::default() };
    let fonts = Arc::make_mut(&mut options.fontdb);
    fonts.load_font_data(FONT.to_vec());
    if !svg.is_ascii() {
        fonts.load_system_fonts();
    }
    fonts.set_sans_serif_family(FAMILY);
    let tree = Tree::from_str(svg, &options).map_err(|error| failed(error.to_string()))?;
    let size =
        tree.size().to_int_size().scale_by(SCALE).ok_or_else(|| failed("it has no size".to_owned()))?;
    let mut pixels =
        Pixmap::new(size.width(), size.height()).ok_or_else(|| failed("it is too large".to_owned()))?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| failed(error.to_string()))
}
