//! Groups of instances side by side.

use super::PlotOptions;
use super::bars::{self, Bar};
use super::canvas::Canvas;
use super::frame::{self, Many, WIDTH};
use crate::report::number::{self, Rounding};
use crate::{Error, Result};

/// More groups than this are too many to compare; the smaller ones become one.
const MOST: usize = 4;
/// Distinct numbers up to which a numeric feature counts as a category.
const FEW_NUMBERS: usize = 4;
/// Colours that colour-blind readers tell apart (Okabe and Ito, 2008), the last for what remains.
const COLOURS: [&str; MOST + 1] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#8996a5"];

pub(super) fn draw(many: &Many, options: &PlotOptions) -> Result<String> {
    let by = options.by.unwrap_or_else(|| many.strongest());
    let groups = groups(many, by)?;
    let rows = many.rows(options.top);
    let mut canvas = Canvas::new(WIDTH, options);
    let title = many.title();
    let top = frame::header(&mut canvas, title.clone(), options);
    let keys: Vec<(String, String)> = groups
        .iter()
        .zip(COLOURS)
        .map(|((name, members), fill)| {
            (format!("{name} ({})", number::count(members.len() as u64)), fill.to_owned())
        })
        .collect();
    let top = bars::legend(&mut canvas, top, &keys, false);
    let bars: Vec<Vec<Bar>> = rows
        .iter()
        .map(|row| {
            let bar = |((name, members), fill): (&(String, Vec<usize>), &str)| {
                let of =
                    |i: usize| row.features.iter().map(|&f| many.outputs[i].values[f].abs()).sum::<f64>();
                let value = members.iter().map(|&i| of(i) / members.len() as f64).sum();
                Bar {
                    value,
                    interval: None,
                    fill: fill.to_owned(),
                    note: format!("{} where {name}: {value}", row.full()),
                }
            };
            groups.iter().zip(COLOURS).map(bar).collect()
        })
        .collect();
    let caption = format!("Mean |{}|", frame::effect(many.document, many.outputs[0]));
    canvas.height = bars::draw(&mut canvas, top, &rows, &bars, &caption, false) + 12.0;
    Ok(canvas.finish(&format!("Groups: {}. {}", title.0, title.1)))
}

/// Instances by a feature: above and below the median of a number, or each category.
fn groups(many: &Many, by: usize) -> Result<Vec<(String, Vec<usize>)>> {
    let Some(feature) = many.document.features.get(by) else {
        return Err(no_feature(by));
    };
    let name = &feature.name;
    let numbers = many.numbers(by);
    let mut distinct: Vec<f64> = numbers.iter().copied().filter(|x| !x.is_nan()).collect();
    distinct.sort_by(f64::total_cmp);
    let middle = distinct.get(distinct.len() / 2).copied();
    distinct.dedup();
    if let (Some(median), true) = (middle, distinct.len() > FEW_NUMBERS) {
        // The median itself counts as low unless nothing would be high.
        let cut = if median < distinct[distinct.len() - 1] { median } else { distinct[distinct.len() - 2] };
        let text = Rounding::for_largest(cut.abs()).plain(cut);
        let select = |keep: &dyn Fn(f64) -> bool| (0..numbers.len()).filter(|&i| keep(numbers[i])).collect();
        let all: [(String, Vec<usize>); 3] = [
            (format!("{name} ≤ {text}"), select(&|x| x <= cut)),
            (format!("{name} > {text}"), select(&|x| x > cut)),
            (format!("{name} unknown"), select(&|x| x.is_nan())),
        ];
        return Ok(all.into_iter().filter(|(_, members)| !members.is_empty()).collect());
    }
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    for (i, instance) in many.document.instances.iter().enumerate() {
        let label = format!("{name} = {}", instance.values[by]);
        match groups.iter_mut().find(|(name, _)| *name == label) {
            Some((_, members)) => members.push(i),
            None => groups.push((label, vec![i])),
        }
    }
    groups.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
    if groups.len() > MOST + 1 {
        let others = groups.split_off(MOST);
        let label = format!("{} other values", others.len());
        groups.push((label, others.into_iter().flat_map(|(_, members)| members).collect()));
    }
    Ok(groups)
}

fn no_feature(feature: usize) -> Error {
    Error::parameter("there is no such feature", format!("feature {feature}"), "count from 0")
}
