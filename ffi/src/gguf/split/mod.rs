//! Models that llama.cpp's `gguf-split` has cut into several files.
//!
//! `NAME-00001-of-00003.gguf` holds the metadata, and as all shards do `split.no` (from 0),
//! `split.count` and `split.tensors.count`, which is that of all shards together. llama.cpp opens a
//! model by its first shard, and finds the others by their names.

pub(crate) mod error;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::gguf::error::GgufError;
use crate::gguf::shard::Shard;
use crate::gguf::split::error::SplitError;
use crate::gguf::tensor_info::TensorInfo;
use crate::gguf::value::Value;

/// Where a file stands among the shards of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// From 0.
    no: usize,
    count: usize,
    /// Of all shards together, if the file says.
    tensors: Option<usize>,
}

impl Place {
    /// `None` for a model in one file.
    fn of(metadata: &BTreeMap<String, Value>) -> Option<Self> {
        let number = |key: &str| match metadata.get(key)? {
            Value::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        let count = number("split.count").filter(|&count| count > 1)?;
        let (no, tensors) = (number("split.no").unwrap_or(0), number("split.tensors.count"));
        Some(Self { no, count, tensors })
    }
}

/// Adds the other shards of the model whose first file has been read, if it has any.
pub(super) fn add_shards(
    shards: &mut Vec<Shard>,
    metadata: &BTreeMap<String, Value>,
    tensors: &mut BTreeMap<String, TensorInfo>,
) -> Result<(), GgufError> {
    let Some(place) = Place::of(metadata) else { return Ok(()) };
    let path = shards[0].path.clone();
    let stem = stem(&path, place)?;
    for no in 1..place.count {
        let shard = shard_path(&path, &stem, no, place.count);
        add_shard(shards, tensors, shard, Place { no, ..place })?;
    }
    match place.tensors {
        Some(expected) if expected != tensors.len() => {
            let (count, found) = (place.count, tensors.len());
            Err(SplitError::TensorCount { path, count, found, expected }.into())
        }
        _ => Ok(()),
    }
}

fn add_shard(
    shards: &mut Vec<Shard>,
    tensors: &mut BTreeMap<String, TensorInfo>,
    path: PathBuf,
    place: Place,
) -> Result<(), GgufError> {
    let Place { no, count, .. } = place;
    if !path.exists() {
        return Err(SplitError::Missing { path, no, count }.into());
    }
    let foreign = |reason| SplitError::Foreign { path: path.clone(), no, reason };
    let (shard, header) = Shard::open(&path)?;
    match Place::of(&header.metadata()) {
        None => return Err(foreign("it is no shard, but a whole model".to_owned()).into()),
        Some(its) if its != place => {
            let Place { no, count, tensors } = its;
            let tensors = tensors.map_or(String::new(), |n| format!(" of {n} tensors"));
            let reason = format!("it says that it is shard {} of {count}{tensors}", no + 1);
            return Err(foreign(reason).into());
        }
        Some(_) => {}
    }
    for (name, info) in header.tensors(shards.len()) {
        shard.check(&name, &info)?;
        if tensors.contains_key(&name) {
            return Err(foreign(format!("an earlier shard has tensor {name}, too")).into());
        }
        tensors.insert(name, info);
    }
    shards.push(shard);
    Ok(())
}

/// What the names of all shards begin with.
fn stem(path: &Path, place: Place) -> Result<String, SplitError> {
    let Place { no, count, .. } = place;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(&ending(no, count));
    match stem {
        Some(stem) if no > 0 => {
            let first = shard_path(path, stem, 0, count);
            Err(SplitError::NotFirst { path: path.to_owned(), no, count, first })
        }
        Some(stem) if !stem.is_empty() => Ok(stem.to_owned()),
        _ if no > 0 => {
            let first = PathBuf::from(format!("NAME{}", ending(0, count)));
            Err(SplitError::NotFirst { path: path.to_owned(), no, count, first })
        }
        _ => Err(SplitError::Name { path: path.to_owned(), count, ending: ending(0, count) }),
    }
}

fn shard_path(path: &Path, stem: &str, no: usize, count: usize) -> PathBuf {
    path.with_file_name(format!("{stem}{}", ending(no, count)))
}

fn ending(no: usize, count: usize) -> String {
    format!("-{:05}-of-{count:05}.gguf", no + 1)
}

#[cfg(test)]
mod tests {
    use crate::ggml::tensor_type::TensorType;
    use crate::gguf::file::Gguf;
    use crate::gguf::header::GgufHeader;
    use tempfile::TempDir;

