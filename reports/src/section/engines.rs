//! Engines: which programs are right about one model, and how fast those are beside our own.

use super::percent;
use crate::chart;
use crate::document::{Block, Cell, Column, Row, Section, Table, Tone, Value};
use crate::words::count;
use receipt::judge::engines;
use receipt::{EngineRecord, EngineSpeed, EnginesRecord, Receipt, RowStatus, figures};

const NOTE: &str = "Perplexity: over the scored text, beside what an exact kernel of this program computes with the \
                    same output head. Speeds are by our clock, from a request written to its answer read, in turns: \
                    decoding and prompt are what a longer request takes beyond a short one, and what an engine says \
                    of itself stands beside them. Over ours: against our own program, paired by round. Threads used: \
                    CPU time over wall time. Of limit: share of the decode speed at which the file's weights can be \
                    read. Who is not right, not possible or not checked has no speed.";

/// The section, where a run named engines.
pub fn section(receipt: &Receipt) -> Option<Section> {
    let record = receipt.engines.as_ref()?;
    let section = Section::new("engines", "Engines");
    let section = section.say(engines::sentence(record).unwrap_or_else(|| "No engine was named.".into()));
    // Where nothing else was measured it stands on the first screen.
    let first = chart::first(receipt).iter().any(|chart| chart.file == chart::ENGINES);
    let picture = chart::engines(receipt).filter(|_| !first).map(Block::Chart);
    Some(section.note(NOTE).note(setup(record)).with(picture).tables(tables(record)))
}

fn setup(record: &EnginesRecord) -> String {
    let hash = figures::short_hash(&record.text_sha256);
    let threads = count(record.threads, "thread");
    let cpus = record.cpus.iter().map(usize::to_string).collect::<Vec<_>>();
    let bound = if cpus.is_empty() { String::new() } else { format!(" on CPU {}", crate::words::join(&cpus)) };
    let turns = record.turns.as_ref().map_or_else(String::new, |turns| {
        format!(
            " {} in balanced random order: prompts of {} and {} ids, texts of 1 and {}.",
            count(turns.first.len(), "round"),
            turns.short,
            turns.long,
            turns.tokens
        )
    });
    let (windows, window) = (count(record.windows, "window"), record.window);
    format!("{threads}{bound}. {windows} of {window} ids of {} (text {hash}).{turns}{}", record.text, again(record))
}

/// Our own program in two processes.
fn again(record: &EnginesRecord) -> String {
    let own = record.engines.iter().find(|engine| engine.own);
    let Some(ratio) = own.and_then(|own| own.speed.as_ref()?.decode.as_ref()) else { return String::new() };
    let noise = record.turns.as_ref().map_or(0.0, |turns| turns.noise_floor);
    format!(
        " Two processes of {} decode {} as fast as each other ({}); single rounds are up to {} apart.",
        ratio.partner,
        figures::ratio_with_interval(ratio),
        ratio.direction().word(),
        figures::percent(noise)
    )
}

/// What is said of an engine's output head: `16`, `4 (quantised head)`.
fn head(engine: &EngineRecord) -> Option<String> {
    let bits = engine.loaded.as_ref()?.head_bits;
    Some(if bits < 16 { format!("{bits} (quantised head)") } else { bits.to_string() })
}

/// Three tables, so that each fits a sheet of paper: who is right and fast, what each is and says of itself, and why
/// those that have no speed have none.
fn tables(record: &EnginesRecord) -> Vec<Table> {
    let fastest = engines::ranked(record).first().copied();
    let all = || record.engines.iter().enumerate();
    let answers = Table::new(
        "engine-answers",
        "Engines",
        vec![
            Column::words("Engine"),
            Column::words("Status"),
            Column::number("Perplexity"),
            Column::number("Right"),
            Column::number("Decode tokens/s"),
            Column::words("Over ours"),
            Column::number("Prompt tokens/s"),
            Column::words("Prompt over ours"),
            Column::number("First token"),
            Column::number("Of limit"),
        ],
    );
    let answers = answers.rows(all().map(|(i, engine)| answer(record, i, engine, fastest == Some(i))));
    let facts = Table::new(
        "engine-facts",
        "What each engine is, and says of itself",
        vec![
            Column::words("Engine"),
            Column::words("File format"),
            Column::number("File size"),
            Column::words("Head bits"),
            Column::number("Load"),
            Column::number("Peak memory"),
            Column::number("Threads used"),
            Column::number("Decode by its own clock"),
            Column::number("Prompt by its own clock"),
            Column::words("Version"),
        ],
    );
    let facts = facts.rows(all().map(|(i, engine)| fact(i, engine)));
    let columns = vec![Column::words("Engine"), Column::words("Status"), Column::words("Why")];
    let faults = Table::new("engine-faults", "Why an engine has no speed", columns);
    let without = all().filter(|(_, engine)| !engine.status.is_ok()).map(|(i, engine)| {
        let cells = vec![Cell::from(engine.name.as_str()), status(engine), word(Some(engine.why.clone()))];
        Row::new(format!("engine-fault-{i}"), cells)
    });
    let faults = faults.rows(without);
    let some = !faults.rows.is_empty();
    [answers, facts].into_iter().chain(some.then_some(faults)).collect()
}

fn status(engine: &EngineRecord) -> Cell {
    let tone = match engine.status {
        RowStatus::Ok => Tone::Good,
        RowStatus::Unsupported => Tone::Dim,
        _ => Tone::Bad,
    };
    Cell::from(Value::word(engines::status_word(engine))).tone(tone)
}

