//! Functions and normalisations that exporters write out in parts, made one operator again.
//!
//! Each pattern looks at one node and the nodes before it, and says what the node computes of which earlier value. The
//! parts stay in the graph for others that read them; what nobody reads is pruned later ([`fold`](super::fold)).

use super::activation::{GELU_CUBIC, GELU_SLOPE};
use super::{Activation, BinaryKind, Graph, Node, NormKind, Op, ReduceKind, Tensor, ValueId};

/// How far, relatively, a written constant may be from the formula's.
const CLOSE: f64 = 1e-5;

/// How many nodes deep a product or a polynomial may be nested.
const DEPTH: usize = 8;

type Pattern = fn(&Parts<'_>, &Node) -> Option<(Op, ValueId)>;

const PATTERNS: [Pattern; 6] = [gated, hard_sigmoid, softplus, normalisation, scaled, grouped];

/// Replaces every pattern.
pub(super) fn recognise(mut graph: Graph) -> Graph {
    let mut makers = vec![None; graph.values.len()];
    let mut uses = vec![0; graph.values.len()];
    uses[graph.output] += 1;
    for (at, node) in graph.nodes.iter().enumerate() {
        makers[node.output] = Some(at);
        node.inputs.iter().for_each(|&input| uses[input] += 1);
    }
    for at in 0..graph.nodes.len() {
        let parts = Parts { graph: &graph, makers: &makers, uses: &uses };
        let node = &graph.nodes[at];
        if let Some((op, input)) = PATTERNS.iter().find_map(|pattern| pattern(&parts, node)) {
            graph.nodes[at].op = op;
            graph.nodes[at].inputs = vec![input];
        }
    }
    graph
}

/// The graph, with who makes and how many read each value.
struct Parts<'g> {
    graph: &'g Graph,
    makers: &'g [Option<usize>],
    uses: &'g [usize],
}

