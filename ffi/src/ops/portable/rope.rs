//! Rotary position embedding: [`Lowering::rope`](crate::ops::lowering::Lowering).

use crate::ggml::rope::{Direction, Rotation};
use crate::ops::tape::{Tape, Var};

pub(super) fn rope<'g>(tape: &mut Tape<'g>, x: Var<'g>, rotation: Rotation<'g>) -> Var<'g> {
    let g = tape.graph;
    let y = g.rope(x.node, &rotation, Direction::Forward);
    tape.record(y, &[x], move |dy| vec![g.rope(dy, &rotation, Direction::Back)])
}
