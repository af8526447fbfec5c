//! Speed of attention, forward and backward, one sequence or many short ones.
//!
//! `cargo bench -p cutq-kernels --bench attention [-- LEVEL…]`. Counted are the two products of
//! the forward and the five of the backward pass over the visible half of the scores; one
//! multiplication and one addition are two operations. Every measured pass is compared with
//! sums in f64 for some of its queries.

mod support;

use std::cell::RefCell;
use std::ops::Range;

use cutq_kernels::{
    AttentionGradient, AttentionInput, AttentionOutput, AttentionSaved, AttentionSchedule,
    AttentionShape, Kernels, Pool, Scratch, Segment, Work,
};
use support::number;
use support::timing::{self, report, seconds, sizes};

/// `(length, segments, H, Hkv, D)`: the heads of SmolLM2-135M and of Gemma 3 270M.
const CASES: &[(usize, usize, usize, usize, usize)] = &[
    (512, 1, 9, 3, 64),
    (2048, 1, 9, 3, 64),
    (90, 12, 9, 3, 64),
    (512, 1, 4, 1, 256),
    (2048, 1, 4, 1, 256),
];

/// More than a tile, and several segments.
const TESTED: &[(usize, usize, usize, usize, usize)] = &[(70, 1, 3, 1, 16), (5, 3, 2, 2, 20)];

fn main() {
    for kernels in timing::kernels() {
        for threads in [1, 2] {
            report!("\n{}, {threads} thread(s)", kernels.level());
            report!("    n segments   H Hkv   D   forward ms  Gflop/s   backward ms  Gflop/s");
            for &case in sizes(CASES, TESTED) {
                report(kernels, threads, case);
            }
        }
    }
}

fn report(kernels: Kernels, threads: usize, case: (usize, usize, usize, usize, usize)) {
    let (len, n_segments, n_head, n_head_kv, d) = case;
    let mut case = Case::new(kernels, threads, case);
    let operations = (len * (len + 1) * d * n_head * n_segments) as f64;
    let forward = seconds(|| case.forward());
    let backward = seconds(|| case.backward());
    case.check();
    report!(
        "{len:5} {n_segments:8} {n_head:3} {n_head_kv:3} {d:3} {:12.3} {:8.0} {:13.3} {:8.0}",
        1e3 * forward,
        2.0 * operations / forward * 1e-9,
        1e3 * backward,
        5.0 * operations / backward * 1e-9,
    );
}

/// A pack and its tensors.
struct Case {
    kernels: Kernels,
    shape: AttentionShape,
    segments: Vec<Segment>,
    /// q, k, v, dout
    read: [Vec<f32>; 4],
    /// out, lse, dq, dk, dv
    written: [Vec<f32>; 5],
    pool: Pool,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// Pointers for the threads of one call, which divide what they write.
struct Tensors(AttentionSaved, AttentionOutput, AttentionGradient);
// SAFETY: each task writes its own part.
unsafe impl Sync for Tensors {}

impl Case {
    fn new(
        kernels: Kernels,
        threads: usize,
        (len, n_segments, n_head, n_head_kv, head_dim): (usize, usize, usize, usize, usize),
    ) -> Case {
        let tensor = |heads: usize, seed: usize| -> Vec<f32> {
            (0..n_segments * len * heads * head_dim).map(|i| number(4 * i + seed)).collect()
        };
        let scale = 2.0 / (head_dim as f32).sqrt();
        let read =
            [tensor(n_head, 0), tensor(n_head_kv, 1), tensor(n_head_kv, 2), tensor(n_head, 3)];
        let sizes = [read[0].len(), read[0].len() / head_dim, read[0].len(), read[1].len()];
        Case {
            kernels,
            shape: AttentionShape { n_head, n_head_kv, head_dim, scale, window: None },
            segments: (0..n_segments).map(|i| Segment { start: i * len, len }).collect(),
            read,
            written: [0, 1, 2, 3, 3].map(|i| vec![f32::NAN; sizes[i]]),
            pool: Pool::new(threads).expect("threads start"),
        }
    }

