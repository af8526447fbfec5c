//! Forward-mode differentiation of an objective, one token at a time.

use core::convert::Infallible;

use crate::log_space;
use crate::tensor::Tensor;

/// A value with its derivatives by the token's two log-probabilities.
///
/// An objective's terms at one token depend on that token's log-probabilities alone, so two
/// derivatives say all that backpropagation has to know. Evaluating the objective over `Dual` gives
/// an engine without automatic differentiation the weights an engine with it would find.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dual {
    /// The value.
    pub value: f64,
    /// `[d/d ln p(y_t|x), d/d ln p(y_t|x,j)]`: plain, judged.
    pub d: [f64; 2],
}

impl Dual {
    /// The log-probability in the plain context.
    pub fn plain(value: f64) -> Self {
        Self { value, d: [1.0, 0.0] }
    }

    /// The log-probability in the judged context.
    pub fn judged(value: f64) -> Self {
        Self { value, d: [0.0, 1.0] }
    }

    /// A constant.
    pub fn constant(value: f64) -> Self {
        Self { value, d: [0.0; 2] }
    }

    /// `f(self)` with the chain rule: `slope` is `f'(self)`.
    fn chain(&self, value: f64, slope: f64) -> Self {
        Self { value, d: self.d.map(|d| slope * d) }
    }
}

impl Tensor for Dual {
    type Error = Infallible;

    fn add(&self, rhs: &Self) -> Result<Self, Infallible> {
        let d = [self.d[0] + rhs.d[0], self.d[1] + rhs.d[1]];
        Ok(Self { value: self.value + rhs.value, d })
    }

    fn mul(&self, rhs: &Self) -> Result<Self, Infallible> {
        let product = |i: usize| self.d[i] * rhs.value + self.value * rhs.d[i];
        Ok(Self { value: self.value * rhs.value, d: [product(0), product(1)] })
    }

    fn affine(&self, scale: f64, shift: f64) -> Result<Self, Infallible> {
        Ok(self.chain(scale * self.value + shift, scale))
    }

    fn exp(&self) -> Result<Self, Infallible> {
        let value = libm::exp(self.value);
        Ok(self.chain(value, value))
    }

    fn log1mexp(&self) -> Result<Self, Infallible> {
        Ok(self.chain(log_space::log1mexp(self.value), log_space::dlog1mexp(self.value)))
    }

    fn greater(&self, rhs: &Self) -> Result<Self, Infallible> {
        Ok(Self::constant(f64::from(u8::from(self.value > rhs.value))))
    }

    fn detach(&self) -> Result<Self, Infallible> {
        Ok(Self::constant(self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `f(plain, judged)` that uses every differentiable operation.
    fn sample(plain: Dual, judged: Dual) -> Result<Dual, Infallible> {
        plain.exp()?.mul(&judged)?.add(&plain.log1mexp()?.affine(2.0, 1.0)?)?.mul(&plain)
    }

    #[test]
    fn derivatives_are_slopes() -> Result<(), Infallible> {
        let (l, j, h) = (-0.4, -1.3, 1e-6);
        let at = |l, j| sample(Dual::plain(l), Dual::judged(j)).map(|x| x.value);
        let d = sample(Dual::plain(l), Dual::judged(j))?.d;
        assert!((d[0] - (at(l + h, j)? - at(l - h, j)?) / (2.0 * h)).abs() < 1e-8);
        assert!((d[1] - (at(l, j + h)? - at(l, j - h)?) / (2.0 * h)).abs() < 1e-8);
        Ok(())
    }

    #[test]
    fn masks_and_constants_carry_no_gradient() -> Result<(), Infallible> {
        let mask = Dual::plain(-1.0).greater(&Dual::judged(-2.0))?;
        assert_eq!(mask, Dual { value: 1.0, d: [0.0; 2] });
        assert_eq!(Dual::plain(-1.0).detach()?, Dual::constant(-1.0));
        Ok(())
    }
}
