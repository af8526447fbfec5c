//! Attention and its gradient, at every level of this CPU, against the definition in f64.

mod support;

use cutq_kernels::{
    Attention, AttentionGradient, AttentionInput, AttentionOutput, AttentionSaved,
    AttentionSchedule, AttentionShape, KeptSegment, Kernels, PAGE, Scratch, Segment,
};
use support::{levels, sizes};

/// Of `out` and `lse`, relative to the largest `|v|` and `1 + |score|`: sums of up to 80 products
/// in f32 in the score's exponent.
const FORWARD: f64 = 1e-5;

/// Of gradients, relative to the largest of the tensor and 1: the same errors, multiplied by
/// `dout · v`, which is up to 20 here.
const BACKWARD: f64 = 1e-4;

/// Of central differences with a step of 1e-4 in f64: what the step leaves.
const DIFFERENCE: f64 = 1e-6;

/// Lengths around a vector, a strip and a tile.
const LENGTHS: &[usize] = sizes(
    &[
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 33, 63, 64, 65, 66,
        67, 130,
    ],
    &[65],
);

/// Reproducible numbers in -1..1.
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    // The first numbers of similar seeds are similar.
    (0..20 + len).map(|_| next()).skip(20).collect()
}

/// A pack and its tensors.
struct Case {
    shape: AttentionShape,
    segments: Vec<Segment>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    dout: Vec<f32>,
}

/// Outputs and gradients: out, lse, dq, dk, dv.
type Results<T> = [Vec<T>; 5];

impl Case {
    /// Segments of these lengths with a token between them that belongs to none.
    fn new(
        lengths: &[usize],
        (n_head, n_head_kv, head_dim): (usize, usize, usize),
        window: Option<usize>,
    ) -> Case {
        let mut n_tokens = 0;
        let mut place = |&len: &usize| {
            let segment = Segment { start: n_tokens, len };
            n_tokens += len + 1;
            segment
        };
        let segments: Vec<Segment> = lengths.iter().map(&mut place).collect();
        let scale = 1.5 / (head_dim as f32).sqrt();
        let shape = AttentionShape { n_head, n_head_kv, head_dim, scale, window };
        let len = |heads: usize| n_tokens * heads * head_dim;
        Case {
            shape,
            segments,
            q: numbers(len(n_head), 1).iter().map(|x| 3.0 * x).collect(),
            k: numbers(len(n_head_kv), 2),
            v: numbers(len(n_head_kv), 3),
            dout: numbers(len(n_head), 4),
        }
    }

    fn run(&self, kernels: Kernels) -> Results<f32> {
        let tensors = [&self.q[..], &self.k, &self.v];
        let attention = Attention::forward(kernels, self.shape, &self.segments, tensors);
        let [dq, dk, dv] = attention.backward(&self.dout);
        [attention.out, attention.lse, dq, dk, dv]
    }

    /// The raw functions, the tasks for so many threads from the last to the first, into memory full
    /// of NaN.
    fn run_tasks(&self, kernels: Kernels, n_threads: usize) -> Results<f32> {
        let (q, k, v) = (self.q.as_ptr(), self.k.as_ptr(), self.v.as_ptr());
        let input = AttentionInput { q, k, v };
        let lse = self.q.len() / self.shape.head_dim;
        let mut results = [self.q.len(), lse, self.q.len(), self.k.len(), self.v.len()]
            .map(|n| vec![f32::NAN; n]);
        let [out, lse, dq, dk, dv] = results.each_mut().map(|x| x.as_mut_ptr());
        let saved = AttentionSaved { input, out, lse, dout: self.dout.as_ptr() };
        let mut scratch = Scratch::new();
        let (output, gradient) = (AttentionOutput { out, lse }, AttentionGradient { dq, dk, dv });
        let schedule = AttentionSchedule::new(self.shape, &self.segments, n_threads);
        for task in schedule.forward().rev() {
            // SAFETY: the tensors have the shape's sizes and nobody else.
            unsafe {
                kernels.attention(&schedule, task..task + 1, input, output, &mut scratch);
            }
        }
        for task in schedule.backward().rev() {
            let task = task..task + 1;
            // SAFETY: as above.
            unsafe {
                kernels.attention_backward(&schedule, task, saved, gradient, &mut scratch);
            }
        }
        results
    }

