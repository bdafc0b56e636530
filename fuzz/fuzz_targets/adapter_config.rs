//! The configuration of an adapter as PEFT writes it.

#![no_main]

use fuzzing::{Place, answer, seeds};
use libfuzzer_sys::fuzz_target;
use signclip_train::language::adapter;
use std::sync::LazyLock;
use tch::{Device, Kind};

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let module = "base_model.model.encoder.block.0.layer.0.SelfAttention.q";
    let (a, b) = (format!("{module}.lora_A.weight"), format!("{module}.lora_B.weight"));
    let weights = seeds::safetensors(&[(&a, Kind::Float, &[2, 4]), (&b, Kind::Float, &[4, 2])]);
    Place::with("adapter_config.json", [("adapter_model.safetensors".to_owned(), weights)])
});

fuzz_target!(
    init: fuzzing::sow([br#"{"peft_type": "LORA", "task_type": "SEQ_2_SEQ_LM", "r": 2, "lora_alpha": 4, "lora_dropout": 0.1,
        "target_modules": ["q", "v"], "bias": "none", "fan_in_fan_out": false, "init_lora_weights": true, "use_rslora": false,
        "use_dora": false, "rank_pattern": {"q": 2}, "alpha_pattern": {}, "modules_to_save": null,
        "layers_to_transform": null, "inference_mode": true, "base_model_name_or_path": "google/flan-t5-small"}"#]),
    |data: &[u8]| {
        PLACE.put(data);
        answer(adapter::open(PLACE.folder(), Device::Cpu));
    }
);