impl<'g> Parts<'g> {
    fn maker(&self, value: ValueId) -> Option<&'g Node> {
        self.makers[value].map(|at| &self.graph.nodes[at])
    }

    fn shape(&self, value: ValueId) -> &'g [usize] {
        &self.graph.values[value].shape
    }

    /// The argument of an activation, and which one.
    fn function(&self, value: ValueId) -> Option<(Activation, ValueId)> {
        let node = self.maker(value)?;
        match node.op {
            Op::Activation(activation) => Some((activation, node.inputs[0])),
            _ => None,
        }
    }

    /// An operation with a single number that leaves the shape as it is: kind, number, whether that comes first, operand.
    fn scalar(&self, value: ValueId) -> Option<(BinaryKind, f64, bool, ValueId)> {
        let node = self.maker(value)?;
        match &node.op {
            Op::BinaryConst { kind, constant, constant_first }
                if constant.len() == 1 && self.shape(node.inputs[0]) == self.shape(value) =>
            {
                Some((*kind, f64::from(constant.data[0]), *constant_first, node.inputs[0]))
            }
            _ => None,
        }
    }

    /// The operands of a function of two values.
    fn pair(&self, value: ValueId, wanted: BinaryKind) -> Option<[ValueId; 2]> {
        let node = self.maker(value)?;
        match node.op {
            Op::Binary(kind) if kind == wanted => Some([node.inputs[0], node.inputs[1]]),
            _ => None,
        }
    }

    /// x where the value is x + `number`.
    fn plus(&self, value: ValueId, number: f64) -> Option<ValueId> {
        match self.scalar(value)? {
            (BinaryKind::Add, found, _, x) if near(found, number) => Some(x),
            _ => None,
        }
    }

    /// The value as a number times values.
    fn product(&self, value: ValueId, depth: usize) -> (f64, Vec<ValueId>) {
        if depth > 0 {
            if let Some([a, b]) = self.pair(value, BinaryKind::Mul) {
                let ((k, mut factors), (l, others)) =
                    (self.product(a, depth - 1), self.product(b, depth - 1));
                factors.extend(others);
                return (k * l, factors);
            }
            match self.scalar(value) {
                Some((BinaryKind::Mul, k, _, x)) => {
                    let (l, factors) = self.product(x, depth - 1);
                    return (k * l, factors);
                }
                Some((BinaryKind::Div, k, false, x)) => {
                    let (l, factors) = self.product(x, depth - 1);
                    return (l / k, factors);
                }
                _ => {}
            }
        }
        (1.0, vec![value])
    }

    /// The value as c₀ + c₁·x + c₂·x² + c₃·x³.
    fn polynomial(&self, value: ValueId, x: ValueId, depth: usize) -> Option<[f64; 4]> {
        if value == x {
            return Some([0.0, 1.0, 0.0, 0.0]);
        }
        if depth == 0 {
            return None;
        }
        let of = |value| self.polynomial(value, x, depth - 1);
        if let Some((kind, k, first, inner)) = self.scalar(value) {
            let p = of(inner)?;
            return match (kind, first) {
                (BinaryKind::Add, _) => Some([p[0] + k, p[1], p[2], p[3]]),
                (BinaryKind::Sub, false) => Some([p[0] - k, p[1], p[2], p[3]]),
                (BinaryKind::Mul, _) => Some(p.map(|c| c * k)),
                (BinaryKind::Div, false) => Some(p.map(|c| c / k)),
                _ => None,
            };
        }
        if let Some([a, b]) = self.pair(value, BinaryKind::Add) {
            let (a, b) = (of(a)?, of(b)?);
            return Some(std::array::from_fn(|k| a[k] + b[k]));
        }
        if let Some([a, b]) = self.pair(value, BinaryKind::Mul) {
            return multiply(of(a)?, of(b)?);
        }
        match self.function(value)? {
            (Activation::Neg, inner) => Some(of(inner)?.map(|c| -c)),
            (Activation::Pow { exponent: 2.0 }, inner) => {
                let p = of(inner)?;
                multiply(p, p)
            }
            (Activation::Pow { exponent: 3.0 }, inner) => {
                let p = of(inner)?;
                multiply(p, multiply(p, p)?)
            }
            _ => None,
        }
    }

    /// Whether the value is this polynomial of x.
    fn is_polynomial(&self, value: ValueId, x: ValueId, terms: [f64; 4]) -> bool {
        self.polynomial(value, x, DEPTH).is_some_and(|found| (0..4).all(|k| near(found[k], terms[k])))
    }

    /// The values and the axes that a reduction with kept axes of length 1 reads.
    fn reduction(&self, value: ValueId, wanted: ReduceKind) -> Option<(ValueId, &'g [usize])> {
        let node = self.maker(value)?;
        match &node.op {
            Op::Reduce { kind, axes }
                if *kind == wanted && self.shape(value).len() == self.shape(node.inputs[0]).len() =>
            {
                Some((node.inputs[0], axes))
            }
            _ => None,
        }
    }

    /// x and axes where the value is x − mean x.
    fn centred(&self, value: ValueId) -> Option<(ValueId, &'g [usize])> {
        let [x, mean] = self.pair(value, BinaryKind::Sub)?;
        let (of, axes) = self.reduction(mean, ReduceKind::Mean)?;
        (of == x).then_some((x, axes))
    }

    /// x where the value is x².
    fn square(&self, value: ValueId) -> Option<ValueId> {
        if let Some((Activation::Pow { exponent: 2.0 }, x)) = self.function(value) {
            return Some(x);
        }
        let [a, b] = self.pair(value, BinaryKind::Mul)?;
        (a == b).then_some(a)
    }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= CLOSE * b.abs().max(1e-3)
}

/// The product of two polynomials, if its degree is at most 3.
fn multiply(a: [f64; 4], b: [f64; 4]) -> Option<[f64; 4]> {
    let mut product = [0.0; 4];
    for (i, x) in a.iter().enumerate().filter(|(_, x)| **x != 0.0) {
        for (j, y) in b.iter().enumerate().filter(|(_, y)| **y != 0.0) {
            *product.get_mut(i + j)? += x * y;
        }
    }
    Some(product)
}

