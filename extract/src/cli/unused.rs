//! Flags without an effect beside the others that were given: named, as somebody expects one of them. Folders of inputs
//! (`--weights`, `--landmarks`) say where things are, needed or not.

use crate::cli::args::RunArgs;
use crate::cli::recipe_flags::Preset;
use crate::recipe::Recipe;
use crate::run::plan::Plan;
use crate::streams::config::StreamName;
use crate::streams::mouthing::config::LandmarkSource;

/// Without an effect on `--verify`.
const NOT_TO_READ: [&str; 10] = [
    "videos",
    "only",
    "limit",
    "language",
    "shard",
    "retry_failed",
    "like",
    "preview",
    "video_stream",
    "deinterlace",
];

/// Every flag that was `given` (by its name in [`RunArgs`]) and has no effect, with the reason.
/// `like`: the recipe of a store to be like.
pub fn unused_flags(args: &RunArgs, like: Option<&Recipe>, given: impl Fn(&str) -> bool) -> Vec<String> {
    let makes = |name: StreamName| {
        like.map_or_else(|| args.recipe.streams.contains(&name), |recipe| recipe.streams.contains_key(&name))
    };
    let mouthing = makes(StreamName::Mouthing);
    let of_store = like.and_then(Recipe::mouthing).map(|(config, _)| config.landmarks);
    let source = of_store.unwrap_or_else(|| args.recipe.landmarks(&args.inputs));
    let own = args.selection.dataset.as_deref().is_none_or(|dataset| dataset.ends_with(".jsonl"));
    let rules: [(&[&str], bool, &str); 8] = [
        (&["language"], own, "the data set has its own"),
        (&["root"], !own, "paths are relative to the list, or to where you are"),
        (&["split"], args.selection.videos.is_empty(), "--videos are one split, all"),
        (&["s2_source"], makes(StreamName::Spatial), "CLIP does not run: the stream spatial is not made"),
        (
            &[
                "landmark_source",
                "detector",
                "fan",
                "detect_every",
                "face_dtype",
                "lip_encoder",
                "lip_layer",
                "max_gap",
                "require_face",
                "preview",
            ],
            mouthing,
            "no face is looked for: the stream mouthing is not made",
        ),
        (
            &["detector", "detect_every", "face_dtype"],
            !mouthing || source != LandmarkSource::Files,
            "no face is looked for: landmarks come from files",
        ),
        (
            &["fan"],
            !mouthing || source == LandmarkSource::Fan,
            "landmarks do not come from FAN: see --landmark-source",
        ),
        (&["salt"], args.recipe.preset != Preset::Paper, "no weights are computed: --preset paper"),
    ];
    let made = rules.iter().filter(|(_, has_effect, _)| !has_effect).map(|(flags, _, why)| (*flags, *why));
    let read = [(&NOT_TO_READ[..], "--verify reads whole splits and makes nothing")];
    let unused: Vec<(&[&str], &str)> = if args.verify { read.to_vec() } else { made.collect() };
    (unused.iter())
        .flat_map(|(flags, why)| flags.iter().filter(|flag| given(flag)).map(move |flag| (flag, why)))
        .map(|(flag, why)| format!("--{} has no effect: {why}", flag.replace('_', "-")))
        .collect()
}

/// The flags given that are about videos alone, where no clip is one.
pub fn unused_without_videos(args: &RunArgs, plan: &Plan) -> Vec<String> {
    let given =
        [("video-stream", args.recipe.video_stream.is_some()), ("deinterlace", args.recipe.deinterlace)];
    // Those of a store to be like were given for its clips.
    let none = args.like.is_none() && !plan.has_videos();
    let unused = given.iter().filter(|(_, given)| none && *given);
    unused.map(|(flag, _)| format!("--{flag} has no effect: the clips are folders of pictures")).collect()
}
