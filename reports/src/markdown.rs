//! Text for GitHub's Markdown. A receipt is a file like any other: what is in it stays text, links nowhere and calls
//! nobody.

/// `text` escaped for Markdown: neither markup, nor a table's border, nor a link, nor a mention.
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '~' | '!' => out.extend(['\\', c]),
            // A word joiner after them: no mention of a person, no reference to an issue.
            '@' | '#' => out.extend(['\\', c, '\u{2060}']),
            // Addresses become links by themselves otherwise.
            ':' if chars.peek() == Some(&'/') => out.push_str("&#58;"),
            '.' if out.to_ascii_lowercase().ends_with("www") => out.push_str("&#46;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// `text` as a code span, backticks included. In a table a border would end it, so that becomes a look-alike.
pub fn code(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| match c {
            '|' => '¦',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if text.is_empty() || text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Lines as a block of code; its fence is longer than any in it.
pub fn block(lines: &[String]) -> String {
    let clean = |line: &String| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let lines: Vec<String> = lines.iter().map(clean).collect();
    let longest = lines.iter().flat_map(|l| l.split(|c| c != '`')).map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}console\n{}\n{fence}\n", lines.join("\n"))
}

/// A Markdown table; columns are to the right where `right` says so. Cells are Markdown already.
pub fn table(head: &[String], right: &[bool], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule: Vec<&str> = right.iter().map(|right| if *right { "--:" } else { "---" }).collect();
    let rows: String = rows.iter().map(|row| line(row)).collect();
    format!("{}|{}|\n{rows}", line(head), rule.join("|"))
}

/// `body` folded away under `summary` until it is clicked.
pub fn details(summary: &str, body: &str) -> String {
    format!("<details><summary>{}</summary>\n\n{}\n\n</details>\n", escape(summary), body.trim_end())
}

/// `text` with one more fold, or with a line on why not: GitHub refuses a comment of more than 65,536 characters.
pub fn with_fold(text: String, summary: &str, body: &str) -> String {
    const MOST: usize = 60_000;
    let fold = details(summary, body);
    if text.chars().count() + fold.chars().count() > MOST {
        return format!("{text}\n{}: too long for a comment; it is on the page.\n", escape(summary));
    }
    format!("{text}\n{fold}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_text() {
        let text = escape("a|b <script> @team #12 https://x.y www.x.y *b* `c` [d](e) ![i](j) ~~s~~\n# h");
        for bad in ["<script", " @team", " #12", "https://", "www.x", "a|b", "[d](", "![i", "\n"] {
            assert!(!text.contains(bad), "{bad:?} in {text}");
        }
        assert!(!escape("x@example.org").contains("@e"));
        assert_eq!(escape("avx2-i8: 3.1× (6912×2560)"), "avx2-i8: 3.1× (6912×2560)");
    }

    #[test]
    fn a_comment_stays_within_its_limit() {
        let text = with_fold("a\n".into(), "small", "b");
        assert!(text.ends_with("b\n\n</details>\n"));
        let text = with_fold(text, "large", &"x".repeat(70_000));
        assert!(text.ends_with("\nlarge: too long for a comment; it is on the page.\n"));
    }

    #[test]
    fn code_cannot_be_left() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("a|b\nc"), "`a¦b c`");
        assert!(block(&["```".into(), "x".into()]).starts_with("````console\n```\nx\n````"));
    }
}