/// Products of x and a function of x: Swish, HardSwish, Mish, GELU in both forms.
fn gated(parts: &Parts<'_>, node: &Node) -> Option<(Op, ValueId)> {
    let (k, factors) = parts.product(node.output, DEPTH);
    let &[a, b] = &factors[..] else { return None };
    let gate = |x: ValueId, gate: ValueId| {
        if parts.shape(x) != parts.shape(node.output) {
            return None;
        }
        let of = |argument: ValueId, terms: [f64; 4]| parts.is_polynomial(argument, x, terms);
        if let Some((function, argument)) = parts.function(gate) {
            return match function {
                Activation::Sigmoid if near(k, 1.0) => {
                    let [zero, alpha, square, cube] = parts.polynomial(argument, x, DEPTH)?;
                    let linear = zero == 0.0 && square == 0.0 && cube == 0.0;
                    linear.then_some(Activation::Swish { alpha: alpha as f32 })
                }
                Activation::HardSigmoid { alpha, beta } => {
                    let known = near(f64::from(alpha), 1.0 / 6.0) && beta == 0.5 && near(k, 1.0);
                    (known && argument == x).then_some(Activation::HardSwish)
                }
                Activation::Clip { low: 0.0, high: 6.0 } if near(k, 1.0 / 6.0) => {
                    of(argument, [3.0, 1.0, 0.0, 0.0]).then_some(Activation::HardSwish)
                }
                Activation::Tanh if near(k, 1.0) => match parts.function(argument)? {
                    (Activation::Softplus, inner) if inner == x => Some(Activation::Mish),
                    _ => None,
                },
                _ => None,
            };
        }
        let (function, argument) = parts.function(parts.plus(gate, 1.0)?)?;
        let slope = f64::from(GELU_SLOPE);
        match function {
            Activation::Erf if near(k, 0.5) => {
                of(argument, [0.0, 0.5_f64.sqrt(), 0.0, 0.0]).then_some(Activation::Gelu)
            }
            Activation::Tanh if near(k, 0.5) => {
                let terms = [0.0, slope, 0.0, slope * f64::from(GELU_CUBIC)];
                of(argument, terms).then_some(Activation::GeluTanh)
            }
            _ => None,
        }
    };
    let (activation, x) = gate(a, b).map(|found| (found, a)).or_else(|| Some((gate(b, a)?, b)))?;
    Some((Op::Activation(activation), x))
}

/// k·min(max(x + b, 0), 1/k).
fn hard_sigmoid(parts: &Parts<'_>, node: &Node) -> Option<(Op, ValueId)> {
    let (k, factors) = parts.product(node.output, DEPTH);
    let &[clip] = &factors[..] else { return None };
    let (Activation::Clip { low: 0.0, high }, argument) = parts.function(clip)? else { return None };
    let (BinaryKind::Add, b, _, x) = parts.scalar(argument)? else { return None };
    let known = clip != node.output && near(k * f64::from(high), 1.0);
    let activation = Activation::HardSigmoid { alpha: k as f32, beta: (k * b) as f32 };
    known.then_some((Op::Activation(activation), x))
}

/// ln(1 + eˣ).
fn softplus(parts: &Parts<'_>, node: &Node) -> Option<(Op, ValueId)> {
    let (Activation::Log, sum) = parts.function(node.output)? else { return None };
    let (Activation::Exp, x) = parts.function(parts.plus(sum, 1.0)?)? else { return None };
    Some((Op::Activation(Activation::Softplus), x))
}

/// x over the root of its mean square or of the sum of its squares, and the same of x − mean x.
fn normalisation(parts: &Parts<'_>, node: &Node) -> Option<(Op, ValueId)> {
    let quotient = |x: ValueId, root: ValueId| {
        let (Activation::Sqrt, sum) = parts.function(root)? else { return None };
        normalised(parts, x, sum)
    };
    // The factor 1 / √(…).
    let factor = |x: ValueId, inverse: ValueId| match parts.function(inverse) {
        Some((Activation::Reciprocal, root)) => quotient(x, root),
        Some((Activation::Pow { exponent: -0.5 }, sum)) => normalised(parts, x, sum),
        _ => match parts.scalar(inverse)? {
            (BinaryKind::Div, 1.0, true, root) => quotient(x, root),
            _ => None,
        },
    };
    let found = if let Some([x, root]) = parts.pair(node.output, BinaryKind::Div) {
        quotient(x, root)
    } else {
        let [a, b] = parts.pair(node.output, BinaryKind::Mul)?;
        factor(a, b).or_else(|| factor(b, a))
    };
    found.filter(|(_, x)| parts.shape(*x) == parts.shape(node.output))
}

