//! Each architecture's forward pass against the one in `naive`, with every kernel of this CPU; and that neither batches
//! nor threads change a bit of it.

use crate::arch::{Activation, Pairing};
use crate::config::ModelConfig;
use crate::fixtures::{builder, exact, head, kernel, kernels};
use crate::gguf::Gguf;
use crate::gguf::testing::Builder;
use crate::loading::Loading;
use crate::naive::Naive;
use crate::small_model::{TOKENS, random};
use crate::sparse_ffn::Sparsity;
use crate::unrounded::Inputs;
use crate::weights::Model;
use kernels::parallel::Team;
use kernels::{ActivationRule, CodeTable, CpuFeatures, HeadFormat, Kernel};

/// How far logits may be from those in f64, in parts of their root mean square: an int8 activation that rounds the
/// other way moves them by 0.01 to 0.02. The least that another graph changes is four times this bound (see
/// `every_difference_between_architectures_shows`).
const CLOSE: f64 = 0.04;
/// How far they are where no activation rounds the other way: a few units in the last place of f32.
const SAME: f64 = 1e-6;
/// How far they may be where activations are not rounded: keys and values are, to f16, and one that rounds the other
/// way moves them.
const UNROUNDED: f64 = 5e-4;

fn yarn(builder: Builder) -> Builder {
    let builder = builder.string("qwen3.rope.scaling.type", "yarn").f32("qwen3.rope.scaling.factor", 4.0);
    builder.u32("qwen3.rope.scaling.original_context_length", 8)
}

fn factor(builder: Builder) -> Builder {
    builder.with_tensor("blk.1.ffn_down.scale", &[1], 0, 1.75f32.to_le_bytes().to_vec())
}

/// Every forward pass, with its own head and tied, and with what its files may have besides.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("bitnet-b1.58", random("bitnet-b1.58", false, |b| b)),
        ("bitnet", random("bitnet", false, factor)),
        ("llama, own head", random("llama", true, |b| b)),
        ("llama, tied", random("llama", false, |b| b)),
        ("qwen3, own head", random("qwen3", true, |b| b)),
        ("qwen3, tied, yarn", random("qwen3", false, yarn)),
    ]
}

fn load(bytes: Vec<u8>) -> Model {
    Model::load(Gguf::from_bytes("m", bytes).expect("opens"), None, &mut Loading::alone()).expect("a valid model")
}

fn tokens() -> Vec<u32> {
    (0..9u32).map(|i| i * i * 7 % TOKENS as u32).collect()
}

/// Logits after the tokens, which go in these pieces.
fn logits(model: &Model, kernel: Kernel, threads: usize, pieces: usize) -> Vec<f32> {
    let team = Team::new(threads, |_| {}).expect("threads start");
    let decoder = builder(model, kernel, CodeTable::TERNARY, CpuFeatures::detect()).context(16).team(team);
    let mut decoder = decoder.build().expect("fits");
    let most = pieces.min(decoder.batch());
    tokens().chunks(most).for_each(|tokens| decoder.forward(tokens).expect("runs"));
    decoder.logits().expect("runs").to_vec()
}

/// Root mean square of the differences, in parts of that of `want`.
fn distance(got: &[f64], want: &[f64]) -> f64 {
    let square = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>();
    (square(&mut got.iter().zip(want).map(|(g, w)| g - w)) / square(&mut want.iter().copied())).sqrt()
}

/// Logits after each of the tokens as the naive pass has them.
fn naive(model: &Model, inputs: Inputs) -> Vec<Vec<f64>> {
    let naive = Naive { gguf: &model.gguf, c: model.config.clone(), inputs };
    (1..=tokens().len()).map(|n| naive.logits(&tokens()[..n])).collect()
}

/// The same with a kernel, token by token.
fn with_kernel(model: &Model, kernel: Kernel) -> Vec<Vec<f64>> {
    let decoder = builder(model, kernel, CodeTable::TERNARY, CpuFeatures::detect()).context(16);
    let mut decoder = decoder.build().expect("fits");
    let mut logits = |token| {
        decoder.forward(&[token]).expect("runs");
        decoder.logits().expect("runs").iter().map(|&l| l.into()).collect()
    };
    tokens().into_iter().map(&mut logits).collect()
}

