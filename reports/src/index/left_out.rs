//! What is below the folder and counts nowhere: receipts that do not hold, and copies.

use crate::document::{Cell, Column, Row, Section, Table, Tone, Value};
use crate::words::count;
use receipt::recheck::{Checked, Standing};

const NOTE: &str = "Nothing of these receipts is in another table. Of copies of one receipt the first counts. Of \
                    receipts that call themselves one run and differ, none does.";

/// A row for each receipt that counts nowhere; none where all count.
pub fn section(checked: &[Checked]) -> Option<Section> {
    let columns = vec![
        Column::words("Receipt"),
        Column::words("Standing").filter(),
        Column::words("Part"),
        Column::words("What"),
    ];
    let left = checked.iter().filter(|row| row.standing != Standing::Holds);
    let row = |(i, row): (usize, &Checked)| {
        let tone = if row.standing.is_sound() { Tone::Dim } else { Tone::Bad };
        let cells = vec![
            row.path.as_str().into(),
            Cell::from(Value::word(row.standing.words())).tone(tone),
            row.part.as_ref().map_or(Value::Nothing, |part| Value::Code(part.clone())).into(),
            row.what.as_str().into(),
        ];
        Row::new(format!("left-out-{}", i + 1), cells)
    };
    let table = Table::new("left-out", "Receipts that do not count", columns).rows(left.enumerate().map(row));
    let any = !table.rows.is_empty();
    any.then(|| Section::new("left-out", "Receipts that do not count").note(NOTE).tables([table]))
}

/// How many were checked and how many of them do not count; none where all do.
pub fn sentence(checked: &[Checked]) -> Option<String> {
    let left = |sound: bool| {
        let all = checked.iter().filter(|row| row.standing != Standing::Holds);
        all.filter(|row| row.standing.is_sound() == sound).count()
    };
    let copies = match left(true) {
        0 => None,
        1 => Some("1 is a copy and counts once".to_owned()),
        n => Some(format!("{n} are copies and count once")),
    };
    let unsound = match left(false) {
        0 => None,
        1 => Some("1 does not hold or cannot be read, and counts nowhere".to_owned()),
        n => Some(format!("{n} do not hold or cannot be read, and count nowhere")),
    };
    let words: Vec<String> = [unsound, copies].into_iter().flatten().collect();
    (!words.is_empty()).then(|| format!("Of {}, {}.", count(checked.len(), "receipt"), words.join("; ")))
}
