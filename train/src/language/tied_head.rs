//! An output layer that shares its weight with the embeddings.

use serde_json::Value;

/// What an exported model needs to give such an output layer a weight of its own.
pub struct TiedHead {
    /// Name of the embedding table in the files.
    pub embeddings: &'static str,
    /// Factor on the input of the shared layer.
    pub scale: f64,
    /// Fields of `config.json` for a layer with its own weight.
    pub untied: Value,
}
