//! Reverse-mode differentiation over ggml graphs.
//!
//! The forward pass of a layer is written once, through the operations in [`crate::ops`]; each adds
//! its forward nodes and records how to add its gradient's nodes. [`Tape::backward`] then walks
//! the record from the end. Only nodes that lead to a requested gradient are ever computed: ggml
//! runs what an output depends on, nothing else.

use crate::ggml::graph::Graph;
use crate::ggml::node::Node;
use crate::ggml::tensor::Tensor;

/// A value on the tape.
#[derive(Clone, Copy)]
pub(crate) struct Var<'g> {
    /// Where its value is computed.
    pub node: Node<'g>,
    index: usize,
}

/// Adds the nodes of the inputs' gradients, given the outputs'.
type Backward<'g> = Box<dyn Fn(&[Node<'g>]) -> Vec<Node<'g>> + 'g>;

struct Entry<'g> {
    outputs: Vec<usize>,
    inputs: Vec<usize>,
    backward: Backward<'g>,
}

/// What becomes of values that are expensive to compute and that the backward pass needs again.
pub(crate) enum Saved<'g> {
    /// The backward pass computes them again.
    Nothing,
    /// They are computed into these tensors, in order.
    Into(&'g [Tensor]),
    /// They are in these tensors, in order.
    In(&'g [Tensor]),
}

/// The record of a forward pass.
pub(crate) struct Tape<'g> {
    pub graph: &'g Graph,
    saved: Saved<'g>,
    /// Shapes of the values that can be saved, in order.
    shapes: Vec<[usize; 2]>,
    entries: Vec<Entry<'g>>,
    /// For each variable: whether a gradient is wanted for it or for something it depends on.
    needs: Vec<bool>,
}

/// Gradients by variable.
pub(crate) struct Gradients<'g>(Vec<Option<Node<'g>>>);

impl<'g> Gradients<'g> {
    /// The gradient of `var`; `None` if the result does not depend on it.
    pub fn of(&self, var: Var<'g>) -> Option<Node<'g>> {
        self.0[var.index]
    }
}

impl<'g> Tape<'g> {
    pub fn new(graph: &'g Graph, saved: Saved<'g>) -> Self {
        Self { graph, saved, shapes: Vec::new(), entries: Vec::new(), needs: Vec::new() }
    }

    /// Shapes of all values that passed through [`Tape::save`], in order.
    pub fn saved_shapes(&self) -> &[[usize; 2]] {
        &self.shapes
    }

    /// The result of an expensive operation that the backward pass needs: computed by `make`, or
    /// taken from where an earlier pass saved it.
    pub fn save(&mut self, ne: [usize; 2], make: impl FnOnce() -> Node<'g>) -> Node<'g> {
        let index = self.shapes.len();
        self.shapes.push(ne);
        match self.saved {
            Saved::Nothing => make(),
            Saved::Into(tensors) => {
                let node = make();
                self.graph.place(node, &tensors[index]);
                node
            }
            Saved::In(tensors) => self.graph.leaf(&tensors[index]),
        }
    }

    /// The result of an expensive operation: as [`Tape::save`] if the backward pass needs its
    /// value, else computed by `make`.
    pub fn save_if(
        &mut self,
        needed: bool,
        ne: [usize; 2],
        make: impl FnOnce() -> Node<'g>,
    ) -> Node<'g> {
        if needed { self.save(ne, make) } else { make() }
    }

    /// A value whose gradient is wanted.
    pub fn parameter(&mut self, node: Node<'g>) -> Var<'g> {
        self.variable(node, true)
    }

    /// A value that carries no gradient.
    pub fn constant(&mut self, node: Node<'g>) -> Var<'g> {
        self.variable(node, false)
    }

    fn variable(&mut self, node: Node<'g>, needs: bool) -> Var<'g> {
        self.needs.push(needs);
        Var { node, index: self.needs.len() - 1 }
    }

    /// Records an operation: `backward` returns one gradient per input, in order.
    pub fn record(
        &mut self,
        output: Node<'g>,
        inputs: &[Var<'g>],
        backward: impl Fn(Node<'g>) -> Vec<Node<'g>> + 'g,
    ) -> Var<'g> {
        let [output] = self.record_many([output], inputs, move |gradients| backward(gradients[0]));
        output
    }

    /// Records an operation of several outputs, each of which the result depends on.
    pub fn record_many<const N: usize>(
        &mut self,
        outputs: [Node<'g>; N],
        inputs: &[Var<'g>],
        backward: impl Fn(&[Node<'g>]) -> Vec<Node<'g>> + 'g,
    ) -> [Var<'g>; N] {
        let needs = inputs.iter().any(|v| self.needs[v.index]);
        let outputs = outputs.map(|output| self.variable(output, needs));
        if needs {
            let [outputs, inputs] =
                [&outputs[..], inputs].map(|vars| vars.iter().map(|v| v.index).collect());
            self.entries.push(Entry { outputs, inputs, backward: Box::new(backward) });
        }
        outputs
    }

    /// Adds the nodes of the gradients of a scalar, given its gradient at `output`.
    pub fn backward(&self, output: Var<'g>, gradient: Node<'g>) -> Gradients<'g> {
        let mut gradients: Vec<Option<Node<'g>>> = vec![None; self.needs.len()];
        gradients[output.index] = Some(gradient);
        for entry in self.entries.iter().rev() {
            let of_outputs: Option<Vec<_>> = entry.outputs.iter().map(|&i| gradients[i]).collect();
            let Some(of_outputs) = of_outputs else { continue };
            let of_inputs = (entry.backward)(&of_outputs);
            assert_eq!(of_inputs.len(), entry.inputs.len());
            for (&input, gradient) in entry.inputs.iter().zip(of_inputs) {
                if self.needs[input] {
                    gradients[input] = Some(match gradients[input] {
                        Some(sum) => self.graph.add(sum, gradient),
                        None => gradient,
                    });
                }
            }
        }
        Gradients(gradients)
    }
}