/// `numerator` / √`sum` as a normalisation.
fn normalised(parts: &Parts<'_>, numerator: ValueId, sum: ValueId) -> Option<(Op, ValueId)> {
    let operator = |kind: NormKind, axes: &[usize]| Op::Normalize {
        kind,
        axes: axes.to_vec(),
        groups: 1,
        scale: None,
        shift: None,
    };
    let (mean, epsilon) = match parts.scalar(sum) {
        Some((BinaryKind::Add, epsilon, _, mean)) => (mean, epsilon as f32),
        _ => (sum, 0.0),
    };
    let Some((squares, axes)) = parts.reduction(mean, ReduceKind::Mean) else {
        let (squares, axes) = parts.reduction(mean, ReduceKind::Sum)?;
        let known = epsilon == 0.0 && parts.square(squares)? == numerator;
        return known.then(|| (operator(NormKind::L2, axes), numerator));
    };
    let base = parts.square(squares)?;
    // The difference may have been written down twice.
    if let Some((x, of)) = parts.centred(base)
        && (base == numerator || parts.centred(numerator) == Some((x, of)))
        && of == axes
    {
        return Some((operator(NormKind::Standard { epsilon }, axes), x));
    }
    (base == numerator).then(|| (operator(NormKind::RootMeanSquare { epsilon }, axes), base))
}

/// A scale or a shift behind a normalisation that nothing else reads.
fn scaled(parts: &Parts<'_>, node: &Node) -> Option<(Op, ValueId)> {
    let Op::BinaryConst { kind, constant, .. } = &node.op else { return None };
    let before = parts.maker(node.inputs[0])?;
    let Op::Normalize { kind: norm, axes, groups, scale, shift } = &before.op else { return None };
    let whole = parts.shape(node.output);
    if parts.uses[before.output] != 1
        || parts.shape(before.output) != whole
        || constant.shape.len() > whole.len()
        || shift.is_some()
    {
        return None;
    }
    let constant: Option<Tensor> = Some(constant.clone());
    let (scale, shift) = match kind {
        BinaryKind::Mul if scale.is_none() => (constant, None),
        BinaryKind::Add => (scale.clone(), constant),
        _ => return None,
    };
    let op = Op::Normalize { kind: *norm, axes: axes.clone(), groups: *groups, scale, shift };
    Some((op, before.inputs[0]))
}

/// Groups of channels as an axis of their own: Reshape, a normalisation of all but that axis, Reshape back.
fn grouped(parts: &Parts<'_>, node: &Node) -> Option<(Op, ValueId)> {
    let Op::Reshape = node.op else { return None };
    let norm = parts.maker(node.inputs[0])?;
    let Op::Normalize { kind, axes, groups: 1, scale: None, shift: None } = &norm.op else { return None };
    let Op::Reshape = parts.maker(norm.inputs[0])?.op else { return None };
    let x = parts.maker(norm.inputs[0])?.inputs[0];
    let (split, whole) = (parts.shape(norm.output), parts.shape(node.output));
    let groups = *split.first()?;
    let rest = (1..split.len()).all(|axis| axes.contains(&axis) || split[axis] == 1);
    let known = !axes.contains(&0)
        && rest
        && parts.uses[norm.output] == 1
        && parts.shape(x) == whole
        && whole.len() > 1
        && whole[0].is_multiple_of(groups);
    let axes = (0..whole.len()).collect();
    known.then_some((Op::Normalize { kind: *kind, axes, groups, scale: None, shift: None }, x))
}