/// A speed of an engine that has one; what it does not say of itself is absent.
fn rate(engine: &EngineRecord, figure: fn(&EngineSpeed) -> Option<f64>) -> Value {
    let speed = engine.speed.as_ref();
    speed.map_or(Value::Nothing, |speed| figure(speed).map_or(Value::Absent("not said"), Value::rate))
}

fn answer(record: &EnginesRecord, index: usize, engine: &EngineRecord, is_fastest: bool) -> Row {
    let speed = engine.speed.as_ref();
    // Of our own program the ratio is that of the A/A pair, which the notes tell.
    let over = |ratio: fn(&EngineSpeed) -> Option<&receipt::Ratio>| match speed {
        Some(_) if engine.own => Value::Factor(1.0),
        Some(speed) => ratio(speed).map_or(Value::Nothing, |ratio| Value::Judged(ratio.clone())),
        None => Value::Nothing,
    };
    let decode = Cell::from(rate(engine, |speed| Some(speed.decode_tokens_per_s)));
    let cells = vec![
        Cell::from(engine.name.as_str()),
        status(engine),
        word(score(engine).map(engines::perplexity)),
        word(engines::oracle(&record.oracles, engine).map(|right| engines::perplexity(right.nats_per_token))),
        if is_fastest { decode.tone(Tone::Best) } else { decode },
        over(|speed| speed.decode.as_ref()).into(),
        rate(engine, |speed| Some(speed.prompt_tokens_per_s)).into(),
        over(|speed| speed.prompt.as_ref()).into(),
        speed.map_or(Value::Nothing, |speed| Value::Time(speed.first_token_ms * 1e6)).into(),
        percent(speed.and_then(|speed| speed.share_of_bound)).into(),
    ];
    Row::new(format!("engine-{index}"), cells)
}

fn fact(index: usize, engine: &EngineRecord) -> Row {
    let peak = Some(engine.peak_memory_bytes).filter(|bytes| *bytes > 0);
    let (speed, loaded) = (engine.speed.as_ref(), engine.loaded.as_ref());
    let cells = vec![
        Cell::from(engine.name.as_str()),
        word(engine.file.as_ref().map(|file| file.format.clone())),
        engine.file.as_ref().map_or(Value::Nothing, |file| Value::Bytes(file.bytes)).into(),
        word(head(engine)),
        loaded.map_or(Value::Nothing, |loaded| Value::Time(loaded.ns as f64)).into(),
        peak.map_or(Value::Nothing, Value::Bytes).into(),
        speed.map_or(Value::Nothing, |speed| Value::Number(speed.threads_used)).into(),
        rate(engine, |speed| speed.own_decode_tokens_per_s).into(),
        rate(engine, |speed| speed.own_prompt_tokens_per_s).into(),
        word(Some(engine.version.clone())),
    ];
    Row::new(format!("engine-fact-{index}"), cells)
}

fn score(engine: &EngineRecord) -> Option<f64> {
    Some(engine.truth.as_ref()?.score.as_ref()?.nats_per_token)
}

/// Words, if there are any.
fn word(text: Option<String>) -> Cell {
    Cell::from(Value::from(text.filter(|text| !text.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn right_engines_have_speeds_and_others_their_reason() {
        let section = section(&fixture::engines()).expect("a section");
        let tables = section.all_tables();
        let names: Vec<String> = tables[0].rows.iter().map(|row| row.cells[0].value.in_full()).collect();
        assert_eq!(names, ["tritbench", "ik_llama.cpp", "litespark", "llama.cpp", "bitnet.cpp"]);
        let column = |title: &str| {
            let found = |table: &&Table| table.columns.iter().any(|column| column.title == title);
            let table = tables.iter().copied().find(found).expect("a table");
            (table, table.columns.iter().position(|column| column.title == title).expect("a column"))
        };
        let text = |row: usize, title: &str| column(title).0.rows[row].cells[column(title).1].value.in_full();
        assert_eq!([text(0, "Over ours"), text(0, "Status"), text(0, "Head bits")], ["1×", "ok", "16"]);
        assert!(text(1, "Over ours").starts_with("0.62× [") && text(1, "Over ours").ends_with(" slower"));
        assert_eq!([text(2, "Head bits"), text(2, "Right")], ["4 (quantised head)", "23.33"]);
        assert_eq!(text(2, "Decode by its own clock"), "not said");
        assert_eq!([text(3, "Status"), text(3, "Perplexity"), text(3, "Right")], ["wrong", "32.37", "23.04"]);
        // The first of those without a speed.
        assert!(text(0, "Why").contains("likely SiLU instead of relu squared"));
        assert_eq!([text(4, "Status"), text(4, "Perplexity"), text(4, "Version")], ["absent", "–", "–"]);
        for title in ["Decode tokens/s", "Over ours", "Prompt tokens/s", "First token", "Of limit", "Threads used"] {
            assert_eq!([text(3, title), text(4, title)], ["–", "–"], "{title}");
        }
        assert!(super::section(&fixture::complete()).is_none());
    }

    #[test]
    fn our_own_program_twice_is_told() {
        let section = section(&fixture::engines()).expect("a section");
        let notes: String = section.lead.iter().map(|(_, text)| text.as_str()).collect();
        assert!(notes.contains("Two processes of tritbench decode 1.00× ["), "{notes}");
        assert!(notes.contains("1 thread on CPU 3. 81 windows of 128 ids of "), "{notes}");
        assert!(notes.contains("12 rounds in balanced random order: prompts of 16 and 128 ids"), "{notes}");
    }
}
