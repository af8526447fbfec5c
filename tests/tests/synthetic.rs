//! Made-up models: the files are what was asked for, and every type of every family can be trained.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use cutq_core::model::{Mode, Model, Sequence};
use cutq_ffi::{
    Adapter, Architecture, Engine, EngineOptions, Family, Gguf, LoraConfig, Precision, Projection,
    TensorType,
};
use cutq_tests::synthetic::{Shape, Synthetic, SyntheticError, preset};
use cutq_tests::tolerance::F32_SLOPE;

#[test]
fn every_type_can_be_trained() {
    for (i, tensor_type) in TensorType::all().enumerate() {
        // The families take turns: types and families do not touch each other.
        let shape =
            Shape { family: Family::ALL[i % Family::ALL.len()], tied: i % 2 == 0, ..tiny() };
        let what = format!("{tensor_type} {:?}", shape.family);
        let mut model = Synthetic::new(shape, tensor_type);
        model.seed = i as u64;
        in_a_file(&model, |path| gradient_is_the_slope(path, &what));
    }
}

#[test]
fn head_and_embedding_have_types_of_their_own() {
    let [q4, q6, f16] = ["q4_k", "q6_k", "f16"].map(|name| name.parse::<TensorType>().unwrap());
    let model = Synthetic { head_type: q6, embedding_type: f16, ..Synthetic::new(tiny(), q4) };
    in_a_file(&model, |path| {
        let gguf = Gguf::open(path).unwrap();
        let of = |name| gguf.tensor(name).unwrap().tensor_type();
        assert_eq!(of("token_embd.weight"), Some(f16));
        assert_eq!(of("output.weight"), Some(q6));
        assert_eq!(of("blk.1.ffn_down.weight"), Some(q4));
        assert_eq!(of("blk.1.ffn_norm.weight"), Some(TensorType::F32));
        gradient_is_the_slope(path, "mixed types");
    });
}

