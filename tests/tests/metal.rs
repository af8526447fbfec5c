//! Metal supports every operation of a training step: there is no Mac here, so each node of each
//! graph is held against `metal/table.json`, which `metal/table.py` makes from ggml's own rules.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::HashMap;

use cutq_ffi::{
    Adapter, Architecture, Engine, EngineOptions, Family, Gguf, LoraConfig, Operand, Operation,
    Precision, Projection, TensorType,
};
use cutq_tests::synthetic::{Shape, Synthetic, preset};
use serde::Deserialize;

/// Of a pack: the first sequence sees more than Gemma's window and attention's tile.
const N_TOKENS: usize = 790;
const LONGEST: usize = 700;

/// In these Metal has no products; `--device cpu` computes models in them.
const WITHOUT_KERNELS: [&str; 2] = ["nvfp4", "tq1_0"];

/// The table.
#[derive(Deserialize)]
struct Table {
    #[serde(rename = "crate")]
    of: String,
    operations: HashMap<String, Vec<Vec<String>>>,
    kernels: Kernels,
}

/// Types of matrices.
#[derive(Deserialize)]
struct Kernels {
    get_rows: Vec<String>,
    mul_mv: Vec<String>,
    mul_mm_in: HashMap<String, Vec<String>>,
}

#[test]
fn the_table_is_of_the_pinned_ggml() {
    let table = Table::load();
    let (name, version) = table.of.split_once(' ').unwrap();
    let pinned = format!("name = \"{name}\"\nversion = \"{version}\"\n");
    assert!(include_str!("../../Cargo.lock").contains(&pinned), "run tests/metal/table.py");
}

#[test]
fn metal_computes_every_family() {
    let table = Table::load();
    for (name, tensor_type) in [
        ("smollm2-135m", "q4_1"),
        ("qwen2.5-1.5b", "q6_k"),
        ("gemma3-270m", "q8_0"),
        ("llama3-8b", "q4_k"),
    ] {
        // Layers differ in their window alone: of six of Gemma's, one sees everything.
        let shape = Shape { n_layer: 6, ..preset(name).unwrap() };
        let model = Synthetic::new(shape, tensor_type.parse().unwrap());
        for precision in [Precision::Int8, Precision::F32] {
            for dropout in [0.0, 0.1] {
                table.check(&operations(&model, precision, dropout), name);
            }
        }
    }
}

#[test]
fn metal_computes_every_type() {
    let table = Table::load();
    for (i, tensor_type) in TensorType::all().enumerate() {
        let family = Family::ALL[i % Family::ALL.len()];
        let shape = Shape { family, n_ctx: 1024, ..preset("tiny").unwrap() };
        let model = Synthetic::new(shape, tensor_type);
        for precision in [Precision::Int8, Precision::F32] {
            let operations = operations(&model, precision, 0.1);
            let name = tensor_type.to_string();
            match WITHOUT_KERNELS.contains(&name.as_str()) {
                false => table.check(&operations, &name),
                true => assert!(operations.iter().any(|o| table.refusal(o).is_some()), "{name}"),
            }
        }
    }
}

/// A vocabulary that is no multiple of four, in chunks: rows at which no vector load can begin.
#[test]
fn metal_computes_odd_vocabularies() {
    let shape = Shape { n_layer: 1, n_vocab: 32_003, ..preset("llama3-8b").unwrap() };
    let model = Synthetic::new(shape, "q4_k".parse().unwrap());
    Table::load().check(&operations(&model, Precision::Int8, 0.0), "odd vocabulary");
}

/// Every question of the table is asked, and answered with no where it should be.
#[test]
fn the_table_refuses_what_metal_lacks() {
    let table = Table::load();
    let f32s = |ne: [usize; 4]| Operand {
        tensor_type: "f32",
        ne,
        nb: [4, 4 * ne[0], 4 * ne[0] * ne[1], 4 * ne[0] * ne[1] * ne[2]],
        offset: 0,
        contiguous: true,
        contiguous_rows: true,
    };
    let plain = f32s([64, 32, 1, 1]);
    let operation = |name, sources: [&Operand; 2]| Operation {
        name,
        function: None,
        result: plain.clone(),
        sources: sources.map(Clone::clone).to_vec(),
    };
    let refusal = |name, a, b| table.refusal(&operation(name, [a, b]));
    let gaps = Operand { contiguous: false, contiguous_rows: false, ..plain.clone() };
    let ints = Operand { tensor_type: "i32", ..plain.clone() };
    let packed = Operand { tensor_type: "nvfp4", ..plain.clone() };
    let shifted = Operand { offset: 4, ..plain.clone() };
    let other = f32s([32, 64, 1, 1]);
    for name in ["ADD", "SILU_BACK", "MUL_MAT", "ACC", "CONCAT"] {
        assert_eq!(refusal(name, &plain, &plain), None, "{name}");
    }
    for (name, a, b) in [
        ("OUT_PROD", &plain, &plain),
        ("RMS_NORM_BACK", &plain, &plain),
        ("ADD", &gaps, &plain),
        ("ADD", &plain, &ints),
        ("SILU_BACK", &plain, &gaps),
        ("SILU_BACK", &plain, &other),
        ("ACC", &ints, &plain),
        ("CONCAT", &plain, &ints),
        ("GET_ROWS", &packed, &ints),
        ("MUL_MAT", &packed, &plain),
        ("MUL_MAT", &plain, &shifted),
    ] {
        assert!(refusal(name, a, b).is_some(), "{name} of {a:?} and {b:?}");
    }
}

