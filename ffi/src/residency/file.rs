//! The tensors of a model as they lie in its file, mapped into memory.

use std::rc::Rc;

use crate::ggml::tensor::Tensor;
use crate::gguf::dequantize::Quantized;
use crate::gguf::file::Gguf;
use crate::gguf::tensor_info::TensorInfo;
use crate::model::architecture::Architecture;
use crate::model::error::ArchitectureError;
use crate::model::group::{Group, quantized};
use crate::model::layer::{HeadTensors, Layer};
use crate::model::tensors::{EMBEDDING, head_names, layer_names};

/// A model's tensors in the memory map: the CPU's kernels compute with them, other devices are
/// planned with them.
pub(crate) struct FileTensors {
    pub gguf: Gguf,
    pub shape: Architecture,
    /// Read on the host, a row per token.
    pub embedding: Quantized,
    pub layers: Vec<Rc<Layer>>,
    pub head: Rc<HeadTensors>,
}

impl FileTensors {
    /// The tensors of `gguf`, whose shape is `shape`.
    pub fn open(gguf: &Gguf, shape: &Architecture) -> Result<Self, ArchitectureError> {
        let map = |infos: &[&TensorInfo]| infos.iter().map(|info| mapped(gguf, info)).collect();
        let layer = |n| {
            let group = Group::new(gguf, &layer_names(gguf, shape, n), map);
            Ok::<_, ArchitectureError>(Rc::new(Layer::new(shape, n, group)?))
        };
        let head = Group::new(gguf, &head_names(gguf), map);
        Ok(Self {
            embedding: quantized(gguf, EMBEDDING)?,
            layers: (0..shape.n_layer).map(layer).collect::<Result<_, _>>()?,
            head: Rc::new(HeadTensors::new(gguf, head)?),
            gguf: gguf.clone(),
            shape: shape.clone(),
        })
    }

    /// Names of what layer `n` computes with.
    pub fn layer_names(&self, n: usize) -> Vec<String> {
        layer_names(&self.gguf, &self.shape, n)
    }

    /// Names of what the head computes with.
    pub fn head_names(&self) -> Vec<String> {
        head_names(&self.gguf)
    }

    /// Where these tensors are in the file.
    pub fn infos(&self, names: &[String]) -> Vec<&TensorInfo> {
        names.iter().filter_map(|name| self.gguf.tensors().get(name)).collect()
    }

    /// Bytes of these tensors in the file.
    pub fn bytes(&self, names: &[String]) -> usize {
        self.infos(names).iter().map(|info| info.size).sum()
    }

    /// Bytes of memory that these tensors take while the file's map is read.
    pub fn mapped_bytes(&self, names: &[String]) -> usize {
        self.gguf.mapped_bytes(&self.infos(names))
    }
}

/// A tensor that points into the map: nothing is copied.
fn mapped(gguf: &Gguf, info: &TensorInfo) -> Tensor {
    let owner = Box::new(gguf.clone());
    // SAFETY: the owner keeps the map alive, which nothing writes to; the data lies within it, as
    // `Gguf::open` checked, and has the bytes that ggml gives this type and shape; GGUF aligns it.
    unsafe { Tensor::borrow(info.description(), gguf.data(info), gguf.file_of(info), owner) }
}
