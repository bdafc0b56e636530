//! `config.json` of a language model.

#![no_main]

use fuzzing::answer;
use libfuzzer_sys::fuzz_target;
use signclip_train::language::family::LanguageConfig;
use std::path::Path;

fuzz_target!(
    init: fuzzing::sow([br#"{"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": 512, "d_kv": 64, "d_ff": 1024,
        "num_layers": 8, "num_decoder_layers": 8, "num_heads": 6, "vocab_size": 32128, "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128, "dropout_rate": 0.1, "layer_norm_epsilon": 1e-06,
        "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false, "pad_token_id": 0, "eos_token_id": 1,
        "decoder_start_token_id": 0}"#]),
    |data: &[u8]| {
        let Ok(text) = std::str::from_utf8(data) else { return };
        answer(LanguageConfig::parse(text, Path::new("config.json")));
    }
);
