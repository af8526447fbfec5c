//! Dequantization of types for which ggml's own is a loop that compilers do not vectorize.
//!
//! ggml's function defines the result; these give the same bits.

use std::ffi::c_void;

use crate::sys;

/// A function of ggml's kind for a type, if there is a faster one here.
pub(crate) fn faster(kind: sys::ggml_type) -> sys::ggml_to_float_t {
    match kind {
        sys::GGML_TYPE_F16 => Some(f16),
        sys::GGML_TYPE_Q6_K => Some(q6_k),
        _ => None,
    }
}

/// The CPU backend's conversion, which takes several at a time.
///
/// # Safety
/// `from` points to `n` halves, `to` to as many floats.
unsafe extern "C" fn f16(from: *const c_void, to: *mut f32, n: i64) {
    // SAFETY: the caller's promise.
    unsafe { sys::ggml_cpu_fp16_to_fp32(from.cast(), to, n) }
}

/// Elements of a super-block.
const SUPER_BLOCK: usize = 256;

/// 256 elements of 6 bits: `d · scale · (q − 32)`, with a scale for every 16.
#[repr(C)]
struct Q6K {
    /// The lower four bits, two elements a byte.
    low: [[u8; 64]; 2],
    /// The upper two, four elements a byte.
    high: [[u8; 32]; 2],
    scales: [[i8; 8]; 2],
    d: u16,
}

const _: () = assert!(size_of::<Q6K>() == 210);

/// # Safety
/// `from` points to the blocks of `n` elements, a multiple of 256, `to` to as many floats.
unsafe extern "C" fn q6_k(from: *const c_void, to: *mut f32, n: i64) {
    let n = n as usize / SUPER_BLOCK;
    // SAFETY: the caller's promise; the blocks of a tensor lie at even addresses.
    let (blocks, out) = unsafe {
        let blocks = std::slice::from_raw_parts(from.cast::<Q6K>(), n);
        (blocks, std::slice::from_raw_parts_mut(to.cast::<[[[f32; 32]; 4]; 2]>(), n))
    };
    for (block, out) in blocks.iter().zip(out) {
        // SAFETY: a conversion of bits.
        let d = unsafe { sys::ggml_fp16_to_fp32(block.d) };
        for (half, out) in out.iter_mut().enumerate() {
            let (low, high) = (&block.low[half], &block.high[half]);
            let scale = block.scales[half].map(|scale| d * f32::from(scale));
            for (quarter, out) in out.iter_mut().enumerate() {
                let low: &[u8; 32] =
                    low[quarter % 2 * 32..][..32].try_into().expect("half of the bytes");
                let (nibble, pair) = (quarter / 2 * 4, quarter * 2);
                let scales = [scale[2 * quarter], scale[2 * quarter + 1]];
                for i in 0..32 {
                    let q = (low[i] >> nibble & 15) | (high[i] >> pair & 3) << 4;
                    out[i] = scales[i / 16] * (f32::from(q) - 32.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ggml::tensor_type::TensorType;

    #[test]
    fn every_bit_is_ggmls() {
        let mut state = 1u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let kinds = TensorType::all().map(TensorType::raw).filter(|&kind| faster(kind).is_some());
        for kind in kinds {
            // SAFETY: a type that exists.
            let traits = unsafe { &*sys::ggml_get_type_traits(kind) };
            let n = 96 * traits.blck_size as usize;
            let mut blocks: Vec<u16> = vec![0; 96 * traits.type_size / 2];
            bytemuck::cast_slice_mut(&mut blocks).fill_with(&mut byte);
            // The first factors: one usual, one negative, one below the normal range.
            for (block, d) in blocks.chunks_mut(traits.type_size / 2).zip([0x2e66, 0xb123, 0x0003])
            {
                *block.last_mut().expect("blocks have bytes") = d;
            }
            let mut out = [vec![0.0f32; n], vec![0.0f32; n]];
            for (to_float, out) in [traits.to_float, faster(kind)].into_iter().zip(&mut out) {
                let to_float = to_float.expect("the type can be dequantized");
                // SAFETY: whole blocks of the type, and room for their elements.
                unsafe { to_float(blocks.as_ptr().cast(), out.as_mut_ptr(), n as i64) };
            }
            // A NaN may differ in its payload.
            let bits = |x: &f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
            let bits = out.map(|values| values.iter().map(bits).collect::<Vec<_>>());
            assert!(bits[0] == bits[1], "type {kind}");
        }
    }
}
