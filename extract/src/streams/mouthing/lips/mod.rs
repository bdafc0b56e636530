//! The mouthing stream Z_m: frozen AV-HuBERT on normalised mouth crops, video only (paper, "Mouthing Feature Extraction").
//!
//! What `AVHubertModel.extract_finetune` of facebookresearch/av_hubert (`avhubert/hubert.py`) computes when it gets no
//! audio, with the configurations Base and Large: fusion by concatenation, pre-norm layers, PReLU in the ResNet.
//!
//! Shapes: n clips, t frames, d width of the transformer.

pub mod config;
pub mod encoder;
pub mod transformer;
pub mod visual_frontend;
