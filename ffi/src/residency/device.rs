//! Weights copied to a device: the last layers once, the others when they are needed.

use std::cell::{OnceCell, RefCell, RefMut};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::Residency;
use crate::error::EngineError;
use crate::ggml::backend::{Backend, BackendError};
use crate::ggml::buffer::Buffer;
use crate::ggml::layout::Layout;
use crate::gguf::file::Gguf;
use crate::gguf::tensor_info::TensorInfo;
use crate::model::architecture::Architecture;
use crate::model::error::ArchitectureError;
use crate::model::group::Group;
use crate::model::layer::{HeadTensors, Layer};
use crate::residency::bytes::WeightBytes;
use crate::residency::file::FileTensors;
use crate::residency::retention::{PanelUse, Retention};
use crate::residency::stream::Stream;
use crate::residency::transfer::Transfer;

/// Dequantizing a weight costs as much as multiplying it with this many tokens. Not measured on a
/// device: what it is on CPUs.
const UNPACKING: u32 = 85;

/// Copies of the weights on a device.
pub(crate) struct OnDevice {
    file: FileTensors,
    /// Layers, counted from the last, that stay.
    retained: usize,
    head: OnceCell<Rc<HeadTensors>>,
    layers: RefCell<BTreeMap<usize, Rc<Layer>>>,
    stream: RefCell<Option<Stream<Layer>>>,
}

impl OnDevice {
    /// The weights of `gguf`, whose shape is `shape`; they are copied when they are first needed.
    pub fn open(gguf: &Gguf, shape: &Architecture) -> Result<Self, ArchitectureError> {
        Ok(Self {
            file: FileTensors::open(gguf, shape)?,
            retained: shape.n_layer,
            head: OnceCell::new(),
            layers: RefCell::default(),
            stream: RefCell::default(),
        })
    }

    /// The layers that do not stay.
    fn streamed(&self) -> Range<usize> {
        0..self.file.layers.len() - self.retained
    }

    /// Bytes of these tensors on the device.
    fn device_bytes(&self, backend: &Backend, names: &[String]) -> usize {
        layout(&self.file.infos(names), backend).bytes
    }

    fn layer_bytes(&self, backend: &Backend, n: usize) -> usize {
        self.device_bytes(backend, &self.file.layer_names(n))
    }

    /// These tensors in a buffer, and their content on its way there.
    fn group(
        &self,
        backend: &Backend,
        buffer: &Rc<Buffer>,
        names: &[String],
    ) -> (Group<'_>, Transfer) {
        let mut transfer = Transfer::new(&self.file.gguf);
        let group = Group::new(&self.file.gguf, names, |infos| {
            let tensors = layout(infos, backend).place(buffer);
            tensors.iter().zip(infos).for_each(|(tensor, info)| transfer.push(tensor, info));
            tensors
        });
        (group, transfer)
    }

    /// Layer `n` in a buffer, and its content on its way there.
    fn copy(
        &self,
        backend: &Backend,
        buffer: &Rc<Buffer>,
        n: usize,
    ) -> Result<(Layer, Transfer), EngineError> {
        let (group, transfer) = self.group(backend, buffer, &self.file.layer_names(n));
        Ok((Layer::new(&self.file.shape, n, group)?, transfer))
    }

    /// The slots of the layers that come and go.
    fn stream(&self, backend: &Backend) -> Result<RefMut<'_, Stream<Layer>>, EngineError> {
        let mut stream = self.stream.borrow_mut();
        if stream.is_none() {
            let streamed = self.streamed();
            let bytes = streamed.clone().map(|n| self.layer_bytes(backend, n)).max();
            *stream = Some(Stream::open(backend, bytes.unwrap_or(0), streamed.len().min(2))?);
        }
        Ok(RefMut::map(stream, |stream| stream.as_mut().expect("made above")))
    }
}

fn layout(infos: &[&TensorInfo], backend: &Backend) -> Layout {
    Layout::new(infos.iter().map(|info| info.description()), backend)
}

impl Residency for OnDevice {
    fn file(&self) -> &FileTensors {
        &self.file
    }

    fn layer(&self, backend: &Backend, n: usize) -> Result<Rc<Layer>, EngineError> {
        if self.streamed().contains(&n) {
            return self.stream(backend)?.get(n, &|buffer| self.copy(backend, buffer, n));
        }
        if let Some(layer) = self.layers.borrow().get(&n) {
            return Ok(layer.clone());
        }
        let buffer = Rc::new(backend.allocate(self.layer_bytes(backend, n))?);
        let (layer, transfer) = self.copy(backend, &buffer, n)?;
        transfer.run(None);
        let layer = Rc::new(layer);
        self.layers.borrow_mut().insert(n, layer.clone());
        Ok(layer)
    }

    fn head(&self, backend: &Backend) -> Result<Rc<HeadTensors>, EngineError> {
        if let Some(head) = self.head.get() {
            return Ok(head.clone());
        }
        let names = self.file.head_names();
        let buffer = Rc::new(backend.allocate(self.device_bytes(backend, &names))?);
        let (group, transfer) = self.group(backend, &buffer, &names);
        let head = HeadTensors::new(&self.file.gguf, group)?;
        transfer.run(None);
        Ok(self.head.get_or_init(|| Rc::new(head)).clone())
    }

    fn prefetch(&self, backend: &Backend, n: usize) -> Result<(), EngineError> {
        if self.streamed().contains(&n) {
            self.stream(backend)?.prefetch(n, &|buffer| self.copy(backend, buffer, n))?;
        }
        Ok(())
    }

    fn release(&self, _: usize) {}

    fn release_others(&self) {}

    fn retain(&mut self, retention: Retention) {
        self.retained = retention.weights;
        let streamed = self.streamed();
        self.layers.get_mut().retain(|n, _| !streamed.contains(n));
        self.stream.take();
    }

    fn set_panels(&mut self, _: &Backend, _: &[usize], _: PanelUse) -> Result<(), BackendError> {
        Ok(())
    }

    fn bytes(&self, backend: &Backend) -> WeightBytes {
        let layers = 0..self.file.layers.len();
        let of_layer = |n| self.layer_bytes(backend, n) as u64;
        let layer = layers.clone().map(of_layer).max().unwrap_or(0);
        let head = self.device_bytes(backend, &self.file.head_names()) as u64;
        WeightBytes {
            n_layer: layers.len(),
            layers: layers.map(of_layer).sum(),
            layer,
            panels: None,
            sampling_panels: [0; 2],
            unpacked: 0,
            unpacking: UNPACKING,
            in_use: 2,
            layer_in_use: layer,
            edges: 0,
            others: head,
            others_in_use: head,
            copied: true,
        }
    }
}
