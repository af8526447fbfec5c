//! The tensors of one layer, and of the head.

use crate::ggml::tensor::Tensor;
use crate::gguf::file::Gguf;
use crate::model::architecture::Architecture;
use crate::model::error::ArchitectureError;
use crate::model::group::Group;
use crate::model::norm::Norm;
use crate::model::projection::Projection;
use crate::model::tensors::{HEAD_NORM, ROPE_FACTORS, SHORT_ROPE_FACTORS, head_name};
use crate::model::weight::Weight;

/// The tensors of one layer.
#[derive(Debug)]
pub(crate) struct Layer {
    /// By [`Norm`]; `None` for those that the family lacks.
    norms: [Option<Tensor>; Norm::ALL.len()],
    /// Divisors of the rotary frequencies, of Llama 3 and Phi 3.
    pub rope_factors: Option<Tensor>,
    /// By [`Projection`]; `None` for those that the family lacks.
    projections: [Option<ProjectionTensors>; Projection::ALL.len()],
}

/// A projection's weight and, in some models, its bias.
#[derive(Debug)]
pub(crate) struct ProjectionTensors {
    pub weight: Weight,
    pub bias: Option<Tensor>,
}

/// The tensors behind the last layer.
#[derive(Debug)]
pub(crate) struct HeadTensors {
    pub norm: Tensor,
    pub weight: Weight,
}

impl Layer {
    /// Layer `n` of a model, out of a group of its tensors.
    pub fn new(
        shape: &Architecture,
        n: usize,
        mut group: Group<'_>,
    ) -> Result<Self, ArchitectureError> {
        let mut norms = [const { None }; Norm::ALL.len()];
        let traits = shape.family.traits();
        for &norm in traits.norms {
            norms[norm as usize] = Some(group.vector(&traits.norm_name(norm, n))?);
        }
        let short = group.optional_vector(SHORT_ROPE_FACTORS)?;
        let rope_factors = group.optional_vector(ROPE_FACTORS)?.or(short);
        let mut projections = [const { None }; Projection::ALL.len()];
        for projection in traits.projections {
            projections[*projection as usize] = Some(ProjectionTensors {
                weight: group.weight(&projection.weight_name(n))?,
                bias: group.optional_vector(&projection.bias_name(n))?,
            });
        }
        Ok(Self { norms, rope_factors, projections })
    }

    /// The weight of a norm; `None` if the family lacks it.
    pub fn norm(&self, norm: Norm) -> Option<&Tensor> {
        self.norms[norm as usize].as_ref()
    }

    /// The tensors of a projection; `None` if the family lacks it.
    pub fn projection(&self, projection: Projection) -> Option<&ProjectionTensors> {
        self.projections[projection as usize].as_ref()
    }

    /// The weights of its projections, in order.
    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        self.projections.iter().flatten().map(|projection| &projection.weight)
    }

    /// [`Layer::weights`], to set their panels.
    pub fn weights_mut(&mut self) -> impl Iterator<Item = &mut Weight> {
        self.projections.iter_mut().flatten().map(|projection| &mut projection.weight)
    }

    /// Whether its weights' panels are retained, so that the weights themselves are not read.
    pub fn has_panels(&self) -> bool {
        self.weights().all(|weight| weight.panels[0].is_some())
    }
}

impl HeadTensors {
    /// The head of a model, out of a group of its tensors.
    pub fn new(gguf: &Gguf, mut group: Group<'_>) -> Result<Self, ArchitectureError> {
        Ok(Self { norm: group.vector(HEAD_NORM)?, weight: group.weight(head_name(gguf))? })
    }
}
