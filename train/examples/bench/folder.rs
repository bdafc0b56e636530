//! A Hugging Face folder of a language model with computed weights, in shards, written tensor by tensor.

use serde_json::{Map, Value, json};
use signclip_common::{Error, Result, atomic, safetensors_file, synthetic};
use signclip_train::language::family::LanguageConfig;
use signclip_train::language::llama::LlamaConfig;
use signclip_train::language::t5::T5Config;
use std::io::BufWriter;
use std::path::Path;
use tch::{Kind, Tensor};

/// Bytes after which the next shard begins.
const SHARD: usize = 2 << 30;

/// Official keys with their shapes.
fn tensors(config: &LanguageConfig) -> Vec<(String, Vec<i64>)> {
    match config {
        LanguageConfig::T5(config) => of_t5(config),
        LanguageConfig::Llama(config) => of_llama(config),
    }
}

fn of_t5(config: &T5Config) -> Vec<(String, Vec<i64>)> {
    let (d, inner, f, v) = (config.d_model, config.inner_dim(), config.d_ff, config.vocab_size);
    let mut list = vec![("shared.weight".to_owned(), vec![v, d]), ("lm_head.weight".to_owned(), vec![v, d])];
    for (stack, layers) in [("encoder", config.num_layers), ("decoder", config.decoder_layers())] {
        let mut add = |name: String, shape: &[i64]| list.push((format!("{stack}.{name}"), shape.to_vec()));
        for block in 0..layers {
            let sub_layers: &[&str] = match stack {
                "encoder" => &["SelfAttention", "DenseReluDense"],
                _ => &["SelfAttention", "EncDecAttention", "DenseReluDense"],
            };
            for (layer, part) in sub_layers.iter().enumerate() {
                let at = format!("block.{block}.layer.{layer}");
                add(format!("{at}.layer_norm.weight"), &[d]);
                let matrices: &[(&str, [i64; 2])] = match *part {
                    "DenseReluDense" => &[("wi_0", [f, d]), ("wi_1", [f, d]), ("wo", [d, f])],
                    _ => &[("q", [inner, d]), ("k", [inner, d]), ("v", [inner, d]), ("o", [d, inner])],
                };
                for (name, shape) in matrices {
                    add(format!("{at}.{part}.{name}.weight"), shape);
                }
            }
        }
        let bias = "block.0.layer.0.SelfAttention.relative_attention_bias.weight";
        add(bias.to_owned(), &[config.relative_attention_num_buckets, config.num_heads]);
        add("final_layer_norm.weight".to_owned(), &[d]);
    }
    list
}

fn of_llama(config: &LlamaConfig) -> Vec<(String, Vec<i64>)> {
    let (d, f, v) = (config.hidden_size, config.intermediate_size, config.vocab_size);
    let [of_q, of_kv] =
        [config.num_attention_heads, config.key_value_heads()].map(|heads| heads * config.head_dim());
    let mut list = vec![("model.embed_tokens.weight".to_owned(), vec![v, d])];
    for layer in 0..config.num_hidden_layers {
        let matrices = [
            ("self_attn.q_proj", [of_q, d]),
            ("self_attn.k_proj", [of_kv, d]),
            ("self_attn.v_proj", [of_kv, d]),
            ("self_attn.o_proj", [d, of_q]),
            ("mlp.gate_proj", [f, d]),
            ("mlp.up_proj", [f, d]),
            ("mlp.down_proj", [d, f]),
        ];
        let at = |name: &str| format!("model.layers.{layer}.{name}.weight");
        list.extend(matrices.map(|(name, shape)| (at(name), shape.to_vec())));
        list.extend(["input_layernorm", "post_attention_layernorm"].map(|name| (at(name), vec![d])));
    }
    list.push(("model.norm.weight".to_owned(), vec![d]));
    list.extend((!config.tie_word_embeddings).then(|| ("lm_head.weight".to_owned(), vec![v, d])));
    list
}

/// Write the folder `out` unless it is complete already: `config.json` comes last.
pub(crate) fn write(out: &Path, config: &LanguageConfig, kind: Kind) -> Result<()> {
    let done = out.join("config.json");
    if done.is_file() {
        return Ok(());
    }
    std::fs::create_dir_all(out).map_err(Error::io(out))?;
    let mut shards = vec![Vec::new()];
    let mut filled = 0;
    for (name, shape) in tensors(config) {
        let bytes = shape.iter().product::<i64>() as usize * kind.elt_size_in_bytes();
        if filled + bytes > SHARD && filled > 0 {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += bytes;
        shards.last_mut().expect("one shard at least").push((name, kind, shape));
    }
    let mut weight_map = Map::new();
    for (i, shard) in shards.iter().enumerate() {
        let file = format!("model-{:05}-of-{:05}.safetensors", i + 1, shards.len());
        atomic::write_with(&out.join(&file), |out| {
            safetensors_file::write(&mut BufWriter::new(out), &[], shard, |i| {
                let (name, kind, shape) = &shard[i];
                Ok(Tensor::from_slice(&synthetic::tensor(name, shape, 0)).reshape(shape).to_kind(*kind))
            })
        })?;
        weight_map.extend(shard.iter().map(|(name, ..)| (name.clone(), Value::from(file.clone()))));
    }
    let index = json!({ "metadata": {}, "weight_map": weight_map }).to_string();
    let json = format!("{:#}", config.to_json()?);
    for (name, text) in [("model.safetensors.index.json", index), ("config.json", json)] {
        atomic::write(&out.join(name), text.as_bytes())?;
    }
    Ok(())
}
