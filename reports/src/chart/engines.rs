//! Engines under each other: how fast each decodes and takes in a prompt. Who is not right has a word and no bar.

use super::canvas::draw;
use super::canvas::{
    Anchor, CLAIM, Canvas, Font, GRID, HEADING, INK, LABEL, MUTED, NOTE, Pattern, SERIES, STRONG, Scale,
};
use super::parts::{Chart, Sign, bar, key, not_drawn, ticks};
use super::text;
use receipt::judge::{Direction, engines};
use receipt::{EngineRecord, EngineSpeed, EnginesRecord, Ratio, Receipt, figures};

/// File name of the picture.
pub const FILE: &str = "engines.svg";

const WIDTH: i32 = 900;
const ROW: i32 = 40;
/// Where names end, the two panels, and where shares of the limit end.
const NAMES: i32 = 178;
const DECODE: Panel = Panel { plot: (190, 400), figure: 460, ratio: 522 };
const SHARE: i32 = 578;
const PROMPT: Panel = Panel { plot: (608, 766), figure: 834, ratio: 896 };
const HEAD: i32 = 92;
const FOOT: i32 = 84;
/// Engines that are drawn; a receipt with more has them in its table.
const MOST: usize = 24;
/// How far beyond the fastest bar a limit is drawn.
const FAR: f64 = 2.5;

/// Bars, and where the columns of their figures and ratios end.
struct Panel {
    plot: (i32, i32),
    figure: i32,
    ratio: i32,
}

/// The picture, where engines were named.
pub fn chart(receipt: &Receipt) -> Option<Chart> {
    let record = receipt.engines.as_ref()?;
    let shown: Vec<&EngineRecord> = ordered(record).into_iter().take(MOST).collect();
    if shown.is_empty() {
        return None;
    }
    let title = title(record);
    let words: Vec<String> = shown.iter().map(|engine| in_words(engine)).collect();
    let most = |figure: fn(&EngineSpeed) -> f64| {
        shown.iter().filter_map(|e| e.speed.as_ref()).map(figure).filter(|x| x.is_finite()).fold(0.0, f64::max)
    };
    let fastest = most(|speed| speed.decode_tokens_per_s);
    let limits = shown.iter().filter_map(|engine| limit(engine)).filter(|limit| *limit <= FAR * fastest);
    let decode = Scale::linear(limits.fold(fastest, f64::max) * 1.05, DECODE.plot);
    let prompt = Scale::linear(most(|speed| speed.prompt_tokens_per_s) * 1.05, PROMPT.plot);
    let plot = ROW * shown.len() as i32;
    let description = format!("Tokens/s of decoding and of prompts, and who is not right: {}.", words.join("; "));
    let svg = draw("engines", (WIDTH, HEAD + plot + FOOT), &title, &description, |c| {
        c.text((0, 42), Anchor::Start, NOTE, &setup(receipt, record));
        heads(c);
        for (scale, panel) in [(&decode, DECODE.plot), (&prompt, PROMPT.plot)] {
            for (value, label) in ticks(scale, 56, "") {
                c.line((scale.at(value), HEAD), (scale.at(value), HEAD + plot), GRID, 1);
                c.text((scale.at(value), HEAD + plot + 13), Anchor::Middle, NOTE, &label);
            }
            c.text(((panel.0 + panel.1) / 2, HEAD + plot + 32), Anchor::Middle, NOTE, "tokens/s");
        }
        for (place, engine) in shown.iter().enumerate() {
            row(c, (&decode, &prompt), HEAD + ROW * place as i32 + ROW / 2, engine);
        }
        signs(c, HEAD + plot + 62, &shown, &decode);
    });
    let caption = format!(
        "Speeds by our clock, engines in turns: what a longer request takes beyond a short one. The limit is what \
         reading the bytes of a token takes at the streaming rate of the level that holds them. Who is not right, not \
         possible or absent has no bar.{}",
        not_drawn(record.engines.len(), MOST)
    );
    Some(Chart { file: FILE.into(), title, caption, svg, saved: true })
}

/// The ranked ones, the fastest first, then the others.
fn ordered(record: &EnginesRecord) -> Vec<&EngineRecord> {
    let ranked = engines::ranked(record);
    let others = (0..record.engines.len()).filter(|i| !ranked.contains(i));
    ranked.iter().copied().chain(others).map(|i| &record.engines[i]).collect()
}

