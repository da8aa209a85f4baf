//! The Markdown table that llama.cpp's llama-bench prints, as people paste it: for each engine that is right a row of
//! prompt processing (`pp`) and one of text generation (`tg`).
//!
//! Columns, widths and figures are those of a CPU run there. Which engine it was stands behind the backend: that column
//! says what computed, and a column more would not line up with the tables of others.

use receipt::judge::Columns;
use receipt::judge::columns::EngineWork;
use receipt::judge::engines::{ranked, samples};
use receipt::{EngineRecord, EngineTurns, Error, ModelRecord, Receipt, Result};

/// Columns by name, their width, and whether they stand to the right.
const COLUMNS: [(&str, usize, bool); 7] = [
    ("model", 30, false),
    ("size", 10, true),
    ("params", 10, true),
    ("backend", 10, false),
    ("threads", 7, true),
    ("test", 15, true),
    ("t/s", 20, true),
];

/// The table of a run.
///
/// # Errors
/// No engine was found right and took turns: there is nothing that may stand beside checked figures.
pub fn llama_bench(receipt: &Receipt) -> Result<String> {
    let record = receipt.engines.as_ref();
    let turns = record.and_then(|record| Some((record, record.turns.as_ref()?)));
    let ranked = record.map(ranked).unwrap_or_default();
    let Some((record, turns)) = turns.filter(|_| !ranked.is_empty()) else {
        let why =
            if record.is_some() { "no engine of this run was right and took turns" } else { "it names no engine" };
        return Err(Error::input(format!(
            "llama-bench: the table holds checked engines only, and {why}; export a run of `compare --engine NAME`"
        )));
    };
    let works = [EngineWork::Prompt, EngineWork::Decode].map(|work| (work, Columns::engines(turns, work)));
    let mut out = line(&COLUMNS.map(|(name, ..)| name.to_owned()));
    out += &line(&COLUMNS.map(|(_, width, right)| "-".repeat(width - 1) + if right { ":" } else { "-" }));
    for engine in ranked.iter().map(|i| &record.engines[*i]) {
        for (work, columns) in &works {
            let entry = columns.index(&engine.name).unwrap_or_default();
            let speeds = samples(turns, columns, *work, entry);
            out += &line(&row(receipt.model.as_ref(), engine, record.threads, test(turns, *work), &speeds));
        }
    }
    Ok(out)
}

/// `pp112 @ d16`: so many ids, behind those of the short prompt, which is what the rounds tell apart.
fn test(turns: &EngineTurns, work: EngineWork) -> String {
    match work {
        EngineWork::Prompt => format!("pp{} @ d{}", turns.long.saturating_sub(turns.short), turns.short),
        EngineWork::Decode => format!("tg{} @ d{}", turns.tokens.saturating_sub(1), turns.short),
    }
}

fn row(
    model: Option<&ModelRecord>,
    engine: &EngineRecord,
    threads: usize,
    test: String,
    speeds: &[f64],
) -> [String; 7] {
    let file = engine.file.as_ref();
    let name = model.map_or("model", |model| &model.name);
    // Norms are left out: a few thousand of millions.
    let params = model.map(|model| model.ternary_weights + (model.vocab * model.dim) as u64);
    let (mean, deviation) = mean_and_deviation(speeds);
    [
        file.map_or_else(|| name.to_owned(), |file| format!("{name} {}", file.format)),
        file.map_or_else(String::new, |file| size(file.bytes)),
        params.map_or_else(String::new, count),
        format!("CPU ({})", engine.name),
        threads.to_string(),
        test,
        format!("{mean:.2} ± {deviation:.2}"),
    ]
}

