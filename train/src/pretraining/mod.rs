//! A small language model that knows the language of a data set before it sees any clip: what Flan-T5 is to the paper, in
//! miniature. Trained on sentences alone.

pub mod run;
pub mod sentences;
pub mod tasks;
