//! A model's tensors: in the memory map for the CPU, copied to any other device.

use std::cell::{OnceCell, RefCell, RefMut};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use crate::engine::EngineError;
use crate::ggml::backend::Backend;
use crate::ggml::buffer::{self, Buffer, Layout, Tensor};
use crate::gguf::dequantize::Quantized;
use crate::gguf::file::{Gguf, TensorInfo};
use crate::model::architecture::{Architecture, ArchitectureError, Family};
use crate::model::projection::Module;
use crate::ops::kernels::product::Weight;
use crate::residency::stream::{Stream, Transfer};

/// The tensors of a model, and where they are.
///
/// The last blocks *stay*: in memory for the CPU, on any other device once it has needed them. The
/// others come and go: the CPU gives their pages back to the system when a block is done, another
/// device receives them in the two places of a [`Stream`].
pub(crate) struct Weights {
    /// Read on the host, a row per token.
    pub embedding: Quantized,
    gguf: Gguf,
    family: Family,
    /// In the memory map, where the CPU's kernels read them; other devices are planned with these.
    mapped: Vec<Rc<Layer>>,
    mapped_head: Rc<HeadWeights>,
    /// Blocks, counted from the last, that stay.
    resident_layers: usize,
    device: Option<OnDevice>,
}

/// Copies of the tensors on a device.
#[derive(Default)]
struct OnDevice {
    head: OnceCell<Rc<HeadWeights>>,
    resident: RefCell<BTreeMap<usize, Rc<Layer>>>,
    stream: RefCell<Option<Stream<Layer>>>,
}

/// The tensors behind the last block.
#[derive(Debug)]
pub(crate) struct HeadWeights {
    pub norm: Tensor,
    pub weight: Weight,
}

/// Where tensors go.
#[derive(Clone, Copy)]
enum Residence<'a> {
    /// They stay in the memory map.
    Map,
    /// They get a place in a buffer.
    Buffer(&'a Backend, &'a Rc<Buffer>),
}

/// The tensors of one block.
#[derive(Debug)]
pub(crate) struct Layer {
    pub attn_norm: Tensor,
    pub ffn_norm: Tensor,
    /// Gemma's other norms.
    pub gemma: Option<GemmaNorms>,
    /// Divisors of the rotary frequencies, of Llama 3: one tensor for all blocks.
    pub rope_factors: Option<Tensor>,
    projections: Vec<Projection>,
}

/// Norms that only Gemma has.
#[derive(Debug)]
pub(crate) struct GemmaNorms {
    pub q: Tensor,
    pub k: Tensor,
    pub post_attention: Tensor,
    pub post_ffw: Tensor,
}

/// A projection's weight and, in some models, its bias.
#[derive(Debug)]
pub(crate) struct Projection {
    pub weight: Weight,
    pub bias: Option<Tensor>,
}

const ROPE_FACTORS: &str = "rope_freqs.weight";
const HEAD_NORM: &str = "output_norm.weight";

impl Weights {
    /// The tensors of `gguf`, in the memory map; `copied` says whether the engine computes with
    /// copies on its backend.
    pub fn open(
        gguf: &Gguf,
        architecture: &Architecture,
        copied: bool,
    ) -> Result<Self, ArchitectureError> {
        let (n_layer, family) = (architecture.n_layer, architecture.family);
        let layer =
            |n| Layer::open(gguf, family, n, Residence::Map).map(|(layer, _)| Rc::new(layer));
        Ok(Self {
            embedding: quantized(gguf, Architecture::EMBEDDING_TENSOR)?,
            gguf: gguf.clone(),
            family,
            mapped: (0..n_layer).map(layer).collect::<Result<_, _>>()?,
            mapped_head: Rc::new(HeadWeights::open(gguf, Residence::Map)?.0),
            resident_layers: n_layer,
            device: copied.then(OnDevice::default),
        })
    }

    /// The tensors of block `n` as they are in the file, to plan with.
    pub fn mapped_layer(&self, n: usize) -> &Rc<Layer> {
        &self.mapped[n]
    }