    fn forward(&mut self) {
        self.divide(AttentionSchedule::forward, |kernels, schedule, task, tensors, scratch| {
            let &Tensors(AttentionSaved { input, .. }, output, _) = tensors;
            // SAFETY: the tensors have the shape's sizes; the tasks divide the output.
            unsafe { kernels.attention(schedule, task, input, output, scratch) };
        });
    }

    fn backward(&mut self) {
        self.divide(AttentionSchedule::backward, |kernels, schedule, task, tensors, scratch| {
            let &Tensors(saved, _, gradient) = tensors;
            // SAFETY: as above.
            unsafe { kernels.attention_backward(schedule, task, saved, gradient, scratch) };
        });
    }

    /// Calls `run` for every task.
    fn divide(
        &mut self,
        tasks_of: fn(&AttentionSchedule) -> Range<usize>,
        run: fn(Kernels, &AttentionSchedule, Range<usize>, &Tensors, &mut Scratch),
    ) {
        let [q, k, v, dout] = self.read.each_ref().map(|x| x.as_ptr());
        let [out, lse, dq, dk, dv] = self.written.each_mut().map(|x| x.as_mut_ptr());
        let tensors = Tensors(
            AttentionSaved { input: AttentionInput { q, k, v }, out, lse, dout },
            AttentionOutput { out, lse },
            AttentionGradient { dq, dk, dv },
        );
        let schedule = AttentionSchedule::new(self.shape, &self.segments, self.pool.n_threads());
        let (kernels, tensors) = (self.kernels, &tensors);
        self.pool.divide(Work::Tasks(tasks_of(&schedule).len()), |tasks| {
            SCRATCH.with_borrow_mut(|scratch| run(kernels, &schedule, tasks, tensors, scratch));
        });
    }

    /// Compares `out` and `dq` of some queries with the definition in f64.
    fn check(&self) {
        let AttentionShape { n_head, n_head_kv, head_dim: d, scale, .. } = self.shape;
        let [q, k, v, dout] = &self.read;
        let [out, _, dq, dk, dv] = &self.written;
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let n_rows = q.len() / d;
        for row in (0..n_rows).step_by(n_rows / 41 + 1) {
            let (token, head) = (row / n_head, row % n_head);
            let start = token / self.segments[0].len * self.segments[0].len;
            let kv = |j: usize| (j * n_head_kv + head * n_head_kv / n_head) * d;
            let scores: Vec<f64> = (start..=token)
                .map(|j| dot(&q[row * d..][..d], &k[kv(j)..][..d]) * f64::from(scale))
                .collect();
            let sum: f64 = scores.iter().map(|score| score.exp()).sum();
            let delta = dot(&dout[row * d..][..d], &out[row * d..][..d]);
            let (mut value, mut gradient) = (vec![0.0; d], vec![0.0; d]);
            for (j, score) in (start..).zip(&scores) {
                let p = score.exp() / sum;
                let dp = dot(&dout[row * d..][..d], &v[kv(j)..][..d]);
                for x in 0..d {
                    value[x] += p * f64::from(v[kv(j) + x]);
                    gradient[x] += p * (dp - delta) * f64::from(scale) * f64::from(k[kv(j) + x]);
                }
            }
            for x in 0..d {
                let (found, expected) = (f64::from(out[row * d + x]), value[x]);
                assert!((found - expected).abs() < 1e-5, "out {row} {x}: {found} for {expected}");
                let (found, expected) = (f64::from(dq[row * d + x]), gradient[x]);
                assert!((found - expected).abs() < 1e-4, "dq {row} {x}: {found} for {expected}");
            }
        }
        // Every query's probabilities sum to one.
        let sum = |x: &[f32]| x.iter().map(|&x| f64::from(x)).sum::<f64>();
        let error = (sum(dout) - sum(dv)).abs();
        assert!(error < 1e-6 * dout.len() as f64, "sum of dv: off by {error}");
        assert!(dk.iter().all(|x| x.is_finite()));
    }
}
