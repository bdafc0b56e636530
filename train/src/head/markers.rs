//! Learned vectors that mark where visual tokens and prompt begin: `[vis_token ; visual tokens ; prompt_token ; prompt]`.
//!
//! Reference: the authors' published code, `_prepare_joint_inputs` with `prompt_pos=1`; the paper has none.
//
// Shapes: B clips, T' steps, L width of the language model.

use crate::head::along_time::join;
use signclip_common::weights::{Init, Part};
use tch::Tensor;

pub struct Markers {
    vis_token: Tensor,
    prompt_token: Tensor,
}

impl Markers {
    pub fn new(part: &Part, d_llm: i64) -> Self {
        let marker = |name: &str| part.init(name, &[1, 1, d_llm], Init::Normal(1.0));
        Self { vis_token: marker("vis_token"), prompt_token: marker("prompt_token") }
    }

    /// The visual tokens `[B, T', L]` between the markers, zero beyond each clip's end, and their numbers.
    pub fn around(&self, tokens_btl: &Tensor, lengths_b: &Tensor) -> (Tensor, Tensor) {
        let of_each = |marker: &Tensor| marker.expand([tokens_btl.size()[0], 1, -1], false);
        let one_b = lengths_b.ones_like();
        let (before, behind) = (of_each(&self.vis_token), of_each(&self.prompt_token));
        join(&[(&before, &one_b), (tokens_btl, lengths_b), (&behind, &one_b)])
    }
}
