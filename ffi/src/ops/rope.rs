//! Rotary position embedding.

use crate::ggml::rope::{Direction, Rotation};
use crate::ops::tape::{Tape, Var};

impl<'g> Tape<'g> {
    /// Rotates `x`, of shape (head_dim, heads, tokens); a rotation's gradient turns back.
    pub fn rope(&mut self, x: Var<'g>, rotation: Rotation<'g>) -> Var<'g> {
        let g = self.graph;
        let y = g.rope(x.node, &rotation, Direction::Forward);
        self.record(y, &[x], move |dy| vec![g.rope(dy, &rotation, Direction::Back)])
    }
}
