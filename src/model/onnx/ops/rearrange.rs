//! DepthToSpace and SpaceToDepth: blocks of pixels as channels, and back.

use super::NodeContext;
use crate::Result;
use crate::model::Op;

/// `[C · b², H, W]` → `[C, H · b, W · b]`, the block's axes before the channel (DCR) or after it (CRD).
pub(super) fn depth_to_space(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched, [channels, height, width], block) = blocks(cx)?;
    if !channels.is_multiple_of(block * block) {
        return Err(cx.damaged(format!("{channels} channels do not make blocks of {block} × {block}")));
    }
    let depth = channels / (block * block);
    let (split, perm) = match cx.string("mode").unwrap_or("DCR") {
        "DCR" => (vec![block, block, depth, height, width], vec![2, 3, 0, 4, 1]),
        "CRD" => (vec![depth, block, block, height, width], vec![0, 3, 1, 4, 2]),
        other => return Err(cx.damaged(format!("there is no mode {other:?}"))),
    };
    rearranged(cx, (id, batched), split, perm, vec![depth, height * block, width * block])
}

/// `[C, H, W]` → `[b² · C, H / b, W / b]`
pub(super) fn space_to_depth(cx: &mut NodeContext<'_, '_>) -> Result<()> {
    let (id, batched, [channels, height, width], block) = blocks(cx)?;
    if !height.is_multiple_of(block) || !width.is_multiple_of(block) {
        return Err(cx.damaged(format!("{height} × {width} pixels do not make blocks of {block} × {block}")));
    }
    let split = vec![channels, height / block, block, width / block, block];
    let shape = vec![channels * block * block, height / block, width / block];
    rearranged(cx, (id, batched), split, vec![2, 4, 0, 1, 3], shape)
}

/// The input, its shape and the block's side.
fn blocks(cx: &mut NodeContext<'_, '_>) -> Result<(usize, bool, [usize; 3], usize)> {
    let (id, batched) = cx.sample(0)?;
    let block = usize::try_from(cx.int("blocksize", 0)).unwrap_or(0);
    match cx.shape(id)[..] {
        [channels, height, width] if (1..=1 << 15).contains(&block) => {
            Ok((id, batched, [channels, height, width], block))
        }
        ref shape => Err(cx.damaged(format!("blocks of {block} pixels do not fit an input {shape:?}"))),
    }
}

fn rearranged(
    cx: &mut NodeContext<'_, '_>,
    (id, batched): (usize, bool),
    split: Vec<usize>,
    perm: Vec<usize>,
    shape: Vec<usize>,
) -> Result<()> {
    let turned = perm.iter().map(|&axis| split[axis]).collect();
    let apart = cx.push(Op::Reshape, vec![id], split)?;
    let turned = cx.push(Op::Transpose { perm }, vec![apart], turned)?;
    cx.emit_sample(Op::Reshape, turned, shape, batched)
}
