//! The numbers of the samples, `0, 1, … N − 1`, which an exporter makes (Range) to index a tensor that it has
//! flattened over the batch: entry `c + k · n` of `[k · N]` is entry `c` of sample `n`.

use super::constant::{Constant, batches};
use super::context::{NodeContext, Slot};
use super::ops::places;
use crate::Result;
use crate::model::{BinaryKind, NOTHING, Op, ValueId};

/// Integers of the form `rest[i] + factor · n`, `n` being the sample's number.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    factor: i64,
    rest: Vec<i64>,
}

impl Numbers {
    /// What an operator makes of the numbers, if the result has this form too.
    fn after(&self, op: &Op, before: &[usize], shape: &[usize]) -> Option<Numbers> {
        match op {
            Op::Reshape => Some(self.clone()),
            Op::BinaryConst { kind, constant, constant_first } => {
                let whole = constant.data.iter().all(|c| c.fract() == 0.0 && c.abs() < 16_777_216.0);
                let single = constant.len() == 1;
                let [own, other] = [before, &constant.shape].map(|operand| places(shape, operand));
                let pairs = own.into_iter().zip(other).map(|(i, j)| (self.rest[i], constant.data[j] as i64));
                let rest = |combine: fn(i64, i64) -> Option<i64>| {
                    pairs.map(|(x, c)| combine(x, c)).collect::<Option<Vec<i64>>>()
                };
                let (factor, rest) = match kind {
                    BinaryKind::Add => (self.factor, rest(i64::checked_add)?),
                    BinaryKind::Sub if !constant_first => (self.factor, rest(i64::checked_sub)?),
                    BinaryKind::Mul if single => {
                        (self.factor.checked_mul(constant.data[0] as i64)?, rest(i64::checked_mul)?)
                    }
                    _ => return None,
                };
                whole.then_some(Numbers { factor, rest })
            }
            _ => None,
        }
    }
}

impl<'a> NodeContext<'a, '_> {
    /// The numbers of the samples, `[N]`.
    pub(super) fn sample_numbers(&mut self) -> Result<Slot<'a>> {
        let zero = Constant::Int { shape: vec![1], data: vec![0] };
        let slot = self.materialised(zero, Some(0))?;
        if let Slot::Value { id, .. } = slot {
            self.context.numbers.insert(id, Numbers { factor: 1, rest: vec![0] });
        }
        Ok(slot)
    }

    /// What `op` makes of the numbers of samples, if they are among its operands; every other use of them is refused.
    pub(super) fn numbers_after(
        &self,
        op: &Op,
        inputs: &[ValueId],
        shape: &[usize],
    ) -> Result<Option<Numbers>> {
        let Some((&id, numbers)) = inputs.iter().find_map(|id| self.context.numbers.get(id).map(|n| (id, n)))
        else {
            return Ok(None);
        };
        match numbers.after(op, &self.context.graph.values[id].shape, shape) {
            Some(numbers) => Ok(Some(numbers)),
            None => Err(self.unsupported("it computes with the numbers of the samples")),
        }
    }

    /// Entries of each sample, of a tensor that is flattened over the batch, by numbers of samples: `None` if the
    /// indices are no such numbers.
    pub(super) fn gathered_by_number(
        &mut self,
        data: &Slot<'a>,
        indices: &Slot<'a>,
    ) -> Result<Option<Slot<'a>>> {
        let Slot::Value { id, batched: true } = *data else { return Ok(None) };
        let own: usize = self.shape(id).iter().product();
        let (numbers, shape, place) = match indices {
            Slot::Value { id: index, batched: true } => match self.context.numbers.get(index) {
                Some(numbers) => (numbers.clone(), self.shape(*index), self.batch_place(*index)),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        let picked = numbers.rest.iter().map(|&at| u32::try_from(at).ok().filter(|&at| (at as usize) < own));
        let picked = picked.collect::<Option<Vec<u32>>>().filter(|all| !all.contains(&NOTHING));
        let (true, true, Some(picked)) =
            (self.dims(id, true) == [batches(own)], numbers.factor == own as i64, picked)
        else {
            return Err(self.unsupported("it picks entries of other samples"));
        };
        let flat = self.push(Op::Reshape, vec![id], vec![own])?;
        let length = picked.len();
        let select = Op::Select { axis: 0, indices: picked.into(), fill: 0.0 };
        let selected = self.push(select, vec![flat], vec![length])?;
        self.push_at(Op::Reshape, vec![selected], shape, true, place).map(Some)
    }
}
