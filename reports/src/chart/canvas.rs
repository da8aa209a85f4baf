//! A thin layer over the SVG backend: pixels, the palette, scales, and the wrapping that makes a chart readable
//! to a screen reader, on paper, and on a dark page.

use super::svg::{self, Svg, escape};
use super::text;
use plotters::backend::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, TextStyle};

pub use super::scale::Scale;

/// Colour of text and axes.
pub const INK: RGBColor = RGBColor(0x1A, 0x1D, 0x21);
/// Colour of secondary text.
pub const MUTED: RGBColor = RGBColor(0x5A, 0x62, 0x70);
/// Colour of grid lines.
pub const GRID: RGBColor = RGBColor(0xDD, 0xE1, 0xE6);
/// Colour of the page behind a chart.
pub const SURFACE: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
/// Colour of the band of differences that do not count.
pub const BAND: RGBColor = RGBColor(0xE3, 0xE8, 0xEE);
/// Colour of text on dark fills, the same on light and dark pages.
pub const ON_DARK: RGBColor = RGBColor(0xFD, 0xFD, 0xFD);
/// Colour of text on light fills, the same on light and dark pages.
pub const ON_LIGHT: RGBColor = RGBColor(0x12, 0x12, 0x12);

/// Colour of the seed analysis's claims.
pub const CLAIM: RGBColor = RGBColor(0xD5, 0x5E, 0x00);
/// Colours of kernels: Okabe-Ito without yellow (invisible on white), with a grey for the baseline. Each has enough
/// contrast on white and on the dark page, so that a colour means the same on both.
pub const SERIES: [RGBColor; 7] = [
    RGBColor(0x8A, 0x8F, 0x98),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5F, 0x00), // one off CLAIM: a kernel's line is no claim
    RGBColor(0xCC, 0x79, 0xA7),
];

/// The colours that follow the page, with the CSS variable each becomes when the chart is inside one.
pub const THEMED: [(RGBColor, &str); 5] =
    [(INK, "--ink"), (MUTED, "--muted"), (GRID, "--line"), (SURFACE, "--surface"), (BAND, "--band")];

/// A colour as SVG writes it: `#RRGGBB`.
pub fn hex(c: RGBColor) -> String {
    svg::hex((c.0, c.1, c.2))
}

/// The text colour that reads on a fill of `c` (relative luminance, WCAG's threshold for equal contrast).
pub fn text_on(c: RGBColor) -> RGBColor {
    let linear = |v: u8| (f64::from(v) / 255.0).powf(2.2);
    let luminance = 0.2126 * linear(c.0) + 0.7152 * linear(c.1) + 0.0722 * linear(c.2);
    if luminance > 0.18 { ON_LIGHT } else { ON_DARK }
}

/// The colour again, darker, or lighter where it is dark: lines on it that are seen and do not shout.
fn shade(c: RGBColor) -> RGBColor {
    let mix = |v: u8| match text_on(c) {
        ON_LIGHT => (u16::from(v) * 9 / 20) as u8,
        _ => 255 - ((255 - u16::from(v)) * 9 / 20) as u8,
    };
    RGBColor(mix(c.0), mix(c.1), mix(c.2))
}

/// Which part of a text sits on the point that it is drawn at.
#[derive(Clone, Copy, Debug)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// A chart being drawn. Its size is fixed at the start.
pub struct Canvas {
    backend: Svg,
    width: i32,
}

/// What tells a filled area from another one without its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Colour alone, without lines.
    Solid,
    /// Lines that rise.
    Rising,
    /// Lines that fall.
    Falling,
    /// Upright lines.
    Upright,
    /// Level lines.
    Level,
    /// Rising and falling lines.
    Crossed,
    /// Level and upright lines.
    Squared,
}

/// Patterns of the colours in [`SERIES`], by index.
pub const PATTERNS: [Pattern; 7] = [
    Pattern::Level,
    Pattern::Rising,
    Pattern::Falling,
    Pattern::Upright,
    Pattern::Solid,
    Pattern::Crossed,
    Pattern::Squared,
];

/// How each chart's file begins, by which it is told from another's.
pub const START: &str = "<svg class=\"chart\"";

