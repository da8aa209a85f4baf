//! Tests of what a reader would trip over: text outside of its chart, text on text, text too small. Widths are
//! estimates from above.

use super::{all, text, theme_css};
use crate::fixture;
use receipt::{Receipt, Residency};

/// A line of text as drawn.
#[derive(Clone, Debug)]
struct Box {
    words: String,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    px: f64,
}

fn attribute<'s>(tag: &'s str, name: &str) -> Option<&'s str> {
    tag.split(&format!(" {name}=\"")).nth(1)?.split('"').next()
}

fn number(tag: &str, name: &str) -> f64 {
    attribute(tag, name).and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("{name} in {tag}"))
}

fn boxes(svg: &str) -> Vec<Box> {
    svg.split("<text")
        .skip(1)
        .map(|rest| {
            let (tag, rest) = rest.split_once('>').expect("a tag ends");
            let words = rest.split("</text>").next().expect("a text ends");
            let words = words.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
            let words = words.replace("&amp;", "&");
            let px = number(tag, "font-size");
            let width = f64::from(text::width(&words, 100, tag.contains("bold"))) * px / 100.0;
            let (x, y) = (number(tag, "x"), number(tag, "y"));
            let left = match attribute(tag, "text-anchor") {
                Some("middle") => x - width / 2.0,
                Some("end") => x - width,
                _ => x,
            };
            // Centred by half an x-height: capitals reach a little higher than digits of the line below would reach up.
            Box { words, left, right: left + width, top: y - px * 0.5, bottom: y + px * 0.5, px }
        })
        .collect()
}

/// Lists everything wrong with the texts of one SVG drawing.
pub fn faults(svg: &str) -> Vec<String> {
    let (width, height) = (number(svg, "width"), number(svg, "height"));
    let boxes = boxes(svg);
    let mut out = Vec::new();
    for (i, a) in boxes.iter().enumerate() {
        if a.left < -0.5 || a.right > width + 0.5 || a.top < 0.0 || a.bottom > height {
            out.push(format!("outside: {a:?}"));
        }
        if a.px < 11.0 {
            out.push(format!("small: {a:?}"));
        }
        for b in &boxes[i + 1..] {
            let (x, y) = (a.right.min(b.right) - a.left.max(b.left), a.bottom.min(b.bottom) - a.top.max(b.top));
            if x > 1.0 && y > 1.0 {
                out.push(format!("{:?} on {:?} at ({:.0}, {:.0})", a.words, b.words, b.left, b.top));
            }
        }
    }
    out
}

fn check(name: &str, receipt: &Receipt) {
    let mut wrong: Vec<String> = Vec::new();
    for chart in all(receipt) {
        super::tests::well_formed(&chart.svg);
        assert!(!chart.svg.contains("NaN") && !chart.svg.contains("inf\""), "{name}: {}", chart.file);
        wrong.extend(faults(&chart.svg).into_iter().map(|f| format!("{name}, {}: {f}", chart.file)));
    }
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
}

/// A complete run with every kernel and family renamed.
fn renamed(name: impl Fn(usize, &str) -> String) -> Receipt {
    let mut receipt = fixture::complete();
    let ids: Vec<String> = receipt.kernels.iter().map(|k| k.id.clone()).collect();
    let new = |old: &mut String| {
        if let Some(i) = ids.iter().position(|id| id == old) {
            *old = name(i, old);
        }
    };
    receipt.kernels.iter_mut().for_each(|k| new(&mut k.id));
    for cell in &mut receipt.micro {
        cell.entries.iter_mut().for_each(|e| new(&mut e.kernel));
        for s in &mut cell.summaries {
            new(&mut s.kernel);
            s.vs_baseline.iter_mut().chain(&mut s.vs_previous).for_each(|r| new(&mut r.partner));
        }
    }
    receipt.generation.iter_mut().flat_map(|g| &mut g.kernels).for_each(|k| new(&mut k.kernel));
    if let Some(limits) = &mut receipt.limits {
        limits.kernels.iter_mut().for_each(|k| new(&mut k.kernel));
        limits.multiplies.iter_mut().for_each(|m| m.id = name(0, &m.id));
    }
    receipt
}

