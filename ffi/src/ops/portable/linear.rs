//! A frozen projection with its LoRA adapter: [`Lowering::linear`](crate::ops::lowering::Lowering).

use cutq_kernels::LoraShape;

use super::Portable;
use crate::ops::linear::{Linear, Lora};
use crate::ops::tape::{Tape, Var};

pub(super) fn linear<'g>(
    by: Portable,
    tape: &mut Tape<'g>,
    x: Var<'g>,
    linear: Linear<'g>,
) -> Var<'g> {
    if let Some(lora) = linear.lora {
        return adapted(by, tape, x, linear, lora);
    }
    let (g, weight) = (tape.graph, linear.weight);
    let make = || by.product(g, weight, x.node);
    let y = tape.save_if(linear.needed, [weight.data.n_out, x.node.ne()[1]], make);
    tape.record(y, &[x], move |dy| vec![by.product_transposed(g, weight, dy)])
}

fn adapted<'g>(
    by: Portable,
    tape: &mut Tape<'g>,
    x: Var<'g>,
    Linear { weight, needed, .. }: Linear<'g>,
    lora: Lora<'g>,
) -> Var<'g> {
    let g = tape.graph;
    let LoraShape { n_tokens, n_in, n_out, r, scaling, dropout } = lora.shape(x.node);
    let (a, b) = (lora.a.node, lora.b.node);
    let mask = dropout
        .map(|dropout| g.input_with([n_in, n_tokens], move || dropout.mask(n_in * n_tokens)));
    let dropped = move |x| mask.map_or(x, |mask| g.mul(x, mask));
    let input = dropped(x.node);
    let low = tape.save([r, n_tokens], || g.affine(g.mul_mat(a, input), scaling, 0.0));
    let make = || g.add(by.product(g, weight, x.node), g.mul_mat(b, low));
    let y = tape.save_if(needed, [n_out, n_tokens], make);
    tape.record(y, &[x, lora.a, lora.b], move |dy| {
        let dlow = g.affine(g.mul_mat(g.transpose(b), dy), scaling, 0.0);
        let da = g.mul_mat(g.transpose(input), g.transpose(dlow));
        let db = g.mul_mat(g.transpose(low), g.transpose(dy));
        let dx = dropped(g.mul_mat(g.transpose(a), dlow));
        vec![g.add(by.product_transposed(g, weight, dy), dx), da, db]
    })
}