    /// The tokens that token `i` of a segment sees, in the segment.
    fn visible(&self, i: usize) -> std::ops::RangeInclusive<usize> {
        self.shape.window.map_or(0, |w| (i + 1).saturating_sub(w))..=i
    }

    /// The definition.
    fn reference(&self) -> Results<f64> {
        let [q, k, v, dout] = [&self.q, &self.k, &self.v, &self.dout]
            .map(|x| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        let (out, lse) = self.attention(&q, &k, &v);
        let AttentionShape { n_head, n_head_kv, head_dim: d, scale, .. } = self.shape;
        let [mut dq, mut dk, mut dv] = [&q, &k, &v].map(|x| vec![0.0; x.len()]);
        for (segment, h) in self.heads() {
            for i in 0..segment.len {
                let row = (segment.start + i) * n_head + h;
                let delta = dot(&dout[row * d..][..d], &out[row * d..][..d]);
                for j in self.visible(i) {
                    let kv = (segment.start + j) * n_head_kv + h * n_head_kv / n_head;
                    let score = dot(&q[row * d..][..d], &k[kv * d..][..d]) * f64::from(scale);
                    let p = (score - lse[row]).exp();
                    let dp = dot(&dout[row * d..][..d], &v[kv * d..][..d]);
                    let ds = p * (dp - delta) * f64::from(scale);
                    for x in 0..d {
                        dq[row * d + x] += ds * k[kv * d + x];
                        dk[kv * d + x] += ds * q[row * d + x];
                        dv[kv * d + x] += p * dout[row * d + x];
                    }
                }
            }
        }
        [out, lse, dq, dk, dv]
    }

    /// The definition of `out` and `lse`.
    fn attention(&self, q: &[f64], k: &[f64], v: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let AttentionShape { n_head, n_head_kv, head_dim: d, scale, .. } = self.shape;
        let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; q.len() / d]);
        for (segment, h) in self.heads() {
            for i in 0..segment.len {
                let row = (segment.start + i) * n_head + h;
                let kv = |j| (segment.start + j) * n_head_kv + h * n_head_kv / n_head;
                let score = |j| dot(&q[row * d..][..d], &k[kv(j) * d..][..d]) * f64::from(scale);
                let max = self.visible(i).map(score).fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = self.visible(i).map(|j| (score(j) - max).exp()).sum();
                lse[row] = max + sum.ln();
                for j in self.visible(i) {
                    let p = (score(j) - lse[row]).exp();
                    (0..d).for_each(|x| out[row * d + x] += p * v[kv(j) * d + x]);
                }
            }
        }
        (out, lse)
    }

    fn heads(&self) -> impl Iterator<Item = (Segment, usize)> {
        self.segments.iter().flat_map(|&s| (0..self.shape.n_head).map(move |h| (s, h)))
    }

    /// Whether element `at` of result `index` belongs to a segment.
    fn inside(&self, index: usize, at: usize) -> bool {
        let AttentionShape { n_head, n_head_kv, head_dim, .. } = self.shape;
        let row =
            [n_head * head_dim, n_head, n_head * head_dim, n_head_kv * head_dim][index.min(3)];
        self.segments.iter().any(|s| (s.start..s.start + s.len).contains(&(at / row)))
    }

    fn check(&self, kernels: Kernels) {
        let (found, expected) = (self.run(kernels), self.reference());
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let largest = expected.iter().fold(1.0f64, |max, x| max.max(x.abs()));
            let tolerance = if index < 2 { FORWARD } else { BACKWARD } * largest;
            for (at, (&x, &y)) in found.iter().zip(expected).enumerate() {
                let error = (f64::from(x) - y).abs();
                let name = ["out", "lse", "dq", "dk", "dv"][index];
                assert!(
                    error <= tolerance,
                    "{kernels:?} {:?} {:?}: {name}[{at}] = {x} for {y}",
                    self.shape,
                    self.segments
                );
            }
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Head dimensions and groups, windows shorter and longer than tiles and segments.
fn cases() -> impl Iterator<Item = Case> {
    let heads: &[_] = sizes(
        &[(1, 1, 1), (3, 1, 8), (4, 1, 40), (6, 2, 64), (2, 2, 80), (2, 1, 133), (1, 1, 256)],
        &[(3, 1, 8)],
    );
    let windows: &[_] = sizes(
        &[None, Some(1), Some(7), Some(40), Some(64), Some(100), Some(1000)],
        &[None, Some(7)],
    );
    let packs: &[&[usize]] =
        sizes(&[&[130], &[17, 1, 65], &[1], &[0, 64, 3], &[200, 31]], &[&[0, 5, 3]]);
    heads.iter().flat_map(move |&heads| {
        packs.iter().flat_map(move |pack| windows.iter().map(move |&w| Case::new(pack, heads, w)))
    })
}

#[test]
fn agrees_with_the_definition() {
    for kernels in levels() {
        cases().for_each(|case| case.check(kernels));
        for &len in LENGTHS {
            for &window in sizes(&[None, Some(5)][..], &[Some(5)]) {
                Case::new(&[len, 2], sizes((3, 1, 8), (1, 1, 1)), window).check(kernels);
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "touches no kernel")]
fn definition_agrees_with_finite_differences() {
    for (heads, window) in [((1, 1, 3), None), ((4, 2, 5), Some(3))] {
        let case = Case::new(&[5, 1, 4], heads, window);
        let [_, _, dq, dk, dv] = case.reference();
        let tensors: [Vec<f64>; 3] =
            [&case.q, &case.k, &case.v].map(|x| x.iter().map(|&x| f64::from(x)).collect());
        let loss = |t: &[Vec<f64>; 3]| {
            let (out, _) = case.attention(&t[0], &t[1], &t[2]);
            out.iter().zip(&case.dout).map(|(x, &w)| x * f64::from(w)).sum::<f64>()
        };
        for (index, gradient) in [dq, dk, dv].iter().enumerate() {
            for (at, &expected) in gradient.iter().enumerate() {
                let moved = [1e-4, -1e-4].map(|step| {
                    let mut tensors = tensors.clone();
                    tensors[index][at] += step;
                    loss(&tensors)
                });
                let difference = (moved[0] - moved[1]) / 2e-4;
                assert!((difference - expected).abs() < DIFFERENCE, "{difference} for {expected}");
            }
        }
    }
}

#[test]
fn tasks_and_levels_agree_bit_for_bit() {
    let plain = support::plain();
    let (three, heads) = sizes(([300, 70, 5], (6, 3, 24)), ([3, 2, 1], (2, 1, 5)));
    for case in cases().chain([Case::new(&three, heads, None)]) {
        let expected = case.run(plain);
        for kernels in levels() {
            for &n_threads in sizes(&[1, 2, 3, 7][..], &[3]) {
                let found = case.run_tasks(kernels, n_threads);
                for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    for (at, (x, y)) in found.iter().zip(expected).enumerate() {
                        // Outside the segments nothing is written.
                        let same = if case.inside(index, at) {
                            x.to_bits() == y.to_bits()
                        } else {
                            x.is_nan()
                        };
                        assert!(
                            same,
                            "{kernels:?} {n_threads} {:?}: {index} {at} {x} {y}",
                            case.shape
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn large_scores_do_not_overflow() {
    for kernels in levels() {
        let mut case = Case::new(&[sizes(150, 3)], (2, 1, 16), None);
        case.q.iter_mut().for_each(|x| *x *= 200.0);
        let (found, expected) = (case.run(kernels), case.reference());
        // Scores of a thousand are known to 1e-4, and so are probabilities.
        for (x, y) in found[0].iter().zip(&expected[0]) {
            assert!((f64::from(*x) - y).abs() < 1e-2, "{x} for {y}");
        }
        assert!(found.iter().flatten().all(|x| x.is_finite()));
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow; the other tests access the same memory")]
fn what_is_not_a_number_reaches_what_depends_on_it() {
    let heads = (2, 1, 20);
    let row = |tensor: &[f32], token: usize, len: usize| tensor[token * len..][..len].to_vec();
    for kernels in levels() {
        for token in [0, 40, 70, 139] {
            for poison in [f32::NAN, f32::INFINITY] {
                for (index, window) in [(0, None), (1, None), (2, None), (1, Some(9)), (2, Some(9))]
                {
                    let mut case = Case::new(&[140, 80], heads, window);
                    let tensor = &mut [&mut case.q, &mut case.k, &mut case.v][index];
                    let width = tensor.len() / 222;
                    tensor[token * width + 3] = poison;
                    let [out, _, dq, dk, _] = case.run(kernels);
                    let bad = |x: &[f32]| x.iter().any(|x| !x.is_finite());
                    let last = window.map_or(140, |w| 140.min(token + w));
                    for i in if index == 0 { token..token + 1 } else { token..last } {
                        let seen = bad(&row(&out, i, 40)) && bad(&row(&dq, i, 40));
                        // An infinite score may be -inf: a probability of zero.
                        assert!(
                            seen || (index == 1 && poison.is_infinite()),
                            "{index} {token} {i}"
                        );
                    }
                    assert!(bad(&dk), "{index} {token}");
                    // The other segment knows nothing of it.
                    assert!(!bad(&out[141 * 40..]) && !bad(&dq[141 * 40..]));
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "5 heads cannot share 2 heads of keys")]
fn heads_must_divide() {
    Case::new(&[3], (5, 2, 4), None).run(levels()[0]);
}

#[test]
#[should_panic(expected = "tokens 1+3")]
fn overlapping_segments_are_refused() {
    let mut case = Case::new(&[3, 3], (1, 1, 4), None);
    case.segments[1].start = 1;
    case.run(levels()[0]);
}

/// New tokens give, bit by bit, what they give in the whole sequence, wherever the pages of its keys and
/// values are.
#[test]
fn kept_keys_and_values_are_those_of_the_whole_sequence() {
    let lens = sizes(&[1, 2, 20, 65, 130][..], &[20]);
    for (&len, window) in lens.iter().flat_map(|len| [(len, None), (len, Some(17))]) {
        let case = Case::new(&[len, 3], (6, 2, 24), window);
        for new in [1, 2, 16, 65].into_iter().filter(|&new| new <= len) {
            for kernels in levels() {
                let qkv = [&case.q[..], &case.k, &case.v];
                let whole = Attention::forward(kernels, case.shape, &case.segments, qkv);
                let found = kept(&case, kernels, new);
                for (found, (whole, width)) in
                    found.iter().zip([(&whole.out, 6 * 24), (&whole.lse, 6)])
                {
                    let whole = &whole[(len - new) * width..len * width];
                    assert_eq!(
                        found,
                        whole,
                        "the last {new} of {len} tokens at {}",
                        kernels.level()
                    );
                }
            }
        }
    }
}

/// `out` and `lse` of the last `new` tokens of the first segment, whose keys and values are in pages,
/// the last first, among others that are not numbers.
fn kept(case: &Case, kernels: Kernels, new: usize) -> [Vec<f32>; 2] {
    let AttentionShape { n_head, n_head_kv, head_dim, .. } = case.shape;
    let (len, row) = (case.segments[0].len, n_head_kv * head_dim);
    let pages: Vec<usize> =
        (0..len.div_ceil(PAGE)).rev().map(|page| (2 * page + 1) * PAGE).collect();
    let in_pages = |tokens: &[f32]| {
        let mut kept = vec![f32::NAN; 2 * pages.len() * PAGE * row + PAGE * row];
        for (page, tokens) in pages.iter().zip(tokens[..len * row].chunks(PAGE * row)) {
            kept[page * row..][..tokens.len()].copy_from_slice(tokens);
        }
        kept
    };
    let (k, v) = (in_pages(&case.k), in_pages(&case.v));
    let q = &case.q[(len - new) * n_head * head_dim..len * n_head * head_dim];
    let queries = Segment { start: 0, len: new };
    let schedule =
        AttentionSchedule::kept(case.shape, &[KeptSegment { pages: &pages, len, queries }]);
    let mut found = [q.len(), new * n_head].map(|n| vec![f32::NAN; n]);
    let [out, lse] = found.each_mut().map(|x| x.as_mut_ptr());
    let input = AttentionInput { q: q.as_ptr(), k: k.as_ptr(), v: v.as_ptr() };
    let output = AttentionOutput { out, lse };
    // SAFETY: the pages hold the sequence, queries and outputs the new tokens.
    unsafe {
        kernels.attention(&schedule, schedule.forward(), input, output, &mut Scratch::new());
    }
    found
}
