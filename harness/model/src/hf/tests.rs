//! Folders that are read like GGUF files, and shards that are not what they should be.

use super::testing::{Maker, i2s_rows, in_folder, said, unpack};
use crate::builtin;
use crate::config::ModelConfig;
use crate::convert::{Conversion, Target};
use crate::encoding;
use crate::gguf::{Gguf, types};
use crate::hash::sha256_hex;
use crate::tokenizer::Tokenizer;
use safetensors::Dtype;
use serde_json::json;
use std::sync::atomic::AtomicBool;

const Q: &str = "model.layers.0.self_attn.q_proj.weight";

/// Both scale rules, one file and two shards: the codes, the scales, the shape and the tokens of the GGUF file.
#[test]
fn the_builtin_model_as_a_folder_is_the_builtin_model() {
    let base = builtin::open().unwrap();
    let shape = ModelConfig::shape(&base).unwrap();
    let tokens = Tokenizer::from_gguf(&base, None).unwrap().encode(builtin::held_out_text(), None).unwrap();
    for (class, shards) in [("autobitlinear", 1), ("bitlinear", 2)] {
        let mut maker = Maker::builtin(class);
        if shards > 1 {
            maker.split(shards);
        }
        maker.write();
        let gguf = maker.open().unwrap();
        let found = ModelConfig::shape(&gguf).unwrap();
        assert_eq!(ModelConfig { name: shape.name.clone(), ..found }, shape);
        let tokenizer = Tokenizer::from_gguf(&gguf, None).unwrap();
        assert_eq!(
            (tokenizer.encode(builtin::held_out_text(), None).unwrap(), tokenizer.facts.pre),
            (tokens.clone(), "gpt-2")
        );
        assert_eq!((tokenizer.facts.bos, tokenizer.facts.eos, tokenizer.facts.add_bos), (Some(0), Some(1), false));
        assert_eq!(gguf.tensors.len(), base.tensors.len());
        for tensor in &base.tensors {
            let there = gguf.tensor(&tensor.name).unwrap();
            assert_eq!(there.dims, tensor.dims, "{}", tensor.name);
            if tensor.kind != types::I2S {
                assert_eq!((there.kind, gguf.bytes(there)), (tensor.kind, base.bytes(tensor)), "{}", tensor.name);
                assert_eq!(gguf.matrix_scale(there).unwrap(), None);
                continue;
            }
            let bytes = base.bytes(tensor);
            assert_eq!(there.kind, types::HF_PACKED);
            assert!(unpack(gguf.bytes(there)) == i2s_rows(bytes), "{}", tensor.name);
            let (scale, factor) = (crate::gguf::i2s_scale(bytes).unwrap(), gguf.matrix_scale(there).unwrap().unwrap());
            // The reciprocal of a reciprocal in f32 may differ by its last bit.
            let exact = class == "autobitlinear";
            assert!(if exact { factor == scale } else { (factor / scale - 1.0).abs() < 2e-7 }, "{}", tensor.name);
        }
        let decided = said(&gguf);
        let rule = if class == "bitlinear" { "divided" } else { "multiplied" };
        assert!(
            decided.contains(&format!(
                "products of 21 matrices are {rule} by weight_scale: config.json: linear_class is {class}"
            )),
            "{decided}"
        );
        assert_eq!(gguf.optional_string("tritbench.rope").unwrap(), Some("neox"));
    }
}

fn converted(gguf: &Gguf) -> Gguf {
    let (target, never) = (Target { encoding: encoding::find("i2_s").unwrap(), exact: true }, AtomicBool::new(false));
    let mut bytes = Vec::new();
    let conversion = Conversion::new(gguf, target, &never, &|_| {}).unwrap();
    conversion.write(&mut bytes, &never, &|_| {}).unwrap();
    Gguf::from_bytes("converted", bytes).unwrap()
}

