//! How well the explanation fits: weighted R², what it adds up to, stability.

use super::PlotOptions;
use super::axis::Axis;
use super::beeswarm;
use super::canvas::{Canvas, Dot, Pen};
use super::frame::{self, MARGIN, Many, One, WIDTH};
use super::theme;
use crate::report::document::Output;
use crate::report::fonts;
use crate::report::number::{self, Rounding};

const STRIP: f64 = 44.0;
const NAMES: f64 = 230.0;
/// The number at the right of a strip.
const SAID: f64 = 150.0;
const SQUARE: f64 = 300.0;

/// A quantity of each instance on its own scale.
struct Strip {
    name: &'static str,
    /// In one short sentence.
    about: &'static str,
    values: Vec<f64>,
    ends: Option<(f64, f64)>,
}

pub(super) fn draw(many: &Many, options: &PlotOptions) -> String {
    let mut canvas = Canvas::new(WIDTH, options);
    let theme = canvas.theme;
    let alone = many.outputs.len() == 1;
    let one = One::new(many.document, &PlotOptions { instance: 0, ..options.clone() });
    let title = match (alone, one) {
        (true, Ok(one)) => one.title(),
        _ => many.title(),
    };
    let mut y = frame::header(&mut canvas, title.clone(), options) + 10.0;
    for strip in strips(many) {
        y = self::strip(&mut canvas, y, &strip);
    }
    // What the network says against what the explanation adds up to.
    let left = MARGIN + 30.0;
    let says: Vec<f64> = many.outputs.iter().map(|o| o.prediction).collect();
    let sums: Vec<f64> = many.outputs.iter().map(|o| o.local_prediction).collect();
    y += 12.0;
    let ends = says.iter().chain(&sums).copied();
    let up = Axis::padded(ends.clone(), 0.06, y + SQUARE, y);
    let left = left + up.left_room();
    let along = Axis::padded(ends, 0.06, left, left + SQUARE);
    up.draw_left(&mut canvas, left, "the explanation adds up to", left + SQUARE, MARGIN + 8.0);
    canvas.dashed((left, y + SQUARE), (left + SQUARE, y), theme.grey);
    let dots: Vec<Dot> = (0..says.len())
        .map(|i| {
            let note = format!("the network says {}, the explanation {}", says[i], sums[i]);
            Dot { x: along.at(says[i]), y: up.at(sums[i]), colour: theme::end(false), note }
        })
        .collect();
    canvas.dots(&dots, if alone { 4.5 } else { 2.6 }, dots.len());
    let bottom = along.draw_below(&mut canvas, y + SQUARE, "the network says", None);
    facts(&mut canvas, many, (left + SQUARE + 36.0, y + 12.0));
    canvas.height = bottom + 12.0;
    canvas.finish(&format!("Fidelity: {}. {}", title.0, title.1))
}

fn strips(many: &Many) -> Vec<Strip> {
    let of = |f: &dyn Fn(usize) -> Option<f64>| -> Vec<f64> {
        (0..many.outputs.len()).filter_map(f).filter(|x| x.is_finite()).collect()
    };
    let stability = |i: usize| many.outputs[i].stability.as_ref();
    let all = [
        Strip {
            name: "Weighted R²",
            about: "variation near the instance explained",
            values: of(&|i| Some(many.outputs[i].weighted_r_squared)),
            ends: Some((0.0, 1.0)),
        },
        Strip {
            name: "Stable features (VSI)",
            about: "repeated runs choose the same ones",
            values: of(&|i| stability(i).map(|s| s.variables)),
            ends: Some((0.0, 100.0)),
        },
        Strip {
            name: "Stable effects (CSI)",
            about: "repeated runs agree on their sizes",
            values: of(&|i| stability(i).map(|s| s.coefficients)),
            ends: Some((0.0, 100.0)),
        },
        Strip {
            name: "Additivity gap",
            about: "output minus base and attributions",
            values: of(&|i| Some(gap(many.outputs[i]))),
            ends: None,
        },
    ];
    all.into_iter().filter(|strip| !strip.values.is_empty()).collect()
}

/// What the attributions leave unexplained; 0 if it is no more than rounding in single precision.
fn gap(output: &Output) -> f64 {
    let gap = output.prediction - output.local_prediction;
    let size = output.prediction.abs().max(output.base_value.abs());
    if gap.abs() <= 1e-5 * size { 0.0 } else { gap }
}

