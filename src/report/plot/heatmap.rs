//! Features × instances, similar instances side by side.

use std::fmt::Write as _;
use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::{ImageFormat, Rgb, RgbImage};

use super::PlotOptions;
use super::axis::Axis;
use super::canvas::{Canvas, Pen, n};
use super::frame::{self, MARGIN, Many, WIDTH};
use super::{order, theme};
use crate::report::number::{self, Rounding};
use crate::{Error, Result};

const ROW: f64 = 26.0;
/// The curve of outputs above the cells.
const CURVE: f64 = 46.0;
/// The bars of mean |attribution| at the right.
const BARS: f64 = 70.0;
/// Up to this many cells each is a mark with its note; more are one picture.
const MANY_CELLS: usize = 3000;

pub(super) fn draw(many: &Many, options: &PlotOptions) -> Result<String> {
    let rows = many.rows(options.top);
    let count = many.outputs.len();
    let mut canvas = Canvas::new(WIDTH, options);
    let theme = canvas.theme;
    let title = many.title();
    let top = frame::header(&mut canvas, title.clone(), options) + 6.0;
    let room = frame::names_room(&rows);
    let left = MARGIN + room + 10.0;
    let right = WIDTH - MARGIN - BARS - 74.0;
    let cells = top + CURVE + 10.0;
    let bottom = cells + ROW * rows.len() as f64;

    let table: Vec<Vec<f64>> = many.outputs.iter().map(|o| o.values.clone()).collect();
    let sums: Vec<f64> = many.outputs.iter().map(|o| o.local_prediction).collect();
    let places = order::similar(&table, &sums);

    // The curve of f(x).
    let axis = Axis::padded(sums.iter().copied(), 0.06, top + CURVE, top);
    let wide = (right - left) / count as f64;
    let mut d = String::new();
    for (k, &i) in places.iter().enumerate() {
        let y = n(axis.at(sums[i]));
        let (a, b) = (n(left + wide * k as f64), n(left + wide * (k + 1) as f64));
        let _ = write!(d, "{}{a} {y}H{b}", if k == 0 { "M" } else { "L" });
    }
    let base = many.outputs.iter().map(|o| o.base_value / count as f64).sum::<f64>();
    canvas.dashed((left, axis.at(base)), (right, axis.at(base)), theme.grey);
    canvas.path(&d, theme.ink, 1.3, None, 1.0);
    canvas.text(left - 10.0, top + CURVE / 2.0 + 4.5, "f(x)", Pen::new(frame::NAME, theme.ink).end());

    // Colours end at the 99th percentile, or one outlier would pale all others.
    let values: Vec<Vec<f64>> =
        rows.iter().map(|row| places.iter().map(|&i| many.value(row, i)).collect()).collect();
    let mut sizes: Vec<f64> = values.iter().flatten().map(|v| v.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    // There is at least one feature and instance.
    let (most, strong) = (sizes[sizes.len() - 1], sizes[(sizes.len() - 1) * 99 / 100]);
    let limit = if strong > 0.0 { strong } else { most };
    let colour = |v: f64| theme.diverging(if limit > 0.0 { v / limit } else { 0.0 });
    if count * rows.len() <= MANY_CELLS {
        for (r, (row, values)) in rows.iter().zip(&values).enumerate() {
            for (k, value) in values.iter().enumerate() {
                let instance = &many.document.instances[places[k]];
                let which =
                    instance.row.map_or(format!("instance {}", places[k]), |row| format!("row {row}"));
                let note = format!("{}, {which}: {value:+}", row.name);
                // A little overlap, or hairlines show between the cells.
                let overlap = if k + 1 < count { 0.4 } else { 0.0 };
                let (x, y) = (left + wide * k as f64, cells + ROW * r as f64);
                canvas.rect(x, y, wide + overlap, ROW, &theme::hex(colour(*value)), &note);
            }
        }
    } else {
        let mut picture = RgbImage::new(count as u32, rows.len() as u32);
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            *pixel = Rgb(colour(values[y as usize][x as usize]));
        }
        canvas.picture((left, cells, right - left, bottom - cells), &uri(&picture)?);
    }
    for r in 1..rows.len() {
        let y = cells + ROW * r as f64;
        canvas.line((left, y), (right, y), theme.paper, 1.0);
    }
    canvas.frame((left, cells, right - left, bottom - cells));

    // Names at the left, mean |attribution| at the right.
    let means: Vec<f64> = values.iter().map(|v| v.iter().map(|v| v.abs() / count as f64).sum()).collect();
    let long = Axis::over(means.iter().copied().chain([0.0]), 0.0, BARS);
    let none = means.iter().all(|m| *m == 0.0);
    for (r, row) in rows.iter().enumerate() {
        let y = cells + ROW * (r as f64 + 0.5);
        frame::name(&mut canvas, left - 10.0, y, row, room);
        let length = if none { 0.0 } else { long.at(means[r]) };
        canvas.pill(
            (right + 6.0, y - 7.0, length.max(0.8), 14.0),
            1.5,
            theme.grey,
            &format!("{}: mean |effect| {}", row.name, means[r]),
        );
    }
    // The scale of colours beyond the bars.
    let round = Rounding::for_largest(limit);
    let (x, high) = (WIDTH - MARGIN - 44.0, (bottom - cells).clamp(90.0, 220.0));
    canvas.colour_bar((x, cells, 9.0, high), |t| colour((2.0 * t - 1.0) * limit));
    let pen = Pen::new(10.5, theme.muted);
    let (above, below) = if most > limit { ("≥ ", "≤ ") } else { ("", "") };
    let text = |v: f64| if limit > 0.0 { round.signed(v) } else { "0".into() };
    canvas.text(x + 4.5, cells - 6.0, &format!("{above}{}", text(limit)), pen.middle());
    canvas.text(x + 4.5, cells + high + 14.0, &format!("{below}{}", text(-limit)), pen.middle());
    let caption = frame::effect_kind(many.document);
    let caption = crate::report::fonts::ellipsize_middle(caption, 11.0, pen.weight, high);
    canvas.text_up(x + 26.0, cells + high / 2.0, &caption, Pen::new(11.0, theme.ink));
    let bottom = bottom.max(cells + high);
    let below = format!("{}, similar ones side by side", number::counted(count as u64, "instance"));
    canvas.text((left + right) / 2.0, bottom + 22.0, &below, Pen::new(12.0, theme.ink).middle());
    canvas.height = bottom + 36.0;
    Ok(canvas.finish(&format!("Heat map: {}. {}", title.0, title.1)))
}

fn uri(picture: &RgbImage) -> Result<String> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).map_err(|e| {
        Error::limits(format!("cannot encode the cells: {e}"), "heat map", "plot fewer instances")
    })?;
    Ok(format!("data:image/png;base64,{}", BASE64.encode(bytes.into_inner())))
}
