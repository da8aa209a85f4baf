//! Sections as GitHub's Markdown.

use super::{Block, Cell, Item, Paragraph, Section, Table, Value};
use crate::markdown::{block, code, details, escape, table as rows_of};

/// A section as Markdown: everything that it says and shows, pictures apart.
pub fn section(section: &Section) -> String {
    let mut parts: Vec<String> =
        section.lead.iter().filter(|(w, _)| *w != Paragraph::Note).map(|(_, t)| escape(t)).collect();
    let titled = section.all_tables().len() > 1;
    parts.extend(section.blocks.iter().filter_map(|block| of_block(block, titled)));
    parts.join("\n\n")
}

fn of_block(one: &Block, titled: bool) -> Option<String> {
    Some(match one {
        Block::Table(table) if titled => format!("**{}**\n\n{}", escape(&table.title), self::table(table)),
        Block::Table(table) => self::table(table),
        Block::List(items) => list(items),
        Block::Cards(cards) => {
            let facts = |name: &str, value: &str| format!("- {name}: {}\n", escape(value));
            let card = |c: &super::Card| {
                let facts: String = c.facts.iter().map(|(name, value)| facts(name, value)).collect();
                let commands = if c.commands.is_empty() { String::new() } else { block(&c.commands) };
                format!("**{}**\n\n{}{facts}{commands}", escape(&c.title), list(&c.items))
            };
            cards.iter().map(card).collect::<Vec<_>>().join("\n")
        }
        Block::Commands(lines) => block(lines),
        Block::Section(within) if within.fold.is_some() => details(&within.title, &section(within)),
        Block::Section(within) => format!("**{}**\n\n{}", escape(&within.title), section(within)),
        Block::Chart(_) | Block::Quote { .. } | Block::Listing { .. } => return None,
    })
}

/// A table as Markdown, without drawings.
pub fn table(table: &Table) -> String {
    let keep: Vec<usize> = (0..table.columns.len()).filter(|i| !table.is_drawn(*i)).collect();
    let head: Vec<String> = keep.iter().map(|i| escape(&table.columns[*i].title)).collect();
    let right: Vec<bool> = keep.iter().map(|i| table.columns[*i].right).collect();
    let cell = |i: usize, cell: &Cell| match &cell.value {
        Value::Text(text) if i == 0 => code(text),
        Value::Code(text) => code(text),
        value => escape(&value.in_full()),
    };
    let row = |row: &super::Row| keep.iter().filter_map(|i| Some(cell(*i, row.cells.get(*i)?))).collect();
    rows_of(&head, &right, &table.rows.iter().map(row).collect::<Vec<_>>())
}

fn list(items: &[Item]) -> String {
    let line = |item: &Item| {
        let below: String = item.items.iter().map(|below| format!("  - {}\n", escape(&below.words()))).collect();
        format!("- {}\n{below}", escape(&item.words()))
    };
    items.iter().map(line).collect()
}
