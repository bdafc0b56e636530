//! Padded clips with their targets, on one device.

use crate::head::streams::{StreamBatch, StreamBatches};
use signclip_common::devices::upload;
use tch::{Device, Tensor};

/// Padded clips with their targets, on one device.
pub struct Batch {
    /// Places in the corpus.
    pub clips: Vec<usize>,
    /// Rows as stored (float16 or float32).
    pub streams: StreamBatches,
    /// `[b, l]` int64, [`IGNORE`](crate::language::inputs::IGNORE) at padding.
    pub labels: Tensor,
    pub frames: usize,
}

impl Batch {
    /// The batch on `device`; lengths stay on the CPU.
    pub fn to_device(self, device: Device) -> Self {
        let there = |x: &Tensor| upload(x, device);
        let stream =
            |(name, StreamBatch { rows, lengths })| (name, StreamBatch { rows: there(&rows), lengths });
        Self { streams: self.streams.into_iter().map(stream).collect(), labels: there(&self.labels), ..self }
    }

    /// Its tensors with their names.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let streams = self.streams.iter().flat_map(|(name, stream)| {
            [
                (name.clone(), stream.rows.shallow_clone()),
                (format!("{name}.lengths"), stream.lengths.shallow_clone()),
            ]
        });
        streams.chain([("labels".to_owned(), self.labels.shallow_clone())]).collect()
    }
}
