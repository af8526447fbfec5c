//! Operations that ggml's CUDA, Metal and Vulkan backends have as well as its CPU backend.

use super::Graph;
use crate::ggml::node::Node;
use crate::sys;

type UnaryOp =
    unsafe extern "C" fn(*mut sys::ggml_context, *mut sys::ggml_tensor) -> *mut sys::ggml_tensor;

/// Element by element.
impl Graph {
    /// `a − b`; `b` is repeated to the shape of `a`.
    pub fn sub<'g>(&'g self, a: Node<'g>, b: Node<'g>) -> Node<'g> {
        self.broadcast(sys::ggml_sub, a, b)
    }

    /// `a · b`; `b` is repeated to the shape of `a`.
    pub fn mul<'g>(&'g self, a: Node<'g>, b: Node<'g>) -> Node<'g> {
        self.broadcast(sys::ggml_mul, a, b)
    }

    /// `a / b`; `b` is repeated to the shape of `a`.
    pub fn div<'g>(&'g self, a: Node<'g>, b: Node<'g>) -> Node<'g> {
        self.broadcast(sys::ggml_div, a, b)
    }

    /// `a · scale + bias`.
    pub fn affine<'g>(&'g self, a: Node<'g>, scale: f32, bias: f32) -> Node<'g> {
        assert!(a.is_contiguous());
        // SAFETY: `a` is contiguous.
        self.node(unsafe { sys::ggml_scale_bias(self.ctx(), a.as_ptr(), scale, bias) })
    }

    /// `a²`.
    pub fn sqr<'g>(&'g self, a: Node<'g>) -> Node<'g> {
        self.unary(sys::ggml_sqr, a)
    }

    /// `√a`.
    pub fn sqrt<'g>(&'g self, a: Node<'g>) -> Node<'g> {
        self.unary(sys::ggml_sqrt, a)
    }

    /// `tanh a`.
    pub fn tanh<'g>(&'g self, a: Node<'g>) -> Node<'g> {
        self.unary(sys::ggml_tanh, a)
    }

    /// `a · sigmoid(a)`.
    pub fn silu<'g>(&'g self, a: Node<'g>) -> Node<'g> {
        self.unary(sys::ggml_silu, a)
    }

    /// The gradient of [`Graph::silu`]: `dy · silu'(x)`.
    pub fn silu_back<'g>(&'g self, dy: Node<'g>, x: Node<'g>) -> Node<'g> {
        assert!(dy.ne() == x.ne() && dy.is_contiguous() && x.is_contiguous());
        // SAFETY: the shapes agree and neither has gaps.
        self.node(unsafe { sys::ggml_silu_back(self.ctx(), dy.as_ptr(), x.as_ptr()) })
    }

    fn unary<'g>(&'g self, op: UnaryOp, a: Node<'g>) -> Node<'g> {
        assert!(a.is_contiguous());
        // SAFETY: `a` is contiguous.
        self.node(unsafe { op(self.ctx(), a.as_ptr()) })
    }
}

/// Along rows, and products.
impl Graph {
    /// Sums along the fastest dimension, which becomes 1.
    pub fn sum_rows<'g>(&'g self, a: Node<'g>) -> Node<'g> {
        self.unary(sys::ggml_sum_rows, a)
    }

    /// `x / √(mean(x²) + eps)` along the fastest dimension.
    pub fn normalize<'g>(&'g self, x: Node<'g>, eps: f32) -> Node<'g> {
        assert!(x.is_contiguous());
        // SAFETY: `x` is contiguous.
        self.node(unsafe { sys::ggml_rms_norm(self.ctx(), x.as_ptr(), eps) })
    }

