//! The forward pass against the independent float64 oracle, with every kernel of this CPU, and proof that decoding
//! allocates nothing.

use crate::builtin;
use crate::decoder::{Builder, Decoder};
use crate::generate::{Generation, Request, Session};
use crate::kernel_weights::KernelWeights;
use crate::loading::Loading;
use crate::perplexity;
use crate::perplexity::Text;
use crate::sampler::Sampling;
use crate::sparse_ffn::Sparsity;
use crate::stop::StopReason;
use crate::weights::Model;
use kernels::parallel::Team;
use kernels::{CodeTable, CpuFeatures, HeadFormat, Kernel, OutputHead, registry};
use serde_json::Value;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Counts allocations of all threads while switched on.
struct Counting;

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Set on the threads whose allocations count, so that other tests running beside do not disturb.
    static WATCHED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn count() {
    if COUNTING.load(Ordering::Relaxed) && WATCHED.try_with(|w| w.get()).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on unchanged to the system allocator; counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the ones that `System` asks for.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `System` by way of `alloc` or `realloc`, with this layout.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as in `dealloc`, and `size` is the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn model() -> Model {
    Model::load(builtin::open().expect("built in"), None, &mut Loading::alone()).expect("a valid model")
}

fn kernels() -> Vec<Kernel> {
    registry::KERNELS.iter().filter_map(|d| Kernel::new(d, CpuFeatures::detect()).ok()).collect()
}

fn decoder<'m>(model: &'m Model, kernel: Kernel, threads: usize, capacity: usize) -> Decoder<'m> {
    builder(model, kernel, threads, capacity).build().expect("fits")
}

fn builder<'m>(model: &'m Model, kernel: Kernel, threads: usize, capacity: usize) -> Builder<'m> {
    let weights = model.weights(kernel.descriptor().layout, CodeTable::TERNARY, &mut Loading::alone()).expect("packs");
    // Workers count if the thread that they work for does: other tests allocate as they like.
    let watched = WATCHED.get();
    let team = Team::new(threads, move |_| WATCHED.set(watched)).expect("threads start");
    let head = head(model, HeadFormat::F16, CpuFeatures::detect());
    let weights = KernelWeights::new(kernel, Arc::new(weights)).expect("its packing");
    Decoder::of(model, weights, head).team(team).context(capacity)
}

fn head(model: &Model, format: HeadFormat, features: CpuFeatures) -> Arc<OutputHead> {
    Arc::new(model.head(format, features, &mut Team::single()).expect("finite weights"))
}

/// The fastest exact kernel.
fn exact() -> Kernel {
    kernels().into_iter().rfind(|k| k.descriptor().exact()).expect("scalar-i8 runs everywhere")
}

