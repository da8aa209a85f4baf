//! A kernel's gain against its gain in whole text. Its own section: ratios of kernels and ratios of tokens/s share no
//! column.

use super::{anchors, of_family};
use crate::document::{Cell, Column, Row, Section, Table, Value};
use receipt::judge::amdahl::{AmdahlRow, rows};
use receipt::{Family, Receipt, figures};

const NOTE: &str = "Only the ternary products of a token get faster with a kernel. Amdahl's law predicts decoding \
                    from the kernel's ratio alone and from the share of the first row's token that these products \
                    take: 1 / ((1 - share) + share / ratio).";

/// The section on kernels' gains in whole text: a table for each family that has both parts.
pub fn section(receipt: &Receipt) -> Option<Section> {
    let all = rows(receipt);
    let tables = Family::ALL.into_iter().filter_map(|family| {
        let own: Vec<&AmdahlRow> = all.iter().filter(|r| r.family == family).collect();
        let first = own.first()?;
        let columns = vec![
            Column::words("Kernel"),
            Column::words("Alone"),
            Column::number("Products' share of a token").under("first row's"),
            Column::number("Own share"),
            Column::words("Decode predicted"),
            Column::words("Decode measured"),
            Column::number("Gap"),
            Column::words("What the gap is made of"),
        ];
        let table = of_family("amdahl", family, columns).rows(own.iter().map(|r| row(r)));
        let note = format!("The kernel's own ratio is from {} ({}).", first.micro_cell, first.micro_choice);
        Some(Table { title: format!("{}, over {}", table.title, first.baseline), ..table }.note(note))
    });
    Section::new("amdahl", "A kernel's gain and a token's").note(NOTE).tables(tables).if_any()
}

fn row(r: &AmdahlRow) -> Row {
    let interval =
        r.predicted_interval.map(|(low, high)| format!("[{}, {}]", figures::number(low), figures::number(high)));
    let predicted = Cell::from(Value::Factor(r.predicted));
    let cells = vec![
        r.kernel.as_str().into(),
        Value::Judged(r.micro.clone()).into(),
        Value::Percent(r.share_of_token).into(),
        Value::Percent(r.own_share_of_token).into(),
        interval.map_or(predicted.clone(), |ends| predicted.under(ends)),
        Value::Judged(r.measured.clone()).into(),
        Value::Change(r.gap - 1.0).into(),
        r.explanation.as_str().into(),
    ];
    Row::new(format!("amdahl-of-{}", anchors::slug(&r.kernel)), cells)
}
