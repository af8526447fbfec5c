//! A frozen projection with its LoRA adapter: [`Lowering::linear`](crate::ops::lowering::Lowering).

use cutq_kernels::{Dropout, LoraShape};

use super::Portable;
use crate::ggml::graph::Graph;
use crate::ggml::node::Node;
use crate::model::weight::Weight;
use crate::ops::linear::{Linear, Lora, LoraDropout};
use crate::ops::tape::{Tape, Var};

pub(super) fn linear<'g>(
    by: Portable,
    tape: &mut Tape<'g>,
    x: Var<'g>,
    Linear { weight, lora, needed }: Linear<'g>,
) -> Var<'g> {
    if let Some(lora) = lora {
        return adapted(by, tape, x, weight, lora, needed);
    }
    let g = tape.graph;
    let make = || by.product(g, weight, x.node);
    let y = tape.save_if(needed, [weight.data.n_out, x.node.ne()[1]], make);
    tape.record(y, &[x], move |dy| vec![by.product_transposed(g, weight, dy)])
}

fn adapted<'g>(
    by: Portable,
    tape: &mut Tape<'g>,
    x: Var<'g>,
    weight: &'g Weight,
    lora: Lora<'g>,
    needed: bool,
) -> Var<'g> {
    let g = tape.graph;
    let LoraShape { n_tokens, n_in, n_out, r, scaling, .. } = lora.shape(x.node);
    let (a, b) = (lora.a.node, lora.b.node);
    let mask = lora.dropout.map(|dropout| gathered(g, &dropout, n_in));
    let dropped = move |x| mask.map_or(x, |mask| g.mul(x, mask));
    let input = dropped(x.node);
    let low = tape.save([r, n_tokens], || g.affine(g.mul_mat(a, input), scaling, 0.0));
    let make = || g.add(by.product(g, weight, x.node), g.mul_mat(b, low));
    let y = tape.save_if(needed, [n_out, n_tokens], make);
    tape.record(y, &[x, lora.a, lora.b], move |dy| {
        let dlow = g.affine(by.mul_transposed(g, b, dy), scaling, 0.0);
        let da = by.sum_of_outer(g, input, dlow);
        let db = by.sum_of_outer(g, low, dy);
        let dx = dropped(by.mul_transposed(g, a, dlow));
        vec![g.add(by.product_transposed(g, weight, dy), dx), da, db]
    })
}

/// The mask of an input, gathered of the pool that lies on the device.
fn gathered<'g>(g: &'g Graph, dropout: &LoraDropout<'g>, n_in: usize) -> Node<'g> {
    let pool = dropout.pool.expect("the engine has a pool wherever it computes with this lowering");
    let windows: Vec<i32> = dropout.mask.windows().iter().map(|&window| window as i32).collect();
    let index = g.input([windows.len(), 1], windows);
    g.rows(g.windows(pool, n_in, Dropout::STRIDE), index)
}
