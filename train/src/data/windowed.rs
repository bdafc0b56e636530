//! Which streams of a long clip are cut.

use serde::{Deserialize, Serialize};

/// The streams that are cut where a clip is longer than the cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Windowed {
    #[default]
    All,
    /// The spatial one; all rows of others stay (SpaMo).
    Spatial,
}
