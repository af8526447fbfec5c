//! Products of row-major matrices, plain loops in f64.

/// `a · bᵀ`: `(m, k)` and `(n, k)` → `(m, n)`.
pub(super) fn nt(a: &[f64], b: &[f64], k: usize) -> Vec<f64> {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum();
    a.chunks(k).flat_map(|x| b.chunks(k).map(move |y| dot(x, y))).collect()
}

/// `a · b`: `(m, k)` and `(k, n)` → `(m, n)`.
pub(super) fn nn(a: &[f64], b: &[f64], k: usize, n: usize) -> Vec<f64> {
    let mut out = vec![0.0; a.len() / k * n];
    for (x, row) in a.chunks(k).zip(out.chunks_mut(n)) {
        for (x, y) in x.iter().zip(b.chunks(n)) {
            add_scaled(row, *x, y);
        }
    }
    out
}

/// `out += scale · aᵀ · b`: `(k, m)` and `(k, n)` → `(m, n)`.
pub(super) fn add_tn(out: &mut [f64], scale: f64, a: &[f64], b: &[f64], m: usize, n: usize) {
    for (x, y) in a.chunks(m).zip(b.chunks(n)) {
        for (x, row) in x.iter().zip(out.chunks_mut(n)) {
            add_scaled(row, scale * x, y);
        }
    }
}

/// `out += scale · x`
pub(super) fn add_scaled(out: &mut [f64], scale: f64, x: &[f64]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out += scale * x;
    }
}

/// `a + b`
pub(super) fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}
