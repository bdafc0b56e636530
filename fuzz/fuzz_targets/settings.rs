//! Settings as `--set` takes them, one a line.

#![no_main]

use fuzzing::answer;
use libfuzzer_sys::fuzz_target;
use signclip_train::config::TrainConfig;

fuzz_target!(
    init: fuzzing::sow([
        &b"optimiser.epochs=10\nhead.streams=spatial\nvalidate_every=5"[..],
        b"language_model.adapter=null\nlora.r=16\noptimiser.lr_head=1e-3",
        b"decoding={\"num_beams\": 5}\nshuffle_features=true",
    ]),
    |data: &[u8]| {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let settings: Vec<String> = text.lines().map(str::to_owned).collect();
        answer(TrainConfig::tiny().with(None, &settings));
        answer(TrainConfig::default().with(None, &settings));
    }
);
