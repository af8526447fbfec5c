//! Rotary position embedding: [`Lowering::rope`](crate::ops::lowering::Lowering).

use std::ops::Range;
use std::sync::Arc;

use cutq_kernels::{Kernels, Rope, RopePairs, Work};

use crate::ggml::graph::Graph;
use crate::ggml::graph::custom::{CustomOp, SCRATCH, floats, floats_mut, source};
use crate::ggml::node::Node;
use crate::ggml::rope::{RopeMode, Rotation};
use crate::ops::tape::{Tape, Var};
use crate::sys;

pub(super) fn rope<'g>(
    kernels: Kernels,
    tape: &mut Tape<'g>,
    x: Var<'g>,
    rotation: Rotation<'g>,
) -> Var<'g> {
    let g = tape.graph;
    let factors = rotation.factors.map(|factors| g.leaf(factors).read());
    let rope = Arc::new(Rope {
        pairs: match rotation.rope.mode {
            RopeMode::Norm => RopePairs::Neighbours,
            RopeMode::Neox => RopePairs::Halves,
        },
        frequencies: rotation.rope.frequencies(factors.as_deref()),
        head_dim: x.node.ne()[0],
        magnitude: rotation.rope.magnitude,
    });
    let turn =
        move |x, sign| rotate(g, x, rotation.positions, Turn { kernels, rope: rope.clone(), sign });
    let y = turn(x.node, 1.0);
    tape.record(y, &[x], move |dy| vec![turn(dy, -1.0)])
}

fn rotate<'g>(graph: &'g Graph, x: Node<'g>, positions: Node<'g>, op: Turn) -> Node<'g> {
    let [d, heads, n_tokens, _] = x.ne();
    assert!(x.is_contiguous() && positions.ne() == [n_tokens, 1, 1, 1]);
    let y = graph.custom(sys::GGML_TYPE_F32, [d * heads, n_tokens], &[x, positions], op);
    graph.reshape(y, [d, heads, n_tokens])
}

struct Turn {
    kernels: Kernels,
    rope: Arc<Rope>,
    /// Of the angles: positive forward, negative back.
    sign: f32,
}

/// Tokens that a thread takes at least.
const UNIT: usize = 8;

impl CustomOp for Turn {
    fn work(&self, dst: &sys::ggml_tensor) -> Work {
        Work::Even { n: dst.ne[1] as usize, unit: UNIT }
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, tokens: Range<usize>) {
        let n = dst.ne[0] as usize;
        for token in tokens {
            let range = token * n..(token + 1) * n;
            // SAFETY: the first source is as large as `dst`, the second has a position for each
            // token; threads take different tokens.
            SCRATCH.with_borrow_mut(|scratch| unsafe {
                let position = self.sign * *source::<i32>(dst, 1).add(token) as f32;
                let (x, y) = (floats(dst.src[0], range.clone()), floats_mut(dst, range));
                self.kernels.rope(&self.rope, position, x, y, scratch);
            });
        }
    }
}