/// Activations that stay as they are give the logits of a pass in f64 that rounds none, in whatever layout the weights
/// lie: so what a rule costs is the rule's doing. Batches and threads change no bit.
#[test]
fn activations_that_are_not_rounded_give_the_logits_of_the_naive_pass() {
    for (what, bytes) in files() {
        let model = load(bytes);
        let want = naive(&model, Inputs::Whole);
        let rounded = naive(&model, Inputs::Rounded(model.activations));
        let pass = |kernel: Kernel, threads: usize, pieces: usize, features| {
            let team = Team::new(threads, |_| {}).expect("threads start");
            let decoder = builder(&model, kernel, CodeTable::TERNARY, features).context(16).team(team);
            let mut decoder = decoder.inputs(Inputs::Whole).build().expect("fits");
            let mut all: Vec<Vec<f64>> = Vec::new();
            for tokens in tokens().chunks(pieces) {
                decoder.forward(tokens).expect("runs");
                let of = |t| decoder.logits_of(t).expect("runs").iter().map(|&l| l.into()).collect();
                all.extend((0..tokens.len()).map(of));
            }
            all
        };
        let first = pass(exact(), 1, 1, CpuFeatures::detect());
        for features in [CpuFeatures::detect(), CpuFeatures::NONE] {
            let got = pass(kernel("scalar-i8"), 1, 9, features);
            for ((got, want), rounded) in got.iter().zip(&want).zip(&rounded) {
                let (off, far) = (distance(got, want), distance(rounded, want));
                assert!(off < UNROUNDED && far > 10.0 * off, "{what}: off by {off:e}, rounding by {far:e}");
            }
        }
        for (threads, pieces) in [(1, 9), (2, 4), (3, 9)] {
            let got = pass(exact(), threads, pieces, CpuFeatures::detect());
            assert!(got == first, "{what}, {threads} threads, {pieces} tokens at once");
        }
        for kernel in able(&model) {
            assert!(pass(kernel, 1, 9, CpuFeatures::detect()) == first, "{what}, {}", kernel.id());
        }
    }
}

/// Kernels of this CPU that can multiply a model's weights by its rule.
fn able(model: &Model) -> Vec<Kernel> {
    let needs = model.needs(&mut Team::single()).expect("sound");
    kernels().filter(|kernel| kernel.descriptor().can_run(needs).is_ok()).collect()
}

#[test]
fn every_architecture_gives_the_logits_of_the_naive_pass() {
    for (what, bytes) in files() {
        let model = load(bytes);
        let want = naive(&model, Inputs::Rounded(model.activations));
        for kernel in able(&model) {
            let got = with_kernel(&model, kernel);
            let off: Vec<f64> = got.iter().zip(&want).map(|(got, want)| distance(got, want)).collect();
            let id = kernel.id();
            assert!(off.iter().all(|&off| off < CLOSE), "{what}, {id}: off by {off:?}");
            // But for the first, which has nothing to attend to but itself.
            assert!(off[1..].iter().any(|&off| off < SAME), "{what}, {id}: off by {off:?}");
        }
    }
}

/// The rule reaches every product: logits are nearer to those of the rule than to those of any other. A kernel that
/// lacks the rule says so.
#[test]
fn every_rule_of_activations_gives_the_logits_of_the_naive_pass() {
    let files = files();
    for (what, bytes) in [&files[0], &files[4]] {
        let mut model = load(bytes.clone());
        let naive = ActivationRule::ALL.map(|rule| naive(&model, Inputs::Rounded(rule)));
        for (own, rule) in ActivationRule::ALL.into_iter().enumerate() {
            model.activations = rule;
            let able = able(&model);
            assert!(able.len() >= 2, "with f32 and with int8 activations");
            for kernel in able {
                let got = with_kernel(&model, kernel);
                let off = naive.each_ref().map(|want| {
                    got.iter().zip(want).map(|(got, want)| distance(got, want)).sum::<f64>() / got.len() as f64
                });
                let nearest = off.iter().enumerate().all(|(rule, &far)| rule == own || off[own] < far / 2.0);
                assert!(off[own] < CLOSE && nearest, "{what}, {rule}, {}: off by {off:?}", kernel.id());
            }
            let needs = model.needs(&mut Team::single()).expect("sound");
            let refused = kernel("scalar-i8").descriptor().can_run(needs).err();
            let says = refused.as_deref().is_some_and(|why| why.ends_with(&format!("the rule token, not {rule}")));
            assert_eq!(says, rule != ActivationRule::Token, "{refused:?}");
        }
    }
}