/// A complete run in which figures that no machine has stand where figures stand.
fn absurd(value: f64) -> Receipt {
    let mut receipt = fixture::complete();
    for cell in &mut receipt.micro {
        cell.noise_floor = value;
        for (i, s) in cell.summaries.iter_mut().enumerate() {
            if i % 2 == 0 {
                (s.gelem_s, s.median_ns_per_call) = (value, value);
            }
            for r in s.vs_baseline.iter_mut().chain(&mut s.vs_previous) {
                (r.median, r.low, r.high) = (value, Some(-value), Some(value));
            }
            if let Some(b) = &mut s.bound {
                (b.weights_per_byte, b.share, b.gelem_s) = (value, value, value);
            }
        }
        cell.rounds.iter_mut().step_by(3).for_each(|r| r.ns[1] = value as u64);
    }
    if let Some(limits) = &mut receipt.limits {
        limits.bandwidth[0].read_gb_s.high = value;
        limits.multiplies[0].gmac_s.high = value;
    }
    for k in receipt.generation.iter_mut().flat_map(|g| &mut g.kernels).step_by(2) {
        (k.decode_tokens_per_s, k.prefill_tokens_per_s, k.phases_ms_per_token.forward) = (value, value, value);
        k.rounds.iter_mut().for_each(|r| r.decode_ns = value as u64);
    }
    receipt
}

/// A run with `n` kernels of each family in every cell.
fn crowded(n: usize) -> Receipt {
    let mut receipt = fixture::complete();
    for cell in &mut receipt.micro {
        let (entry, summary) = (cell.entries[1].clone(), cell.summaries[1].clone());
        for i in 0..n {
            let kernel = format!("avx2-another-{i}");
            cell.entries.push(receipt::MicroEntry { kernel: kernel.clone(), ..entry.clone() });
            cell.summaries.push(receipt::MicroSummary { kernel, ..summary.clone() });
            for r in &mut cell.rounds {
                let (ns, place) = (r.ns[1] + i as u64, r.order.len() as u8);
                r.ns.push(ns);
                r.cpu_ns.push(ns);
                r.involuntary_switches.push(0);
                r.order.push(place);
            }
        }
    }
    if let Some(g) = &mut receipt.generation {
        let one = g.kernels[1].clone();
        g.kernels.extend((0..n).map(|i| receipt::GenerationKernel { kernel: format!("another-{i}"), ..one.clone() }));
    }
    receipt
}

/// A complete run whose parts do not fit together.
fn inconsistent() -> Receipt {
    let mut receipt = fixture::complete();
    for (i, cell) in receipt.micro.iter_mut().enumerate() {
        match i % 5 {
            0 => cell.entries.truncate(1),
            1 => cell.summaries.truncate(2),
            2 => cell.rounds.iter_mut().for_each(|r| r.ns.truncate(2)),
            3 => cell.rounds.iter_mut().for_each(|r| r.order.clear()),
            _ => cell.rounds.iter_mut().for_each(|r| r.involuntary_switches.clear()),
        }
        (cell.weights_per_call, cell.m) = if i % 4 == 0 { (0, usize::MAX) } else { (u64::MAX, 1) };
    }
    receipt.host.caches_bytes = vec![0, u64::MAX, 1, 2, 3];
    receipt.generation.iter_mut().for_each(|g| g.threads = usize::MAX);
    receipt.micro.iter_mut().for_each(|c| c.threads = usize::MAX);
    receipt
}

#[test]
fn texts_stay_in_their_charts_and_off_each_other() {
    check("complete", &fixture::complete());
    check("interrupted", &fixture::interrupted());
    check("empty", &fixture::empty());
    check("activation rules", &fixture::activation_rules());
    check("engines", &fixture::engines());
    check("hostile", &fixture::hostile());
}

#[test]
fn long_and_wide_names_are_cut() {
    check("long", &renamed(|i, id| format!("{id}-{}-{i}", "a-very-long-technique".repeat(9))));
    check("wide", &renamed(|i, _| "語".repeat(30 + i)));
    check("spaced", &renamed(|i, _| format!("{} {i}", "W ".repeat(40))));
    check("many words", &renamed(|i, _| format!("{i} {}", "word ".repeat(3000))));
    check("no", &renamed(|_, _| String::new()));
}

