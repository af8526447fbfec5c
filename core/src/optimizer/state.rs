//! What an optimizer remembers between steps, in a form that can be saved.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{borrow::ToOwned, vec};

use thiserror::Error;

use crate::float::Float;
use crate::optimizer::Optimizer;

/// The moments of one parameter.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Moments<F> {
    /// The parameter's name.
    pub name: String,
    /// Running mean of its gradients.
    pub m: Vec<F>,
    /// Running mean of their squares.
    pub v: Vec<F>,
}

/// A saved state that does not belong to this model.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another parameter was expected here.
    #[error("parameter {index} is `{found}`, the optimizer's state has `{expected}` there")]
    Name {
        /// Position in the model's order.
        index: usize,
        /// The name in the state.
        expected: String,
        /// The model's name.
        found: String,
    },
    /// The parameter has another size.
    #[error("`{name}` has {found} values, the optimizer's state has {expected}")]
    Length {
        /// The parameter.
        name: String,
        /// Values in the state.
        expected: usize,
        /// The model's.
        found: usize,
    },
    /// The model has another number of parameters.
    #[error("the model has {found} parameters, the optimizer's state {expected}")]
    Count {
        /// Parameters in the state.
        expected: usize,
        /// The model's.
        found: usize,
    },
}

/// The moments of every parameter, in the model's order. [`Optimizer::Sgd`] keeps none.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerState<F> {
    moments: Vec<Moments<F>>,
}

impl<F> Default for OptimizerState<F> {
    fn default() -> Self {
        Self { moments: Vec::new() }
    }
}

impl<F: Float> OptimizerState<F> {
    /// A state from saved moments, in the model's order; checked against the model before its first
    /// use.
    pub fn from_moments(moments: Vec<Moments<F>>) -> Self {
        Self { moments }
    }

    /// The moments to save; empty before the first step and for an optimizer that keeps none.
    pub fn moments(&self) -> &[Moments<F>] {
        &self.moments
    }

    /// Checks that the state belongs to a model with these `(name, length)`; an empty state belongs
    /// to any.
    ///
    /// # Errors
    /// On the first difference in name, size or number.
    pub fn check(&self, parameters: &[(String, usize)]) -> Result<(), StateError> {
        if self.moments.is_empty() {
            return Ok(());
        }
        for (index, (moments, (name, len))) in self.moments.iter().zip(parameters).enumerate() {
            if moments.name != *name {
                let (expected, found) = (moments.name.clone(), name.clone());
                return Err(StateError::Name { index, expected, found });
            }
            if moments.m.len() != *len || moments.v.len() != *len {
                let expected = moments.m.len().min(moments.v.len());
                return Err(StateError::Length { name: name.clone(), expected, found: *len });
            }
        }
        if self.moments.len() != parameters.len() {
            let (expected, found) = (self.moments.len(), parameters.len());
            return Err(StateError::Count { expected, found });
        }
        Ok(())
    }

    /// One update of parameter `index`; `t` counts steps from 1.
    ///
    /// # Panics
    /// If the lengths disagree, see [`OptimizerState::check`], or parameters are first seen out of
    /// order.
    #[allow(clippy::too_many_arguments, reason = "a parameter and where the run stands")]
    pub fn update(
        &mut self,
        optimizer: &Optimizer,
        index: usize,
        name: &str,
        values: &mut [F],
        grads: &[F],
        lr: f64,
        t: u64,
    ) {
        match optimizer {
            Optimizer::Sgd(sgd) => sgd.update(values, grads, lr),
            Optimizer::AdamW(adamw) => {
                if index == self.moments.len() {
                    let zeros = vec![F::default(); values.len()];
                    self.moments.push(Moments {
                        name: name.to_owned(),
                        m: zeros.clone(),
                        v: zeros,
                    });
                }
                let Moments { m, v, .. } = &mut self.moments[index];
                adamw.update(values, grads, m, v, lr, t);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_state_of_another_model_is_refused() {
        let mut state = OptimizerState::<f32>::default();
        let optimizer = Optimizer::default();
        state.update(&optimizer, 0, "a", &mut [1.0, 2.0], &[0.1, 0.1], 0.1, 1);
        assert_eq!(state.check(&[("a".to_string(), 2)]), Ok(()));
        assert!(matches!(state.check(&[("b".to_string(), 2)]), Err(StateError::Name { .. })));
        assert!(matches!(state.check(&[("a".to_string(), 3)]), Err(StateError::Length { .. })));
        assert!(matches!(state.check(&[]), Err(StateError::Count { expected: 1, found: 0 })));
    }
}
