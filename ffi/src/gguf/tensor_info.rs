//! Where a tensor lies in a file, and what it is.

use std::ops::Range;

use crate::ggml::tensor::Description;
use crate::ggml::tensor_type::TensorType;
use crate::sys;

/// Where a tensor lies in the file, and what it is.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    /// ggml's number of the type.
    pub(crate) kind: sys::ggml_type,
    /// Sizes, fastest dimension first, as ggml counts them.
    pub ne: [usize; 4],
    /// Number of the file it lies in, of those of a split model.
    pub(crate) shard: usize,
    /// First byte of the data, from the start of the file.
    pub offset: usize,
    /// Bytes of data.
    pub size: usize,
}

impl TensorInfo {
    /// What its values are stored in; `None` for types that no model is stored in.
    pub fn tensor_type(&self) -> Option<TensorType> {
        TensorType::from_raw(self.kind)
    }

    /// Where the data lies in its file.
    pub(crate) fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.size
    }

    pub(crate) fn description(&self) -> Description {
        Description { kind: self.kind, ne: self.ne }
    }
}
