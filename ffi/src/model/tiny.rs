//! A model of one layer for tests, of which only the header is written.

use std::fs::File;
use std::io::Write;

use tempfile::NamedTempFile;

use crate::ggml::tensor_type::TensorType;
use crate::gguf::file::Gguf;
use crate::gguf::header::GgufHeader;
use crate::model::architecture::Architecture;
use crate::model::error::ArchitectureError;
use crate::model::family::Family;
use crate::model::norm::{HeadNorm, Norm};
use crate::model::projection::Projection;

/// Layers, width, heads, width of a head.
pub(crate) const SIZES: [usize; 4] = [2, 64, 4, 16];

/// A model of a family with the keys of its kind; `edit` adds some or takes the place of some.
pub(crate) fn tiny(family: Family, edit: impl FnOnce(&mut GgufHeader)) -> Gguf {
    let mut header = GgufHeader::new();
    let [n_layer, n_embd, n_head, _] = SIZES;
    let name = family.name();
    header.str("general.architecture", name);
    for (key, size) in [
        ("block_count", n_layer),
        ("embedding_length", n_embd),
        ("feed_forward_length", 96),
        ("attention.head_count", n_head),
        ("context_length", 32),
    ] {
        header.u32(&format!("{name}.{key}"), size as u32);
    }
    header.f32(&format!("{name}.attention.layer_norm_rms_epsilon"), 1e-5);
    edit(&mut header);
    add_tensors(&mut header, family);
    open(&header)
}

/// The shape of [`tiny`].
pub(crate) fn shape(
    family: Family,
    edit: impl FnOnce(&mut GgufHeader),
) -> Result<Architecture, ArchitectureError> {
    Architecture::from_gguf(&tiny(family, edit))
}

/// A file of this header, and zeros where the data belongs.
pub(crate) fn open(header: &GgufHeader) -> Gguf {
    let file = NamedTempFile::new().expect("a temporary file");
    let bytes = header.bytes();
    let len = bytes.len() as u64 + (1 << 20);
    let write = |mut file: &File| file.write_all(&bytes).and_then(|()| file.set_len(len));
    write(file.as_file()).expect("writes");
    Gguf::open(file.path()).expect("opens")
}

fn add_tensors(header: &mut GgufHeader, family: Family) {
    let [n_layer, n_embd, n_head, head_dim] = SIZES;
    let mut tensor = |name: &str, shape| header.tensor(name, TensorType::F32, shape);
    tensor("token_embd.weight", [n_embd, 40]);
    tensor("output_norm.weight", [n_embd, 1]);
    for layer in 0..n_layer {
        let traits = family.traits();
        for &norm in traits.norms {
            let of_head = matches!(norm, Norm::Q | Norm::K) && traits.head_norm != HeadNorm::All;
            let width = if of_head { head_dim } else { n_embd };
            tensor(&traits.norm_name(norm, layer), [width, 1]);
        }
        for projection in traits.projections {
            let shape = match projection {
                Projection::AttnQkv => [n_embd, 3 * n_head * head_dim],
                Projection::FfnUp if !traits.projections.contains(&Projection::FfnGate) => {
                    [n_embd, 2 * 96]
                }
                Projection::FfnGate | Projection::FfnUp => [n_embd, 96],
                Projection::FfnDown => [96, n_embd],
                _ => [n_embd, n_head * head_dim],
            };
            tensor(&projection.weight_name(layer), shape);
        }
    }
}
