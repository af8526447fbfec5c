//! A model in several files is the model in one.

use std::ops::Range;

use cutq_ffi::{Gguf, GgufHeader, TensorInfo};

use crate::place::{Place, fail, model, succeed};

/// Cuts [`model`] into shards as llama.cpp's `gguf-split` does: the metadata is in the first.
fn split(place: &Place, count: u16) {
    let gguf = Gguf::open(&model()).unwrap();
    let mut tensors: Vec<_> = gguf.tensors().iter().collect();
    tensors.sort_by_key(|(_, info)| info.offset);
    let per_shard = tensors.len().div_ceil(count.into());
    for (no, part) in (0..).zip(tensors.chunks(per_shard)) {
        let mut header = GgufHeader::new();
        header.u16("split.no", no);
        header.u16("split.count", count);
        header.i32("split.tensors.count", tensors.len() as i32);
        for (name, TensorInfo { ne, .. }) in part {
            let tensor_type = gguf.tensor(name).unwrap().tensor_type().unwrap();
            header.tensor(name, tensor_type, [ne[0], ne[1]]);
        }
        let head = match no {
            0 => with_metadata(&header.bytes(), &std::fs::read(model()).unwrap(), part[0].0),
            _ => header.bytes(),
        };
        let mut bytes = head;
        for (_, info) in part {
            bytes.extend(gguf.data(info));
            bytes.resize(bytes.len().next_multiple_of(header.alignment()), 0);
        }
        place.write(&format!("m-{:05}-of-{count:05}.gguf", no + 1), bytes);
    }
}

/// `shard`'s header with `whole`'s metadata before its own; `first` is the first tensor of both.
fn with_metadata(shard: &[u8], whole: &[u8], first: &str) -> Vec<u8> {
    let metadata = &whole[metadata(whole, first)];
    // One more key makes its length a multiple of the alignment, which leaves the padding as it is.
    let key = "filler";
    let fixed = 8 + key.len() + 4 + 8;
    let filler = " ".repeat((metadata.len() + fixed).next_multiple_of(32) - metadata.len() - fixed);
    let keys = |bytes: &[u8]| u64::from_le_bytes(bytes[16..24].try_into().unwrap());
    let n_keys = keys(shard) + keys(whole) + 1;
    let string = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let filler = [string(key), 8_u32.to_le_bytes().to_vec(), string(&filler)].concat();
    [&shard[..16], &n_keys.to_le_bytes(), metadata, &filler, &shard[24..]].concat()
}

/// Where the metadata lies: behind magic, version and counts, before the first tensor.
fn metadata(bytes: &[u8], first: &str) -> Range<usize> {
    let name = [&(first.len() as u64).to_le_bytes()[..], first.as_bytes()].concat();
    24..bytes.windows(name.len()).position(|window| window == name).unwrap()
}

#[test]
fn shards_compute_what_the_whole_does() {
    let place = Place::with_data();
    split(&place, 3);
    let whole = model();
    let first = place.path("m-00001-of-00003.gguf");
    let printed = |args: &[&str]| {
        [&whole, &first].map(|model| {
            let mut command = place.cutq(&args[..1]);
            succeed(command.arg(model).args(&args[1..]).args(["--threads", "1"])).stdout
        })
    };
    let [expected, found] = printed(&["inspect", "--data", "data.jsonl", "--json"]);
    assert!(!expected.is_empty() && expected == found);
    // llama.cpp reads the shards, too.
    let [expected, found] = printed(&["generate", "-p", "The capital of France is", "-n", "4"]);
    assert!(!expected.is_empty() && expected == found);
}

#[test]
fn shards_that_cannot_be_read_are_named() {
    let place = Place::with_data();
    split(&place, 3);
    let message = |name: &str| fail(&mut place.cutq(["plan", name]), 1);
    let later = message("m-00002-of-00003.gguf");
    assert!(later.contains("hint: name the first shard, m-00001-of-00003.gguf"), "{later}");
    std::fs::remove_file(place.path("m-00003-of-00003.gguf")).unwrap();
    let missing = message("m-00001-of-00003.gguf");
    assert!(missing.contains("m-00003-of-00003.gguf is missing"), "{missing}");
}