/// Draws a chart as an SVG of `size` pixels: `id` makes the ids of its title and description unique in a page.
pub fn draw(id: &str, size: (i32, i32), title: &str, description: &str, paint: impl FnOnce(&mut Canvas)) -> String {
    let (width, height) = (size.0.max(1), size.1.max(1));
    let mut canvas = Canvas { backend: Svg::new((width as u32, height as u32)), width };
    canvas.rect((0, 0), (width, height), SURFACE);
    canvas.text((0, 16), Anchor::Start, Font { px: 16, color: INK, bold: true }, title);
    paint(&mut canvas);
    let drawn = canvas.backend.finish();
    let (title, description) = (escape(&printable(title)), escape(&printable(description)));
    format!(
        "{START} role=\"img\" font-family=\"sans-serif\" aria-labelledby=\"{id}-title\" \
         aria-describedby=\"{id}-desc\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n<title id=\"{id}-title\">{title}</title>\n\
         <desc id=\"{id}-desc\">{description}</desc>\n{drawn}</svg>\n"
    )
}

/// Size in pixels, colour and weight of text in a chart.
#[derive(Clone, Copy)]
pub struct Font {
    pub px: i32,
    pub color: RGBColor,
    pub bold: bool,
}

/// Font of what explains: axes, units, keys.
pub const NOTE: Font = Font { px: 12, color: MUTED, bold: false };
/// Font of what names a row or a mark.
pub const LABEL: Font = Font { px: 12, color: INK, bold: false };
/// Font of the figure that a row is about.
pub const STRONG: Font = Font { px: 12, color: INK, bold: true };
/// Font of a panel's title.
pub const HEADING: Font = Font { px: 13, color: INK, bold: true };

impl Canvas {
    /// Draws one line of text, vertically centred on the point; cut where the chart ends.
    pub fn text(&mut self, at: (i32, i32), anchor: Anchor, font: Font, text: &str) {
        let Font { px, color, bold } = font;
        let room = match anchor {
            Anchor::Start => self.width - at.0,
            Anchor::Middle => 2 * at.0.min(self.width - at.0),
            Anchor::End => at.0,
        };
        let text = text::fit(&printable(text), px, bold, room);
        if text.is_empty() {
            return;
        }
        let h = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let font = ("sans-serif", px).into_font();
        let font = if bold { font.style(FontStyle::Bold) } else { font };
        let style = TextStyle::from(font).color(&color).pos(Pos::new(h, VPos::Center));
        let _ = self.backend.draw_text(&text, &style, at);
    }

    /// Draws text on a plate of the page's colour, for where lines cross.
    pub fn plated(&mut self, at: (i32, i32), anchor: Anchor, font: Font, text: &str) {
        let Font { px, bold, .. } = font;
        let half = (text::width(text, px, bold) + 4) / 2;
        let middle = match anchor {
            Anchor::Start => at.0 + half - 2,
            Anchor::Middle => at.0,
            Anchor::End => at.0 - half + 2,
        };
        self.rect(((middle - half).max(0), at.1 - px / 2), ((middle + half).min(self.width), at.1 + px / 2), SURFACE);
        self.text(at, anchor, font, text);
    }

    /// Draws a filled rectangle between two corners, in pixels.
    pub fn rect(&mut self, from: (i32, i32), to: (i32, i32), color: RGBColor) {
        let _ = self.backend.draw_rect(from, to, &color.filled(), true);
    }

    /// Draws a filled rectangle with a pattern of thin lines on it.
    pub fn patterned(&mut self, from: (i32, i32), to: (i32, i32), color: RGBColor, pattern: Pattern) {
        self.rect(from, to, color);
        let ink = shade(color);
        let (width, height) = (to.0 - from.0, to.1 - from.1);
        if matches!(pattern, Pattern::Level | Pattern::Squared) {
            (from.1 + 3..to.1).step_by(5).for_each(|y| self.line((from.0, y), (to.0, y), ink, 1));
        }
        if matches!(pattern, Pattern::Upright | Pattern::Squared) {
            (from.0 + 3..to.0).step_by(6).for_each(|x| self.line((x, from.1), (x, to.1), ink, 1));
        }
        // A line per 7 pixels of x at the lower edge, cut off at the sides.
        for x in (4 - height..width).step_by(7) {
            let (low, high) = (x.max(0), (x + height).min(width));
            if high <= low {
                continue;
            }
            if matches!(pattern, Pattern::Rising | Pattern::Crossed) {
                self.line((from.0 + low, to.1 - (low - x)), (from.0 + high, to.1 - (high - x)), ink, 1);
            }
            if matches!(pattern, Pattern::Falling | Pattern::Crossed) {
                self.line((from.0 + low, from.1 + (low - x)), (from.0 + high, from.1 + (high - x)), ink, 1);
            }
        }
    }

