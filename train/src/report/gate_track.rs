//! The gate over time: how much each moment of a clip relies on the hands and how much on the mouth.
//!
//! The gate g of the [fusion](crate::head::gated_fusion) has one value a channel, 1 where the channel is taken from the hands
//! alone and 0 where it is taken from the mouth alone. A frame is described by the mean over its channels and by the
//! quartiles, between which half of the channels lie.

use crate::data::corpus::{Corpus, Window};
use crate::training::model::SignClip;
use serde::Serialize;
use signclip_common::{Error, Result, atomic};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// The gate of one clip, 0 (mouth) to 1 (hands), a value a frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GateTrack {
    /// Frame of the clip that the first value belongs to; not 0 where the clip is longer than `max_frames`.
    pub first_frame: usize,
    /// Mean over the channels.
    pub mean: Vec<f32>,
    /// First and third quartile of the channels.
    pub low: Vec<f32>,
    pub high: Vec<f32>,
}

impl GateTrack {
    /// The clips of `corpus` in its order, `batch` at once; `None` where the model has no gate.
    pub fn of(model: &SignClip, corpus: &Corpus, batch: usize) -> Result<Option<Vec<Self>>> {
        let _frozen = tch::no_grad_guard();
        let mut tracks = Vec::new();
        let clips: Vec<usize> = (0..corpus.len()).collect();
        for clips in clips.chunks(batch) {
            let read = corpus.batch(clips, Window::Middle)?.to_device(model.device());
            let Some(gate_btd) = model.see(&read, false)?.gate else { return Ok(None) };
            for (row, &clip) in (0..).zip(clips) {
                let (first_frame, _) = corpus.middle(clip);
                let lengths = read.streams.values().next().map(|stream| &stream.lengths);
                let rows = lengths.map_or(0, |lengths| lengths.int64_value(&[row]));
                let gate_td = gate_btd.get(row).narrow(0, 0, rows);
                tracks.push(Self::from_gate(first_frame, &gate_td)?);
            }
        }
        Ok(Some(tracks))
    }

    /// Of a gate `[t, d]`.
    fn from_gate(first_frame: usize, gate_td: &Tensor) -> Result<Self> {
        let gate_td = gate_td.to_device(Device::Cpu).to_kind(Kind::Float);
        let values = |x: Tensor| Vec::<f32>::try_from(x).map_err(Error::from);
        let quartile = |q: f64| values(gate_td.quantile_scalar(q, 1, false, "linear"));
        Ok(Self {
            first_frame,
            mean: values(gate_td.mean_dim(1, false, Kind::Float))?,
            low: quartile(0.25)?,
            high: quartile(0.75)?,
        })
    }

    /// Mean over all frames.
    pub fn overall(&self) -> f32 {
        self.mean.iter().sum::<f32>() / self.mean.len().max(1) as f32
    }

    /// One of eight blocks for each of at most `width` stretches of equal length: ▁ mouth, █ hands.
    pub fn blocks(&self, width: usize) -> String {
        const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let (frames, cells) = (self.mean.len(), width.min(self.mean.len()));
        let stretch = |cell: usize| &self.mean[cell * frames / cells..(cell + 1) * frames / cells];
        let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
        (0..cells).map(|cell| BLOCKS[((mean(stretch(cell)) * 8.0) as usize).min(7)]).collect()
    }
}

/// Write the tracks of clips by their ids as JSON: `{"fps": 25.0, "clips": {ID: {"first_frame", "mean", "low", "high"}}}`.
pub fn write(file: &Path, fps: f64, tracks: &BTreeMap<&str, &GateTrack>) -> Result<()> {
    let json = serde_json::json!({ "fps": fps, "clips": tracks });
    atomic::write(file, format!("{json}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_the_mean_and_the_quartiles_of_its_channels() -> Result<()> {
        let gate = Tensor::from_slice(&[0.0_f32, 0.25, 0.5, 0.75, 1.0, 0.9, 0.9, 0.9, 0.9, 0.9]).view([2, 5]);
        let track = GateTrack::from_gate(3, &gate)?;
        let near = |got: &[f32], want: [f32; 2]| got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6);
        assert!(
            near(&track.mean, [0.5, 0.9]) && near(&track.low, [0.25, 0.9]) && near(&track.high, [0.75, 0.9])
        );
        assert!((track.overall() - 0.7).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn blocks_rise_with_the_gate() {
        let track = |mean: &[f32]| GateTrack {
            first_frame: 0,
            mean: mean.to_vec(),
            low: Vec::new(),
            high: Vec::new(),
        };
        assert_eq!(track(&[0.0, 0.5, 1.0]).blocks(60), "▁▅█");
        assert_eq!(track(&[0.0, 0.2, 0.9, 1.0]).blocks(2), "▁█");
        assert_eq!(track(&[]).blocks(60), "");
    }
}
