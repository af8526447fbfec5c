//! Weights in the memory map, for the CPU's kernels.
//!
//! The system reads pages of the file when they are first used. Layers that do not stay give theirs
//! back when they are done. Panels take the place of the last layers' weights, where there is
//! memory for them: unpacking a weight costs as much as multiplying with dozens of tokens.

use std::iter::once;
use std::rc::Rc;

use super::Residency;
use crate::error::EngineError;
use crate::ggml::arena::Arena;
use crate::ggml::backend::{Backend, BackendError};
use crate::ggml::graph::Graph;
use crate::ggml::tensor::Tensor;
use crate::gguf::file::{Gguf, LARGE_PAGE};
use crate::gguf::unpacking;
use crate::model::architecture::Architecture;
use crate::model::error::ArchitectureError;
use crate::model::layer::{HeadTensors, Layer};
use crate::model::projection::Projection;
use crate::model::tensors::{EMBEDDING, head_name};
use crate::model::weight::{Panels, Weight};
use crate::ops::kernels::ByKernels;
use crate::ops::kernels::panels;
use crate::residency::bytes::WeightBytes;
use crate::residency::file::FileTensors;
use crate::residency::retention::{PanelUse, Retention};

/// Weights in the memory map.
pub(crate) struct Mapped {
    file: FileTensors,
    kernels: ByKernels,
    /// Layers, counted from the last, that stay.
    retained: usize,
    /// Where the panels are.
    panels: Arena,
    /// The layers that they belong to.
    with_panels: Vec<usize>,
    /// What they are for.
    purpose: PanelUse,
}

impl Mapped {
    /// The weights of `gguf`, whose shape is `shape`, for these kernels.
    pub fn open(
        gguf: &Gguf,
        shape: &Architecture,
        kernels: ByKernels,
    ) -> Result<Self, ArchitectureError> {
        Ok(Self {
            file: FileTensors::open(gguf, shape)?,
            kernels,
            retained: shape.n_layer,
            panels: Arena::default(),
            with_panels: Vec::new(),
            purpose: PanelUse::Training,
        })
    }

    fn stays(&self, n: usize) -> bool {
        n >= self.file.layers.len() - self.retained
    }

    /// The mean of [`unpacking::in_tokens`] over all weights of layers.
    fn unpacking(&self) -> u32 {
        let layers = 0..self.file.layers.len();
        let names = layers.flat_map(|n| self.weight_names(n)).collect::<Vec<_>>();
        let [mut tokens, mut elements] = [0; 2];
        for info in self.file.infos(&names) {
            let n = info.ne.iter().product::<usize>() as u64;
            tokens += n * u64::from(unpacking::in_tokens(info.kind));
            elements += n;
        }
        (tokens / elements.max(1)) as u32
    }

    /// Shapes of the panels of these weights.
    fn panel_shapes<'a>(
        &self,
        weights: impl Iterator<Item = &'a Weight>,
        purpose: PanelUse,
    ) -> Vec<[usize; 2]> {
        let n = if purpose == PanelUse::Training { 2 } else { 1 };
        let shapes = weights.map(|weight| panels::shapes(weight, self.kernels.precision));
        shapes.flat_map(|shapes| shapes.into_iter().take(n)).collect()
    }

    /// Makes the panels of some weights in `places`, for a use.
    fn make_panels<'a>(
        &self,
        backend: &Backend,
        weights: impl Iterator<Item = &'a Weight>,
        places: &mut impl Iterator<Item = Tensor>,
        purpose: PanelUse,
    ) -> Result<Vec<Panels>, BackendError> {
        let mut place = || Some(places.next().expect("a place for each"));
        let weights: Vec<&Weight> = weights.collect();
        let mut panels = || match purpose {
            PanelUse::Training => [place(), place()],
            PanelUse::Sampling => [place(), None],
        };
        let made: Vec<Panels> = weights.iter().map(|_| panels()).collect();
        let graph = Graph::new(4 * Projection::ALL.len());
        for (weight, panels) in weights.iter().zip(&made) {
            panels::make(&graph, self.kernels, weight, panels);
        }
        backend.run(&graph)?;
        Ok(made)
    }

    /// Sets a layer's panels; without any the weights themselves are used again.
    ///
    /// # Panics
    /// If a graph still refers to the layer.
    fn set_layer_panels(&mut self, n: usize, panels: impl Iterator<Item = Panels>) {
        let layer = Rc::get_mut(&mut self.file.layers[n]).expect("no graph refers to the layer");
        layer.weights_mut().zip(panels).for_each(|(weight, panels)| weight.panels = panels);
        // Nothing reads the weights themselves any more, or not now.
        self.file.gguf.release(self.weight_names(n));
    }

    /// The tensors of a layer that panels take the place of.
    fn weight_names(&self, n: usize) -> Vec<String> {
        let layer = &self.file.layers[n];
        let held = Projection::ALL.into_iter().filter(|&p| layer.projection(p).is_some());
        held.map(|projection| projection.weight_name(n)).collect()
    }

    /// Sets the panels of the head's weight.
    fn set_head_panels(&mut self, panels: Panels) {
        let head = Rc::get_mut(&mut self.file.head).expect("no graph refers to the head");
        head.weight.panels = panels;
        self.file.gguf.release([head_name(&self.file.gguf)]);
    }

    fn drop_panels(&mut self) {
        for n in std::mem::take(&mut self.with_panels) {
            self.set_layer_panels(n, std::iter::repeat_with(|| [None, None]));
        }
        self.set_head_panels([None, None]);
        self.panels = Arena::default();
    }
}

