//! The forward pass against the independent float64 oracle, with every kernel of this CPU, and proof that decoding
//! allocates nothing.

use crate::decoder::{BATCH, Builder, Decoder};
use crate::fixtures::{NEVER, builder, exact, head, held_out, kernel, known, model, of_builtin, request, run};
use crate::generate::{Request, Session};
use crate::kernel_weights::KernelWeights;
use crate::known::Golden;
use crate::loading::Loading;
use crate::perplexity::{self, Text};
use crate::sampler::Sampling;
use crate::sparse_ffn::Sparsity;
use crate::stop::StopReason;
use crate::weights::Model;
use kernels::parallel::Team;
use kernels::{CodeTable, CpuFeatures, Family, HeadFormat, Kernel};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Counts the allocations of watched threads, so that other tests running beside do not disturb.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if WATCHED.try_with(Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on unchanged to the system allocator; counting touches no memory of the caller.
// Growing is the trait's own, by `alloc`, so it counts too.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the ones that `System` asks for.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `System` by way of `alloc`, with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn decoder(model: &Model, kernel: Kernel, threads: usize, capacity: usize) -> Decoder<'_> {
    on_threads(model, kernel, threads).context(capacity).build().expect("fits")
}

fn on_threads(model: &Model, kernel: Kernel, threads: usize) -> Builder<'_> {
    // Workers count if the thread that they work for does: other tests allocate as they like.
    let watched = WATCHED.get();
    let team = Team::new(threads, move |_| WATCHED.set(watched)).expect("threads start");
    builder(model, kernel, CodeTable::TERNARY, CpuFeatures::detect()).team(team)
}

/// Every kernel, and every output head with the exact one.
fn kernels_and_heads() -> impl Iterator<Item = (Kernel, HeadFormat)> {
    of_builtin().map(|kernel| (kernel, HeadFormat::F16)).chain(HeadFormat::ALL.map(|format| (exact(), format)))
}

/// Nats per token over the first windows.
fn nats(decoder: &mut Decoder<'_>, tokens: &[u32], max_windows: usize) -> f64 {
    let text = Text { tokens, window: 128, max_windows };
    perplexity::score(decoder, text, &NEVER, |_, _| {}).expect("scores").nats_per_token
}

/// Checks an answer: its ids as far as the margins are safe, and the logits after its prompt.
fn assert_holds(golden: &Golden, ids: &[u32], logits: &[f32], whose: &str) {
    let Golden { prompt_ids, token_ids, margins, logits_last, .. } = golden;
    let (wanted, length) = (logits_last.as_ref().expect("there"), prompt_ids.len());
    assert_eq!(wanted.len(), logits.len());
    for (n, (want, got)) in wanted.iter().zip(logits).enumerate() {
        assert!((want - got).abs() < 0.2, "{whose}, prompt of {length} ids, logit {n}: {got}, golden {want}");
    }
    let doubtful = margins.as_ref().expect("there").iter().position(|m| *m <= 0.1);
    let safe = doubtful.unwrap_or(token_ids.len());
    assert_eq!(ids[..safe], token_ids[..safe], "{whose}, prompt of {length} ids");
}

/// Kernels of float activations leave out the two longest prompts, on which they would spend twice the time of all the
/// others; `compare` leaves them out too.
#[test]
fn every_kernel_gives_the_golden_ids_and_logits() {
    let (model, known) = (model(), known());
    for kernel in of_builtin() {
        let (mut decoder, id) = (decoder(&model, kernel, 2, 512), kernel.id());
        let longest = if kernel.descriptor().family() == Family::W2A32 { 65 } else { 512 };
        for golden in known.goldens.iter().filter(|golden| golden.prompt_ids.len() <= longest) {
            let request = request(&golden.prompt_ids, golden.token_ids.len());
            let mut session = Session::new(&mut decoder, request).expect("valid");
            session.keep_prompt_logits();
            let out = session.run(&NEVER, &mut |_| {}).expect("runs");
            assert_holds(golden, &out.token_ids, &out.prompt_logits.expect("kept"), id);
        }
    }
}

#[test]
fn prompts_of_every_length_hold_token_by_token_and_in_batches_alike() {
    let (model, known) = (model(), known());
    let mut decoder = decoder(&model, exact(), 2, 512);
    for golden in &known.goldens {
        let mut answer = |batch: usize| {
            decoder.reset();
            golden.prompt_ids.chunks(batch).for_each(|tokens| decoder.forward(tokens).expect("fits"));
            let after_prompt = decoder.logits().expect("finite").to_vec();
            let mut ids = vec![likeliest(&after_prompt)];
            while ids.len() < golden.token_ids.len() {
                decoder.forward(&ids[ids.len() - 1..]).expect("fits");
                ids.push(likeliest(decoder.logits().expect("finite")));
            }
            (ids, after_prompt)
        };
        let single = answer(1);
        assert_holds(golden, &single.0, &single.1, "token by token");
        // Batches of 64 end one id before, at and after the end of prompts of 65, 64 and 63.
        for batch in [64, BATCH] {
            assert!(answer(batch) == single, "prompt of {} ids, batches of {batch}", golden.prompt_ids.len());
        }
    }
}