    /// Draws the outline of a rectangle between two corners, in pixels.
    pub fn outline(&mut self, from: (i32, i32), to: (i32, i32), color: RGBColor) {
        self.path(&[from, (to.0, from.1), to, (from.0, to.1), from], color, 1);
    }

    /// Draws a small round mark.
    pub fn dot(&mut self, at: (i32, i32), radius: u32, color: RGBColor) {
        let _ = self.backend.draw_circle(at, radius, &color.filled(), true);
    }

    /// Draws a ring around a mark.
    pub fn ring(&mut self, at: (i32, i32), radius: u32, color: RGBColor) {
        let _ = self.backend.draw_circle(at, radius, &color.stroke_width(1), false);
    }

    /// Draws an interval as a whisker: a level line from `x.0` to `x.1` at height `y`, with upright ends.
    pub fn whisker(&mut self, x: (i32, i32), y: i32, half: i32, color: RGBColor) {
        self.line((x.0, y), (x.1, y), color, 1);
        for end in [x.0, x.1] {
            self.line((end, y - half), (end, y + half), color, 1);
        }
    }

    /// Draws a straight line `width` pixels wide.
    pub fn line(&mut self, from: (i32, i32), to: (i32, i32), color: RGBColor, width: u32) {
        let _ = self.backend.draw_line(from, to, &color.stroke_width(width));
    }

    /// Draws a horizontal or vertical dashed line.
    pub fn dashed(&mut self, from: (i32, i32), to: (i32, i32), color: RGBColor) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = f64::from(dx).hypot(f64::from(dy)).max(1.0);
        let at = |d: f64| {
            let t = (d / length).min(1.0);
            (from.0 + (f64::from(dx) * t).round() as i32, from.1 + (f64::from(dy) * t).round() as i32)
        };
        let mut d = 0.0;
        while d < length {
            self.line(at(d), at(d + 3.0), color, 1);
            d += 7.0;
        }
    }

    /// Draws a line through points, `width` pixels wide.
    pub fn path(&mut self, points: &[(i32, i32)], color: RGBColor, width: u32) {
        let _ = self.backend.draw_path(points.iter().copied(), &color.stroke_width(width));
    }

    /// Draws a marker; seven shapes, so that series differ without their colours, and from the eighth on in shape and
    /// colour together.
    pub fn marker(&mut self, shape: usize, at: (i32, i32), color: RGBColor) {
        let (x, y) = at;
        let style = color.filled();
        let around = |points: &[(i32, i32)]| points.iter().map(|p| (x + p.0, y + p.1)).collect::<Vec<_>>();
        let corners: &[(i32, i32)] = match (shape + shape / SERIES.len()) % 7 {
            0 => {
                let _ = self.backend.draw_circle(at, 4, &style, true);
                return;
            }
            1 => &[(-4, -4), (4, -4), (4, 4), (-4, 4)],
            2 => &[(0, -5), (5, 4), (-5, 4)],
            3 => &[(0, -6), (6, 0), (0, 6), (-6, 0)],
            4 => &[(0, 5), (5, -4), (-5, -4)],
            6 => &[(-4, -5), (6, 0), (-4, 5)],
            _ => &[
                (-2, -6),
                (2, -6),
                (2, -2),
                (6, -2),
                (6, 2),
                (2, 2),
                (2, 6),
                (-2, 6),
                (-2, 2),
                (-6, 2),
                (-6, -2),
                (-2, -2),
            ],
        };
        let _ = self.backend.fill_polygon(around(corners), &style);
    }

    /// Draws a marker with a hole.
    pub fn hollow(&mut self, shape: usize, at: (i32, i32), color: RGBColor) {
        self.marker(shape, at, color);
        self.dot(at, 2, SURFACE);
    }

    /// Draws an open diamond: something stated, not measured.
    pub fn open_diamond(&mut self, at: (i32, i32), color: RGBColor) {
        let (x, y) = at;
        let corners = [(x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y), (x, y - 6)];
        let _ = self.backend.fill_polygon(corners, &SURFACE.filled());
        self.path(&corners, color, 2);
    }
}

/// XML 1.0 has no place for control characters, escaped or not.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_contrasts_with_every_series() {
        assert_eq!(text_on(SERIES[4]), ON_DARK);
        assert_eq!(text_on(SERIES[1]), ON_LIGHT);
    }
}
