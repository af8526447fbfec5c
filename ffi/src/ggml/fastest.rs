//! Which device is the fastest, measured on one matrix product.

use std::time::{Duration, Instant};

use super::device::Device;
use crate::ggml::backend::{Backend, BackendError};
use crate::ggml::graph::Graph;

/// `(M, K, T)` of the product.
const SHAPE: [usize; 3] = [1024, 1024, 256];

/// Elements of a correct product are this near those of the CPU's, relative to their largest: GPUs
/// may multiply in 16 bits.
const TOLERANCE: f32 = 2e-2;

impl Device {
    /// The device that multiplies fastest among those that work; where there is only the CPU,
    /// nothing is measured.
    ///
    /// A device works if it starts and computes what the CPU computes. `n_threads` are the CPU's,
    /// whose time is counted a third: its own kernels for quantized weights are faster than this
    /// product by about as much.
    pub fn fastest(n_threads: usize) -> Self {
        let cpu = Self::cpu();
        let others: Vec<Self> = Self::all().into_iter().filter(|d| !d.is_cpu()).collect();
        if others.is_empty() {
            return cpu;
        }
        let Ok((reference, time)) = product(cpu, n_threads) else { return cpu };
        let largest = reference.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        let works = |found: &[f32]| {
            let mut pairs = found.iter().zip(&reference);
            pairs.all(|(a, b)| (a - b).abs() <= TOLERANCE * largest)
        };
        let timed = others.into_iter().filter_map(|device| {
            let (found, time) = product(device, n_threads).ok()?;
            works(&found).then_some((time, device))
        });
        let all = timed.chain([(time / 3, cpu)]);
        all.min_by_key(|(time, _)| *time).map_or(cpu, |(_, device)| device)
    }
}

/// A product and the time it took, the second time.
fn product(device: Device, n_threads: usize) -> Result<(Vec<f32>, Duration), BackendError> {
    let backend = Backend::open(device, n_threads)?;
    let [m, k, t] = SHAPE;
    let values = |n: usize| (0..n).map(|i| (i * 37 % 101) as f32 / 101.0 - 0.5).collect();
    let graph = Graph::new(8);
    let y = graph.mul_mat(graph.input([k, m], values(k * m)), graph.input([k, t], values(k * t)));
    graph.output(y);
    // The first run compiles shaders and allocates.
    backend.run(&graph)?;
    let started = Instant::now();
    backend.run(&graph)?;
    Ok((y.read(), started.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_device_is_one_of_all() {
        assert!(Device::all().contains(&Device::fastest(1)));
    }

    #[test]
    fn the_product_is_right() {
        let (y, _) = product(Device::cpu(), 1).expect("the CPU computes");
        let [_, k, _] = SHAPE;
        let value = |i: usize| (i * 37 % 101) as f64 / 101.0 - 0.5;
        let expected: f64 = (0..k).map(|i| value(i).powi(2)).sum();
        assert!((f64::from(y[0]) - expected).abs() < 1e-3, "{} {expected}", y[0]);
    }
}
