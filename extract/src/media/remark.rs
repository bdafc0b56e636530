//! What a user should know about the pictures of a clip that was stored nevertheless.

use serde::Serialize;

/// One kind of remark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remark {
    /// Another video stream could have been meant.
    SeveralVideoStreams,
    /// Frames of two fields, taken as they are.
    Interlaced,
    /// Pixels that are wider than high, or higher than wide.
    PixelsNotSquare,
    /// Neither header nor end of the file say how long it is.
    EndUnknown,
}

impl Remark {
    /// What it means, and what can be done.
    pub fn text(self) -> &'static str {
        match self {
            Self::SeveralVideoStreams => {
                "several video streams: the first is taken, and the index names it (--video-stream N takes another)"
            }
            Self::Interlaced => {
                "interlaced: moving edges are combed (--deinterlace keeps one field of each frame)"
            }
            Self::PixelsNotSquare => {
                "pixels are not square: faces are narrower or wider than they were, as the stored pixels are"
            }
            Self::EndUnknown => {
                "the file does not say how long it is: whether all of it is there is not known (\"end_unknown\" in \
                 clips-*.jsonl; compare with the original)"
            }
        }
    }
}
