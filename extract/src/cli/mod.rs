//! The command line: flags, what they are resolved into, and what each command prints.

pub mod args;
pub mod calibrate;
pub mod convert;
pub mod doctor;
pub mod dry_run;
pub mod extract;
pub mod fetch;
pub mod import;
pub mod job;
pub mod libraries;
pub mod like;
pub mod recipe_flags;
pub mod status;
pub mod summary;
pub mod unused;
pub mod verify;
