//! One feature's attribution over its value, coloured by the feature it interacts with most.

use super::PlotOptions;
use super::axis::Axis;
use super::beeswarm::{self, Colours};
use super::canvas::{Canvas, Dot, Pen};
use super::frame::{self, MARGIN, Many};
use super::theme;
use crate::report::fonts;
use crate::report::number::Rounding;
use crate::{Error, Result};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 340.0;
/// Categories beyond this many are told as one.
const MOST: usize = 12;

pub(super) fn draw(many: &Many, options: &PlotOptions) -> Result<String> {
    let features = many.document.features.len();
    let feature = options.feature.unwrap_or_else(|| many.strongest());
    if let Some(f) = [Some(feature), options.by].into_iter().flatten().find(|f| *f >= features) {
        return Err(Error::parameter("there is no such feature", format!("feature {f}"), "count from 0"));
    }
    let by = options.by.or_else(|| partner(many, feature));
    let document = many.document;
    let mut canvas = Canvas::new(WIDTH, options);
    let theme = canvas.theme;
    let (title, subtitle) = many.title();
    let name = &document.features[feature].name;
    let top = frame::header(&mut canvas, (title.clone(), subtitle.clone()), options) + 4.0;
    let bottom = top + HEIGHT;
    let values: Vec<f64> = many.outputs.iter().map(|o| o.values[feature]).collect();
    let up = Axis::padded(values.iter().copied(), 0.05, bottom, top);
    let left = MARGIN + 20.0 + up.left_room();
    let right = WIDTH - MARGIN - if by.is_some() { 62.0 } else { 0.0 };

    up.draw_left(
        &mut canvas,
        left,
        &format!("{} of {name}", frame::effect_kind(document)),
        right,
        MARGIN + 8.0,
    );
    if values.iter().any(|v| *v < 0.0) && values.iter().any(|v| *v > 0.0) {
        canvas.line((left, up.at(0.0)), (right, up.at(0.0)), theme.grey, 1.0);
    }
    let numbers = many.numbers(feature);
    let numeric = numbers.iter().any(|x| x.is_finite());
    let texts: Vec<&str> = document.instances.iter().map(|i| i.values[feature].as_str()).collect();
    let (x, end) = if numeric {
        let axis = Axis::padded(numbers.iter().copied(), 0.03, left, right);
        histogram(&mut canvas, &numbers, &axis, bottom);
        let x = numbers.iter().map(|v| v.is_finite().then(|| axis.at(*v))).collect();
        (x, axis.draw_below(&mut canvas, bottom, name, None))
    } else {
        categories(&mut canvas, &texts, name, (left, right), bottom)
    };
    let shades = by.map(|by| (by, shade(many, by)));
    let dots: Vec<Dot> = x
        .iter()
        .enumerate()
        .filter_map(|(i, x)| {
            let colour = match &shades {
                Some((_, Shades { numbers, colours })) if numbers[i].is_finite() => colours.at(numbers[i]),
                Some(_) => theme.grey_rgb,
                None => theme::end(false),
            };
            let also = shades.as_ref().map_or(String::new(), |(by, _)| {
                format!(", {} = {}", document.features[*by].name, document.instances[i].values[*by])
            });
            let note = format!("{name} = {}{also}: {:+}", texts[i], values[i]);
            Some(Dot { x: (*x)?, y: up.at(values[i]), colour, note })
        })
        .collect();
    canvas.dots(&dots, if dots.len() > 300 { 2.4 } else { 3.2 }, dots.len());
    if let Some((by, Shades { colours, .. })) = &shades {
        let round = Rounding::for_largest(colours.high.abs().max(colours.low.abs()));
        let ends = (round.plain(colours.high), round.plain(colours.low));
        let place = (right + 18.0, top + 18.0, 9.0, HEIGHT - 36.0);
        beeswarm::key(&mut canvas, place, (&ends.0, &ends.1), &document.features[*by].name);
    }
    canvas.height = end + 12.0;
    Ok(canvas.finish(&format!("Dependence on {name}: {title}. {subtitle}")))
}

/// Numbers of the feature that colours the dots, and their scale. Categories count in order of their first appearance.
struct Shades {
    numbers: Vec<f64>,
    colours: Colours,
}

fn shade(many: &Many, by: usize) -> Shades {
    let numbers = many.numbers(by);
    let colours = Colours::of(&numbers);
    Shades { numbers, colours }
}

/// How many instances have which value, in grey behind the dots: where few stand, the plot says little.
fn histogram(canvas: &mut Canvas, numbers: &[f64], axis: &Axis, bottom: f64) {
    const BINS: usize = 24;
    const HIGH: f64 = 44.0;
    let places: Vec<f64> = numbers.iter().filter(|x| x.is_finite()).map(|x| axis.at(*x)).collect();
    if places.len() < 2 * BINS {
        return;
    }
    let (low, high) = places.iter().fold((f64::MAX, 0f64), |(l, h), x| (l.min(*x), h.max(*x)));
    let wide = ((high - low) / BINS as f64).max(1.0);
    let mut bins = [0usize; BINS];
    for x in places {
        bins[(((x - low) / wide) as usize).min(BINS - 1)] += 1;
    }
    let most = bins.iter().copied().max().unwrap_or(1).max(1) as f64;
    let fill = canvas.theme.rule;
    for (i, count) in bins.into_iter().enumerate().filter(|(_, count)| *count > 0) {
        let tall = HIGH * count as f64 / most;
        canvas.rect(low + wide * i as f64, bottom - tall, wide, tall, fill, &format!("{count} instances"));
    }
}