/// Mean and sample deviation, as there.
fn mean_and_deviation(speeds: &[f64]) -> (f64, f64) {
    let n = speeds.len() as f64;
    let mean = speeds.iter().sum::<f64>() / n.max(1.0);
    let squares: f64 = speeds.iter().map(|speed| (speed - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}

fn size(bytes: u64) -> String {
    let mib = bytes as f64 / 1024.0 / 1024.0;
    if mib < 1024.0 { format!("{mib:.2} MiB") } else { format!("{:.2} GiB", mib / 1024.0) }
}

fn count(params: u64) -> String {
    let millions = params as f64 / 1e6;
    if millions < 1000.0 { format!("{millions:.2} M") } else { format!("{:.2} B", millions / 1000.0) }
}

/// A row; what is in a receipt ends no cell and no line.
fn line(cells: &[String; 7]) -> String {
    let cell = |(text, (_, width, right)): (&String, (&str, usize, bool))| {
        let text: String = text.chars().map(|c| if c.is_control() || c == '|' { ' ' } else { c }).collect();
        if right { format!(" {text:>width$} |") } else { format!(" {text:<width$} |") }
    };
    format!("|{}\n", cells.iter().zip(COLUMNS).map(cell).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use receipt::RowStatus;

    /// The head of a table of llama-bench on a CPU, as its own code writes it.
    const THERE: [&str; 2] = [
        "| model                          |       size |     params | backend    | threads |            test |        \
         \x20         t/s |",
        "| ------------------------------ | ---------: | ---------: | ---------- | ------: | --------------: | \
         -------------------: |",
    ];

    #[test]
    fn the_table_is_that_of_llama_bench() {
        let text = llama_bench(&fixture::engines()).expect("right engines");
        assert_eq!(text.lines().take(2).collect::<Vec<_>>(), THERE);
        let rows: Vec<Vec<&str>> = text.lines().skip(2).map(|line| line.split('|').map(str::trim).collect()).collect();
        let named: Vec<[&str; 2]> = rows.iter().map(|row| [row[4], row[6]]).collect();
        assert_eq!(named[..2], [["CPU (tritbench)", "pp112 @ d16"], ["CPU (tritbench)", "tg63 @ d16"]]);
        assert_eq!(named[2..4], [["CPU (ik_llama.cpp)", "pp112 @ d16"], ["CPU (ik_llama.cpp)", "tg63 @ d16"]]);
        assert_eq!(rows.len(), 6, "neither the wrong nor the absent one");
        assert_eq!(rows[3][1..4], ["shakespeare-ternary iq2_bn", "2.67 MiB", "7.21 M"]);
        let (mean, deviation) = rows[3][7].split_once(" ± ").expect("two figures");
        let [mean, deviation] = [mean, deviation].map(|x| x.parse::<f64>().expect("a number"));
        assert!((mean - 1e9 / 295_000.0).abs() < 10.0 && deviation > 0.0 && deviation < 20.0, "{mean} {deviation}");
        assert!(rows.iter().all(|row| row.len() == 9), "{text}");
    }

    #[test]
    fn means_and_sizes_are_written_as_there() {
        assert_eq!(mean_and_deviation(&[1.0, 2.0, 3.0]), (2.0, 1.0));
        assert_eq!((mean_and_deviation(&[5.0]), mean_and_deviation(&[])), ((5.0, 0.0), (0.0, 0.0)));
        assert_eq!([size(1 << 20), size(3 << 29)], ["1.00 MiB", "1.50 GiB"]);
        assert_eq!([count(7_208_960), count(2_412_820_480)], ["7.21 M", "2.41 B"]);
    }

    #[test]
    fn a_run_without_a_right_engine_is_refused_in_a_line() {
        let refused = |receipt: &Receipt| llama_bench(receipt).expect_err("refused").to_string();
        assert!(refused(&fixture::complete()).contains("it names no engine"));
        let mut receipt = fixture::engines();
        let engines = &mut receipt.engines.as_mut().expect("engines").engines;
        engines.iter_mut().for_each(|engine| (engine.status, engine.speed) = (RowStatus::Wrong, None));
        let said = refused(&receipt);
        assert!(said.contains("no engine of this run was right") && !said.contains('\n'), "{said}");
    }

    #[test]
    fn names_end_no_cell() {
        let mut receipt = fixture::engines();
        receipt.model.as_mut().expect("a model").name = "a|b\nc".into();
        let text = llama_bench(&receipt).expect("right engines");
        assert_eq!(text.lines().count(), 8);
        assert!(text.lines().all(|line| line.matches('|').count() == 8), "{text}");
    }
}
