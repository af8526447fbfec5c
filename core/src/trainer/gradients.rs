//! Checks of the gradients before they may move anything.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::clip;
use crate::float::Float;
use crate::model::Model;
use crate::optimizer::OptimizerState;
use crate::optimizer::StateError;

/// A parameter whose gradient is infinite or not a number.
pub(super) struct NonFinite {
    pub(super) name: String,
    pub(super) value: f64,
}

/// The first gradient that is not finite.
pub(super) fn non_finite<M: Model>(model: &mut M) -> Option<NonFinite> {
    let mut found = None;
    model.visit_parameters(&mut |parameter| {
        // A sum that is finite has no summand that is not, and is quicker to have.
        if found.is_none() && !clip::squared_norm(parameter.grads).is_finite() {
            let value = parameter.grads.iter().map(|g| g.to_f64()).find(|g| !g.is_finite());
            found = value.map(|value| NonFinite { name: parameter.name.to_owned(), value });
        }
    });
    found
}

/// The parameters' gradients at the end of a backward pass.
pub(super) struct Survey {
    /// Name and number of values of each parameter.
    parameters: Vec<(String, usize)>,
    /// The global norm.
    pub(super) norm: f64,
    /// Positions of parameters with a nonzero gradient.
    alive: Vec<bool>,
    /// Positions of parameters whose gradient is zero by necessity.
    gated: Vec<bool>,
}

impl Survey {
    /// Visits every parameter once.
    pub(super) fn new<M: Model>(model: &mut M) -> Self {
        let mut survey =
            Self { parameters: Vec::new(), norm: 0.0, alive: Vec::new(), gated: Vec::new() };
        let mut squares = 0.0;
        model.visit_parameters(&mut |parameter| {
            squares += clip::squared_norm(parameter.grads);
            survey.parameters.push((parameter.name.to_owned(), parameter.values.len()));
            // Not by the norm: squares of tiny gradients underflow.
            survey.alive.push(parameter.grads.iter().any(|g| g.to_f64() != 0.0));
            survey.gated.push(parameter.gated);
        });
        survey.norm = libm::sqrt(squares);
        survey
    }

    /// Whether an optimizer's state belongs to these parameters.
    pub(super) fn check_state<F: Float>(
        &self,
        state: &OptimizerState<F>,
    ) -> Result<(), StateError> {
        state.check(&self.parameters)
    }

    /// Notes in `seen_alive` which parameters have had a gradient in this run; returns the first
    /// that ought to have one and never had.
    pub(super) fn first_dead(&self, seen_alive: &mut Vec<bool>) -> Option<&str> {
        seen_alive.resize(self.parameters.len(), false);
        let mut dead = None;
        for (i, seen) in seen_alive.iter_mut().enumerate() {
            *seen |= self.alive[i];
            if !*seen && !self.gated[i] && dead.is_none() {
                dead = Some(self.parameters[i].0.as_str());
            }
        }
        dead
    }
}
