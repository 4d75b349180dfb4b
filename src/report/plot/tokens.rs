//! Tokens on coloured ground: as a picture, as HTML, in the terminal.

use maud::html as markup;

use super::PlotOptions;
use super::canvas::{Canvas, Pen};
use super::frame::{self, MARGIN, One, WIDTH};
use super::theme;
use crate::Result;
use crate::report::document::Document;
use crate::report::fonts;
use crate::report::number::Rounding;

const SIZE: f64 = 17.0;
const LINE: f64 = 31.0;
const HIGH: f64 = 24.0;

/// The text of a feature as it stood in the input.
fn token<'a>(one: &One<'a>, feature: usize) -> &'a str {
    let value = one.instance.values[feature].as_str();
    if value.is_empty() { &one.document.features[feature].name } else { value }
}

fn largest(one: &One) -> f64 {
    one.output.values.iter().fold(0.0, |m: f64, v| m.max(v.abs()))
}

fn part(value: f64, largest: f64) -> f64 {
    if largest > 0.0 { value / largest } else { 0.0 }
}

pub(super) fn draw(one: &One, options: &PlotOptions) -> String {
    let mut canvas = Canvas::new(WIDTH, options);
    let theme = canvas.theme;
    let title = one.title();
    let top = frame::header(&mut canvas, title.clone(), options);
    let largest = largest(one);
    let right = WIDTH - MARGIN;
    let (mut x, mut y) = (MARGIN, top + HIGH);
    let pen = Pen::new(SIZE, theme.ink).middle();
    for (f, &value) in one.output.values.iter().enumerate() {
        let raw = token(one, f);
        let text = raw.trim();
        let text = if text.is_empty() { "·" } else { text };
        let text = fonts::ellipsize_middle(text, SIZE, pen.weight, right - MARGIN - 10.0);
        let width = pen.width(&text) + 10.0;
        if x + width > right {
            (x, y) = (MARGIN, y + LINE);
        }
        let ground = theme.diverging(part(value, largest));
        let note = format!("{}: {value:+}", raw.trim());
        canvas.pill((x, y - HIGH + 6.5, width, HIGH), 4.0, &theme::hex(ground), &note);
        canvas.text(x + width / 2.0, y, &text, pen.fill(theme::text_on(ground)));
        x += width + 3.0;
        if raw.contains('\n') {
            (x, y) = (MARGIN, y + LINE);
        }
    }
    // The scale, along the bottom.
    let (y, wide) = (y + 34.0, 220.0);
    const STEPS: usize = 60;
    for i in 0..STEPS {
        let t = (i as f64 + 0.5) / STEPS as f64 * 2.0 - 1.0;
        let step = wide / STEPS as f64;
        canvas.rect(MARGIN + step * i as f64, y, step + 0.5, 10.0, &theme::hex(theme.diverging(t)), "");
    }
    let round = Rounding::for_largest(largest);
    let small = Pen::new(11.0, theme.muted);
    canvas.text(MARGIN, y + 24.0, &round.signed(-largest), small);
    canvas.text(MARGIN + wide, y + 24.0, &round.signed(largest), small.end());
    canvas.text(MARGIN + wide / 2.0, y + 24.0, "0", small.middle());
    let caption = frame::effect(one.document, one.output);
    let room = right - MARGIN - wide - 16.0;
    let caption = fonts::ellipsize_middle(&caption, 12.0, small.weight, room);
    canvas.text(MARGIN + wide + 16.0, y + 9.5, &caption, Pen::new(12.0, theme.ink));
    canvas.height = y + 40.0;
    canvas.finish(&format!("Tokens: {}. {}", title.0, title.1))
}

/// The tokens as an HTML fragment, one `<span>` each with its number as `title`; no style sheet needed.
///
/// # Errors
/// Those of [`super::svg`].
pub fn html(document: &Document, options: &PlotOptions) -> Result<String> {
    document.validate()?;
    let one = One::new(document, options)?;
    let theme = options.theme.theme();
    let largest = largest(&one);
    let style = |value: f64| {
        let ground = theme.diverging(part(value, largest));
        format!(
            "background:{};color:{};border-radius:4px;padding:1px 4px;margin:1px;white-space:pre-wrap;\
             print-color-adjust:exact;-webkit-print-color-adjust:exact",
            theme::hex(ground),
            theme::text_on(ground)
        )
    };
    let fragment = markup! {
        p class="tokens" style="line-height:2" {
            @for (f, &value) in one.output.values.iter().enumerate() {
                @let raw = token(&one, f);
                span style=(style(value)) title=(format!("{value:+}")) { (raw.trim()) }
                @if raw.contains('\n') { br; } @else { " " }
            }
        }
    };
    Ok(fragment.into_string())
}

/// The tokens as lines of at most `width` columns: on coloured ground if `colour`, else the strong ones followed by their number.
///
/// # Errors
/// Those of [`super::svg`].
pub fn terminal(document: &Document, options: &PlotOptions, colour: bool, width: usize) -> Result<String> {
    use crate::report::terminal::clean;
    use unicode_width::UnicodeWidthStr;

    document.validate()?;
    let one = One::new(document, options)?;
    let largest = largest(&one);
    let round = Rounding::for_largest(largest);
    let theme = options.theme.theme();
    let (mut text, mut used) = (String::new(), 0);
    for (f, &value) in one.output.values.iter().enumerate() {
        let raw = token(&one, f);
        let word = clean(raw.trim());
        let strong = largest > 0.0 && value.abs() >= largest * 0.1;
        let said = match (colour, strong) {
            (false, true) => format!("{word}[{}]", round.signed(value)),
            _ => word,
        };
        let columns = said.width();
        if used > 0 && used + 1 + columns > width {
            text.push('\n');
            used = 0;
        } else if used > 0 {
            text.push(' ');
            used += 1;
        }
        if colour && value != 0.0 {
            let ground = theme.diverging(part(value, largest));
            let [r, g, b] = ground;
            let ink = if theme::text_on(ground) == "#ffffff" { "97" } else { "30" };
            text += &format!("\x1b[{ink};48;2;{r};{g};{b}m{said}\x1b[0m");
        } else {
            text += &said;
        }
        used += columns;
        if raw.contains('\n') {
            text.push('\n');
            used = 0;
        }
    }
    text.push('\n');
    Ok(text)
}
