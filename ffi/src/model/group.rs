//! Tensors that come and go together: those of a layer, those of the head.

use std::collections::BTreeMap;

use crate::ggml::tensor::Tensor;
use crate::gguf::dequantize::Quantized;
use crate::gguf::file::Gguf;
use crate::gguf::tensor_info::TensorInfo;
use crate::model::error::ArchitectureError;
use crate::model::weight::Weight;
use crate::sys;

/// Tensors of a file that have a place, by name, until they are taken.
pub(crate) struct Group<'a> {
    gguf: &'a Gguf,
    tensors: BTreeMap<String, Tensor>,
}

impl<'a> Group<'a> {
    /// Those of `names` that the file has; `place` gives each a place, in order.
    pub fn new(
        gguf: &'a Gguf,
        names: &[String],
        place: impl FnOnce(&[&'a TensorInfo]) -> Vec<Tensor>,
    ) -> Self {
        let known = |name: &String| gguf.tensors().get(name).map(|info| (name.clone(), info));
        let (names, infos): (Vec<_>, Vec<_>) = names.iter().filter_map(known).unzip();
        Self { gguf, tensors: names.into_iter().zip(place(&infos)).collect() }
    }

    fn take(&mut self, name: &str) -> Result<Tensor, ArchitectureError> {
        // Asking the file for its description says which tensor is missing.
        self.gguf.tensor(name)?;
        Ok(self.tensors.remove(name).expect("every tensor of the group is taken once"))
    }

    /// A matrix that products are computed with, of any type.
    pub fn weight(&mut self, name: &str) -> Result<Weight, ArchitectureError> {
        let data = quantized(self.gguf, name)?;
        Ok(Weight { tensor: self.take(name)?, data, panels: [None, None] })
    }

    /// A norm, a bias or factors, which enter ggml's element-wise operations: those want F32.
    pub fn vector(&mut self, name: &str) -> Result<Tensor, ArchitectureError> {
        if self.gguf.tensor(name)?.kind != sys::GGML_TYPE_F32 {
            return Err(unsupported_type(self.gguf, name));
        }
        self.take(name)
    }

    /// [`Group::vector`], if the file has it.
    pub fn optional_vector(&mut self, name: &str) -> Result<Option<Tensor>, ArchitectureError> {
        let there = self.gguf.tensors().contains_key(name);
        there.then(|| self.vector(name)).transpose()
    }
}

/// A matrix of the file, to be read row by row.
pub(crate) fn quantized(gguf: &Gguf, name: &str) -> Result<Quantized, ArchitectureError> {
    Quantized::new(gguf, gguf.tensor(name)?).ok_or_else(|| unsupported_type(gguf, name))
}

fn unsupported_type(gguf: &Gguf, name: &str) -> ArchitectureError {
    ArchitectureError::variant(gguf, format!("the type of tensor {name}"))
}
