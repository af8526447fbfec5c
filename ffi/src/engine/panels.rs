//! Panels of the last blocks' weights, made before the first pass that uses them and kept from then
//! on, where there is memory left: unpacking a weight costs as much as multiplying with dozens of
//! tokens.

use super::{Engine, EngineError};
use crate::ggml::buffer::Arena;
use crate::ggml::graph::Graph;
use crate::model::projection::Module;
use crate::ops::kernels::product;
use crate::ops::lowering::Lowering;

impl Engine {
    /// Makes the panels of the blocks that are to keep them, unless they are there.
    pub(super) fn ensure_panels(&mut self) -> Result<(), EngineError> {
        let first = self.architecture.n_layer - self.cached_layers;
        let wanted: Vec<usize> = (first..self.architecture.n_layer).collect();
        if self.panels_of == wanted { Ok(()) } else { self.make_panels(wanted) }
    }

    /// Makes the panels of these blocks, and gives those of others back.
    pub(super) fn make_panels(&mut self, layers: Vec<usize>) -> Result<(), EngineError> {
        self.drop_panels();
        let Lowering::Kernels { kernels, precision } = self.lowering else { return Ok(()) };
        let shapes: Vec<_> = layers.iter().flat_map(|&layer| self.panel_shapes(layer)).collect();
        let mut tensors = self.panels.tensors(&self.backend, &shapes)?.into_iter();
        let mut pair = || Some([(); 2].map(|()| tensors.next().expect("two for each weight")));
        for &layer in &layers {
            let panels: Vec<_> = Module::ALL.iter().map(|_| pair()).collect();
            let graph = Graph::new(4 * Module::ALL.len());
            for (weight, panels) in self.weights.mapped_layer(layer).weights().zip(&panels) {
                let panels = panels.as_ref().expect("made above");
                product::make_panels(&graph, (kernels, precision), weight.data, panels);
            }
            self.backend.run(&graph)?;
            drop(graph);
            self.weights.set_panels(layer, panels);
        }
        self.panels_of = layers;
        Ok(())
    }

    /// Gives the memory of all panels back.
    pub(super) fn drop_panels(&mut self) {
        for layer in std::mem::take(&mut self.panels_of) {
            let none = Module::ALL.iter().map(|_| None).collect();
            self.weights.set_panels(layer, none);
        }
        self.panels = Arena::default();
    }

    /// Shapes of the panels of a block's weights: none where the kernels do not compute.
    pub(super) fn panel_shapes(&self, layer: usize) -> Vec<[usize; 2]> {
        let weights = self.weights.mapped_layer(layer).weights();
        weights.filter_map(|weight| weight.panel_shapes(self.lowering)).flatten().collect()
    }
}
