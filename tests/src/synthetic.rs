//! GGUF files of any shape and type with random weights: for tests, and to measure models that
//! nobody has to download.
//!
//! Matrices are `N(0, 0.02²)`, as language models are initialized, and rounded by ggml itself;
//! norms are near 1. Rounding billions of numbers takes hours in some types, so a pool of random
//! rows is rounded for each row length and type, and every tensor draws its rows from there,
//! repetitions included. Speed and memory do not depend on values, so they are a real model's. The
//! text that such a model speaks is noise, so it has no tokenizer.

mod rows;
mod shape;
mod tensors;

pub use shape::{PRESETS, Shape, preset};

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use cutq_ffi::{GgufHeader, TensorType};

use rows::Rows;
use tensors::{Tensor, Values};

/// A model to be made up.
#[derive(Debug, Clone)]
pub struct Synthetic {
    /// Its shape.
    pub shape: Shape,
    /// The type of the layers' matrices.
    pub layer_type: TensorType,
    /// The type of the head, if it is a matrix of its own.
    pub head_type: TensorType,
    /// The type of the token embedding.
    pub embedding_type: TensorType,
    /// Files of the same seed are the same.
    pub seed: u64,
}

/// Why a model cannot be made up.
#[derive(Debug, thiserror::Error)]
pub enum SyntheticError {
    /// The type does not divide the rows.
    #[error(
        "{tensor}: rows of {n_in} values cannot be stored as {tensor_type}, in blocks of {block}"
    )]
    Blocks {
        /// The tensor.
        tensor: String,
        /// The length of its rows.
        n_in: usize,
        /// The type asked for.
        tensor_type: TensorType,
        /// Values that it rounds together.
        block: usize,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Synthetic {
    /// A model with matrices of one type.
    pub fn new(shape: Shape, tensor_type: TensorType) -> Self {
        Self {
            shape,
            layer_type: tensor_type,
            head_type: tensor_type,
            embedding_type: tensor_type,
            seed: 0,
        }
    }

    /// Writes the model; no more than a few rows of it are ever in memory.
    ///
    /// # Errors
    /// If a type does not divide the rows or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), SyntheticError> {
        let tensors = self.checked_tensors()?;
        let header = self.header(&tensors);
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        out.write_all(&header.bytes())?;
        let mut rows = Rows::new(self.seed);
        for (index, tensor) in tensors.iter().enumerate() {
            rows.write(index, tensor, &mut out)?;
            out.write_all(&vec![0; padding(tensor, header.alignment())])?;
        }
        Ok(out.flush()?)
    }

    /// Writes the header alone and lets the file system make up the zeros of the data, which take
    /// no space: for whoever only reads shapes.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_header(&self, path: &Path) -> Result<(), SyntheticError> {
        let tensors = self.checked_tensors()?;
        let header = self.header(&tensors);
        let bytes = header.bytes();
        let data = tensors.iter().map(|t| t.bytes() + padding(t, header.alignment()));
        let len = bytes.len() + data.sum::<usize>();
        let mut file = File::create(path)?;
        file.write_all(&bytes)?;
        Ok(file.set_len(len as u64)?)
    }

    fn checked_tensors(&self) -> Result<Vec<Tensor>, SyntheticError> {
        let tensors = tensors::list(self);
        for Tensor { name, tensor_type, shape, .. } in &tensors {
            let (n_in, block) = (shape[0], tensor_type.block());
            if !n_in.is_multiple_of(block) {
                let (tensor, tensor_type) = (name.clone(), *tensor_type);
                return Err(SyntheticError::Blocks { tensor, n_in, tensor_type, block });
            }
        }
        Ok(tensors)
    }

    fn header(&self, tensors: &[Tensor]) -> GgufHeader {
        let mut header = GgufHeader::new();
        self.shape.describe(&mut header);
        for tensor in tensors {
            header.tensor(&tensor.name, tensor.tensor_type, tensor.shape);
        }
        header
    }
}

/// Zeros between a tensor's data and the next one's.
fn padding(tensor: &Tensor, alignment: usize) -> usize {
    tensor.bytes().next_multiple_of(alignment) - tensor.bytes()
}
