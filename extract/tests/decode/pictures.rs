//! Single pictures.
