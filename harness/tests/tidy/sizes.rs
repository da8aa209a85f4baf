//! A file is one idea and can be read in one sitting; a line can be read without scrolling.

use crate::sources::Sources;

const LINES: usize = 500;
const COLUMNS: usize = 120;

pub fn complaints(sources: &Sources) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in sources.rust_files() {
        let lines = text.lines().count();
        if lines > LINES {
            complaints
                .push(format!("{path}: {lines} lines, at most {LINES}; move one idea of it to a file of its own"));
        }
        for (number, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS {
                let number = number + 1;
                complaints.push(format!("{path}:{number}: {columns} characters, at most {COLUMNS}; break the line"));
            }
        }
    }
    complaints
}
