//! Blocks of a row as they are stored, for types whose blocks of 32 have one scale and one offset.
//!
//! ggml's dequantization defines what they mean: `offset + scale · quant` has the same bits.

use cutq_kernels::{BLOCK, QuantBlock};

use crate::sys;

/// Writes the blocks of a row, given its bytes.
pub(crate) type ReadBlocks = fn(&[u8], &mut [QuantBlock]);

/// How to read a type's blocks, if they are of that kind.
pub(crate) fn reader(kind: sys::ggml_type) -> Option<ReadBlocks> {
    Some(match kind {
        sys::GGML_TYPE_Q4_0 => |row, out| each(row, out, q4_0),
        sys::GGML_TYPE_Q4_1 => |row, out| each(row, out, q4_1),
        sys::GGML_TYPE_Q5_0 => |row, out| each(row, out, q5_0),
        sys::GGML_TYPE_Q5_1 => |row, out| each(row, out, q5_1),
        sys::GGML_TYPE_Q8_0 => |row, out| each(row, out, q8_0),
        sys::GGML_TYPE_Q4_K => |row, out| each_super(row, out, q4_k),
        sys::GGML_TYPE_Q5_K => |row, out| each_super(row, out, q5_k),
        _ => return None,
    })
}

/// Reads blocks of `N` bytes.
#[inline(always)]
fn each<const N: usize>(row: &[u8], out: &mut [QuantBlock], read: fn(&[u8; N]) -> QuantBlock) {
    let (blocks, rest) = row.as_chunks();
    assert!(rest.is_empty() && blocks.len() == out.len());
    for (block, out) in blocks.iter().zip(out) {
        *out = read(block);
    }
}

/// Reads super-blocks of `N` bytes, which have eight blocks each.
#[inline(always)]
fn each_super<const N: usize>(
    row: &[u8],
    out: &mut [QuantBlock],
    read: fn(&[u8; N], &mut [QuantBlock; 8]),
) {
    let (blocks, rest) = row.as_chunks();
    let (out, _) = out.as_chunks_mut();
    assert!(rest.is_empty() && blocks.len() == out.len());
    for (block, out) in blocks.iter().zip(out) {
        read(block, out);
    }
}

/// The 16-bit float at byte `at`.
#[inline(always)]
fn half(bytes: &[u8], at: usize) -> f32 {
    // SAFETY: a conversion of bits.
    unsafe { sys::ggml_fp16_to_fp32(u16::from_le_bytes([bytes[at], bytes[at + 1]])) }
}

/// Lower halves of sixteen bytes, then their upper halves.
#[inline(always)]
fn nibbles(bytes: &[u8; 16]) -> [u8; BLOCK] {
    std::array::from_fn(|i| if i < 16 { bytes[i] & 15 } else { bytes[i - 16] >> 4 })
}

/// [`nibbles`] with a fifth bit each.
#[inline(always)]
fn with_fifth(bytes: &[u8; 16], fifth: [u8; 4]) -> [u8; BLOCK] {
    let (low, fifth) = (nibbles(bytes), u32::from_le_bytes(fifth));
    std::array::from_fn(|i| low[i] | ((fifth >> i & 1) << 4) as u8)
}

/// `bytes[AT..AT + N]`
#[inline(always)]
fn part<const N: usize>(bytes: &[u8], at: usize) -> &[u8; N] {
    bytes[at..].first_chunk().expect("a part of a block")
}

/// `d (q − 8)`
#[inline(always)]
fn q4_0(block: &[u8; 18]) -> QuantBlock {
    let scale = half(block, 0);
    QuantBlock { quants: nibbles(part(block, 2)), scale, offset: -8.0 * scale }
}

/// `d q + m`
#[inline(always)]
fn q4_1(block: &[u8; 20]) -> QuantBlock {
    let quants = nibbles(part(block, 4));
    QuantBlock { quants, scale: half(block, 0), offset: half(block, 2) }
}

/// `d (q − 16)`
#[inline(always)]
fn q5_0(block: &[u8; 22]) -> QuantBlock {
    let scale = half(block, 0);
    let quants = with_fifth(part(block, 6), *part(block, 2));
    QuantBlock { quants, scale, offset: -16.0 * scale }
}