#[test]
fn the_seed_decides_the_file() {
    let bytes = |seed| {
        let model = Synthetic { seed, ..Synthetic::new(tiny(), "q4_0".parse().unwrap()) };
        let mut bytes = Vec::new();
        in_a_file(&model, |path| bytes = std::fs::read(path).unwrap());
        bytes
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn weights_have_the_usual_scale() {
    in_a_file(&Synthetic::new(tiny(), TensorType::F32), |path| {
        let gguf = Gguf::open(path).unwrap();
        let data = gguf.data(gguf.tensor("blk.0.ffn_up.weight").unwrap());
        let floats = data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        let squares = floats.map(|x| f64::from(x * x)).sum::<f64>();
        let std = (squares / (data.len() / 4) as f64).sqrt();
        assert!((0.0195..0.0205).contains(&std), "{std}");
    });
}

#[test]
fn a_header_alone_takes_no_space_and_says_everything() {
    let model = Synthetic::new(preset("llama3-70b").unwrap(), "q4_k".parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("70b.gguf");
    model.write_header(&path).unwrap();
    let shape = Architecture::from_gguf(&Gguf::open(&path).unwrap()).unwrap();
    assert_eq!((shape.n_layer, shape.n_embd, shape.n_vocab), (80, 8192, 128_256));
    assert_eq!((shape.n_head, shape.n_head_kv, shape.head_dim), (64, 8, 128));
    assert!(std::fs::metadata(&path).unwrap().len() > 39_000_000_000);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        assert!(std::fs::metadata(&path).unwrap().blocks() * 512 < 4 << 20);
    }
}

#[test]
fn both_ways_of_writing_agree_on_the_header() {
    let model = Synthetic::new(tiny(), "q8_0".parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let [whole, header] = ["whole", "header"].map(|name| folder.path().join(name));
    model.write(&whole).unwrap();
    model.write_header(&header).unwrap();
    let [whole, header] = [whole, header].map(|path| std::fs::read(path).unwrap());
    let end = header.iter().rposition(|&b| b != 0).unwrap();
    assert_eq!(whole.len(), header.len());
    assert_eq!(whole[..=end], header[..=end]);
}

#[test]
fn a_type_that_does_not_divide_the_rows_is_refused() {
    let model = Synthetic::new(preset("smollm2-135m").unwrap(), "q4_k".parse().unwrap());
    let error = model.write_header(Path::new("/nowhere")).unwrap_err();
    assert!(matches!(error, SyntheticError::Blocks { n_in: 576, block: 256, .. }), "{error}");
}

fn tiny() -> Shape {
    preset("tiny").unwrap()
}

fn in_a_file(model: &Synthetic, check: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    model.write(&path).unwrap();
    check(&path);
}

/// Whether moving along the gradient changes the loss as the gradient says, and downhill.
///
/// `(f(θ + h·g) − f(θ − h·g)) / 2h = |g|²`, for the mean loss f of random tokens, in f32.
fn gradient_is_the_slope(path: &Path, what: &str) {
    let gguf = Gguf::open(path).unwrap();
    let architecture = Architecture::from_gguf(&gguf).unwrap();
    let config = LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout: 0.0,
        target_modules: Projection::ALL.to_vec(),
    };
    let mut adapter = Adapter::init(&gguf, &architecture, config, 3);
    // B starts at 0, where A has no gradient.
    for pair in &mut adapter.pairs {
        pair.b.iter_mut().enumerate().for_each(|(i, b)| *b = (i as f32 * 1.7).sin() * 0.05);
    }
    let options =
        EngineOptions { n_threads: 1, precision: Precision::F32, ..EngineOptions::default() };
    let mut engine = Engine::open(&gguf, adapter, options).unwrap();
    let tokens: Vec<u32> = (0..40u32).map(|i| i * 71 % architecture.n_vocab as u32).collect();
    let sequences = [
        Sequence { prompt: &tokens[..9], response: &tokens[9..25], id: 0 },
        Sequence { prompt: &tokens[25..30], response: &tokens[30..], id: 1 },
    ];

    let loss = mean_loss(&mut engine, &sequences, Mode::Train { seed: 0 });
    assert!((1.0..20.0).contains(&loss), "{what}: {loss}");
    engine.zero_grads();
    engine.backward(&[-1.0 / 26.0; 26]).unwrap();
    let mut gradient: Vec<Vec<f32>> = Vec::new();
    engine.visit_parameters(&mut |p| gradient.push(p.grads.to_vec()));
    let alive = gradient.iter().all(|g| g.iter().any(|&x| x != 0.0));
    assert!(alive, "{what}: a tensor has no gradient");

    let norm = gradient.iter().flatten().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    // A step this long changes the loss by a hundredth: well above rounding, nearly straight.
    let h = 0.005 / norm.powi(2);
    let up = mean_loss_at(&mut engine, &sequences, &gradient, h);
    let down = mean_loss_at(&mut engine, &sequences, &gradient, -2.0 * h);
    let slope = (up - down) / (2.0 * h);
    let error = (slope / norm.powi(2) - 1.0).abs();
    assert!(error < F32_SLOPE, "{what}: slope {slope}, |gradient|² {}", norm.powi(2));
    assert!(down < loss && loss < up, "{what}: {down} {loss} {up}");
}

fn mean_loss(engine: &mut Engine, sequences: &[Sequence<'_>], mode: Mode) -> f64 {
    let log_probs = engine.forward(sequences, mode).unwrap();
    -log_probs.iter().sum::<f64>() / log_probs.len() as f64
}

/// The loss after moving the parameters by `by` gradients, from where they are.
fn mean_loss_at(
    engine: &mut Engine,
    sequences: &[Sequence<'_>],
    gradient: &[Vec<f32>],
    by: f64,
) -> f64 {
    let mut gradient = gradient.iter();
    engine.visit_parameters(&mut |p| {
        let step = gradient.next().unwrap();
        p.values.iter_mut().zip(step).for_each(|(x, g)| *x += (by * f64::from(*g)) as f32);
    });
    mean_loss(engine, sequences, Mode::Eval)
}
