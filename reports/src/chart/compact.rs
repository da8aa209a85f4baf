//! The same drawing in fewer bytes: one path for a run of lines, triangles or dots that look alike, no attribute that
//! says what is the default anyway. A trace of a thousand rounds would otherwise be a thousand elements.

use std::fmt::Write;

/// A run of elements that become one path.
struct Run {
    style: String,
    data: String,
}

/// Rewrites what plotters' SVG backend wrote: an element a line, a text in three.
pub fn compact(svg: &str) -> String {
    let mut out = String::with_capacity(svg.len());
    let mut run: Option<Run> = None;
    for line in svg.lines() {
        if let Some((style, data)) = path_of(line) {
            match &mut run {
                Some(r) if r.style == style => r.data.push_str(&data),
                _ => {
                    flush(&mut out, run.take());
                    run = Some(Run { style, data });
                }
            }
            continue;
        }
        flush(&mut out, run.take());
        if line.starts_with("<text ") || line.starts_with("<rect ") || line.starts_with("<polyline ") {
            out.push_str(&short(line));
        } else {
            out.push_str(line);
        }
        // A text's own line and its end follow without a break.
        if !line.starts_with("<text ") && (line.starts_with('<') || line.is_empty()) {
            out.push('\n');
        }
    }
    flush(&mut out, run);
    out
}

fn flush(out: &mut String, run: Option<Run>) {
    if let Some(Run { style, data }) = run {
        let _ = writeln!(out, "<path {style}d=\"{data}\"/>");
    }
}

/// The style and the path data of an element that can join others.
fn path_of(line: &str) -> Option<(String, String)> {
    let number = |name: &str| -> Option<i32> { attribute(line, name)?.parse().ok() };
    let mut style = String::new();
    let mut data = String::new();
    if line.starts_with("<line ") {
        let (x1, y1, x2, y2) = (number("x1")?, number("y1")?, number("x2")?, number("y2")?);
        let width = attribute(line, "stroke-width").filter(|w| *w != "1");
        let width = width.map_or_else(String::new, |w| format!("stroke-width=\"{w}\" "));
        let _ = write!(style, "stroke=\"{}\" {width}", attribute(line, "stroke")?);
        let _ = write!(data, "M{x1} {y1}");
        let _ = match (x2 - x1, y2 - y1) {
            (dx, 0) => write!(data, "h{dx}"),
            (0, dy) => write!(data, "v{dy}"),
            (dx, dy) => write!(data, "l{dx} {dy}"),
        };
    } else if line.starts_with("<polygon ") {
        let _ = write!(style, "fill=\"{}\" ", attribute(line, "fill")?);
        let points: Option<Vec<(i32, i32)>> = attribute(line, "points")?
            .split_whitespace()
            .map(|p| p.split_once(',').and_then(|(x, y)| Some((x.parse().ok()?, y.parse().ok()?))))
            .collect();
        let points = points?;
        let (first, mut at) = (points.first()?, *points.first()?);
        let _ = write!(data, "M{} {}", first.0, first.1);
        for &(x, y) in &points[1..] {
            let _ = write!(data, "l{} {}", x - at.0, y - at.1);
            at = (x, y);
        }
        data.push('z');
    } else if line.starts_with("<circle ") && attribute(line, "fill")? != "none" {
        let _ = write!(
            style,
            "stroke=\"{}\" stroke-width=\"{}\" stroke-linecap=\"round\" ",
            attribute(line, "fill")?,
            2 * number("r")?
        );
        let _ = write!(data, "M{} {}h0", number("cx")?, number("cy")?);
    } else {
        return None;
    }
    (attribute(line, "opacity") == Some("1")).then_some((style, data))
}

fn attribute<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let start = line.find(&format!(" {name}=\""))? + name.len() + 3;
    line[start..].split('"').next()
}

/// The element without attributes that have their default value; the family is the whole drawing's.
fn short(line: &str) -> String {
    let mut line = line.replace(" \"/>", "\"/>");
    for default in [
        " opacity=\"1\"",
        " text-anchor=\"start\"",
        " stroke=\"none\"",
        " stroke-width=\"1\"",
        " font-family=\"sans-serif\"",
    ] {
        line = line.replacen(default, "", 1);
    }
    if let Some(size) = attribute(&line, "font-size").map(str::to_owned)
        && let Ok(px) = size.parse::<f64>()
    {
        let rounded = (px * 100.0).round() / 100.0;
        line = line.replacen(&format!(" font-size=\"{size}\""), &format!(" font-size=\"{rounded}\""), 1);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike_becomes_one_path() {
        let svg = "<svg>\n\
                   <line opacity=\"1\" stroke=\"#111111\" stroke-width=\"1\" x1=\"1\" y1=\"2\" x2=\"5\" y2=\"2\"/>\n\
                   <line opacity=\"1\" stroke=\"#111111\" stroke-width=\"1\" x1=\"3\" y1=\"2\" x2=\"3\" y2=\"9\"/>\n\
                   <line opacity=\"1\" stroke=\"#111111\" stroke-width=\"2\" x1=\"3\" y1=\"2\" x2=\"4\" y2=\"9\"/>\n\
                   <polygon opacity=\"1\" fill=\"#222222\" points=\"1,1 4,1 4,5 \"/>\n\
                   <circle cx=\"5\" cy=\"6\" r=\"4\" opacity=\"1\" fill=\"#222222\" stroke=\"none\" \
                   stroke-width=\"1\"/>\n\
                   <circle cx=\"7\" cy=\"6\" r=\"4\" opacity=\"1\" fill=\"none\" stroke=\"#222222\" \
                   stroke-width=\"1\"/>\n\
                   </svg>\n";
        assert_eq!(
            compact(svg),
            "<svg>\n\
             <path stroke=\"#111111\" d=\"M1 2h4M3 2v7\"/>\n\
             <path stroke=\"#111111\" stroke-width=\"2\" d=\"M3 2l1 7\"/>\n\
             <path fill=\"#222222\" d=\"M1 1l3 0l0 4z\"/>\n\
             <path stroke=\"#222222\" stroke-width=\"8\" stroke-linecap=\"round\" d=\"M5 6h0\"/>\n\
             <circle cx=\"7\" cy=\"6\" r=\"4\" opacity=\"1\" fill=\"none\" stroke=\"#222222\" stroke-width=\"1\"/>\n\
             </svg>\n"
        );
    }

    #[test]
    fn text_keeps_its_words() {
        let svg = "<text x=\"0\" y=\"16\" dy=\"0.5ex\" text-anchor=\"start\" font-family=\"sans-serif\" \
                   font-size=\"11.999999\" opacity=\"1\" fill=\"#1A1D21\">\na &lt; b \n</text>\n";
        assert_eq!(
            compact(svg),
            "<text x=\"0\" y=\"16\" dy=\"0.5ex\" font-size=\"12\" fill=\"#1A1D21\">a &lt; b </text>\n"
        );
    }
}
