//! Operations that both ways of computing use: sums, shapes, rows, copies, rotation.

use super::Graph;
use crate::ggml::node::Node;
use crate::ggml::rope::{Direction, RopeMode, Rotation};
use crate::ggml::tensor::Tensor;
use crate::sys;

type BinaryOp = unsafe extern "C" fn(
    *mut sys::ggml_context,
    *mut sys::ggml_tensor,
    *mut sys::ggml_tensor,
) -> *mut sys::ggml_tensor;

impl Graph {
    /// `a + b`; `b` is repeated to the shape of `a`.
    pub fn add<'g>(&'g self, a: Node<'g>, b: Node<'g>) -> Node<'g> {
        self.broadcast(sys::ggml_add, a, b)
    }

    /// `op` element by element; `b` is repeated to the shape of `a`.
    pub(super) fn broadcast<'g>(&'g self, op: BinaryOp, a: Node<'g>, b: Node<'g>) -> Node<'g> {
        let (to, from) = (a.ne(), b.ne());
        assert!((0..4).all(|d| to[d] % from[d] == 0), "{from:?} does not repeat to {to:?}");
        // SAFETY: the shapes agree.
        self.node(unsafe { op(self.ctx(), a.as_ptr(), b.as_ptr()) })
    }

    /// The same elements in another shape.
    pub fn reshape<'g>(&'g self, a: Node<'g>, ne: [usize; 3]) -> Node<'g> {
        assert!(a.is_contiguous());
        assert_eq!(a.ne().iter().product::<usize>(), ne.iter().product::<usize>());
        let [n0, n1, n2] = ne.map(|n| n as i64);
        // SAFETY: `a` is contiguous and has as many elements.
        self.node(unsafe { sys::ggml_reshape_3d(self.ctx(), a.as_ptr(), n0, n1, n2) })
    }

    /// The elements of `a` from `start` on, in the shape `ne`.
    pub fn part<'g>(&'g self, a: Node<'g>, start: usize, ne: [usize; 3]) -> Node<'g> {
        assert!(a.is_contiguous() && a.tensor().type_ == sys::GGML_TYPE_F32);
        assert!(start + ne.iter().product::<usize>() <= a.ne().iter().product());
        let [n0, n1, n2] = ne.map(|n| n as i64);
        let (row, plane, offset) = (ne[0] * 4, ne[0] * ne[1] * 4, start * 4);
        let (ctx, raw) = (self.ctx(), a.as_ptr());
        // SAFETY: the view lies within `a`, which has no gaps.
        self.node(unsafe { sys::ggml_view_3d(ctx, raw, n0, n1, n2, row, plane, offset) })
    }

    /// A view of the vector `a` for [`Graph::rows`]: rows of `n` elements, row `i` from element
    /// `i · stride` on, as many as fit. They may overlap.
    pub fn windows<'g>(&'g self, a: Node<'g>, n: usize, stride: usize) -> Node<'g> {
        let [len, ..] = a.ne();
        assert!(a.ne() == [len, 1, 1, 1] && a.tensor().type_ == sys::GGML_TYPE_F32 && n <= len);
        let rows = (len - n) / stride + 1;
        let row = stride * size_of::<f32>();
        // SAFETY: the first row is a view of `a`. ggml's constructor counts rows that overlap twice
        // and finds that they do not fit, so the others are added afterwards: the last one ends
        // within `a`, which is what the strides say, too.
        self.node(unsafe {
            let view = sys::ggml_view_2d(self.ctx(), a.as_ptr(), n as i64, 1, row, 0);
            (*view).ne[1] = rows as i64;
            (*view).nb[2] = row * rows;
            (*view).nb[3] = row * rows;
            view
        })
    }

    /// Rows `rows` of the matrix `a`.
    pub fn rows<'g>(&'g self, a: Node<'g>, rows: Node<'g>) -> Node<'g> {
        assert!(a.ne()[2] == 1 && rows.ne()[1] == 1 && rows.tensor().type_ == sys::GGML_TYPE_I32);
        // SAFETY: both are matrices and the indices are integers.
        self.node(unsafe { sys::ggml_get_rows(self.ctx(), a.as_ptr(), rows.as_ptr()) })
    }

    /// Lets the graph compute `node`, which must be the result of an operation, straight into `to`,
    /// a tensor of the same shape outside the graph. It becomes an output: backends leave out
    /// values that only the next operation reads, where they compute both at once.
    pub fn place(&self, node: Node<'_>, to: &Tensor) {
        assert!(node.is_contiguous() && node.tensor().data.is_null());
        assert!(node.ne() == to.ne() && node.tensor().type_ == sys::GGML_TYPE_F32);
        // SAFETY: `to` is allocated, F32, contiguous and of the same size; a tensor that has memory
        // is left alone by the graph's allocator.
        unsafe {
            let (raw, to) = (node.as_ptr(), to.as_ptr());
            (*raw).data = (*to).data;
            (*raw).buffer = (*to).buffer;
            sys::ggml_set_output(raw);
        }
    }

    /// Copies `a` into `to`, an equally large tensor outside the graph, when the graph runs.
    pub fn store<'g>(&'g self, a: Node<'g>, to: &'g Tensor) {
        assert_eq!(a.ne(), to.ne());
        let to = self.leaf(to);
        // SAFETY: the shapes agree.
        unsafe {
            let copy = sys::ggml_cpy(self.ctx(), a.as_ptr(), to.as_ptr());
            sys::ggml_build_forward_expand(self.as_ptr(), copy);
        }
    }

    /// Rotates the heads of `x`, of shape (head_dim, heads, tokens), to their positions, or back.
    pub fn rope<'g>(&'g self, x: Node<'g>, rope: &Rotation<'g>, direction: Direction) -> Node<'g> {
        let (ne, n_rot) = (x.ne(), rope.rope.n_rot);
        assert!(n_rot <= ne[0] && n_rot % 2 == 0 && rope.positions.ne()[0] == ne[2]);
        assert!(rope.factors.is_none_or(|f| f.ne()[0] >= n_rot / 2));
        let mode = match rope.rope.mode {
            RopeMode::Norm => 0,
            RopeMode::Neox => 2,
        };
        let op = match direction {
            Direction::Forward => sys::ggml_rope_ext,
            Direction::Back => sys::ggml_rope_ext_back,
        };
        let factors = rope.factors.map_or(std::ptr::null_mut(), |f| self.leaf(f).as_ptr());
        let (base, scale) = (rope.rope.freq_base, rope.rope.freq_scale);
        let (ctx, positions, n_rot) = (self.ctx(), rope.positions.as_ptr(), n_rot as i32);
        // A mix of 0 switches YaRN off.
        let (n_ctx, mix, fast, slow) = match rope.rope.yarn {
            None => (0, 0.0, 0.0, 0.0),
            Some(yarn) => (yarn.n_ctx_orig as i32, 1.0, yarn.beta_fast, yarn.beta_slow),
        };
        let magnitude = rope.rope.ggml_magnitude();
        // SAFETY: one position per token, frequency factors for every pair.
        self.node(unsafe {
            op(
                ctx,
                x.as_ptr(),
                positions,
                factors,
                n_rot,
                mode,
                n_ctx,
                base,
                scale,
                mix,
                magnitude,
                fast,
                slow,
            )
        })
    }
}
