//! The types that a model's tensors are stored in: names, sizes, and rounding to them.

use std::ffi::CStr;
use std::fmt;
use std::str::FromStr;

use crate::sys;

/// A type that ggml can round f32 to and that models are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorType(sys::ggml_type);

/// A name that is no [`TensorType`].
#[derive(Debug, thiserror::Error)]
#[error("unknown tensor type {0:?}: known are {known}", known = TensorType::names())]
pub struct UnknownTensorType(String);

/// What a [`TensorType`] can be. ggml has more types, for activations and for packed weights; it
/// ends the process when asked to round to one of them.
const STORED: [sys::ggml_type; 28] = [
    sys::GGML_TYPE_F32,
    sys::GGML_TYPE_F16,
    sys::GGML_TYPE_BF16,
    sys::GGML_TYPE_Q8_0,
    sys::GGML_TYPE_Q5_0,
    sys::GGML_TYPE_Q5_1,
    sys::GGML_TYPE_Q4_0,
    sys::GGML_TYPE_Q4_1,
    sys::GGML_TYPE_Q2_0,
    sys::GGML_TYPE_Q1_0,
    sys::GGML_TYPE_Q6_K,
    sys::GGML_TYPE_Q5_K,
    sys::GGML_TYPE_Q4_K,
    sys::GGML_TYPE_Q3_K,
    sys::GGML_TYPE_Q2_K,
    sys::GGML_TYPE_IQ4_NL,
    sys::GGML_TYPE_IQ4_XS,
    sys::GGML_TYPE_IQ3_S,
    sys::GGML_TYPE_IQ3_XXS,
    sys::GGML_TYPE_IQ2_S,
    sys::GGML_TYPE_IQ2_XS,
    sys::GGML_TYPE_IQ2_XXS,
    sys::GGML_TYPE_IQ1_M,
    sys::GGML_TYPE_IQ1_S,
    sys::GGML_TYPE_TQ2_0,
    sys::GGML_TYPE_TQ1_0,
    sys::GGML_TYPE_MXFP4,
    sys::GGML_TYPE_NVFP4,
];

impl TensorType {
    /// 32-bit floating point.
    pub const F32: Self = Self(sys::GGML_TYPE_F32);

    /// The type of ggml's number `raw`; `None` if models are not stored in it.
    pub fn from_raw(raw: sys::ggml_type) -> Option<Self> {
        STORED.contains(&raw).then_some(Self(raw))
    }

    /// Every type.
    pub fn all() -> impl Iterator<Item = Self> {
        STORED.into_iter().map(Self)
    }

    /// Elements that are rounded together; rows are whole multiples of it.
    pub fn block(self) -> usize {
        // SAFETY: the type is one of ggml's.
        unsafe { sys::ggml_blck_size(self.0) as usize }
    }

    /// Bytes of a row of `n` elements, `n` a multiple of [`Self::block`].
    pub fn row_bytes(self, n: usize) -> usize {
        // SAFETY: the type is one of ggml's.
        unsafe { sys::ggml_row_size(self.0, n as i64) }
    }

    /// Rounds rows of `n_in` elements each, with every element as important as any other.
    ///
    /// # Panics
    /// If `values` are not whole rows, or rows not whole blocks.
    pub fn quantize(self, values: &[f32], n_in: usize) -> Vec<u8> {
        assert!(n_in.is_multiple_of(self.block()) && values.len().is_multiple_of(n_in));
        let n_rows = values.len() / n_in;
        let mut bytes = vec![0; n_rows * self.row_bytes(n_in)];
        // The smallest types refuse to round without weights.
        let importance = vec![1.0; n_in];
        // SAFETY: the source holds `n_rows` rows of `n_in` floats, the destination has room for as
        // many rows of this type, and there is a weight per column.
        unsafe {
            let (source, out) = (values.as_ptr(), bytes.as_mut_ptr().cast());
            let (n_rows, n_in) = (n_rows as i64, n_in as i64);
            sys::ggml_quantize_chunk(self.0, source, out, 0, n_rows, n_in, importance.as_ptr());
        }
        bytes
    }

    pub(crate) fn raw(self) -> sys::ggml_type {
        self.0
    }

    fn name(self) -> &'static str {
        // SAFETY: ggml's names are static strings.
        let name = unsafe { CStr::from_ptr(sys::ggml_type_name(self.0)) };
        name.to_str().expect("ggml's names are ASCII")
    }

    fn names() -> String {
        Self::all().map(Self::name).collect::<Vec<_>>().join(", ")
    }
}

impl FromStr for TensorType {
    type Err = UnknownTensorType;

    /// Reads ggml's names, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownTensorType> {
        Self::all()
            .find(|t| t.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownTensorType(text.to_owned()))
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case() {
        for tensor_type in TensorType::all() {
            let name = tensor_type.to_string().to_uppercase();
            assert_eq!(name.parse::<TensorType>().ok(), Some(tensor_type));
        }
        assert!("q8_1".parse::<TensorType>().is_err());
    }

    #[test]
    fn rounding_fills_every_row() {
        let values: Vec<f32> = (0..64).map(|i| (i as f32 * 0.7).sin()).collect();
        let q4_0: TensorType = "q4_0".parse().expect("a known type");
        let bytes = q4_0.quantize(&values, 32);
        assert_eq!(bytes.len(), 2 * q4_0.row_bytes(32));
        assert!(bytes.chunks_exact(q4_0.row_bytes(32)).all(|row| row.iter().any(|&b| b != 0)));
    }
}