    /// `softmax(a · scale + mask)` along the fastest dimension; the mask, if any, covers one matrix
    /// of `a` and is repeated for the others.
    pub fn soft_max<'g>(&'g self, a: Node<'g>, mask: Option<Node<'g>>, scale: f32) -> Node<'g> {
        let ne = a.ne();
        let fits = |of: [usize; 4]| of[..2] == ne[..2] && of[2] == 1 && of[3] == 1;
        assert!(a.is_contiguous() && mask.is_none_or(|mask| fits(mask.ne())));
        let mask = mask.map_or(std::ptr::null_mut(), Node::as_ptr);
        // SAFETY: the shapes agree; a bias of 0 switches ALiBi off.
        self.node(unsafe { sys::ggml_soft_max_ext(self.ctx(), a.as_ptr(), mask, scale, 0.0) })
    }

    /// `out[m, t] = Σ_k a[k, m] · b[k, t]`, batched; `a` is repeated along the batch dimensions.
    pub fn mul_mat<'g>(&'g self, a: Node<'g>, b: Node<'g>) -> Node<'g> {
        let (p, q) = (a.ne(), b.ne());
        assert!(p[0] == q[0] && q[2] % p[2] == 0 && q[3] % p[3] == 0, "{p:?} · {q:?}");
        assert!(a.nb()[0] <= a.nb()[1], "a transposed left operand must be copied first");
        assert!(b.nb()[0] == 4, "the right operand's rows are without gaps");
        assert!(self.is_aligned(b), "vector loads begin at multiples of 16 bytes");
        // SAFETY: the shapes agree and the left operand is not transposed.
        self.node(unsafe { sys::ggml_mul_mat(self.ctx(), a.as_ptr(), b.as_ptr()) })
    }

    /// `out[m, n] = Σ_t a[m, t] · b[n, t]`, batched; `a` is repeated along the batch dimensions. `b`
    /// may be a transposed view of more than one column.
    pub fn out_prod<'g>(&'g self, a: Node<'g>, b: Node<'g>) -> Node<'g> {
        let (p, q) = (a.ne(), b.ne());
        assert!(p[1] == q[1] && q[2] % p[2] == 0 && q[3] % p[3] == 0, "{p:?} · {q:?}");
        assert!(a.nb()[0] == 4 && a.nb()[0] <= a.nb()[1], "the left operand is not transposed");
        let rows = b.nb()[0] == 4 && b.nb()[1] >= 4 * q[0];
        let columns = b.nb()[1] == 4 && b.nb()[0] > 4;
        assert!(rows || columns, "one dimension of the right one has no gaps: {q:?}, {:?}", b.nb());
        assert!([a, b].iter().all(|x| x.tensor().type_ == sys::GGML_TYPE_F32));
        // SAFETY: the shapes agree and the left operand is not transposed.
        self.node(unsafe { sys::ggml_out_prod(self.ctx(), a.as_ptr(), b.as_ptr()) })
    }
}

/// Layouts.
impl Graph {
    /// Whether the rows of `a`, if they are whole vectors of four F32, all begin at one.
    pub fn is_aligned(&self, a: Node<'_>) -> bool {
        let (ne, nb, offset) = (a.ne(), a.nb(), a.tensor().view_offs);
        let steps = (1..4).filter(|&d| ne[d] > 1).map(|d| nb[d]);
        !ne[0].is_multiple_of(4) || steps.chain([offset]).all(|n| n.is_multiple_of(16))
    }

    /// A copy of `a` without gaps, as a matrix of rows of `n0`.
    pub fn cont_2d<'g>(&'g self, a: Node<'g>, n0: usize) -> Node<'g> {
        let n: usize = a.ne().iter().product();
        assert!(n.is_multiple_of(n0));
        let (n0, n1) = (n0 as i64, (n / n0) as i64);
        // SAFETY: the copy has as many elements.
        self.node(unsafe { sys::ggml_cont_2d(self.ctx(), a.as_ptr(), n0, n1) })
    }

    /// A copy of `a` without gaps.
    fn cont<'g>(&'g self, a: Node<'g>) -> Node<'g> {
        // SAFETY: a copy of any layout is allowed.
        self.node(unsafe { sys::ggml_cont(self.ctx(), a.as_ptr()) })
    }

    /// The transpose of the two fastest dimensions, a view.
    pub fn transposed<'g>(&'g self, a: Node<'g>) -> Node<'g> {
        // SAFETY: a transposed view of any tensor is allowed.
        self.node(unsafe { sys::ggml_transpose(self.ctx(), a.as_ptr()) })
    }

