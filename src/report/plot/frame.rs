//! What all plots share: the data in view, the order of features, the header and the names.

use super::PlotOptions;
use super::canvas::{Canvas, Pen};
use crate::report::document::{Document, Explained, Instance, Kind, Output};
use crate::report::fonts::{self, Weight};
use crate::report::number::{self, Rounding};
use crate::{Error, Result};

/// The width of most plots.
pub(super) const WIDTH: f64 = 720.0;
pub(super) const MARGIN: f64 = 24.0;
/// The height of a feature's row.
pub(super) const ROW: f64 = 30.0;
/// The widest that names at the left may get.
const NAMES: f64 = 236.0;
/// The size of names.
pub(super) const NAME: f64 = 12.5;

/// One instance and one output.
pub(super) struct One<'a> {
    pub(super) document: &'a Document,
    pub(super) instance: &'a Instance,
    pub(super) output: &'a Output,
}

/// All instances and one output.
pub(super) struct Many<'a> {
    pub(super) document: &'a Document,
    pub(super) outputs: Vec<&'a Output>,
    /// Mean |attribution| of each feature.
    pub(super) importance: Vec<f64>,
}

/// A row of a plot: a feature, or all that are not shown by name.
pub(super) struct Row {
    pub(super) name: String,
    /// ` = 39`, or empty.
    pub(super) tail: String,
    pub(super) features: Vec<usize>,
}

impl<'a> One<'a> {
    pub(super) fn new(document: &'a Document, options: &PlotOptions) -> Result<Self> {
        let instance = document.instances.get(options.instance).ok_or_else(|| {
            let at = format!("instance {} of {}", options.instance, document.instances.len());
            Error::parameter("there is no such instance", at, "count from 0")
        })?;
        Ok(One { document, instance, output: output(instance, options.output)? })
    }

    /// The strongest features, as many as asked for, and one row for all others.
    pub(super) fn rows(&self, top: usize) -> Vec<Row> {
        let magnitudes: Vec<f64> = self.output.values.iter().map(|v| v.abs()).collect();
        rows(self.document, &magnitudes, Some(self.instance), top)
    }

    /// The sum of a row's attributions.
    pub(super) fn value(&self, row: &Row) -> f64 {
        row.features.iter().map(|&f| self.output.values[f]).sum()
    }

    pub(super) fn title(&self) -> (String, String) {
        let value = Rounding::for_largest(self.output.prediction.abs()).plain(self.output.prediction);
        let title = quantity(self.document, self.output);
        (format!("{title} = {value}"), subtitle(self.document, Some(self.instance)))
    }
}

fn output(instance: &Instance, position: usize) -> Result<&Output> {
    instance.outputs.get(position).ok_or_else(|| {
        let at = format!("output {position} of {}", instance.outputs.len());
        Error::parameter("there is no such explained output", at, "count from 0")
    })
}

impl<'a> Many<'a> {
    pub(super) fn new(document: &'a Document, options: &PlotOptions) -> Result<Self> {
        let outputs: Vec<&Output> =
            document.instances.iter().map(|i| output(i, options.output)).collect::<Result<_>>()?;
        let n = outputs.len() as f64;
        let mean = |f: usize| outputs.iter().map(|o| o.values[f].abs() / n).sum();
        let importance = (0..document.features.len()).map(mean).collect();
        Ok(Many { document, outputs, importance })
    }

    pub(super) fn rows(&self, top: usize) -> Vec<Row> {
        rows(self.document, &self.importance, None, top)
    }

    /// The sum of a row's attributions for an instance.
    pub(super) fn value(&self, row: &Row, instance: usize) -> f64 {
        row.features.iter().map(|&f| self.outputs[instance].values[f]).sum()
    }

    /// The feature that matters most.
    pub(super) fn strongest(&self) -> usize {
        let order = (0..self.importance.len()).rev();
        // There is at least one feature; the first of equals wins.
        order.max_by(|&a, &b| self.importance[a].total_cmp(&self.importance[b])).unwrap_or(0)
    }

    /// The number of a feature for each instance; NaN where it has none.
    pub(super) fn numbers(&self, feature: usize) -> Vec<f64> {
        self.document.instances.iter().map(|i| i.numbers[feature]).collect()
    }

    pub(super) fn title(&self) -> (String, String) {
        let count = number::counted(self.outputs.len() as u64, "instance");
        (format!("{}, {count}", quantity(self.document, self.outputs[0])), subtitle(self.document, None))
    }
}