    /// The head's tensors as they are in the file, to plan with.
    pub fn mapped_head(&self) -> &Rc<HeadWeights> {
        &self.mapped_head
    }

    /// Lets the last `resident_layers` blocks stay, no others.
    pub fn keep(&mut self, resident_layers: usize) {
        self.resident_layers = resident_layers.min(self.mapped.len());
        if let Some(device) = &self.device {
            device.resident.borrow_mut().retain(|&n, _| self.stays(n));
            device.stream.take();
        }
    }

    /// Whether block `n` stays.
    fn stays(&self, n: usize) -> bool {
        !self.streamed().contains(&n)
    }

    /// The blocks that do not stay.
    pub fn streamed(&self) -> Range<usize> {
        0..self.mapped.len() - self.resident_layers
    }

    /// The tensors of block `n` to compute with, on the backend.
    pub fn layer(&self, backend: &Backend, n: usize) -> Result<Rc<Layer>, EngineError> {
        let Some(device) = &self.device else { return Ok(self.mapped[n].clone()) };
        if !self.stays(n) {
            return self.stream(device, backend)?.get(n, &|buffer| self.copy(backend, buffer, n));
        }
        if let Some(layer) = device.resident.borrow().get(&n) {
            return Ok(layer.clone());
        }
        let buffer = Rc::new(backend.allocate(self.layer_bytes(backend, n))?);
        let (layer, transfer) = self.copy(backend, &buffer, n)?;
        transfer.run(None);
        let layer = Rc::new(layer);
        device.resident.borrow_mut().insert(n, layer.clone());
        Ok(layer)
    }

    /// The last blocks' panels, for those who compute with the memory map; without any the weights
    /// themselves are used again.
    ///
    /// # Panics
    /// If a graph still refers to the blocks.
    pub fn set_panels(&mut self, n: usize, panels: Vec<Option<[Tensor; 2]>>) {
        let layer = Rc::get_mut(&mut self.mapped[n]).expect("no graph refers to the block");
        let weights = layer.projections.iter_mut().map(|projection| &mut projection.weight);
        weights.zip(panels).for_each(|(weight, panels)| weight.panels = panels);
        // Nothing reads the weights themselves any more, or not now.
        self.gguf.release(Module::ALL.map(|m| m.tensor_name(n)).iter().map(String::as_str));
    }

    /// Bytes of the file that block `n` does not need where its panels are kept.
    pub fn unpacked_bytes(&self, n: usize) -> usize {
        let infos = infos(&self.gguf, &Module::ALL.map(|module| module.tensor_name(n)));
        infos.iter().map(|info| info.size).sum()
    }

    /// Says that block `n` is the next to be computed, while another one is.
    pub fn expect(&self, backend: &Backend, n: usize) -> Result<(), EngineError> {
        match &self.device {
            _ if self.stays(n) => Ok(()),
            Some(device) => {
                self.stream(device, backend)?.expect(n, &|buffer| self.copy(backend, buffer, n))
            }
            None if self.mapped[n].has_panels() => Ok(()),
            None => {
                self.gguf.prefetch(block_tensors(&self.gguf, n).iter().map(String::as_str));
                Ok(())
            }
        }
    }

    /// Says that block `n` was computed.
    pub fn release(&self, n: usize) {
        // Blocks with panels too: the system may have mapped all of a block to read its norms.
        if self.device.is_none() && (!self.stays(n) || self.mapped[n].has_panels()) {
            self.gguf.release(block_tensors(&self.gguf, n).iter().map(String::as_str));
        }
    }

    /// The tensors of the head to compute with, on the backend.
    pub fn head(&self, backend: &Backend) -> Result<Rc<HeadWeights>, EngineError> {
        let Some(device) = &self.device else { return Ok(self.mapped_head.clone()) };
        if let Some(head) = device.head.get() {
            return Ok(head.clone());
        }
        let bytes = self.bytes(backend, &HeadWeights::tensors(&self.gguf));
        let buffer = Rc::new(backend.allocate(bytes)?);
        let (head, transfer) = HeadWeights::open(&self.gguf, Residence::Buffer(backend, &buffer))?;
        transfer.run(None);
        Ok(device.head.get_or_init(|| Rc::new(head)).clone())
    }

