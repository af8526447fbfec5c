//! Making the panels of a weight, to be multiplied with again and again.

use std::ops::Range;

use cutq_kernels::{Precision, Work, panel_bytes};

use super::ByKernels;
use super::product::Orientation;
use crate::ggml::graph::Graph;
use crate::ggml::graph::custom::{CustomOp, SCRATCH};
use crate::gguf::dequantize::Quantized;
use crate::model::weight::{Panels, Weight};
use crate::sys;

/// Shapes of a weight's panels, forward and transposed.
pub(crate) fn shapes(weight: &Weight, precision: Precision) -> [[usize; 2]; 2] {
    let Quantized { n_in, n_out, .. } = weight.data;
    let floats = |n, r| [panel_bytes(precision, n, r) / size_of::<f32>(), 1];
    [floats(n_out, n_in), floats(n_in, n_out)]
}

/// Adds the making of a weight's panels to a graph, into memory of [`shapes`].
pub(crate) fn make<'g>(graph: &'g Graph, by: ByKernels, weight: &Weight, panels: &'g Panels) {
    for (orientation, panels) in [Orientation::Forward, Orientation::Transposed].iter().zip(panels)
    {
        let Some(panels) = panels else { continue };
        let op = MakePanels { by, weight: weight.data, orientation: *orientation };
        graph.output(graph.custom_inplace(graph.leaf(panels), &[], op));
    }
}

struct MakePanels {
    by: ByKernels,
    weight: Quantized,
    orientation: Orientation,
}

impl CustomOp for MakePanels {
    fn work(&self, _: &sys::ggml_tensor) -> Work {
        self.orientation.outputs(self.weight, self.weight.block())
    }

    unsafe fn run(&self, dst: &sys::ggml_tensor, part: Range<usize>) {
        let (ByKernels { kernels, precision, .. }, weight) = (self.by, self.weight);
        let Quantized { n_in, n_out, .. } = weight;
        let to: *mut u8 = dst.data.cast();
        assert!(to.addr().is_multiple_of(64), "panels are read a cache line at a time");
        // SAFETY: `dst` has room for all panels and is aligned; parts are of whole panels.
        SCRATCH.with_borrow_mut(|scratch| unsafe {
            match self.orientation {
                Orientation::Forward => {
                    kernels.make_panels(precision, n_in, &weight, part, to, scratch);
                }
                Orientation::Transposed => {
                    kernels.make_panels_transposed(precision, n_out, &weight, part, to, scratch);
                }
            }
        });
    }
}