    /// A shard of one tensor, whose 8 values are its number.
    fn write(folder: &TempDir, name: &str, [no, count, tensors]: [u16; 3], tensor: &str) {
        let mut header = GgufHeader::new();
        header.u16("split.no", no);
        header.u16("split.count", count);
        header.i32("split.tensors.count", tensors.into());
        header.tensor(tensor, TensorType::F32, [8, 1]);
        let data = [f32::from(no); 8];
        let bytes = [&header.bytes()[..], bytemuck::cast_slice(&data)].concat();
        std::fs::write(folder.path().join(name), bytes).expect("writes");
    }

    /// Three shards, one of which may be another.
    fn three(no: u16, place: [u16; 3], tensor: &str) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for other in 0..3 {
            let name = format!("m-0000{}-of-00003.gguf", other + 1);
            match other == no {
                true => write(&folder, &name, place, tensor),
                false => write(&folder, &name, [other, 3, 3], &format!("t{other}")),
            }
        }
        folder
    }

    fn message(folder: &TempDir, name: &str) -> String {
        Gguf::open(&folder.path().join(name)).expect_err("refuses").to_string()
    }

    #[test]
    fn the_first_shard_opens_all() {
        let folder = three(1, [1, 3, 3], "t1");
        let gguf = Gguf::open(&folder.path().join("m-00001-of-00003.gguf")).expect("opens");
        assert_eq!(gguf.files().count(), 3);
        assert_eq!(gguf.tensors().len(), 3);
        for no in 0..3 {
            let info = gguf.tensor(&format!("t{no}")).expect("is there");
            assert_eq!(gguf.data(info), bytemuck::cast_slice::<f32, u8>(&[no as f32; 8]));
        }
        // Tensors at the same place of three files lie in three pages.
        let infos: Vec<_> = gguf.tensors().values().collect();
        assert_eq!(gguf.mapped_bytes(&infos), 3 * crate::gguf::file::LARGE_PAGE);
        gguf.prefetch(["t0", "t2"]);
        gguf.release(["t0", "t2"]);
    }

    #[test]
    fn what_is_no_shard_of_the_model_is_named() {
        for (place, tensor, expected) in [
            ([2, 3, 3], "t1", "shard 2 of this model: it says that it is shard 3 of 3"),
            ([1, 4, 3], "t1", "it is shard 2 of 4"),
            ([1, 3, 7], "t1", "of 7 tensors"),
            ([0, 1, 3], "t1", "a whole model"),
            ([1, 3, 3], "t0", "an earlier shard has tensor t0, too"),
        ] {
            let folder = three(1, place, tensor);
            let message = message(&folder, "m-00001-of-00003.gguf");
            assert!(message.contains("m-00002-of-00003.gguf"), "{message}");
            assert!(message.contains(expected), "{message} lacks {expected}");
            assert!(message.contains("\nhint: "), "{message}");
        }
    }

    #[test]
    fn a_missing_shard_is_named() {
        let folder = three(1, [1, 3, 3], "t1");
        std::fs::remove_file(folder.path().join("m-00003-of-00003.gguf")).expect("removes");
        let message = message(&folder, "m-00001-of-00003.gguf");
        assert!(message.contains("m-00003-of-00003.gguf is missing"), "{message}");
        assert!(message.contains("shard 3 of 3"), "{message}");
    }

    #[test]
    fn a_later_shard_names_the_first() {
        let folder = three(1, [1, 3, 3], "t1");
        let message = message(&folder, "m-00002-of-00003.gguf");
        assert!(message.contains("this is shard 2 of 3"), "{message}");
        assert!(message.contains("m-00001-of-00003.gguf"), "{message}");
    }

    #[test]
    fn a_renamed_first_shard_says_which_name_it_needs() {
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder, "model.gguf", [0, 2, 2], "t0");
        let first = message(&folder, "model.gguf");
        assert!(first.contains("\"-00001-of-00002.gguf\""), "{first}");
        write(&folder, "later.gguf", [1, 2, 2], "t1");
        let later = message(&folder, "later.gguf");
        assert!(later.contains("NAME-00001-of-00002.gguf"), "{later}");
    }

    #[test]
    fn shards_of_too_few_tensors_are_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder, "m-00001-of-00002.gguf", [0, 2, 5], "t0");
        write(&folder, "m-00002-of-00002.gguf", [1, 2, 5], "t1");
        let message = message(&folder, "m-00001-of-00002.gguf");
        assert!(message.contains("2 shards hold 2 tensors"), "{message}");
        assert!(message.contains("says 5"), "{message}");
    }
}