    /// Says that the head, and the embedding with it, was computed.
    pub fn release_head(&self) {
        if self.device.is_none() && self.resident_layers < self.mapped.len() {
            let tensors = [Architecture::EMBEDDING_TENSOR, Architecture::head_tensor(&self.gguf)];
            self.gguf.release(tensors);
        }
    }

    /// Bytes of the tensors of block `n`, on the backend where they are copied.
    pub fn layer_bytes(&self, backend: &Backend, n: usize) -> usize {
        self.bytes(backend, &block_tensors(&self.gguf, n))
    }

    /// Bytes of everything but the blocks, if all blocks stay, and the most of it that is in use at
    /// a time.
    pub fn other_bytes(&self, backend: &Backend) -> [usize; 2] {
        let head = HeadWeights::tensors(&self.gguf);
        if self.device.is_some() {
            return [self.bytes(backend, &head); 2];
        }
        let all = self.gguf.tensors().iter().filter(|(name, _)| !name.starts_with("blk."));
        let embedding = self.bytes(backend, &[Architecture::EMBEDDING_TENSOR.to_owned()]);
        [all.map(|(_, info)| info.size).sum(), embedding.max(self.bytes(backend, &head))]
    }

    fn bytes(&self, backend: &Backend, names: &[String]) -> usize {
        let infos = infos(&self.gguf, names);
        match &self.device {
            Some(_) => Layout::new(&infos, backend).bytes,
            None => infos.iter().map(|info| info.size).sum(),
        }
    }

    /// Block `n` in a buffer, and its content.
    fn copy(
        &self,
        backend: &Backend,
        buffer: &Rc<Buffer>,
        n: usize,
    ) -> Result<(Layer, Transfer), EngineError> {
        Ok(Layer::open(&self.gguf, self.family, n, Residence::Buffer(backend, buffer))?)
    }

    /// The places of the blocks that come and go.
    fn stream<'a>(
        &self,
        device: &'a OnDevice,
        backend: &Backend,
    ) -> Result<RefMut<'a, Stream<Layer>>, EngineError> {
        let mut stream = device.stream.borrow_mut();
        if stream.is_none() {
            let streamed = self.streamed();
            let bytes = streamed.clone().map(|n| self.layer_bytes(backend, n)).max();
            *stream = Some(Stream::open(backend, bytes.unwrap_or(0), streamed.len().min(2))?);
        }
        Ok(RefMut::map(stream, |stream| stream.as_mut().expect("made above")))
    }
}

/// Names of the tensors that block `n` computes with.
fn block_tensors(gguf: &Gguf, n: usize) -> Vec<String> {
    let prefix = format!("blk.{n}.");
    let names = gguf.tensors().keys();
    let of_block = |name: &&String| name.starts_with(&prefix) || *name == ROPE_FACTORS;
    names.filter(of_block).cloned().collect()
}

fn infos<'a>(gguf: &'a Gguf, names: &[String]) -> Vec<&'a TensorInfo> {
    names.iter().filter_map(|name| gguf.tensors().get(name)).collect()
}

impl HeadWeights {
    fn tensors(gguf: &Gguf) -> [String; 2] {
        [HEAD_NORM, Architecture::head_tensor(gguf)].map(str::to_owned)
    }

    fn open(gguf: &Gguf, residence: Residence<'_>) -> Result<(Self, Transfer), ArchitectureError> {
        let mut group = Group::open(gguf, &Self::tensors(gguf), residence);
        let (norm, weight) =
            (group.vector(HEAD_NORM)?, group.matrix(Architecture::head_tensor(gguf))?);
        Ok((Self { norm, weight }, group.transfer))
    }
}