#[test]
fn absurd_figures_are_drawn_somewhere() {
    for value in [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e-300, 1e300, f64::MIN_POSITIVE, 1e17] {
        check(&format!("{value:e}"), &absurd(value));
    }
}

/// Engines of any name and figure, more of them than there is room for.
#[test]
fn engines_of_any_kind_are_drawn() {
    let with = |edit: &dyn Fn(usize, &mut receipt::EngineRecord)| {
        let mut receipt = fixture::engines();
        let record = receipt.engines.as_mut().expect("engines");
        record.engines.iter_mut().enumerate().for_each(|(i, engine)| edit(i, engine));
        receipt
    };
    for value in [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e-300, 1e300, 1e17] {
        let absurd = with(&|i, engine| {
            let Some(speed) = engine.speed.as_mut().filter(|_| i > 0) else { return };
            (speed.decode_tokens_per_s, speed.share_of_bound) = (value, Some(value));
            for ratio in speed.decode.iter_mut().chain(&mut speed.prompt) {
                (ratio.median, ratio.low, ratio.high) = (value, Some(-value), Some(value));
            }
        });
        check(&format!("engines at {value:e}"), &absurd);
    }
    let long = with(&|i, engine| {
        engine.name = format!("{i}-{}", "a-very-long-engine".repeat(9));
        engine.why = "W ".repeat(900);
        engine.file.iter_mut().for_each(|file| file.format = "語".repeat(90));
    });
    check("long engines", &long);
    let mut crowd = fixture::engines();
    let record = crowd.engines.as_mut().expect("engines");
    let one = record.engines[1].clone();
    record.engines.extend((0..60).map(|i| receipt::EngineRecord { name: format!("another-{i}"), ..one.clone() }));
    check("60 more engines", &crowd);
    let pictures = all(&crowd);
    assert!(pictures[0].caption.ends_with("41 more are not drawn; the tables have them."), "{}", pictures[0].caption);
}

#[test]
fn crowds_keep_their_distance() {
    for n in [6, 25, 60] {
        check(&format!("{n} more"), &crowded(n));
        let bytes: usize = all(&crowded(n)).iter().map(|c| c.svg.len()).sum();
        assert!(bytes < 1_200_000, "{n} more kernels take {bytes} bytes");
    }
}

#[test]
fn parts_that_do_not_fit_together_are_drawn_as_far_as_they_go() {
    check("inconsistent", &inconsistent());
    let mut few = fixture::complete();
    few.micro.retain(|c| c.residency == Residency::Dram);
    few.limits = None;
    check("no limits", &few);
    few.micro.iter_mut().for_each(|c| c.rounds.truncate(1));
    check("one round", &few);
}

#[test]
fn faults_are_seen() {
    let text = |x: i32, words: &str| format!("<text x=\"{x}\" y=\"20\" font-size=\"12\">{words}</text>");
    let svg = |body: String| format!("<svg width=\"100\" height=\"40\">{body}</svg>");
    assert!(faults(&svg(text(0, "one") + &text(60, "two"))).is_empty());
    assert_eq!(faults(&svg(text(0, "one") + &text(10, "two"))).len(), 1);
    assert_eq!(faults(&svg(text(90, "three"))).len(), 1);
    assert!(theme_css().contains("min-width:900px"), "charts scroll where they would shrink");
}

/// By hand, on a real run: `TRITBENCH_RECEIPT=RUN_DIR cargo test -p reports -- --ignored texts_of_a_real_run`.
#[test]
#[ignore = "needs a run's folder"]
fn texts_of_a_real_run() {
    let run = std::env::var("TRITBENCH_RECEIPT").expect("TRITBENCH_RECEIPT names a run's folder");
    let bytes = std::fs::read(std::path::Path::new(&run).join("receipt.json")).expect("a file");
    let receipt = receipt::parse(&run, &bytes).expect("a receipt");
    check(&run, &receipt);
}
