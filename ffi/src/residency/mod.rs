//! Where a model's weights are while it computes.
//!
//! The last layers *stay*: in memory for the CPU, on any other device once it has needed them. The
//! others come and go ([`Retention`]).

pub(crate) mod bytes;
pub(crate) mod device;
pub(crate) mod file;
pub(crate) mod mapped;
mod pinned;
pub(crate) mod retention;
mod stream;
mod transfer;

use std::rc::Rc;

use crate::error::EngineError;
use crate::ggml::backend::{Backend, BackendError};
use crate::model::layer::{HeadTensors, Layer};
use crate::residency::bytes::WeightBytes;
use crate::residency::file::FileTensors;
use crate::residency::retention::{PanelUse, Retention};

/// Where a model's weights are while it computes.
pub(crate) trait Residency {
    /// The tensors as they lie in the file: to plan with, and for the embedding.
    fn file(&self) -> &FileTensors;

    /// The tensors of layer `n` to compute with.
    fn layer(&self, backend: &Backend, n: usize) -> Result<Rc<Layer>, EngineError>;

    /// The tensors of the head to compute with.
    fn head(&self, backend: &Backend) -> Result<Rc<HeadTensors>, EngineError>;

    /// Prefetches layer `n` while another one runs.
    fn prefetch(&self, backend: &Backend, n: usize) -> Result<(), EngineError>;

    /// Layer `n` was computed: it may go.
    fn release(&self, n: usize);

    /// The embedding was read, or the head was computed: it may go.
    fn release_others(&self);

    /// Lets the weights of the last layers stay, as many as `retention` says, which is within the
    /// model's layers; panels follow with [`Residency::set_panels`].
    fn retain(&mut self, retention: Retention);

    /// Makes the panels of these layers' weights for a use, and drops all others; does nothing where
    /// the kernels do not compute.
    fn set_panels(
        &mut self,
        backend: &Backend,
        layers: &[usize],
        purpose: PanelUse,
    ) -> Result<(), BackendError>;

    /// What the weights take in memory.
    fn bytes(&self, backend: &Backend) -> WeightBytes;
}