/// Products that skip know one scale a token.
#[test]
fn other_rules_do_not_skip() {
    let mut model = load(random("bitnet-b1.58", false, |b| b));
    assert!(model.skips() && model.activations == ActivationRule::Token);
    model.activations = ActivationRule::Per128;
    let decoder = builder(&model, kernel("scalar-groups"), CodeTable::TERNARY, CpuFeatures::NONE).context(16);
    assert!(!model.skips() && decoder.sparse(Sparsity::Always).build().expect("fits").sparse().is_none());
}

/// Without this the test above could pass for a graph that leaves a difference out.
#[test]
fn every_difference_between_architectures_shows() {
    let far = |bytes: &[u8], what: &str, change: fn(&mut ModelConfig)| {
        let gguf = Gguf::from_bytes("m", bytes.to_vec()).expect("opens");
        let c = ModelConfig::from_gguf(&gguf).expect("a shape");
        let want =
            Naive { gguf: &gguf, c: c.clone(), inputs: Inputs::Rounded(ActivationRule::Token) }.logits(&tokens());
        let mut other = Naive { gguf: &gguf, c, inputs: Inputs::Rounded(ActivationRule::Token) };
        change(&mut other.c);
        let off = distance(&other.logits(&tokens()), &want);
        assert!(off > 4.0 * CLOSE, "{what} changes {off}");
    };
    let [relu, silu] = ["bitnet-b1.58", "bitnet"].map(|arch| random(arch, false, |b| b));
    far(&relu, "another function", |c| c.activation = Activation::Silu);
    far(&silu, "another function", |c| c.activation = Activation::ReluSquared);
    far(&silu, "no sub-norms", |c| c.sub_norms = false);
    let [llama, qwen] = ["llama", "qwen3"].map(|arch| random(arch, true, |b| b));
    far(&llama, "the other pairing", |c| c.pairing = Pairing::Halves);
    far(&llama, "the embedding for a head", |c| c.tied = true);
    far(&qwen, "the other pairing", |c| c.pairing = Pairing::Neighbours);
    far(&qwen, "no norms of q and k", |c| c.qk_norms = false);
    far(&random("qwen3", false, yarn), "no stretching", |c| c.yarn = None);
}

#[test]
fn neither_batches_nor_threads_change_a_bit() {
    for (what, bytes) in files() {
        let model = load(bytes);
        for kernel in able(&model) {
            let want = logits(&model, kernel, 1, 16);
            for (threads, pieces) in [(1, 1), (1, 4), (2, 1), (3, 16), (3, 5)] {
                let got = logits(&model, kernel, threads, pieces);
                let id = kernel.id();
                assert!(got == want, "{what}, {id}, {threads} threads, {pieces} tokens at once");
            }
        }
    }
}

/// Skipping needs exact zeros, which SiLU does not give.
#[test]
fn only_a_squared_relu_skips() {
    for (what, bytes) in files() {
        let model = load(bytes);
        let decoder = builder(&model, exact(), CodeTable::TERNARY, CpuFeatures::detect()).context(16);
        let mut decoder = decoder.sparse(Sparsity::Always).build().expect("fits");
        assert_eq!(decoder.sparse().is_some(), what == "bitnet-b1.58", "{what}");
        tokens().iter().for_each(|token| decoder.forward(&[*token]).expect("runs"));
        assert!(decoder.logits().expect("runs") == logits(&model, exact(), 1, 16), "{what}");
    }
}

/// A head in int8 is made of the rows that the file says are the head.
#[test]
fn quantised_heads_are_made_of_the_heads_own_rows() {
    for (what, bytes) in files() {
        let model = load(bytes);
        let half = logits(&model, kernel("scalar-i8"), 1, 16);
        let decoder = builder(&model, kernel("scalar-i8"), CodeTable::TERNARY, CpuFeatures::detect()).context(16);
        let mut decoder = decoder.build().expect("fits");
        decoder.set_head(head(&model, HeadFormat::Q8, CpuFeatures::detect())).expect("of this model");
        tokens().iter().for_each(|token| decoder.forward(&[*token]).expect("runs"));
        let [q8, half] =
            [decoder.logits().expect("runs"), &half].map(|l| l.iter().map(|&l| l.into()).collect::<Vec<_>>());
        assert!(distance(&q8, &half) < 0.1, "{what}");
    }
}
