//! The picture of an answer as SVG: the page's own picture functions, run by QuickJS.

use std::path::Path;

use rquickjs::{CatchResultExt as _, Context, Function, Runtime};

use super::ReportError;
use super::page::{ECHARTS, PICTURES};

/// Draws a picture that stands alone.
const STILL: &str = include_str!("page/still.js");

/// The width of a picture in pixels.
const WIDTH: u32 = 960;

/// What the engine may use: a volcano of a hundred thousand points needs a fraction of it.
const MOST_MEMORY: usize = 2 << 30;

/// The layout of a large picture is deep in calls.
const MOST_STACK: usize = 8 << 20;

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Lines and text.
    Svg,
    /// Pixels.
    Png,
}

impl Ending {
    /// The kind that the ending of a file's name says.
    ///
    /// # Errors
    /// [`ReportError::UnknownPicture`] if it says none.
    pub fn of(path: &Path) -> Result<Self, ReportError> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => Err(ReportError::UnknownPicture { path: path.to_owned() }),
        }
    }
}

/// The picture of an answer, which is an array of objects in JSON.
pub(super) fn svg(question: &str, rows: &[u8]) -> Result<String, ReportError> {
    // Read here first, so that a broken answer is no failure of the engine.
    if serde_json::from_slice::<Vec<serde_json::Value>>(rows)?.is_empty() {
        return Err(ReportError::NoRows);
    }
    let rows = String::from_utf8_lossy(rows);
    // The stack that the engine may use must be there, which is not said of a thread that calls this.
    let drawing = std::thread::scope(|scope| {
        let draw = || draw(question, &rows);
        let thread = std::thread::Builder::new().stack_size(2 * MOST_STACK).spawn_scoped(scope, draw);
        thread.map(|thread| thread.join().unwrap_or_else(|_| Err("the engine stopped".to_owned())))
    });
    let drawn = drawing.unwrap_or_else(|error| Err(error.to_string()));
    match drawn {
        Ok(svg) if svg.is_empty() => Err(ReportError::NoPicture { question: question.to_owned() }),
        Ok(svg) => Ok(svg),
        Err(reason) => Err(ReportError::Drawing { reason }),
    }
}

fn draw(question: &str, rows: &str) -> Result<String, String> {
    let runtime = Runtime::new().map_err(|error| error.to_string())?;
    runtime.set_memory_limit(MOST_MEMORY);
    runtime.set_max_stack_size(MOST_STACK);
    let context = Context::full(&runtime).map_err(|error| error.to_string())?;
    context.with(|context| {
        let drawn = || {
            for script in [ECHARTS, PICTURES, STILL] {
                context.eval::<(), _>(script)?;
            }
            let still: Function = context.globals().get("drawStill")?;
            still.call((question, rows, WIDTH))
        };
        drawn().catch(&context).map_err(|error| error.to_string())
    })
}