fn likeliest(logits: &[f32]) -> u32 {
    logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).expect("not empty").0 as u32
}

#[test]
fn perplexity_is_the_golden_one() {
    let (model, golden) = (model(), known().perplexity.expect("known"));
    let (tokens, want) = (held_out(&model), golden.value);
    assert_eq!(golden.tokens, Some(tokens.len()));
    // The fastest exact kernel over everything; all over the first windows, against the exact one.
    let run = |kernel: Kernel, windows| nats(&mut decoder(&model, kernel, 2, 128), &tokens, windows);
    let exact = exact();
    let got = run(exact, usize::MAX).exp();
    assert!((got / want - 1.0).abs() < 1e-3, "{}: perplexity {got}, golden {want}", exact.id());
    let first = run(exact, 4);
    for kernel in of_builtin() {
        let nats = run(kernel, 4);
        assert!((nats - first).abs() < 1e-3, "{}: {nats} nats, {} has {first}", kernel.id(), exact.id());
    }
}

#[test]
fn the_seeds_table_is_far_off() {
    let model = model();
    let decoder = builder(&model, kernel("scalar"), CodeTable::SEED, CpuFeatures::NONE).context(128);
    let nats = nats(&mut decoder.build().expect("fits"), &held_out(&model), 1);
    assert!(nats.exp() > 200.0, "{nats}");
}

#[test]
fn decoding_allocates_nothing() {
    let model = model();
    WATCHED.set(true);
    for (kernel, format) in kernels_and_heads() {
        for sampling in [Sampling::Greedy, Sampling::Random { temperature: 0.8, top_k: 40, top_p: 0.95, seed: 1 }] {
            // Steps that skip allocate no more than others; kernels without exact sums stay dense.
            let sparsity = if sampling == Sampling::Greedy { Sparsity::Always } else { Sparsity::Dense };
            let mut decoder = on_threads(&model, kernel, 2).context(64).sparse(sparsity).build().expect("fits");
            decoder.set_head(head(&model, format, CpuFeatures::detect())).expect("of this model");
            let stop_strings = vec!["never said".into()];
            let request = Request { sampling, stop_strings, stop_at_eos: false, ..request(&[836, 27], 40) };
            // The first prompt makes each thread's scratch for batches.
            run(&mut decoder, request.clone());
            let session = Session::new(&mut decoder, request).expect("valid");
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            let out = session.run(&NEVER, &mut |_| {}).expect("runs");
            let counted = ALLOCATIONS.load(Ordering::Relaxed) - before;
            assert_eq!(out.token_ids.len(), 40);
            // The one allocation is the text as a String, at the end of the run.
            assert!(counted <= 1, "{} {format:?} with {sampling:?}: {counted} allocations in 40 tokens", kernel.id());
        }
    }
    // The counter counts.
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    std::hint::black_box(vec![1u8; 100]);
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > before);
    WATCHED.set(false);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let model = model();
    for (kernel, format) in kernels_and_heads() {
        let layout = kernel.descriptor().layout;
        let body = model.weights(layout, CodeTable::TERNARY, &mut Loading::alone()).expect("packs").bytes();
        let outputs = [1, 2, 3].map(|threads| {
            let mut decoder = decoder(&model, kernel, threads, 64);
            decoder.set_head(head(&model, format, CpuFeatures::detect())).expect("of this model");
            let out = run(&mut decoder, request(&[836, 27], 12));
            assert_eq!(decoder.bytes_per_token() - decoder.head().bytes() as u64, body);
            (out.token_ids, decoder.last_logits().to_vec())
        });
        assert!(outputs.iter().all(|o| *o == outputs[0]), "{} {format:?}", kernel.id());
    }
}