fn golden() -> Value {
    serde_json::from_str(builtin::GOLDEN_JSON).expect("valid JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn request(prompt: Vec<u32>, max_tokens: usize) -> Request {
    Request {
        prompt,
        max_tokens,
        sampling: Sampling::Greedy,
        stop_ids: vec![],
        stop_at_eos: true,
        stop_strings: vec![],
        timeout: None,
    }
}

fn run(decoder: &mut Decoder<'_>, request: Request) -> Generation {
    Session::new(decoder, request).expect("valid").run(&AtomicBool::new(false), &mut |_| {}).expect("runs")
}

#[test]
fn every_kernel_gives_the_golden_ids_and_logits() {
    let (model, golden) = (model(), golden());
    for kernel in kernels() {
        let mut decoder = decoder(&model, kernel, 2, 64);
        for case in golden["cases"].as_array().expect("cases") {
            let prompt = case["prompt"].as_str().expect("a prompt");
            let ids = model.tokenizer.encode(prompt, None).expect("encodes");
            assert_eq!(serde_json::json!(ids), case["prompt_ids"], "{prompt:?}");
            let expected = numbers(&case["greedy_ids"]);
            let mut session = Session::new(&mut decoder, request(ids, expected.len())).expect("valid");
            session.keep_prompt_logits();
            let out = session.run(&AtomicBool::new(false), &mut |_| {}).expect("runs");
            let logits = out.prompt_logits.as_deref().expect("kept");
            for (id, (want, got)) in numbers(&case["logits_last"]).iter().zip(logits).enumerate() {
                assert!(
                    (want - f64::from(*got)).abs() < 0.2,
                    "{} {prompt:?} logit {id}: {got}, golden {want}",
                    kernel.id()
                );
            }
            let safe = numbers(&case["margins"]).iter().position(|m| *m <= 0.1).unwrap_or(expected.len());
            let got: Vec<f64> = out.token_ids.iter().copied().map(f64::from).collect();
            assert_eq!(got[..safe], expected[..safe], "{} {prompt:?}", kernel.id());
        }
    }
}

#[test]
fn perplexity_is_the_golden_one() {
    let (model, golden) = (model(), golden());
    let tokens = model.tokenizer.encode(builtin::held_out_text(), None).expect("encodes");
    assert_eq!(golden["perplexity"]["tokens"], tokens.len());
    let want = golden["perplexity"]["perplexity"].as_f64().expect("a number");
    // The fastest kernel of each family over everything; all the others over the first windows, against the exact one.
    let run = |kernel: Kernel, windows: usize| {
        let mut decoder = decoder(&model, kernel, 2, 128);
        let text = Text { tokens: &tokens, window: 128, max_windows: windows };
        perplexity::score(&mut decoder, text, &AtomicBool::new(false), |_, _| {}).expect("scores")
    };
    let exact = exact();
    let got = run(exact, usize::MAX).nats_per_token.exp();
    assert!((got / want - 1.0).abs() < 1e-3, "{}: perplexity {got}, golden {want}", exact.id());
    let first = run(exact, 4).nats_per_token;
    for kernel in kernels() {
        let nats = run(kernel, 4).nats_per_token;
        assert!((nats - first).abs() < 1e-3, "{}: {nats} nats, {} has {first}", kernel.id(), exact.id());
    }
}

#[test]
fn the_seeds_table_is_far_off() {
    let model = model();
    let tokens = model.tokenizer.encode(builtin::held_out_text(), None).expect("encodes");
    let kernel =
        Kernel::new(registry::find("scalar").expect("registered"), CpuFeatures::NONE).expect("runs everywhere");
    let weights = model.weights(kernel.descriptor().layout, CodeTable::SEED, &mut Loading::alone()).expect("packs");
    let head = head(&model, HeadFormat::F16, CpuFeatures::NONE);
    let weights = KernelWeights::new(kernel, Arc::new(weights)).expect("its packing");
    let decoder = Decoder::of(&model, weights, head).features(CpuFeatures::NONE).context(128);
    let mut decoder = decoder.build().expect("fits");
    let text = Text { tokens: &tokens, window: 128, max_windows: 1 };
    let score = perplexity::score(&mut decoder, text, &AtomicBool::new(false), |_, _| {}).expect("finite");
    assert!(score.nats_per_token.exp() > 200.0, "{score:?}");
}

#[test]
fn decoding_allocates_nothing() {
    let model = model();
    WATCHED.set(true);
    let with_heads = HeadFormat::ALL.map(|format| (exact(), format));
    for (kernel, format) in kernels().into_iter().map(|kernel| (kernel, HeadFormat::F16)).chain(with_heads) {
        for sampling in [Sampling::Greedy, Sampling::Random { temperature: 0.8, top_k: 40, top_p: 0.95, seed: 1 }] {
            // Steps that skip allocate no more than others; kernels without exact sums stay dense.
            let sparsity = if sampling == Sampling::Greedy { Sparsity::Always } else { Sparsity::Dense };
            let mut decoder = builder(&model, kernel, 2, 64).sparse(sparsity).build().expect("fits");
            decoder.set_head(head(&model, format, CpuFeatures::detect())).expect("of this model");
            let mut request = request(vec![836, 27], 40);
            request.sampling = sampling;
            request.stop_strings = vec!["never said".into()];
            request.stop_at_eos = false;
            // The first prompt makes each thread's scratch for batches.
            Session::new(&mut decoder, request.clone())
                .expect("valid")
                .run(&AtomicBool::new(false), &mut |_| {})
                .expect("runs");
            let session = Session::new(&mut decoder, request).expect("valid");
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            COUNTING.store(true, Ordering::Relaxed);
            let out = session.run(&AtomicBool::new(false), &mut |_| {}).expect("runs");
            COUNTING.store(false, Ordering::Relaxed);
            let counted = ALLOCATIONS.load(Ordering::Relaxed) - before;
            assert_eq!(out.token_ids.len(), 40);
            // The one allocation is the text as a String, at the end of the run.
            assert!(counted <= 1, "{} {format:?} with {sampling:?}: {counted} allocations in 40 tokens", kernel.id());
        }
    }
    // The counter counts.
    COUNTING.store(true, Ordering::Relaxed);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    std::hint::black_box(vec![1u8; 100]);
    COUNTING.store(false, Ordering::Relaxed);
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > before);
    WATCHED.set(false);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let model = model();
    for kernel in kernels() {
        let outputs = [1, 2, 3].map(|threads| {
            let mut decoder = decoder(&model, kernel, threads, 64);
            let out = run(&mut decoder, request(vec![836, 27], 12));
            (out.token_ids, decoder.last_logits().to_vec())
        });
        assert!(outputs.iter().all(|o| *o == outputs[0]), "{}", kernel.id());
    }
}