/// Columns of categories, dots of one side by side; the instances' x and where the axis ends.
fn categories(
    canvas: &mut Canvas,
    texts: &[&str],
    name: &str,
    (left, right): (f64, f64),
    bottom: f64,
) -> (Vec<Option<f64>>, f64) {
    let theme = canvas.theme;
    let mut found: Vec<(&str, usize)> = Vec::new();
    for text in texts {
        match found.iter_mut().find(|(t, _)| t == text) {
            Some((_, count)) => *count += 1,
            None => found.push((text, 1)),
        }
    }
    found.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let rest = found.len() > MOST;
    found.truncate(if rest { MOST - 1 } else { MOST });
    let columns = found.len() + usize::from(rest);
    let wide = (right - left) / columns as f64;
    let pen = Pen::new(11.0, theme.muted).middle();
    let column = |text: &str| found.iter().position(|(t, _)| *t == text).unwrap_or(columns - 1);
    canvas.line((left, bottom), (right, bottom), theme.muted, 1.0);
    for c in 0..columns {
        let label = found.get(c).map_or("others", |(text, _)| text);
        let label = fonts::ellipsize_middle(label, 11.0, pen.weight, wide - 6.0);
        canvas.text(left + wide * (c as f64 + 0.5), bottom + 16.0, &label, pen);
    }
    let caption = fonts::ellipsize_middle(name, 12.0, pen.weight, right - left);
    canvas.text((left + right) / 2.0, bottom + 35.0, &caption, Pen::new(12.0, theme.ink).middle());
    // Spread within the column by the golden ratio: even, and the same each time.
    let mut seen = vec![0usize; columns];
    let x = texts.iter().map(|text| {
        let c = column(text);
        seen[c] += 1;
        let spread = (seen[c] as f64 * 0.618_033_988_75).fract() - 0.5;
        Some(left + wide * (c as f64 + 0.5 + 0.5 * spread))
    });
    (x.collect(), bottom + 42.0)
}

/// The feature that seems to interact most with `feature`: along the instances in order of the feature, in windows of a tenth
/// (at most 50), the |correlation| of the attribution with each other feature's number, summed up. shap's
/// `approximate_interactions`.
fn partner(many: &Many, feature: usize) -> Option<usize> {
    let own = many.numbers(feature);
    let mut order: Vec<usize> = (0..own.len()).collect();
    order.sort_by(|&a, &b| own[a].total_cmp(&own[b]));
    let window = (order.len() / 10).clamp(2, 50);
    let values: Vec<f64> = order.iter().map(|&i| many.outputs[i].values[feature]).collect();
    let mut best: Option<(f64, usize)> = None;
    for other in (0..many.document.features.len()).filter(|&f| f != feature) {
        let numbers = many.numbers(other);
        let numbers: Vec<f64> = order.iter().map(|&i| numbers[i]).collect();
        if numbers.iter().any(|x| !x.is_finite()) {
            continue;
        }
        let pairs = values.chunks(window).zip(numbers.chunks(window));
        let score: f64 = pairs.map(|(v, x)| correlation(v, x).abs()).sum();
        if best.is_none_or(|(most, _)| score > most) {
            best = Some((score, other));
        }
    }
    best.filter(|(score, _)| *score > 0.0).map(|(_, other)| other)
}

/// Pearson's correlation; 0 where either side does not vary.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let normal = |x: &[f64]| -> Option<Vec<f64>> {
        let largest = x.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let mean = x.iter().map(|v| v / largest / x.len() as f64).sum::<f64>();
        let centred: Vec<f64> = x.iter().map(|v| v / largest - mean).collect();
        let norm = centred.iter().map(|v| v * v).sum::<f64>().sqrt();
        (norm > 1e-9).then(|| centred.into_iter().map(|v| v / norm).collect())
    };
    match (normal(a), normal(b)) {
        (Some(a), Some(b)) => a.iter().zip(b).map(|(a, b)| a * b).sum(),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::{Document, Feature, Instance, Output};

    #[test]
    fn the_partner_is_the_feature_of_the_product() {
        // value of a = a·c, and b is noise.
        let instance = |i: usize| {
            let (a, b, c) = ((i % 17) as f64 - 8.0, (i * 7 % 13) as f64, (i * 5 % 11) as f64 - 5.0);
            Instance {
                row: None,
                values: vec![a.to_string(), b.to_string(), c.to_string()],
                numbers: vec![a, b, c],
                outputs: vec![Output::new(0, "y", a * c, 0.0, vec![a * c, 0.0, 0.0])],
            }
        };
        let document = Document {
            features: ["a", "b", "c"].map(Feature::new).to_vec(),
            instances: (0..400).map(instance).collect(),
            ..Document::default()
        };
        let many = Many::new(&document, &PlotOptions::default()).unwrap();
        assert_eq!(partner(&many, 0), Some(2));
        assert!(correlation(&[1.0, 1.0], &[0.0, 1.0]) == 0.0);
        assert!((correlation(&[1.0, 2.0, 3.0], &[-1.0, -2.0, -3.0]) + 1.0).abs() < 1e-12);
    }
}