/// The operations of a training step with an adapter on every projection; no weight is ever read.
fn operations(model: &Synthetic, precision: Precision, lora_dropout: f32) -> Vec<Operation> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    model.write_header(&path).unwrap();
    let gguf = Gguf::open(&path).unwrap();
    let architecture = Architecture::from_gguf(&gguf).unwrap();
    let target_modules = Projection::ALL.to_vec();
    let config = LoraConfig { r: 4, lora_alpha: 8.0, lora_dropout, target_modules };
    let adapter = Adapter::init(&gguf, &architecture, config, 3);
    let options =
        EngineOptions { portable: true, n_threads: 1, precision, ..EngineOptions::default() };
    let engine = Engine::open(&gguf, adapter, options).unwrap();
    let operations = engine.operations(N_TOKENS, LONGEST).unwrap();
    assert!(operations.len() > 500, "{}", operations.len());
    operations
}

impl Table {
    fn load() -> Self {
        serde_json::from_str(include_str!("../metal/table.json")).unwrap()
    }

    fn check(&self, operations: &[Operation], what: &str) {
        for operation in operations {
            let refusal = self.refusal(operation);
            assert_eq!(refusal, None, "{what}: {operation}: {operation:#?}");
        }
    }

    /// Why a GPU that knows Metal 3, as every Mac's since the M1 does, does not compute it.
    fn refusal(&self, operation: &Operation) -> Option<String> {
        let Some(alternatives) = self.operations.get(operation.name) else {
            return Some(format!("no {} in metal/table.json", operation.name));
        };
        let metal3 = ["device simdgroup_reduction", "device bfloat"].as_slice();
        let holds = |condition: &String| condition_holds(condition, operation, metal3);
        if !alternatives.iter().any(|all| all.iter().all(holds)) {
            return Some(format!("none of {alternatives:?}"));
        }
        self.without_kernel(operation).or_else(|| unaligned(operation))
    }

    /// Some of Metal's rules accept every type; what runs then is a kernel of the type's name.
    fn without_kernel(&self, operation: &Operation) -> Option<String> {
        let matrix = operation.sources.first()?.tensor_type.to_uppercase();
        let kernels = &self.kernels;
        let known = match operation.name {
            "GET_ROWS" => kernels.get_rows.contains(&matrix),
            "MUL_MAT" => {
                let mut matrices = kernels.mul_mm_in.values().flatten();
                kernels.mul_mv.contains(&matrix) && matrices.any(|name| *name == matrix)
            }
            _ => true,
        };
        (!known).then(|| format!("no kernel for {matrix}"))
    }
}

/// Products load four numbers at a time where rows are multiples of four: what is not packed must
/// then begin at a multiple of 16 bytes (Metal Shading Language Specification, table 2.5).
fn unaligned(operation: &Operation) -> Option<String> {
    let vectors = operation.name == "MUL_MAT" && operation.sources[0].ne[0].is_multiple_of(4);
    let aligned = |source: &Operand| {
        let strides = source.nb[1..].iter().zip(&source.ne[1..]);
        let steps = strides.filter(|&(_, &n)| n > 1).map(|(&stride, _)| stride);
        source.tensor_type != "f32" || steps.chain([source.offset]).all(|n| n.is_multiple_of(16))
    };
    let bad = operation.sources.iter().find(|source| vectors && !aligned(source))?;
    Some(format!("rows begin between vectors: {bad:?}"))
}

/// Whether a condition of the table holds for an operation on a device with these properties.
fn condition_holds(condition: &str, operation: &Operation, device: &[&str]) -> bool {
    if let Some(opposite) = condition.strip_prefix("not ") {
        return !condition_holds(opposite, operation, device);
    }
    let words: Vec<&str> = condition.split(' ').collect();
    match words.as_slice() {
        ["device", _] => device.contains(&condition),
        // No graph of ours marks a matrix as one of Hadamard's.
        ["hadamard"] => false,
        ["function", among, "of", names @ ..] => {
            names.contains(&operation.function.unwrap()) == (*among == "one")
        }
        [name, question @ ..] => {
            let operand = operand(operation, name);
            operand.is_some_and(|operand| operand_is(operand, question, operation))
        }
        [] => unreachable!(),
    }
}

fn operand_is(operand: &Operand, question: &[&str], operation: &Operation) -> bool {
    let named = |name| self::operand(operation, name).unwrap();
    match question {
        ["contiguous"] => operand.contiguous,
        ["contiguous_rows"] => operand.contiguous_rows,
        ["transposed"] => operand.nb[0] > operand.nb[1],
        ["type", among, "of", names @ ..] => {
            names.contains(&operand.tensor_type.to_uppercase().as_str()) == (*among == "one")
        }
        ["type_of", other] => operand.tensor_type == named(other).tensor_type,
        ["shape_of", other] => operand.ne == named(other).ne,
        ["ne0", ">=", n] => operand.ne[0] >= n.parse().unwrap(),
        ["ne1", ">", n] => operand.ne[1] > n.parse().unwrap(),
        _ => panic!("an unknown question in metal/table.json: {question:?}"),
    }
}

/// `dst`, or `src` and a number.
fn operand<'a>(operation: &'a Operation, name: &str) -> Option<&'a Operand> {
    match name.strip_prefix("src") {
        None => Some(&operation.result),
        Some(number) => operation.sources.get(number.parse::<usize>().unwrap()),
    }
}