fn rows(document: &Document, magnitudes: &[f64], instance: Option<&Instance>, top: usize) -> Vec<Row> {
    let mut order: Vec<usize> = (0..magnitudes.len()).collect();
    order.sort_by(|&a, &b| magnitudes[b].total_cmp(&magnitudes[a]));
    // One other feature is shown by its own name.
    let named = if order.len() == top + 1 { top + 1 } else { top.min(order.len()) };
    let others = order.split_off(named);
    let mut rows: Vec<Row> = order.into_iter().map(|f| Row::feature(document, f, instance)).collect();
    if !others.is_empty() {
        let noun = if document.kind == Kind::Image { "segment" } else { "feature" };
        let name = number::counted(others.len() as u64, &format!("other {noun}"));
        rows.push(Row { name, tail: String::new(), features: others });
    }
    rows
}

impl Row {
    fn feature(document: &Document, feature: usize, instance: Option<&Instance>) -> Self {
        let name = document.features[feature].name.clone();
        let value = instance.map_or("", |i| i.values[feature].trim());
        // The value of a token is the token.
        let said = value.is_empty() || (document.kind == Kind::Text && value == name.trim());
        let tail = if said { String::new() } else { format!(" = {value}") };
        Row { name, tail, features: vec![feature] }
    }

    pub(super) fn is_other(&self) -> bool {
        self.features.len() != 1
    }

    pub(super) fn full(&self) -> String {
        format!("{}{}", self.name, self.tail)
    }

    /// The label within `room`: the value stays whole as long as it takes less than half.
    pub(super) fn label(&self, room: f64, size: f64) -> String {
        let pen = Pen::new(size, "");
        if pen.width(&self.full()) <= room {
            return fonts::drawable(&self.full());
        }
        let least = room - pen.width(&self.name).min(room * 0.5);
        let tail = fonts::ellipsize_middle(&self.tail, size, Weight::Regular, least);
        let rest = room - pen.width(&tail);
        format!("{}{tail}", fonts::ellipsize_middle(&self.name, size, Weight::Regular, rest))
    }
}

/// The room that the names of rows need, within bounds.
pub(super) fn names_room<'r>(rows: impl IntoIterator<Item = &'r Row>) -> f64 {
    let pen = Pen::new(NAME, "");
    rows.into_iter().map(|row| pen.width(&row.full())).fold(40.0, f64::max).min(NAMES)
}

/// Draws a row's name so that it ends at `x`.
pub(super) fn name(canvas: &mut Canvas, x: f64, y: f64, row: &Row, room: f64) {
    let fill = if row.is_other() { canvas.theme.muted } else { canvas.theme.ink };
    canvas.text(x, y + 4.5, &row.label(room, NAME), Pen::new(NAME, fill).end());
}

/// Says what the picture shows; gives where the plot may begin.
pub(super) fn header(canvas: &mut Canvas, (title, subtitle): (String, String), options: &PlotOptions) -> f64 {
    if !options.header {
        return 14.0;
    }
    let room = canvas.width - 2.0 * MARGIN;
    let title = fonts::ellipsize_middle(&title, 16.0, Weight::Bold, room);
    canvas.text(MARGIN, 33.0, &title, Pen::new(16.0, canvas.theme.ink).bold());
    let subtitle = fonts::ellipsize_middle(&subtitle, 11.5, Weight::Regular, room);
    canvas.text(MARGIN, 52.0, &subtitle, Pen::new(11.5, canvas.theme.muted));
    70.0
}

/// Method, network and row.
fn subtitle(document: &Document, instance: Option<&Instance>) -> String {
    let row = instance.and_then(|i| i.row).map(|row| format!("row {row}"));
    let parts = [Some(document.method.clone()), Some(document.network.clone()), row];
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

/// What the explained numbers are, as a reader would write it.
pub(in crate::report) fn quantity(document: &Document, output: &Output) -> String {
    let name = &output.name;
    match document.explained {
        Explained::Probability if document.link == "logit" => format!("log-odds of {name}"),
        Explained::Probability => format!("P({name})"),
        Explained::Logit => format!("logit of {name}"),
        Explained::Score => format!("score of {name}"),
        Explained::Value => name.clone(),
    }
}

/// Whether the attributions are Shapley values, or at least meant to be.
fn is_shapley(document: &Document) -> bool {
    let method = document.method.to_lowercase();
    method.contains("shap")
}

/// What an attribution is called.
pub(super) fn effect_kind(document: &Document) -> &'static str {
    if is_shapley(document) { "SHAP value" } else { "Effect" }
}

/// The caption of an axis of attributions.
pub(super) fn effect(document: &Document, output: &Output) -> String {
    let kind = if is_shapley(document) { "SHAP value: effect on" } else { "Effect on" };
    format!("{kind} {}", quantity(document, output))
}

/// What the base value is called.
pub(super) fn base_name(document: &Document) -> &'static str {
    if is_shapley(document) { "E[f(x)]" } else { "base" }
}