impl Layer {
    fn open(
        gguf: &Gguf,
        family: Family,
        n: usize,
        residence: Residence<'_>,
    ) -> Result<(Self, Transfer), ArchitectureError> {
        let mut group = Group::open(gguf, &block_tensors(gguf, n), residence);
        let mut norm = |name: &str| group.vector(&format!("blk.{n}.{name}.weight"));
        let (attn_norm, ffn_norm) = (norm("attn_norm")?, norm("ffn_norm")?);
        let gemma = match family {
            Family::Gemma3 => Some(GemmaNorms {
                q: norm("attn_q_norm")?,
                k: norm("attn_k_norm")?,
                post_attention: norm("post_attention_norm")?,
                post_ffw: norm("post_ffw_norm")?,
            }),
            Family::Llama | Family::Qwen2 => None,
        };
        let rope_factors = group.optional(ROPE_FACTORS)?;
        let projection = |module: Module| {
            Ok::<_, ArchitectureError>(Projection {
                weight: group.matrix(&module.tensor_name(n))?,
                bias: group.optional(&format!("blk.{n}.{module}.bias"))?,
            })
        };
        let projections = Module::ALL.into_iter().map(projection).collect::<Result<_, _>>()?;
        let layer = Self { attn_norm, ffn_norm, gemma, rope_factors, projections };
        Ok((layer, group.transfer))
    }

    pub fn projection(&self, module: Module) -> &Projection {
        &self.projections[module as usize]
    }

    /// The weights of its projections.
    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        self.projections.iter().map(|projection| &projection.weight)
    }

    /// Whether its weights' panels are kept.
    fn has_panels(&self) -> bool {
        self.weights().all(|weight| weight.panels.is_some())
    }
}

/// Tensors that come and go together.
struct Group<'a> {
    gguf: &'a Gguf,
    tensors: BTreeMap<String, Tensor>,
    /// Their content, unless they are in the map.
    transfer: Transfer,
}

impl<'a> Group<'a> {
    /// Those of `names` that the file has.
    fn open(gguf: &'a Gguf, names: &[String], residence: Residence<'_>) -> Self {
        let known = |name: &String| gguf.tensors().get(name).map(|info| (name.clone(), info));
        let (names, infos): (Vec<_>, Vec<&TensorInfo>) = names.iter().filter_map(known).unzip();
        let mut transfer = Transfer::new(gguf);
        let tensors = match residence {
            Residence::Map => infos.iter().map(|info| buffer::map(gguf, info)).collect(),
            Residence::Buffer(backend, buffer) => {
                let tensors = Layout::new(&infos, backend).place(buffer);
                tensors.iter().zip(&infos).for_each(|(tensor, info)| transfer.push(tensor, info));
                tensors
            }
        };
        Self { gguf, tensors: names.into_iter().zip(tensors).collect(), transfer }
    }

    fn take(&mut self, name: &str) -> Result<Tensor, ArchitectureError> {
        // Asking the file for its description says which tensor is missing.
        self.gguf.tensor(name)?;
        Ok(self.tensors.remove(name).expect("every tensor of the group is taken once"))
    }

    fn matrix(&mut self, name: &str) -> Result<Weight, ArchitectureError> {
        let data = quantized(self.gguf, name)?;
        Ok(Weight { tensor: self.take(name)?, data, panels: None })
    }

    /// Norms, biases and factors enter ggml's element-wise operations, which want F32.
    fn vector(&mut self, name: &str) -> Result<Tensor, ArchitectureError> {
        if self.gguf.tensor(name)?.ggml_type != crate::sys::GGML_TYPE_F32 {
            return Err(unsupported(self.gguf, name));
        }
        self.take(name)
    }

    fn optional(&mut self, name: &str) -> Result<Option<Tensor>, ArchitectureError> {
        let there = self.gguf.tensors().contains_key(name);
        there.then(|| self.vector(name)).transpose()
    }
}

fn quantized(gguf: &Gguf, name: &str) -> Result<Quantized, ArchitectureError> {
    Quantized::new(gguf, gguf.tensor(name)?).ok_or_else(|| unsupported(gguf, name))
}

fn unsupported(gguf: &Gguf, name: &str) -> ArchitectureError {
    ArchitectureError::Variant {
        path: gguf.path().display().to_string(),
        what: format!("the type of tensor {name}"),
    }
}