/// One line: the name, a scale with a dot an instance, the median. Gives where the next begins.
fn strip(canvas: &mut Canvas, y: f64, strip: &Strip) -> f64 {
    let theme = canvas.theme;
    let (left, right) = (MARGIN + NAMES, WIDTH - MARGIN - SAID);
    let middle = y + STRIP / 2.0 - 4.0;
    canvas.text(MARGIN, middle - 2.0, strip.name, Pen::new(13.0, theme.ink).bold());
    canvas.text(MARGIN, middle + 13.0, strip.about, Pen::new(10.5, theme.muted));
    if strip.ends.is_none() && strip.values.iter().all(|v| *v == 0.0) {
        canvas.text(WIDTH - MARGIN, middle + 5.0, "rounding only", Pen::new(13.0, theme.ink).bold().end());
        return y + STRIP;
    }
    // A fit can be worse than none: the scale then begins below 0.
    let ends = strip.ends.map_or([0.0; 2], |(low, high)| [low, high]);
    let axis = Axis::over(strip.values.iter().copied().chain(ends), left, right);
    canvas.line((left, middle), (right, middle), theme.rule, 1.5);
    let ticks = axis.ticks(if strip.ends.is_some() { 4 } else { 2 });
    let pen = Pen::new(10.0, theme.muted).middle();
    for (value, label) in ticks.at.iter().zip(&ticks.labels) {
        let x = axis.at(*value);
        canvas.line((x, middle - 3.0), (x, middle + 3.0), theme.muted, 1.0);
        canvas.text(x, middle + 20.0, label, pen);
    }
    let x: Vec<f64> = strip.values.iter().map(|v| axis.at(*v)).collect();
    let offsets = beeswarm::swarm(&x, 9.0);
    let colour = theme::end(false);
    let alone = x.len() == 1;
    let dots: Vec<Dot> = (0..x.len())
        .map(|i| Dot {
            x: x[i],
            y: middle + offsets[i],
            colour,
            note: format!("{}: {}", strip.name, strip.values[i]),
        })
        .collect();
    canvas.dots(&dots, if alone { 5.5 } else { 2.4 }, dots.len());
    let mut sorted = strip.values.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let round = match strip.ends {
        Some((_, high)) => Rounding::Decimals(if high > 1.0 { 0 } else { 3 }),
        None => Rounding::for_largest(median.abs()),
    };
    let said = if alone { round.plain(median) } else { format!("median {}", round.plain(median)) };
    canvas.text(WIDTH - MARGIN, middle + 5.0, &said, Pen::new(13.0, theme.ink).bold().end());
    y + STRIP
}

/// What to read beside the square.
fn facts(canvas: &mut Canvas, many: &Many, (x, y): (f64, f64)) {
    let theme = canvas.theme;
    let features = many.document.features.len();
    let mut facts = Vec::new();
    let known: Vec<_> =
        many.outputs.iter().flat_map(|o| (0..features).filter_map(|f| o.interval(f))).collect();
    if known.is_empty() {
        facts.push(("Standard errors".to_owned(), "unknown".to_owned(), "the method gives none".to_owned()));
    } else {
        let clear = known.iter().filter(|[low, high]| *low > 0.0 || *high < 0.0).count();
        let of = format!("{} of {}", number::count(clear as u64), number::count(known.len() as u64));
        facts.push((
            "Clear of zero".to_owned(),
            of,
            "attributions whose 95 % interval excludes 0".to_owned(),
        ));
    }
    if many.document.evaluations > 0 {
        let evaluations = number::count(many.document.evaluations);
        facts.push(("Evaluations".to_owned(), evaluations, "of the network, for all of these".to_owned()));
    }
    let room = WIDTH - MARGIN - x;
    for (i, (name, value, about)) in facts.iter().enumerate() {
        let y = y + 66.0 * i as f64;
        canvas.text(x, y, name, Pen::new(11.5, theme.muted));
        canvas.text(x, y + 21.0, value, Pen::new(17.0, theme.ink).bold());
        let about = fonts::ellipsize(about, 10.5, fonts::Weight::Regular, room);
        canvas.text(x, y + 37.0, &about, Pen::new(10.5, theme.muted));
    }
}