#[test]
fn quantised_heads_change_perplexity_a_little_and_the_same_for_every_instruction_set() {
    let model = model();
    let tokens = model.tokenizer.encode(builtin::held_out_text(), None).expect("encodes");
    let mut decoder = decoder(&model, exact(), 2, 128);
    let levels = [CpuFeatures::detect(), CpuFeatures::X86_64_V3, CpuFeatures::NONE];
    let [q8, q4] = [HeadFormat::Q8, HeadFormat::Q4].map(|format| levels.map(|features| head(&model, format, features)));
    let heads = [Arc::clone(decoder.head()), q8[0].clone(), q4[0].clone(), q8[1].clone(), q4[1].clone()];
    let run = AtomicBool::new(false);
    let text = Text { tokens: &tokens, window: 128, max_windows: 4 };
    let scores = perplexity::score_heads(&mut decoder, &heads, text, &run, |_, _| {}).expect("scores");
    let [f16, q8_score, q4_score, q8_again, q4_again] = scores.map(|score| score.nats_per_token);
    assert_eq!((q8_score, q4_score), (q8_again, q4_again));
    assert_eq!(perplexity::score(&mut decoder, text, &run, |_, _| {}).expect("scores").nats_per_token, f16);
    assert!((q8_score - f16).exp_m1().abs() < 0.005 && q8_score != f16, "f16 {f16}, q8 {q8_score} nats");
    assert!((q4_score - f16).exp_m1().abs() < 0.05 && q4_score != f16, "f16 {f16}, q4 {q4_score} nats");
    // The scalar path is slow: one position.
    for heads in [&q8, &q4] {
        let logits = heads.each_ref().map(|head| decoder.logits_with(head, 0).expect("of this model").to_vec());
        assert!(logits.iter().all(|l| *l == logits[0]), "{}", heads[0].id());
    }
}

#[test]
fn heads_do_not_depend_on_the_number_of_threads() {
    let model = model();
    for format in HeadFormat::ALL {
        let outputs = [1, 2, 3].map(|threads| {
            let mut decoder = decoder(&model, exact(), threads, 64);
            decoder.set_head(head(&model, format, CpuFeatures::detect())).expect("of this model");
            let out = run(&mut decoder, request(vec![836, 27], 12));
            assert_eq!(decoder.bytes_per_token() - decoder.head().bytes() as u64, body_bytes(&model));
            (out.token_ids, decoder.last_logits().to_vec())
        });
        assert!(outputs.iter().all(|o| *o == outputs[0]), "{format:?}");
    }
}

fn body_bytes(model: &Model) -> u64 {
    model.weights(exact().descriptor().layout, CodeTable::TERNARY, &mut Loading::alone()).expect("packs").bytes()
}

#[test]
fn every_way_to_stop() {
    let model = model();
    let kernel = kernels()[0];
    let mut decoder = decoder(&model, kernel, 1, 64);
    let full = run(&mut decoder, request(vec![836, 27], 12));
    assert_eq!((full.stop_reason, full.token_ids.len()), (StopReason::MaxTokens, 12));

    let mut by_id = request(vec![836, 27], 12);
    by_id.stop_ids = vec![full.token_ids[3]];
    let out = run(&mut decoder, by_id);
    assert_eq!((out.stop_reason, &out.token_ids[..]), (StopReason::StopId, &full.token_ids[..4]));

    let mut by_string = request(vec![836, 27], 12);
    by_string.stop_strings = vec!["get".into()];
    let out = run(&mut decoder, by_string);
    assert_eq!(
        (out.stop_reason, out.text.as_str()),
        (StopReason::StopString, full.text.split("get").next().expect("a part"))
    );

    let mut timed = request(vec![836, 27], 12);
    timed.timeout = Some(std::time::Duration::ZERO);
    let out = run(&mut decoder, timed);
    assert_eq!((out.stop_reason, out.token_ids.len()), (StopReason::Timeout, 0));

    let session = Session::new(&mut decoder, request(vec![836], 12)).expect("valid");
    let out = session.run(&AtomicBool::new(true), &mut |_| {}).expect("runs");
    assert_eq!(out.stop_reason, StopReason::Interrupted);

    let none = run(&mut decoder, request(vec![836, 27], 0));
    assert_eq!((none.stop_reason, none.text.as_str()), (StopReason::MaxTokens, ""));
    assert!(Session::new(&mut decoder, request(vec![], 1)).is_err());
}

#[test]
fn a_full_cache_is_an_error() {
    let model = model();
    let mut decoder = decoder(&model, kernels()[0], 1, 4);
    let error = Session::new(&mut decoder, request(vec![836, 27], 20))
        .expect("valid")
        .run(&AtomicBool::new(false), &mut |_| {});
    assert!(error.is_err_and(|e| e.to_string().contains("full at 4 tokens")));
}

#[test]
fn going_back_repeats_the_same_logits() {
    let model = model();
    let mut decoder = decoder(&model, exact(), 1, 8);
    decoder.forward(&[836, 27, 5]).unwrap();
    let mut after = |position: usize| {
        decoder.rewind(position).unwrap();
        decoder.forward(&[11]).unwrap();
        decoder.logits().unwrap().to_vec()
    };
    let (first, shorter, again) = (after(3), after(2), after(2));
    assert_eq!(shorter, again);
    assert_ne!(first, shorter, "another sequence");
    assert!(decoder.rewind(4).is_err(), "there are 3");
}
