//! Where a response begins and where it ends, on real vocabularies with other metadata.

use std::path::{Path, PathBuf};

use cutq_core::template::Piece;
use cutq_ffi::{Gguf, Tokenizer};
use cutq_tests::model::TestModel;
use tempfile::TempDir;

/// A copy of a model in which the bytes at `offset` behind `key` are `bytes`.
fn changed(folder: &TempDir, model: TestModel, key: &str, offset: usize, bytes: &[u8]) -> PathBuf {
    let mut file = std::fs::read(model.path()).expect("the model is there");
    let at = file.windows(key.len()).position(|window| window == key.as_bytes());
    let at = at.expect("the file has the key") + key.len() + offset;
    file[at..at + bytes.len()].copy_from_slice(bytes);
    let path = folder.path().join("changed.gguf");
    std::fs::write(&path, file).expect("there is room");
    path
}

fn open(path: &Path) -> Tokenizer {
    let gguf = Gguf::open(path).expect("is a GGUF");
    Tokenizer::from_gguf(&gguf).expect("has a tokenizer")
}

#[test]
fn a_response_goes_on_where_its_prompt_ends() {
    let _alone = TestModel::Gemma3.alone();
    let folder = TempDir::new().expect("a folder");
    // Behind a key stand the type of its value, four bytes, and the value.
    let key = "tokenizer.ggml.add_space_prefix";
    let path = changed(&folder, TestModel::Gemma3, key, 4, &[1]);
    let (with, without) = (open(&path), open(&TestModel::Gemma3.path()));
    let prompt = |tokenizer: &Tokenizer| {
        tokenizer.encode_prompt(&[Piece::Data("Blue".to_owned())]).expect("encodes")
    };
    assert_ne!(prompt(&with), prompt(&without), "the key puts a blank before a text");
    for text in ["Blue.", " Blue", "blau und grün", "  ", "1 2", ""] {
        let ids = with.encode_response(text).expect("encodes");
        assert_eq!(ids, without.encode_response(text).expect("encodes"), "{text:?}");
        let piece = |&id: &u32| with.piece(id);
        assert_eq!(ids.iter().map(piece).collect::<String>(), text);
    }
}

#[test]
fn a_response_ends_where_llama_cpp_ends() {
    let _alone = TestModel::SmolLm2.alone();
    let model = open(&TestModel::SmolLm2.path());
    assert_eq!(model.piece(model.eos()), "<|im_end|>");
    let key = "tokenizer.ggml.eos_token_id";
    // Impossible ones, and a key of another name.
    for number in [Some(u32::MAX), Some(60_000), None] {
        let folder = TempDir::new().expect("a folder");
        let path = match number {
            Some(id) => changed(&folder, TestModel::SmolLm2, key, 4, &id.to_le_bytes()),
            None => changed(&folder, TestModel::SmolLm2, &key[..key.len() - 1], 0, b"x"),
        };
        let tokenizer = open(&path);
        assert!(tokenizer.is_end(tokenizer.eos()), "{}", tokenizer.piece(tokenizer.eos()));
        assert!(tokenizer.is_special(tokenizer.eos()), "{}", tokenizer.piece(tokenizer.eos()));
    }
}

#[test]
fn what_looks_like_a_special_token_stays_text_and_is_noticed() {
    let _alone = TestModel::SmolLm2.alone();
    let model = open(&TestModel::SmolLm2.path());
    let markup = Piece::Template("<|im_end|>\n".to_owned());
    let data = Piece::Data("<|im_end|>\n".to_owned());
    let end = model.eos();
    let count = |piece: &Piece| {
        let ids = model.encode_prompt(std::slice::from_ref(piece)).expect("encodes");
        ids.iter().filter(|id| **id == end).count()
    };
    assert_eq!((count(&markup), count(&data)), (1, 0));
    assert!(model.has_control_text("so <|im_end|> it is") && !model.has_control_text("im_end"));
}

/// What a judge quotes is found among the tokens by their bytes.
#[test]
fn the_tokens_of_a_response_spell_it_to_the_byte() {
    let _alone = TestModel::SmolLm2.alone();
    let texts = [
        "Honey  is made\n\n\tfrom tree bark, \"so to say\".",
        " Grüße, naïve Ёлка ᾧ رِيحٌ סְפִינָה क्षितिज น้ำ 港口 か\u{3099} 각 👩‍👩‍👧🏽 \u{a0}\u{3000}x",
        "<|im_end|> <bos> [INST] <0x0A> \\n",
    ];
    for model in [TestModel::SmolLm2, TestModel::Gemma3] {
        let tokenizer = open(&model.path());
        for text in texts {
            let ids = tokenizer.encode_response(text).expect("encodes");
            let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.piece_bytes(id)).collect();
            assert_eq!(String::from_utf8_lossy(&bytes), text, "{}", model.fixture());
        }
    }
}

#[test]
fn a_tokenizer_json_neither_cuts_nor_fills_up() {
    let _alone = TestModel::SmolLm2.alone();
    let gguf = Gguf::open(&TestModel::SmolLm2.path()).expect("is a GGUF");
    let folder = TempDir::new().expect("a folder");
    let ids = |more: &str| {
        let path = folder.path().join("tokenizer.json");
        let text = format!(
            r#"{{"version": "1.0", {more} "added_tokens": [], "normalizer": null,
            "pre_tokenizer": {{"type": "Whitespace"}}, "post_processor": null, "decoder": null,
            "model": {{"type": "WordLevel", "vocab": {{"<unk>": 0, "a": 1, "b": 2}}, "unk_token": "<unk>"}}}}"#
        );
        std::fs::write(&path, text).expect("there is room");
        let tokenizer = Tokenizer::from_json(&path, &gguf).expect("is a tokenizer.json");
        tokenizer.encode_response("a b a b").expect("encodes")
    };
    let truncation = r#""truncation": {"max_length": 2, "strategy": "LongestFirst", "stride": 0,
        "direction": "Right"},"#;
    let padding = r#""padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_id": 0,
        "pad_type_id": 0, "pad_token": "<unk>", "pad_to_multiple_of": null},"#;
    for more in ["", truncation, padding] {
        assert_eq!(ids(more), [1, 2, 1, 2], "{more}");
    }
}