impl Residency for Mapped {
    fn file(&self) -> &FileTensors {
        &self.file
    }

    fn layer(&self, _: &Backend, n: usize) -> Result<Rc<Layer>, EngineError> {
        Ok(self.file.layers[n].clone())
    }

    fn head(&self, _: &Backend) -> Result<Rc<HeadTensors>, EngineError> {
        Ok(self.file.head.clone())
    }

    fn prefetch(&self, _: &Backend, n: usize) -> Result<(), EngineError> {
        if !self.stays(n) && !self.file.layers[n].has_panels() {
            self.file.gguf.prefetch(self.file.layer_names(n));
        }
        Ok(())
    }

    fn release(&self, n: usize) {
        // Layers with panels too: the system may have mapped all of a layer to read its norms.
        if !self.stays(n) || self.file.layers[n].has_panels() {
            self.file.gguf.release(self.file.layer_names(n));
        }
    }

    fn release_others(&self) {
        if self.retained < self.file.layers.len() {
            self.file.gguf.release([EMBEDDING, head_name(&self.file.gguf)]);
        }
    }

    fn retain(&mut self, retention: Retention) {
        self.retained = retention.weights;
    }

    fn set_panels(
        &mut self,
        backend: &Backend,
        layers: &[usize],
        purpose: PanelUse,
    ) -> Result<(), BackendError> {
        if self.with_panels == layers && self.purpose == purpose {
            return Ok(());
        }
        self.drop_panels();
        self.purpose = purpose;
        let file = &self.file;
        let all = layers.len() == file.layers.len();
        let head = (all && purpose == PanelUse::Sampling).then(|| file.head.clone());
        let of_layer = |&n: &usize| self.panel_shapes(file.layers[n].weights(), purpose);
        let of_head = head.iter().flat_map(|head| self.panel_shapes(once(&head.weight), purpose));
        let shapes: Vec<_> = of_head.chain(layers.iter().flat_map(of_layer)).collect();
        let mut places = self.panels.tensors(backend, &shapes)?.into_iter();
        if let Some(head) = head {
            let mut made = self.make_panels(backend, once(&head.weight), &mut places, purpose)?;
            drop(head);
            self.set_head_panels(made.pop().expect("of one weight"));
        }
        for &n in layers {
            let layer = self.file.layers[n].clone();
            let made = self.make_panels(backend, layer.weights(), &mut places, purpose)?;
            drop(layer);
            self.set_layer_panels(n, made.into_iter());
            // One by one, so that a failure leaves a list of those that have them.
            self.with_panels.push(n);
        }
        Ok(())
    }

    fn bytes(&self, _: &Backend) -> WeightBytes {
        let (file, layers) = (&self.file, 0..self.file.layers.len());
        let of_layer = |n| file.bytes(&file.layer_names(n)) as u64;
        let panels = |purpose| {
            let shapes = |n: usize| self.panel_shapes(file.layers[n].weights(), purpose);
            layers.clone().map(|n| Arena::size(&shapes(n)) as u64).max()
        };
        let head_panels = self.panel_shapes(once(&file.head.weight), PanelUse::Sampling);
        let of_layer_and_head =
            [panels(PanelUse::Sampling).unwrap_or(0), Arena::size(&head_panels) as u64];
        let unpacked = layers.clone().map(|n| file.bytes(&self.weight_names(n)) as u64);
        let in_use = layers.clone().map(|n| file.mapped_bytes(&file.layer_names(n)) as u64);
        let others = file.gguf.tensors().iter().filter(|(name, _)| !name.starts_with("blk."));
        let embedding = file.mapped_bytes(&[EMBEDDING.to_owned()]);
        let others_in_use = embedding.max(file.mapped_bytes(&file.head_names()));
        WeightBytes {
            n_layer: layers.len(),
            layers: layers.clone().map(of_layer).sum(),
            layer: layers.clone().map(of_layer).max().unwrap_or(0),
            panels: panels(PanelUse::Training),
            sampling_panels: of_layer_and_head,
            unpacked: unpacked.min().unwrap_or(0),
            unpacking: self.unpacking(),
            in_use: 1,
            layer_in_use: in_use.max().unwrap_or(0),
            edges: 2 * LARGE_PAGE as u64,
            others: others.map(|(_, info)| info.size as u64).sum(),
            others_in_use: others_in_use as u64,
            copied: false,
        }
    }
}
