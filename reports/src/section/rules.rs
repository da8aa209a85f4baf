//! Rules of activations: what each does to the next token and to speed, against activations that are not rounded.

use super::anchors;
use crate::chart;
use crate::document::{Block, Cell, Column, Row, Section, Table, Tone, Value};
use receipt::judge::rules;
use receipt::{Receipt, RulesRecord, figures};

const NOTE: &str = "KL divergence: sum of p (ln p - ln q) over the vocabulary, mean over positions, p of the same \
                    model with f32 activations and q of the rule; 0 is no difference. Same top token: positions at \
                    which the most probable token is that of f32 activations. Closer: windows in which the divergence \
                    is below the first row's. Decoding: each rule with the fastest exact kernel that takes it, rules \
                    in turn by blocks of tokens. Everything but the activations of the ternary products is the same \
                    in all rows.";

/// The section, where a run asked about several rules.
pub fn section(receipt: &Receipt) -> Option<Section> {
    let record = receipt.activation_rules.as_ref()?;
    let section = Section::new("activation-rules", "Activation rules");
    let section = match rules::sentence(record) {
        Some(sentence) => section.say(sentence),
        None => section.say("No rule of activations was measured."),
    };
    let section = record.without.iter().fold(section, |section, out| {
        section.say(format!("Activations by {} were not measured: {}.", out.activations, out.why))
    });
    // Where nothing else was measured it stands on the first screen.
    let first = chart::first(receipt).iter().any(|chart| chart.file == chart::RULES);
    let picture = chart::rules(receipt).filter(|_| !first).map(Block::Chart);
    Some(section.note(NOTE).note(setup(record)).with(picture).tables([table(receipt, record)]))
}

fn setup(record: &RulesRecord) -> String {
    let (tokens, hash) = (figures::integer(record.tokens as u64), figures::short_hash(&record.text_sha256));
    let blocks = record.blocks.as_ref().map_or_else(String::new, |blocks| {
        let rounds = crate::words::count(blocks.rounds.len(), "block");
        format!("; decoding over {rounds} of {} tokens", blocks.tokens)
    });
    let threads = crate::words::count(record.threads, "thread");
    format!(
        "{tokens} positions of {}, windows of {}, each from an empty cache (text {hash}), output head {}, \
         {threads}{blocks}.",
        record.text, record.window, record.head
    )
}

/// A row a rule, below the one that all are measured against.
fn table(receipt: &Receipt, record: &RulesRecord) -> Table {
    let columns = vec![
        Column::words("Activations sharing a scale"),
        Column::number("KL, nats"),
        Column::number("Same top token"),
        Column::number("Perplexity"),
        Column::number("Decode tokens/s"),
        Column::words("Over the first rule"),
        Column::words("Kernel"),
        Column::words("Closer"),
        Column::number("Nats per token"),
    ];
    let perplexities = |perplexity, nats| [Value::Decimals(perplexity, 4), Value::Decimals(nats, 5)];
    let [perplexity, nats] = perplexities(record.perplexity, record.nats_per_token);
    let f32 = vec![
        Cell::from("none: f32"),
        Value::Nothing.into(),
        Value::Nothing.into(),
        perplexity.into(),
        Value::Absent("not timed").into(),
        Value::Nothing.into(),
        Value::Nothing.into(),
        Value::Nothing.into(),
        nats.into(),
    ];
    let closest = rules::closest(record);
    let rows = record.rules.iter().enumerate().map(|(i, rule)| {
        let own = record.speed(i);
        let [perplexity, nats] = perplexities(rule.perplexity, rule.nats_per_token);
        let source = anchors::source(receipt, &rule.kernel);
        let windows = record.windows.len();
        let best = if closest == Some(i) { Tone::Best } else { Tone::Plain };
        let cells = vec![
            Cell::from(chart::rule_name(rule)),
            Cell::from(Value::Measured(rule.kl_nats)).tone(best),
            Value::Percent(rule.same_top_share).into(),
            perplexity.into(),
            own.map_or(Value::Absent("not timed"), |own| Value::rate(own.tokens_per_s)).into(),
            own.map_or(Value::Nothing, |own| Value::over(own.vs_baseline.as_ref())).into(),
            Cell { link: source.map(crate::document::Link::Here), ..Cell::from(rule.kernel.as_str()) },
            if i == 0 { Value::Nothing } else { format!("{} of {windows}", rule.windows_below_first).into() }.into(),
            nats.into(),
        ];
        Row::new(format!("rule-{}", rule.activations), cells)
    });
    Table::new("activation-rules", "Activation rules", columns)
        .rows([Row::new("rule-none", f32)].into_iter().chain(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn each_rule_has_a_row_below_what_it_is_measured_against() {
        let receipt = fixture::activation_rules();
        let section = section(&receipt).expect("a section");
        let table = section.all_tables()[0];
        let ids: Vec<&str> = table.rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["rule-none", "rule-token", "rule-256", "rule-128", "rule-32"]);
        let text = |row: usize, column: usize| table.rows[row].cells[column].value.in_full();
        assert_eq!([text(1, 0), text(1, 5), text(4, 7)], ["all of a token", "1×", "20 of 20"]);
        assert!(text(4, 5).ends_with("slower") && text(2, 6) == "avx2-groups", "{}", text(4, 5));
        assert!(super::section(&fixture::complete()).is_none());
    }

    #[test]
    fn a_rule_without_a_kernel_is_named() {
        let mut receipt = fixture::activation_rules();
        let record = receipt.activation_rules.as_mut().expect("rules");
        let why = "no kernel takes it".to_owned();
        record.without = vec![receipt::RuleWithout { activations: receipt::Activations::Per256, why }];
        let said = section(&receipt).expect("a section").lead;
        assert!(said.iter().any(|(_, text)| text == "Activations by 256 were not measured: no kernel takes it."));
    }
}