/// Packed codes and latent weights become the I2_S tensors that the folder was made of.
#[test]
fn a_folder_becomes_a_gguf_file() {
    let base = builtin::open().unwrap();
    let packed = Maker::builtin("autobitlinear");
    let mut latent = Maker::builtin("autobitlinear");
    latent.set("quantization_config", json!(null));
    for tensor in base.tensors.iter().filter(|tensor| tensor.kind == types::I2S) {
        let codes = i2s_rows(base.bytes(tensor));
        // Weights of one magnitude: their mean is that times the share of those that are not zero.
        let data = codes.iter().flat_map(|&code| half::bf16::from_f32(f32::from(code) - 1.0).to_le_bytes());
        let (name, shape) = (in_folder(&tensor.name), [tensor.dims[1] as usize, tensor.dims[0] as usize]);
        latent.tensors.remove(&format!("{name}_scale"));
        latent.tensor(&name, Dtype::BF16, &shape, data.collect());
    }
    for (maker, is_latent) in [(packed, false), (latent, true)] {
        maker.write();
        let found = converted(&maker.open().unwrap());
        for tensor in &base.tensors {
            let (there, wanted) = (found.bytes(found.tensor(&tensor.name).unwrap()), base.bytes(tensor));
            if tensor.kind == types::I2S && is_latent {
                assert!(i2s_rows(there) == i2s_rows(wanted), "{}", tensor.name);
                let codes = i2s_rows(wanted);
                let share = codes.iter().filter(|&&code| code != 1).count() as f32 / codes.len() as f32;
                let scale = crate::gguf::i2s_scale(there).unwrap();
                assert!((scale / share - 1.0).abs() < 1e-5, "{}: {scale} {share}", tensor.name);
            } else {
                assert!(there == wanted, "{}", tensor.name);
            }
        }
    }
}