fn title(record: &EnginesRecord) -> String {
    let all = engines::how_many(record);
    let mut others = engines::ranked(record).into_iter().map(|i| &record.engines[i]).filter(|engine| !engine.own);
    // The fastest of the others, against our own program.
    let Some((name, ratio)) = others.next().and_then(|e| Some((&e.name, e.speed.as_ref()?.decode.as_ref()?))) else {
        return all;
    };
    let [name, partner] = [name, &ratio.partner].map(|name| text::fit(name, 16, true, 200));
    format!("{all}; {name} decodes {} {partner} ({})", figures::ratio(ratio.median), ratio.direction().word())
}

fn setup(receipt: &Receipt, record: &EnginesRecord) -> String {
    let model = receipt.model.as_ref().map_or("the model", |m| m.name.as_str());
    let threads = if record.threads == 1 { "" } else { "s" };
    let rounds = record.turns.as_ref().map_or(0, |turns| turns.first.len());
    format!("model {}, {} thread{threads}, {rounds} rounds", figures::label(model, 40), record.threads)
}

fn heads(c: &mut Canvas) {
    for (x, anchor, font, words) in [
        (NAMES, Anchor::End, HEADING, "engine"),
        (DECODE.plot.0, Anchor::Start, HEADING, "decoding"),
        (DECODE.figure, Anchor::End, NOTE, "tokens/s"),
        (DECODE.ratio, Anchor::End, NOTE, "over ours"),
        (SHARE, Anchor::End, NOTE, "of limit"),
        (PROMPT.plot.0, Anchor::Start, HEADING, "prompt"),
        (PROMPT.figure, Anchor::End, NOTE, "tokens/s"),
        (PROMPT.ratio, Anchor::End, NOTE, "over ours"),
    ] {
        c.text((x, HEAD - 18), anchor, font, words);
    }
}

/// The decode speed at which the file's weights can be read.
fn limit(engine: &EngineRecord) -> Option<f64> {
    let speed = engine.speed.as_ref()?;
    let limit = speed.decode_tokens_per_s / speed.share_of_bound?;
    (limit.is_finite() && limit > 0.0).then_some(limit)
}

/// Ratio to our own program; of that one there is none.
fn over<'r>(engine: &EngineRecord, ratio: &'r Option<Ratio>) -> Option<&'r Ratio> {
    ratio.as_ref().filter(|_| !engine.own)
}

fn in_words(engine: &EngineRecord) -> String {
    let Some(speed) = &engine.speed else {
        let why = if engine.why.is_empty() { String::new() } else { format!(": {}", engine.why) };
        return format!("{} {}{why}", engine.name, engines::status_word(engine));
    };
    let against = |ratio: &Option<Ratio>| {
        over(engine, ratio).map_or_else(String::new, |r| {
            format!(" ({} over {}, {})", figures::ratio(r.median), r.partner, r.direction().word())
        })
    };
    let (decode, prompt) = (speed.decode_tokens_per_s, speed.prompt_tokens_per_s);
    format!(
        "{} decodes {}{} and takes in prompts at {}{}",
        engine.name,
        figures::number(decode),
        against(&speed.decode),
        figures::number(prompt),
        against(&speed.prompt)
    )
}

fn row(c: &mut Canvas, (decode, prompt): (&Scale, &Scale), y: i32, engine: &EngineRecord) {
    c.text((NAMES, y - 8), Anchor::End, LABEL, &text::fit(&engine.name, 12, false, NAMES - 4));
    let format = engine.file.as_ref().map_or("", |file| &file.format);
    let quantised = engine.loaded.as_ref().is_some_and(|loaded| loaded.head_bits < 16);
    let small = if quantised { format!("{format}, quantised head") } else { format.into() };
    c.text((NAMES, y + 8), Anchor::End, NOTE, &text::fit(&small, 12, false, NAMES - 4));
    let Some(speed) = &engine.speed else {
        let status = engines::status_word(engine);
        c.plated((DECODE.plot.0, y - 8), Anchor::Start, Font { color: CLAIM, ..STRONG }, status);
        let why = text::fit(engines::first_fault(engine), 12, false, WIDTH - DECODE.plot.0 - 4);
        c.plated((DECODE.plot.0, y + 8), Anchor::Start, NOTE, &why);
        return;
    };
    bars(c, (decode, &DECODE), y, (speed.decode_tokens_per_s, over(engine, &speed.decode)));
    bars(c, (prompt, &PROMPT), y, (speed.prompt_tokens_per_s, over(engine, &speed.prompt)));
    if let Some(limit) = limit(engine).filter(|limit| decode.holds(*limit)) {
        c.line((decode.at(limit), y - 10), (decode.at(limit), y + 10), INK, 2);
    }
    if let Some(share) = speed.share_of_bound.filter(|share| share.is_finite()) {
        figure(c, (DECODE.ratio, SHARE), y, Font { color: MUTED, ..LABEL }, &figures::percent(share));
    }
}

