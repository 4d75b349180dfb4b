//! All explained classes in one picture, on one colour scale, so that their maps compare.

use maud::html;

use super::figure::{gradient, heading, quiet_filter, scale_bar};
use super::fonts::{self, Weight, ellipsize};
use super::image_report::ImageReport;
use super::number::{Rounding, counted, output};
use super::overlay::{Drawing, number};
use super::{FigureOptions, View};
use crate::Result;

const MARGIN: f64 = 40.0;
const GAP: f64 = 20.0;
/// Panels in a row at most.
const COLUMNS: usize = 4;
/// Points of a panel's longer side.
const PANEL: f64 = 300.0;
/// Room for a panel's two lines of caption.
const CAPTION: f64 = 44.0;
/// A picture is not narrower than its title and scale need.
const NARROWEST: f64 = 480.0;

/// Draws the photo and the map of each class as SVG text.
///
/// # Errors
/// [`Error::Limits`](crate::Error::Limits) if a layer cannot be encoded.
pub(super) fn figure(report: &ImageReport, drawing: &Drawing, options: &FigureOptions) -> Result<String> {
    let theme = options.theme.theme();
    let largest = report.classes.iter().map(|class| class.largest()).fold(0.0, f64::max);
    let layers = report
        .classes
        .iter()
        .map(|class| drawing.layer(&View::Classes.colours(class, largest, theme.paper_rgb()), [0; 4]));
    let layers: Vec<String> = layers.collect::<Result<_>>()?;
    let (w0, h0) = (f64::from(drawing.width), f64::from(drawing.height));
    let shrink = PANEL / w0.max(h0);
    let (panel_w, panel_h) = ((w0 * shrink).max(4.0), (h0 * shrink).max(4.0));
    let cell = panel_w.max(120.0);
    let panels = layers.len() + 1;
    let columns = panels.min(COLUMNS);
    let rows = panels.div_ceil(columns);
    let content = (columns as f64 * (cell + GAP) - GAP).max(NARROWEST);
    let top = MARGIN + 24.0;
    let place = |i: usize| {
        let (row, column) = (i / columns, i % columns);
        (MARGIN + column as f64 * (cell + GAP), top + row as f64 * (panel_h + CAPTION + GAP) + CAPTION)
    };
    let bar = top + rows as f64 * (panel_h + CAPTION + GAP) + 22.0;
    let (width, height) = (content + 2.0 * MARGIN, bar + 64.0);
    let scale = report.classes[0].scale;
    let round = Rounding::for_largest(largest);
    let ends =
        [format!("{} against", round.signed(-largest)), "0".into(), format!("for {}", round.signed(largest))];
    let caption = |i: usize| match i.checked_sub(1) {
        None => ("Photo".to_owned(), counted(report.segments.count as u64, "segment")),
        Some(k) => {
            let class = &report.classes[k];
            (class.short_name().to_owned(), output(class.scale, class.value))
        }
    };
    let title = format!("{} · {}", report.method, report.network);
    let effect = format!("Effect on a class’s {} when the segment is shown, one scale for all", scale.name());
    let view_box = format!("0 0 {} {}", drawing.width, drawing.height);
    let markup = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(number(width)) height=(number(height))
            viewBox={ "0 0 " (number(width)) " " (number(height)) }
            font-family={ "'" (fonts::FAMILY) "', Verdana, sans-serif" } role="img" {
            title { (fonts::drawable(&title)) }
            defs {
                image id="photo" width=(drawing.width) height=(drawing.height) href=(drawing.photo)
                    preserveAspectRatio="none" {}
                (quiet_filter())
                (gradient(View::Classes))
            }
            rect width="100%" height="100%" fill=(theme.paper) {}
            text x=(MARGIN) y=(MARGIN + 4.0) font-size="13" fill=(theme.muted) {
                (ellipsize(&title, 13.0, Weight::Regular, content))
            }
            @for i in 0..panels {
                @let (x, y) = place(i);
                @let (name, value) = caption(i);
                text x=(number(x)) y=(number(y - 25.0)) font-size="13" font-weight="700" fill=(theme.ink) {
                    (ellipsize(&name, 13.0, Weight::Bold, cell))
                }
                text x=(number(x)) y=(number(y - 8.0)) font-size="12" fill=(theme.muted) { (value) }
                svg x=(number(x)) y=(number(y)) width=(number(panel_w)) height=(number(panel_h))
                    viewBox=(view_box) preserveAspectRatio="none" {
                    @if i == 0 {
                        use href="#photo" {}
                    } @else {
                        use href="#photo" filter="url(#quiet)" {}
                        image width=(drawing.width) height=(drawing.height) href=(layers[i - 1])
                            preserveAspectRatio="none" {}
                    }
                }
                rect x=(number(x)) y=(number(y)) width=(number(panel_w)) height=(number(panel_h))
                    fill="none" stroke=(theme.ink) stroke-opacity="0.18" {}
            }
            (heading(&effect, MARGIN, bar - 12.0, content, theme))
            (scale_bar((MARGIN, bar), content, &ends, theme))
        }
    };
    Ok(markup.into_string())
}
