//! What an objective needs of an engine's tensors.

/// One value per response token, shape `(N,)`, of whatever engine computes them.
///
/// Seven elementwise operations suffice for every objective here. All operands of one call have the
/// same shape and lie on the same device; nothing is changed in place. An engine with automatic
/// differentiation implements them with its differentiable operations, see `examples/autodiff.rs`;
/// [`crate::dual::Dual`] is the implementation for engines without, one token at a time.
pub trait Tensor: Clone + Sized {
    /// What can go wrong in the engine; [`core::convert::Infallible`] if nothing can.
    type Error;

    /// `self + rhs`
    ///
    /// # Errors
    /// Whatever the engine reports, as for each operation below.
    fn add(&self, rhs: &Self) -> Result<Self, Self::Error>;

    /// `self · rhs`
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn mul(&self, rhs: &Self) -> Result<Self, Self::Error>;

    /// `scale · self + shift`
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn affine(&self, scale: f64, shift: f64) -> Result<Self, Self::Error>;

    /// `e^self`
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn exp(&self) -> Result<Self, Self::Error>;

    /// `ln(1 − e^x)` for a log-probability `x`, finite everywhere.
    ///
    /// Values and derivatives (`−e^x / (1 − e^x)`) are those at `min(x, −GAP)`, see
    /// [`crate::log_space::GAP`]: at certainty the gradient is large and finite, never zero. An
    /// engine may write it as `ln(1 − exp(x − detach(relu(x + GAP))))`.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn log1mexp(&self) -> Result<Self, Self::Error>;

    /// `1` where `self > rhs`, else `0`. Carries no gradient.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn greater(&self, rhs: &Self) -> Result<Self, Self::Error>;

    /// The same values as constants: no gradient flows through.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn detach(&self) -> Result<Self, Self::Error>;
}
