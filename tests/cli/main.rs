//! The real programs, run as a user runs them: on good data, on bad data, killed, and with nothing there.

#![allow(clippy::print_stdout)]
#![allow(clippy::disallowed_methods)]

mod ablate;
mod adapters;
mod annotations;
mod arguments;
mod benches;
mod continued;
mod corpus;
mod damaged;
mod deaths;
mod descriptors;
mod disk;
mod doctor;
mod estimates;
mod extract;
mod fetch;
mod field_media;
mod floor;
mod gaps;
mod hostile_files;
mod hostile_run;
mod hugging_face;
mod import;
mod imported;
mod installed;
mod joined;
mod kill;
mod language_model;
mod llama;
mod locks;
mod media;
mod missing;
mod motion;
mod mouthing;
mod moved;
mod mpi;
mod playlists;
mod presets;
mod program;
mod ranks;
mod real_data;
mod report;
mod runs;
mod scores;
mod stores;
mod study;
mod train;
mod train_language;
mod trainer;
mod translate;
mod weights;
