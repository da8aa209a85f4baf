//! Rules of activations under each other: how far each is from activations that are not rounded, and how fast it is.

use super::canvas::{Anchor, Canvas, GRID, HEADING, INK, LABEL, NOTE, Pattern, SERIES, STRONG, Scale, draw};
use super::parts::{Chart, Sign, bar, key, ticks};
use super::text;
use receipt::judge::{Direction, rules};
use receipt::{Ratio, Receipt, RuleEntry, RulesRecord, figures};

/// File name of the picture.
pub const FILE: &str = "rules.svg";

const WIDTH: i32 = 900;
const ROW: i32 = 40;
/// Where names end, the two panels, and where their figures end.
const NAMES: i32 = 178;
const FAR: (i32, i32) = (190, 450);
const FAR_FIGURE: i32 = 530;
const SPEED: (i32, i32) = (560, 730);
const SPEED_FIGURE: i32 = 790;
const RATIO_FIGURE: i32 = 896;
const HEAD: i32 = 92;
const FOOT: i32 = 84;

/// What a rule is called in tables and pictures.
pub fn name(rule: &RuleEntry) -> String {
    match rule.activations {
        receipt::Activations::Token => "all of a token".into(),
        blocks => format!("{blocks} in a row"),
    }
}

/// The picture, where rules were measured.
pub fn chart(receipt: &Receipt) -> Option<Chart> {
    let record = receipt.activation_rules.as_ref()?;
    let usable: Vec<usize> = (0..record.rules.len()).filter(|i| record.rules[*i].kl_nats > 0.0).collect();
    let closest = rules::closest(record).filter(|closest| usable.contains(closest))?;
    let title = format!("{}: nearest to f32 activations", capital(&record.rules[closest].activations.in_words()));
    let words: Vec<String> = usable.iter().map(|i| in_words(record, *i)).collect();
    let kl = || usable.iter().map(|i| record.rules[*i].kl_nats);
    let (low, high) = kl().fold((f64::INFINITY, 0.0f64), |(low, high), kl| (low.min(kl), high.max(kl)));
    let far = Scale::log(low / 1.6..=high * 1.6, FAR);
    let speeds = usable.iter().filter_map(|i| Some(record.speed(*i)?.tokens_per_s));
    let speed = Scale::linear(speeds.fold(0.0, f64::max) * 1.05, SPEED);
    let plot = ROW * usable.len() as i32;
    let description = format!("KL divergence from f32 activations in nats, and tokens/s: {}.", words.join("; "));
    let svg = draw("rules", (WIDTH, HEAD + plot + FOOT), &title, &description, |c| {
        c.text((0, 42), Anchor::Start, NOTE, &setup(receipt, record));
        for (x, anchor, font, words) in [
            (NAMES, Anchor::End, HEADING, "scale shared by"),
            (FAR.0, Anchor::Start, HEADING, "KL divergence"),
            (FAR_FIGURE, Anchor::End, NOTE, "nats"),
            (SPEED.0, Anchor::Start, HEADING, "decoding"),
            (SPEED_FIGURE, Anchor::End, NOTE, "tokens/s"),
            (RATIO_FIGURE, Anchor::End, NOTE, "over first row"),
        ] {
            c.text((x, HEAD - 18), anchor, font, words);
        }
        for (scale, gap) in [(&far, 52), (&speed, 48)] {
            for (value, label) in ticks(scale, gap, "") {
                c.line((scale.at(value), HEAD), (scale.at(value), HEAD + plot), GRID, 1);
                c.text((scale.at(value), HEAD + plot + 13), Anchor::Middle, NOTE, &label);
            }
        }
        c.text(((FAR.0 + FAR.1) / 2, HEAD + plot + 32), Anchor::Middle, NOTE, "nats, log scale: left is nearer");
        c.text(((SPEED.0 + SPEED.1) / 2, HEAD + plot + 32), Anchor::Middle, NOTE, "tokens/s");
        for (place, &i) in usable.iter().enumerate() {
            row(c, (&far, &speed), HEAD + ROW * place as i32 + ROW / 2, record, i);
        }
        let slower =
            |c: &mut Canvas, x: i32, y: i32| c.patterned((x, y - 6), (x + 24, y + 6), SERIES[6], Pattern::Falling);
        let mut signs: Vec<Sign<'_>> = vec![(&|c, x, y| c.whisker((x, x + 24), y, 3, INK), "interval of the ratio")];
        let is_slower = |i: &usize| ratio(record, *i).is_some_and(|r| r.direction() == Direction::Slower);
        signs.extend(usable.iter().any(is_slower).then_some((&slower as _, "slower than the first row")));
        key(c, (0, HEAD + plot + 62), &signs);
    });
    let caption = "Left: mean KL divergence a position of the next token's distribution from that of the same model \
                   with f32 activations. Right: decode speed with the fastest exact kernel of each rule, rules in turn \
                   by blocks of tokens."
        .into();
    Some(Chart { file: FILE.into(), title, caption, svg, saved: true })
}