/// A figure at the right end of its column.
fn figure(c: &mut Canvas, (left, right): (i32, i32), y: i32, font: Font, words: &str) {
    c.text((right, y), Anchor::End, font, &text::fit(words, font.px, font.bold, right - left - 2));
}

/// One bar with its interval, its figure and its ratio.
fn bars(c: &mut Canvas, (scale, panel): (&Scale, &Panel), y: i32, (speed, ratio): (f64, Option<&Ratio>)) {
    let (left, figures_at) = (panel.plot.0, (panel.plot.1, panel.figure));
    if speed.is_nan() || speed <= 0.0 {
        figure(c, figures_at, y, LABEL, "n/a");
        return;
    }
    // Our own program has no direction: it is what the others are compared with.
    let direction = ratio.map_or(Direction::Faster, Ratio::direction);
    bar(c, (left, scale.at(speed).max(left + 2)), y, SERIES[3], direction);
    if let Some((low, high, ratio)) = ratio.and_then(|r| Some((r.low?, r.high?, r.median))) {
        let end = |end: f64| scale.at(speed * end / ratio);
        c.whisker((end(low), end(high)), y, 3, INK);
    }
    figure(c, figures_at, y, STRONG, &figures::number(speed));
    let ratio = ratio.map_or_else(|| "1×".into(), figures::judged);
    figure(c, (panel.figure, panel.ratio), y, LABEL, &ratio);
}

/// What is drawn, explained.
fn signs(c: &mut Canvas, y: i32, shown: &[&EngineRecord], decode: &Scale) {
    let slower = |c: &mut Canvas, x: i32, y: i32| c.patterned((x, y - 6), (x + 24, y + 6), SERIES[6], Pattern::Falling);
    let line = |c: &mut Canvas, x: i32, y: i32| c.line((x + 12, y - 8), (x + 12, y + 8), INK, 2);
    let whisker = |c: &mut Canvas, x: i32, y: i32| c.whisker((x, x + 24), y, 3, INK);
    let ratios = || {
        shown.iter().filter_map(|e| Some((e, e.speed.as_ref()?))).flat_map(|(engine, speed)| {
            [&speed.decode, &speed.prompt].into_iter().filter_map(|ratio| over(engine, ratio))
        })
    };
    let mut signs: Vec<Sign<'_>> = Vec::new();
    let limits = shown.iter().any(|engine| limit(engine).is_some_and(|limit| decode.holds(limit)));
    signs.extend(limits.then_some((&line as _, "machine's limit")));
    signs.extend(ratios().any(|r| r.low.is_some()).then_some((&whisker as _, "interval of the ratio")));
    let is_slower = ratios().any(|r| r.direction() == Direction::Slower);
    signs.extend(is_slower.then_some((&slower as _, "slower than our own program")));
    key(c, (0, y), &signs);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_fastest_comes_first_and_wrong_ones_have_no_bar() {
        let receipt = fixture::engines();
        let record = receipt.engines.as_ref().expect("engines");
        let names: Vec<&str> = ordered(record).iter().map(|engine| engine.name.as_str()).collect();
        assert_eq!(names, ["tritbench", "ik_llama.cpp", "litespark", "llama.cpp", "bitnet.cpp"]);
        let chart = chart(&receipt).expect("a picture");
        assert_eq!(chart.title, "2 of 3 engines are right; ik_llama.cpp decodes 0.62× tritbench (slower)");
        let wrong = chart.svg.split("</desc>").nth(1).expect("drawn");
        let words = [">wrong<", ">absent<", "quantised head", "perplexity 32.37, right 23.04, likely SiLU"];
        for word in words {
            assert!(wrong.contains(word), "{word}");
        }
        let figure = |engine: &EngineRecord| engine.speed.as_ref().map(|s| figures::number(s.decode_tokens_per_s));
        let shown: Vec<String> = record.engines.iter().filter_map(figure).collect();
        assert_eq!(shown.len(), 3);
        shown.iter().for_each(|figure| assert!(wrong.contains(&format!(">{figure}<")), "{figure}"));
        assert!(super::chart(&fixture::complete()).is_none());
    }
}
