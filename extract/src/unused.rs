//! Flags without an effect beside the others that were given: refused, as somebody expects one of them. Folders
//! (`--weights`, `--landmarks`) say where things are, needed or not.

use crate::args::{Preset, RunArgs, Stream};
use crate::face_points::LandmarkSource;
use crate::settings::landmark_source;
use signclip_common::Error;

/// Every flag that was `given` (by its name in [`RunArgs`]) and has no effect.
pub fn unused_flags(args: &RunArgs, given: impl Fn(&str) -> bool) -> Vec<Error> {
    let mouthing = args.streams.contains(&Stream::Mouthing);
    let source = landmark_source(args);
    let rules: [(&[&str], bool, &str); 5] = [
        (&["s2_source"], args.streams.contains(&Stream::Spatial), "CLIP does not run: --streams mouthing"),
        (
            &[
                "landmark_source",
                "detector",
                "fan",
                "detect_every",
                "lip_encoder",
                "lip_layer",
                "require_face",
                "preview",
            ],
            mouthing,
            "no face is looked for: --streams spatial",
        ),
        (
            &["detector", "detect_every"],
            !mouthing || source != LandmarkSource::Files,
            "no face is looked for: landmarks come from files",
        ),
        (
            &["fan"],
            !mouthing || source == LandmarkSource::Fan,
            "landmarks do not come from FAN: see --landmark-source",
        ),
        (&["salt"], args.preset != Preset::Paper, "no weights are computed: --preset paper"),
    ];
    let unused = rules.iter().filter(|(_, has_effect, _)| !has_effect);
    unused
        .flat_map(|(flags, _, why)| flags.iter().filter(|flag| given(flag)).map(move |flag| (flag, why)))
        .map(|(flag, why)| {
            Error::usage(
                format!("--{} has no effect: {why}", flag.replace('_', "-")),
                "leave one of them out",
            )
        })
        .collect()
}
