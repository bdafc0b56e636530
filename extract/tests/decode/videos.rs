//! Videos.