    /// [`Graph::transposed`], copied.
    pub fn transpose<'g>(&'g self, a: Node<'g>) -> Node<'g> {
        self.cont(self.transposed(a))
    }

    /// (n0, n1, n2) → (n0, n2, n1), a view.
    pub fn swap_outer<'g>(&'g self, a: Node<'g>) -> Node<'g> {
        // SAFETY: the axes are a permutation.
        self.node(unsafe { sys::ggml_permute(self.ctx(), a.as_ptr(), 0, 2, 1, 3) })
    }

    /// [`Graph::swap_outer`], copied.
    pub fn swapped<'g>(&'g self, a: Node<'g>) -> Node<'g> {
        self.cont(self.swap_outer(a))
    }

    /// Entries `start..start + len` along dimension 2, a view.
    pub fn slice_outer<'g>(&'g self, a: Node<'g>, start: usize, len: usize) -> Node<'g> {
        let (ne, nb) = (a.ne(), a.nb());
        assert!(start + len <= ne[2] && ne[3] == 1);
        let [n0, n1, n2] = [ne[0], ne[1], len].map(|n| n as i64);
        let (ctx, raw, offset) = (self.ctx(), a.as_ptr(), start * nb[2]);
        // SAFETY: the view lies within `a`.
        self.node(unsafe { sys::ggml_view_3d(ctx, raw, n0, n1, n2, nb[1], nb[2], offset) })
    }

    /// Entries `start..start + len` of every row of the matrix `a`, a view.
    pub fn columns<'g>(&'g self, a: Node<'g>, start: usize, len: usize) -> Node<'g> {
        let (ne, nb) = (a.ne(), a.nb());
        assert!(start + len <= ne[0] && ne[2] == 1 && a.tensor().type_ == sys::GGML_TYPE_F32);
        let [n0, n1] = [len, ne[1]].map(|n| n as i64);
        let (ctx, raw, offset) = (self.ctx(), a.as_ptr(), start * nb[0]);
        // SAFETY: the view lies within `a`.
        self.node(unsafe { sys::ggml_view_2d(ctx, raw, n0, n1, nb[1], offset) })
    }

    /// `parts` joined along dimension `dim`, in pairs, so that each element is copied
    /// log₂(parts) times.
    pub fn concat<'g>(&'g self, mut parts: Vec<Node<'g>>, dim: usize) -> Node<'g> {
        assert!(!parts.is_empty());
        while parts.len() > 1 {
            let join = |pair: &[Node<'g>]| match *pair {
                [a, b] => self.concat_two(a, b, dim),
                _ => pair[0],
            };
            parts = parts.chunks(2).map(join).collect();
        }
        parts[0]
    }

    fn concat_two<'g>(&'g self, a: Node<'g>, b: Node<'g>, dim: usize) -> Node<'g> {
        let (p, q) = (a.ne(), b.ne());
        assert!((0..4).all(|d| d == dim || p[d] == q[d]), "{p:?} and {q:?}");
        // SAFETY: the shapes agree but in the dimension given.
        self.node(unsafe { sys::ggml_concat(self.ctx(), a.as_ptr(), b.as_ptr(), dim as i32) })
    }

    /// `a` with `b` added to its rows from `start` on, in each of its matrices; `b` has the shape
    /// of `a` but for fewer rows.
    pub fn add_to_rows<'g>(&'g self, a: Node<'g>, b: Node<'g>, start: usize) -> Node<'g> {
        let ([n0, n1, n2, n3], nb) = (a.ne(), a.nb());
        assert_eq!([n0, n2, n3], [b.ne()[0], b.ne()[2], b.ne()[3]]);
        assert!(a.is_contiguous() && b.is_contiguous() && start + b.ne()[1] <= n1);
        let offset = start * nb[1];
        // SAFETY: the rows that are added to lie within `a`, neither has gaps.
        self.node(unsafe {
            sys::ggml_acc(self.ctx(), a.as_ptr(), b.as_ptr(), nb[1], nb[2], nb[3], offset)
        })
    }
}