/// Files of `llama` have the rows of queries and keys in another order than folders.
#[test]
fn rows_of_llama_are_reordered_in_a_gguf_file() {
    let mut maker = Maker::builtin("autobitlinear");
    for (key, value) in
        [("architectures", json!(["LlamaForCausalLM"])), ("model_type", json!("llama")), ("hidden_act", json!("silu"))]
    {
        maker.set(key, value);
    }
    maker.write();
    let base = builtin::open().unwrap();
    let found = converted(&maker.open().unwrap());
    assert!(found.entry("tritbench.rope").is_none());
    for name in ["blk.1.attn_q.weight", "blk.1.attn_k.weight", "blk.1.attn_v.weight"] {
        let rows = |gguf: &Gguf| {
            let rows = i2s_rows(gguf.bytes(gguf.tensor(name).unwrap()));
            rows.chunks(512).map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        let (there, wanted) = (rows(&found), rows(&base));
        let is_same = there == wanted;
        assert_eq!(is_same, name.contains("attn_v"), "{name}");
        // Row 2i of a head of 64 is its row i, and row 2i + 1 is its row i + 32: neighbours are pairs.
        let old = |row: usize| row / 64 * 64 + row % 2 * 32 + row % 64 / 2;
        assert!(is_same || (0..there.len()).all(|row| there[row] == wanted[old(row)]), "{name}");
    }
}

#[test]
fn a_folder_is_hashed_by_name_and_any_of_its_files_may_stand_for_it() {
    let mut maker = Maker::tiny();
    maker.split(2);
    maker.write();
    maker.file("README.md", "no part of the model");
    let names = [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    ];
    let gguf = maker.open().unwrap();
    let found: Vec<_> = gguf.files().map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(found, names);
    let all: Vec<u8> = names.iter().flat_map(|name| std::fs::read(maker.path().join(name)).unwrap()).collect();
    let mut given = Vec::new();
    gguf.for_each_chunk(|chunk| given.extend_from_slice(chunk));
    assert!(given == all && gguf.n_bytes() == all.len() as u64 && gguf.is_folder());
    for name in ["config.json", "model-00002-of-00002.safetensors", "tokenizer.json"] {
        let mut again = Vec::new();
        Gguf::open(&maker.path().join(name)).unwrap().for_each_chunk(|chunk| again.extend_from_slice(chunk));
        assert_eq!(sha256_hex(&again), sha256_hex(&all), "{name}");
    }
    gguf.check_unchanged().unwrap();
    std::fs::OpenOptions::new().append(true).open(maker.path().join(names[2])).unwrap().set_len(9).unwrap();
    assert!(gguf.check_unchanged().unwrap_err().to_string().contains("model-00002-of-00002.safetensors was changed"));
}

#[test]
fn latent_weights_are_told_from_packed_ones() {
    let mut maker = Maker::tiny();
    let matrices: Vec<String> = maker.tensors.keys().filter(|name| name.ends_with("_proj.weight")).cloned().collect();
    for name in &matrices {
        maker.tensors.remove(&format!("{name}_scale"));
        let shape = [maker.tensors[name].shape[0] * 4, maker.tensors[name].shape[1]];
        maker.tensor(name, Dtype::BF16, &shape, vec![0; shape[0] * shape[1] * 2]);
    }
    maker.write_refused(&["_proj.weight\"", "is BF16", "(quantization_mode \"offline\")", "write \"online\""]);
    maker.config["quantization_config"]["quantization_mode"] = json!("online");
    maker.tensor(Q, Dtype::F32, &[8, 8], vec![0; 256]);
    maker.write();
    let gguf = maker.open().unwrap();
    let kind = |name: &str| gguf.tensor(name).unwrap().kind;
    assert_eq!((kind("blk.0.attn_q.weight"), kind("blk.0.ffn_up.weight")), (types::F32_MASTER, types::BF16_MASTER));
    assert_eq!((kind("token_embd.weight"), kind("output_norm.weight")), (types::BF16, types::BF16));
    assert!(said(&gguf).lines().any(|line| line.contains("7 matrices are latent weights")));
    // A BitNet model without a word about it is a checkpoint of latent weights; any other is no ternary model.
    maker.set("quantization_config", json!(null));
    maker.write();
    maker.open().unwrap();
    maker.set("architectures", json!(["LlamaForCausalLM"]));
    maker.set("model_type", json!("llama"));
    maker.set("hidden_act", json!("silu"));
    maker.write_refused(&["_proj.weight\"", "nothing says that it is ternary"]);
}

#[test]
fn scales_and_codes_must_fit_what_config_json_says() {
    let scale = format!("{Q}_scale");
    let with_scale = |bytes: Vec<u8>, dtype: Dtype, shape: &[usize]| {
        let mut maker = Maker::tiny();
        maker.tensor(&scale, dtype, shape, bytes);
        maker
    };
    for (value, said) in [(0.0f32, "is 0,"), (-1.0, "is -1,"), (f32::NAN, "is NaN,"), (f32::INFINITY, "is inf,")] {
        let maker = with_scale(half::bf16::from_f32(value).to_le_bytes().into(), Dtype::BF16, &[1]);
        maker.write_refused(&["model.safetensors", &scale, "at byte", said, "not a finite number above zero"]);
    }
    with_scale(vec![0, 0, 0, 0], Dtype::F16, &[2]).write_refused(&[&scale, "is F16 of shape [2]", "one number"]);
    let tiny = f32::from_bits(1).to_le_bytes().to_vec();
    let mut maker = with_scale(tiny, Dtype::F32, &[]);
    maker.write();
    maker.open().unwrap();
    maker.config["quantization_config"]["linear_class"] = json!("bitlinear");
    maker.write_refused(&[&scale, "are not finite", "autobitlinear"]);
    let mut maker = Maker::tiny();
    maker.tensors.remove(&scale);
    maker.write_refused(&[Q, &scale, "is missing"]);
    let mut maker = Maker::tiny();
    maker.tensors.remove(Q);
    maker.write_refused(&[&scale, "is the scale of", "no ternary matrix of this folder"]);
    let mut maker = Maker::tiny();
    maker.tensor(Q, Dtype::BF16, &[8, 8], vec![0; 128]);
    maker.write_refused(&[Q, "has a weight_scale", "unpacked"]);
    let mut maker = Maker::tiny();
    maker.set("quantization_config", json!(null));
    maker.write_refused(&["_proj.weight", "multiplied or divided by weight_scale"]);
    maker.set("quantization_config", json!({"quant_method": "bitnet", "quantization_mode": "online"}));
    maker.write_refused(&["_proj.weight", "quantised already"]);
    // Without a word the rule is that of transformers, and it is said.
    maker.set("quantization_config", json!({"quant_method": "bitnet"}));
    maker.write();
    let gguf = maker.open().unwrap();
    assert_eq!(gguf.matrix_scale(gguf.tensor("blk.0.attn_q.weight").unwrap()).unwrap(), Some(2.0));
    assert!(said(&gguf).contains("has no linear_class, and transformers then takes bitlinear"), "{}", said(&gguf));
}

#[test]
fn tensors_that_no_graph_has_keep_their_names_and_odd_ones_are_refused() {
    let norm = "model.norm.weight";
    for (dtype, shape, bytes, said) in [
        (Dtype::U32, &[8][..], 32, "as in MLX models"),
        (Dtype::I64, &[8], 64, "is I64; here it must be BF16, F16 or F32"),
        (Dtype::BF16, &[8, 0], 0, "shape [8, 0]"),
        (Dtype::BF16, &[2, 1, 2, 1, 2], 16, "1 to 4 dimensions"),
    ] {
        let mut maker = Maker::tiny();
        maker.tensor(norm, dtype, shape, vec![0; bytes]);
        maker.write_refused(&["model.safetensors", norm, "at byte", said]);
    }
    let mut maker = Maker::tiny();
    maker.tensor(Q, Dtype::U8, &[16], vec![0; 16]);
    maker.write_refused(&[Q, "shape [16] of packed codes", "two dimensions"]);
    maker.tensor(Q, Dtype::I8, &[2, 8], vec![0; 16]);
    maker.write_refused(&[Q, "is I8; ternary matrices are U8"]);
    let mut maker = Maker::tiny();
    maker.tensor("model.layers.0.self_attn.q_proj.bias", Dtype::BF16, &[8], vec![0; 16]);
    maker.tensor("model.layers.0.self_attn.rotary_emb.inv_freq", Dtype::F32, &[2], vec![0; 8]);
    maker.tensor("lm_head.weight", Dtype::BF16, &[1024, 8], vec![0; 16384]);
    maker.write();
    let gguf = maker.open().unwrap();
    assert!(gguf.find_tensor("model.layers.0.self_attn.q_proj.bias").is_some());
    assert!(gguf.find_tensor("output.weight").is_none());
    let decided = said(&gguf);
    assert!(decided.contains("tie_word_embeddings is true") && decided.contains("inv_freq"), "{decided}");
    // Errors about a tensor and about a key name the folder's own files.
    let error = gguf.f32s(gguf.tensor("output_norm.weight").unwrap()).unwrap_err().to_string();
    assert!(
        error.contains("model.safetensors: tensor \"model.norm.weight\" (\"output_norm.weight\") at byte"),
        "{error}"
    );
    let error = gguf.key_error("bitnet-b1.58.block_count", "x").to_string();
    assert!(error.ends_with("\"bitnet-b1.58.block_count\" (config.json: num_hidden_layers): x"), "{error}");
    maker.set("tie_word_embeddings", json!(false));
    maker.write();
    assert_eq!(maker.open().unwrap().tensor("output.weight").unwrap().dims, [8, 1024]);
    maker.tensors.remove("lm_head.weight");
    maker.write_refused(&["\"lm_head.weight\" is missing", "tie_word_embeddings is false"]);
    maker.set("tie_word_embeddings", json!(null));
    maker.write();
    assert!(said(&maker.open().unwrap()).lines().any(|line| line.contains("the output head is the embedding")));
    maker.tensor("token_embd.weight", Dtype::BF16, &[1], vec![0; 2]);
    maker.write_refused(&["\"token_embd.weight\"", "the same meaning"]);
}

#[test]
fn shards_must_be_those_of_the_index() {
    let sharded = || {
        let mut maker = Maker::tiny();
        maker.split(2);
        maker.write();
        maker
    };
    let index = "model.safetensors.index.json";
    let (first, second) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    let maker = sharded();
    std::fs::remove_file(maker.path().join(second)).unwrap();
    maker.refused(&[index, second, "10 tensors is missing", "download it"]);
    std::fs::remove_file(maker.path().join(index)).unwrap();
    maker.refused(&["no model.safetensors.index.json, which says what", first, "download it"]);
    std::fs::rename(maker.path().join(first), maker.path().join("m.safetensors")).unwrap();
    maker.refused(&["no model.safetensors; if m.safetensors is the whole model, call it so"]);
    std::fs::remove_file(maker.path().join("m.safetensors")).unwrap();
    maker.refused(&["no model.safetensors and no model.safetensors.index.json"]);
    maker.file("pytorch_model.bin", "x");
    maker.refused(&[".bin files are not read"]);
    let maker = sharded();
    maker.file("model.safetensors", maker.serialized(&maker.shards[0]));
    maker.refused(&[index, "two sets of weights"]);
    // The index lists what is elsewhere or nowhere, and leaves out what is there.
    let (here, there) = (sharded().shards[0][0].clone(), sharded().shards[1][0].clone());
    for (change, parts) in [
        (json!({here.clone(): second}), [index, &here, "and it is in model-00001"]),
        (json!({"nowhere": second}), [index, "\"nowhere\"", "which does not have it"]),
        (json!({there.clone(): null}), [second, &there, "does not list"]),
        (json!({there.clone(): "../other"}), [index, "\"../other\"", "not the name of a file"]),
        (json!({there.clone(): ".."}), [index, "\"..\"", "not the name of a file"]),
        (json!({there.clone(): 3}), [index, "expected a string", "not the JSON"]),
    ] {
        let maker = sharded();
        let mut changed = maker.index();
        for (name, value) in change.as_object().unwrap() {
            let map = changed["weight_map"].as_object_mut().unwrap();
            if value.is_null() {
                map.remove(name)
            } else {
                map.insert(name.clone(), value.clone())
            };
        }
        maker.file(index, changed.to_string());
        maker.refused(&parts);
    }
    let maker = sharded();
    maker.file(second, maker.serialized(&[maker.shards[1].clone(), vec![here.clone()]].concat()));
    maker.refused(&[second, &here, "is in model-00001-of-00002.safetensors, too"]);
    let maker = sharded();
    maker.file(index, "{\"weight_map\": {}}");
    maker.refused(&[index, "lists 0 files"]);
}

#[test]
fn a_shard_that_is_no_whole_safetensors_file_is_named() {
    let maker = Maker::tiny();
    maker.write();
    let name = "model.safetensors";
    let whole = std::fs::read(maker.path().join(name)).unwrap();
    let broken = "is no whole safetensors file";
    for (bytes, parts) in [
        (whole[..whole.len() - 1].to_vec(), [broken, "download it again"]),
        ([&whole[..], &[0]].concat(), [broken, "not fully covered"]),
        (whole[..100].to_vec(), [broken, "invalid header length"]),
        (Vec::new(), [broken, "(0 bytes): header too small"]),
        ([&u64::MAX.to_le_bytes()[..], &whole[8..]].concat(), [broken, "header too large"]),
        (b"version https://git-lfs.github.com/spec/v1\nsize 77\n".to_vec(), ["Git LFS pointer", "77 bytes"]),
    ] {
        maker.file(name, bytes);
        maker.refused(&[&[name], &parts[..]].concat());
    }
    // Every byte of the header may be another one.
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for at in (0..header).step_by(7) {
        let mut changed = whole.clone();
        changed[at] ^= 0x11;
        maker.file(name, changed);
        match maker.open() {
            Ok(gguf) => gguf.tensors.iter().for_each(|t| assert_eq!(gguf.bytes(t).len() as u64, t.n_bytes.unwrap())),
            Err(e) => assert!(!e.to_string().contains('\n') && e.kind() == crate::error::Kind::Input, "byte {at}: {e}"),
        }
    }
}

#[test]
fn folders_without_a_model_say_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let said = || Gguf::open(dir.path()).err().unwrap().to_string();
    assert!(said().contains("is a folder without a config.json; name a GGUF file, or a folder with"), "{}", said());
    std::fs::write(dir.path().join("model.safetensors"), "x").unwrap();
    assert!(said().contains("needs its config.json and tokenizer.json"), "{}", said());
    std::fs::write(dir.path().join("m.gguf"), "x").unwrap();
    assert!(said().contains("name a GGUF file inside it, for example") && said().contains("m.gguf"), "{}", said());
    let maker = Maker::tiny();
    maker.write();
    std::fs::remove_file(maker.path().join("tokenizer.json")).unwrap();
    maker.refused(&["tokenizer.json: is missing; download it, too"]);
    assert_eq!(in_folder("output_norm.weight"), "model.norm.weight");
}