/// `d q + m`
#[inline(always)]
fn q5_1(block: &[u8; 24]) -> QuantBlock {
    let quants = with_fifth(part(block, 8), *part(block, 4));
    QuantBlock { quants, scale: half(block, 0), offset: half(block, 2) }
}

/// `d q` with a sign
#[inline(always)]
fn q8_0(block: &[u8; 34]) -> QuantBlock {
    let scale = half(block, 0);
    let quants = part::<BLOCK>(block, 2).map(|q| q ^ 0x80);
    QuantBlock { quants, scale, offset: -128.0 * scale }
}

/// `d scale q − dmin min`: scale and offset of the eight blocks of a super-block that begins with
/// `d`, `dmin` and twelve bytes of six bits for each.
#[inline(always)]
fn k_scales(block: &[u8]) -> [(f32, f32); 8] {
    let (d, dmin, bits) = (half(block, 0), half(block, 2), part::<12>(block, 4));
    std::array::from_fn(|i| {
        let (scale, min) = match i {
            ..4 => (bits[i] & 63, bits[i + 4] & 63),
            _ => (bits[i + 4] & 15 | bits[i - 4] >> 6 << 4, bits[i + 4] >> 4 | bits[i] >> 6 << 4),
        };
        (d * f32::from(scale), -(dmin * f32::from(min)))
    })
}

/// 32 bytes hold the lower halves of one block and the upper halves of the next.
#[inline(always)]
fn q4_k(block: &[u8; 144], out: &mut [QuantBlock; 8]) {
    for (i, (scale, offset)) in k_scales(block).into_iter().enumerate() {
        let bytes: &[u8; BLOCK] = part(block, 16 + i / 2 * BLOCK);
        let quants = bytes.map(|byte| byte >> (i % 2 * 4) & 15);
        out[i] = QuantBlock { quants, scale, offset };
    }
}

/// [`q4_k`] with a fifth bit each: bit `i` of 32 bytes is block `i`'s.
#[inline(always)]
fn q5_k(block: &[u8; 176], out: &mut [QuantBlock; 8]) {
    let fifth: &[u8; BLOCK] = part(block, 16);
    for (i, (scale, offset)) in k_scales(block).into_iter().enumerate() {
        let bytes: &[u8; BLOCK] = part(block, 48 + i / 2 * BLOCK);
        let quant = |k: usize| bytes[k] >> (i % 2 * 4) & 15 | (fifth[k] >> i & 1) << 4;
        out[i] = QuantBlock { quants: std::array::from_fn(quant), scale, offset };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ggml::tensor_type::TensorType;

    /// A number for every seed.
    fn bytes(n: usize) -> Vec<u8> {
        let mut state = 1u32;
        let byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        std::iter::repeat_with(byte).take(n).collect()
    }

    #[test]
    fn every_bit_is_ggmls() {
        let mut types = 0;
        for kind in TensorType::all() {
            let Some(read) = reader(kind.raw()) else { continue };
            types += 1;
            // SAFETY: a type that exists.
            let traits = unsafe { &*sys::ggml_get_type_traits(kind.raw()) };
            let (n, block) = (5 * traits.blck_size as usize, traits.type_size);
            let mut row = bytes(5 * block);
            // The factors of the blocks: usual, negative, below the normal range, large, zero.
            for (block, d) in row.chunks_mut(block).zip([0x2e66u16, 0xb123, 0x0003, 0x7bff, 0]) {
                block[..2].copy_from_slice(&d.to_le_bytes());
                // What may be the minimum's factor, and no infinity.
                block[3] &= 0xbf;
            }
            let mut expected = vec![0.0f32; n];
            let to_float = traits.to_float.expect("the type can be dequantized");
            // SAFETY: whole blocks of the type, and room for their elements.
            unsafe { to_float(row.as_ptr().cast(), expected.as_mut_ptr(), n as i64) };
            let empty = QuantBlock { quants: [0; BLOCK], scale: f32::NAN, offset: f32::NAN };
            let mut blocks = vec![empty; n / BLOCK];
            read(&row, &mut blocks);
            for (i, expected) in expected.iter().enumerate() {
                let QuantBlock { quants, scale, offset } = blocks[i / BLOCK];
                let found = scale * f32::from(quants[i % BLOCK]) + offset;
                assert_eq!(found, *expected, "{kind}, element {i}");
            }
        }
        assert_eq!(types, 7);
    }
}