fn ratio(record: &RulesRecord, index: usize) -> Option<&Ratio> {
    record.speed(index)?.vs_baseline.as_ref()
}

fn setup(receipt: &Receipt, record: &RulesRecord) -> String {
    let model = receipt.model.as_ref().map_or("the model", |m| m.name.as_str());
    let (model, tokens) = (figures::label(model, 40), figures::integer(record.tokens as u64));
    let threads = if record.threads == 1 { "" } else { "s" };
    format!("model {model}, {tokens} positions of held-out text, {} thread{threads}", record.threads)
}

fn in_words(record: &RulesRecord, index: usize) -> String {
    let rule = &record.rules[index];
    let far = format!("{} with {} {} nats", name(rule), rule.kernel, figures::measured(rule.kl_nats));
    let speed = record.speed(index).map(|own| {
        let ratio = own.vs_baseline.as_ref();
        let ratio =
            ratio.map(|r| format!(", {} over {}, {}", figures::ratio(r.median), r.partner, r.direction().word()));
        format!(", {} tokens/s{}", figures::number(own.tokens_per_s), ratio.unwrap_or_default())
    });
    far + &speed.unwrap_or_default()
}

fn row(c: &mut Canvas, (far, speed): (&Scale, &Scale), y: i32, record: &RulesRecord, index: usize) {
    let rule = &record.rules[index];
    c.text((NAMES, y - 8), Anchor::End, LABEL, &name(rule));
    c.text((NAMES, y + 8), Anchor::End, NOTE, &text::fit(&rule.kernel, 12, false, NAMES - 4));
    let at = far.at(rule.kl_nats);
    c.line((FAR.0, y), (at, y), GRID, 2);
    c.dot((at, y), 5, SERIES[4]);
    c.text((FAR_FIGURE, y), Anchor::End, STRONG, &figures::measured(rule.kl_nats));
    let Some(own) = record.speed(index) else { return };
    let ratio = own.vs_baseline.as_ref();
    let direction = ratio.map_or(Direction::Faster, Ratio::direction);
    bar(c, (SPEED.0, speed.at(own.tokens_per_s).max(SPEED.0 + 2)), y, SERIES[3], direction);
    if let Some((low, high, ratio)) = ratio.and_then(|r| Some((r.low?, r.high?, r.median))) {
        let end = |end: f64| speed.at(own.tokens_per_s * end / ratio);
        c.whisker((end(low), end(high)), y, 3, INK);
    }
    c.text((SPEED_FIGURE, y), Anchor::End, STRONG, &figures::number(own.tokens_per_s));
    c.text((RATIO_FIGURE, y), Anchor::End, LABEL, &ratio.map_or_else(|| "1×".into(), figures::judged));
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}