#[test]
fn quantised_heads_change_perplexity_a_little_and_the_same_for_every_instruction_set() {
    let model = model();
    let tokens = held_out(&model);
    let mut decoder = decoder(&model, exact(), 2, 128);
    let levels = [CpuFeatures::detect(), CpuFeatures::X86_64_V3, CpuFeatures::NONE];
    let [q8, q4] = [HeadFormat::Q8, HeadFormat::Q4].map(|format| levels.map(|features| head(&model, format, features)));
    let heads = [Arc::clone(decoder.head()), q8[0].clone(), q4[0].clone(), q8[1].clone(), q4[1].clone()];
    let text = Text { tokens: &tokens, window: 128, max_windows: 4 };
    let scores = perplexity::score_heads(&mut decoder, &heads, text, &NEVER, |_, _| {}).expect("scores");
    let [f16, q8_score, q4_score, q8_again, q4_again] = scores.map(|score| score.nats_per_token);
    assert_eq!((q8_score, q4_score), (q8_again, q4_again));
    assert_eq!(nats(&mut decoder, &tokens, 4), f16);
    assert!((q8_score - f16).exp_m1().abs() < 0.005 && q8_score != f16, "f16 {f16}, q8 {q8_score} nats");
    assert!((q4_score - f16).exp_m1().abs() < 0.05 && q4_score != f16, "f16 {f16}, q4 {q4_score} nats");
    // The scalar path is slow: one position.
    for heads in [&q8, &q4] {
        let logits = heads.each_ref().map(|head| decoder.logits_with(head, 0).expect("of this model").to_vec());
        assert!(logits.iter().all(|l| *l == logits[0]), "{}", heads[0].id());
    }
}

#[test]
fn every_way_to_stop() {
    let model = model();
    let mut decoder = decoder(&model, kernel("scalar"), 1, 64);
    let asked = || request(&[836, 27], 12);
    let full = run(&mut decoder, asked());
    assert_eq!((full.stop_reason, full.token_ids.len()), (StopReason::MaxTokens, 12));
    let out = run(&mut decoder, Request { stop_ids: vec![full.token_ids[3]], ..asked() });
    assert_eq!((out.stop_reason, &out.token_ids[..]), (StopReason::StopId, &full.token_ids[..4]));
    let out = run(&mut decoder, Request { stop_strings: vec!["get".into()], ..asked() });
    assert_eq!((out.stop_reason, Some(&out.text[..])), (StopReason::StopString, full.text.split("get").next()));
    let out = run(&mut decoder, Request { timeout: Some(std::time::Duration::ZERO), ..asked() });
    assert_eq!((out.stop_reason, out.token_ids.len()), (StopReason::Timeout, 0));
    let session = Session::new(&mut decoder, asked()).expect("valid");
    let out = session.run(&AtomicBool::new(true), &mut |_| {}).expect("runs");
    assert_eq!(out.stop_reason, StopReason::Interrupted);
    let none = run(&mut decoder, Request { max_tokens: 0, ..asked() });
    assert_eq!((none.stop_reason, none.text.as_str()), (StopReason::MaxTokens, ""));
    assert!(Session::new(&mut decoder, Request { prompt: vec![], ..asked() }).is_err());
}

#[test]
fn a_full_cache_is_an_error() {
    let model = model();
    let mut decoder = decoder(&model, kernel("scalar"), 1, 4);
    let session = Session::new(&mut decoder, request(&[836, 27], 20)).expect("valid");
    let error = session.run(&NEVER, &mut |_| {});
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

/// On the file as it is, with a head that is quantised in each product, then packed: as if one decoder had done it all.
#[test]
fn a_decoder_takes_over_where_one_on_the_mapped_file_has_come_to() {
    let (model, features) = (model(), CpuFeatures::detect());
    let weights = Arc::new(model.weights_in_place(&mut Loading::alone()).expect("an I2_S file"));
    let mut whole = builder(&model, exact(), CodeTable::TERNARY, features).context(16).build().expect("fits");
    whole.set_head(head(&model, HeadFormat::Q8, features)).expect("of this model");
    let anew = model.output_rows().head_anew(HeadFormat::Q8, features).expect("short rows").expect("f16 rows");
    let of_file = |kernel: &Kernel| kernel.descriptor().exact() && model.lies_as(kernel.descriptor().layout);
    for kernel in of_builtin().filter(of_file) {
        let weights = KernelWeights::new(kernel, Arc::clone(&weights)).expect("reads them");
        let mut first = Decoder::of(&model, weights, Arc::new(anew.clone().into())).context(16).build().expect("fits");
        let mut second = builder(&model, exact(), CodeTable::TERNARY, features).context(16).build().expect("fits");
        second.set_head(head(&model, HeadFormat::Q8, features)).expect("of this model");
        whole.reset();
        let mut both = |decoder: &mut Decoder<'_>, tokens: &[u32]| {
            for tokens in tokens.chunks(decoder.batch().min(whole.batch())) {
                whole.forward(tokens).expect("fits");
                decoder.forward(tokens).expect("fits");
            }
            assert_eq!(decoder.logits().expect("finite"), whole.logits().expect("finite"), "{}", kernel.id());
        };
        both(&mut first, &[836, 27, 5]);
        second.take_over(&mut first).expect("as much room");
        both(&mut second, &[11]);
        both(&mut second, &[7]);
        let mut short = builder(&model, exact(), CodeTable::TERNARY, features).context(8).build().expect("fits");
        assert!(short.take_over(&mut second).is_err(), "other room");
    }
}
