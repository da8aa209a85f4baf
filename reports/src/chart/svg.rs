//! A plotters backend that writes SVG for a page: whole pixels, one path for a run of lines, triangles or dots that
//! look alike (a trace of a thousand rounds would otherwise be a thousand elements), no attribute that says what is the
//! default anyway. Its colours are those of `canvas::THEMED` where the page may recolour them.

use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontStyle,
    text_anchor,
};

use std::convert::Infallible;
use std::fmt::Write;

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// An SVG drawing. It is written into a string, so that nothing can fail.
pub struct Svg {
    size: (u32, u32),
    elements: String,
    /// What the open path looks like; its data is the end of `elements`.
    path: Option<String>,
}

impl Svg {
    /// An empty drawing of this width and height in pixels.
    pub fn new(size: (u32, u32)) -> Self {
        Self { size, elements: String::new(), path: None }
    }

    /// The drawing's SVG elements, a line each.
    pub fn finish(mut self) -> String {
        self.close();
        self.elements
    }

    fn close(&mut self) {
        if self.path.take().is_some() {
            self.elements.push_str("\"/>\n");
        }
    }

    /// Adds to the open path if it looks like this, else opens one.
    fn join(&mut self, look: String, data: &str) {
        if self.path.as_ref() != Some(&look) {
            self.close();
            let _ = write!(self.elements, "<path {look} d=\"");
            self.path = Some(look);
        }
        self.elements.push_str(data);
    }

    fn element(&mut self, element: &str) {
        self.close();
        self.elements.push_str(element);
        self.elements.push('\n');
    }
}

/// A colour as SVG writes it: `#RRGGBB`.
pub fn hex((r, g, b): (u8, u8, u8)) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

fn color(style: &impl BackendStyle) -> String {
    hex(style.color().rgb)
}

fn stroke(style: &impl BackendStyle) -> String {
    let width = style.stroke_width();
    let width = if width == 1 { String::new() } else { format!(" stroke-width=\"{width}\"") };
    format!("stroke=\"{}\"{width}", color(style))
}

/// `M1 2h4l-3 5`: the first point, and from each to the next.
fn along(mut points: impl Iterator<Item = BackendCoord>) -> String {
    let Some(mut at) = points.next() else { return String::new() };
    let mut data = format!("M{} {}", at.0, at.1);
    for point in points {
        let _ = match (point.0 - at.0, point.1 - at.1) {
            (dx, 0) => write!(data, "h{dx}"),
            (0, dy) => write!(data, "v{dy}"),
            (dx, dy) => write!(data, "l{dx} {dy}"),
        };
        at = point;
    }
    data
}

/// `text` with XML's own characters spelt out (`&lt;` for `<`).
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl DrawingBackend for Svg {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.join(format!("fill=\"{}\"", hex(color.rgb)), &format!("M{x} {y}h1v1h-1z"));
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.join(stroke(style), &along([from, to].into_iter()));
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S, fill: bool) -> Drawn {
        let look = if fill { format!("fill=\"{}\"", color(style)) } else { format!("fill=\"none\" {}", stroke(style)) };
        let (width, height) = (to.0 - from.0, to.1 - from.1);
        let (x, y) = from;
        self.element(&format!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" {look}/>"));
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        self.join(format!("fill=\"none\" {}", stroke(style)), &along(path.into_iter()));
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, corners: I, style: &S) -> Drawn {
        self.join(format!("fill=\"{}\"", color(style)), &(along(corners.into_iter()) + "z"));
        Ok(())
    }

    /// A filled circle is a dot of a round pen: many of them are one path.
    fn draw_circle<S: BackendStyle>(&mut self, (x, y): BackendCoord, radius: u32, style: &S, fill: bool) -> Drawn {
        if fill {
            let pen = format!("stroke=\"{}\" stroke-width=\"{}\" stroke-linecap=\"round\"", color(style), 2 * radius);
            self.join(pen, &format!("M{x} {y}h0"));
        } else {
            self.element(&format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" fill=\"none\" {}/>", stroke(style)));
        }
        Ok(())
    }

    /// One line, as high as its capitals around the point.
    fn draw_text<T: BackendTextStyle>(&mut self, text: &str, style: &T, (x, y): BackendCoord) -> Drawn {
        let anchor = match style.anchor().h_pos {
            text_anchor::HPos::Left => "",
            text_anchor::HPos::Center => " text-anchor=\"middle\"",
            text_anchor::HPos::Right => " text-anchor=\"end\"",
        };
        let weight = if matches!(style.style(), FontStyle::Bold) { " font-weight=\"bold\"" } else { "" };
        let (size, fill, text) = (style.size(), hex(style.color().rgb), escape(text));
        self.element(&format!(
            "<text x=\"{x}\" y=\"{y}\" dy=\"0.5ex\"{anchor} font-size=\"{size}\"{weight} fill=\"{fill}\">{text}</text>"
        ));
        Ok(())
    }

    fn estimate_text_size<T: BackendTextStyle>(
        &self,
        text: &str,
        style: &T,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let (px, bold) = (style.size() as i32, matches!(style.style(), FontStyle::Bold));
        Ok((super::text::width(text, px, bold).max(0) as u32, px.max(0) as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plotters::style::{Color, IntoFont, RGBColor, TextStyle};

    const DARK: RGBColor = RGBColor(0x11, 0x11, 0x11);
    const GREY: RGBColor = RGBColor(0x22, 0x22, 0x22);

    #[test]
    fn what_looks_alike_is_one_path() {
        let mut svg = Svg::new((10, 10));
        let thin = Color::stroke_width(&DARK, 1);
        svg.draw_line((1, 2), (5, 2), &thin).expect("drawn");
        svg.draw_line((3, 2), (3, 9), &thin).expect("drawn");
        svg.draw_line((3, 2), (4, 9), &Color::stroke_width(&DARK, 2)).expect("drawn");
        svg.fill_polygon([(1, 1), (4, 1), (4, 5)], &GREY.filled()).expect("drawn");
        svg.draw_circle((5, 6), 4, &GREY.filled(), true).expect("drawn");
        svg.draw_circle((7, 6), 4, &Color::stroke_width(&GREY, 1), false).expect("drawn");
        svg.draw_path([(1, 1), (2, 2)], &thin).expect("drawn");
        svg.draw_rect((1, 2), (4, 7), &GREY.filled(), true).expect("drawn");
        assert_eq!(
            svg.finish(),
            "<path stroke=\"#111111\" d=\"M1 2h4M3 2v7\"/>\n\
             <path stroke=\"#111111\" stroke-width=\"2\" d=\"M3 2l1 7\"/>\n\
             <path fill=\"#222222\" d=\"M1 1h3v4z\"/>\n\
             <path stroke=\"#222222\" stroke-width=\"8\" stroke-linecap=\"round\" d=\"M5 6h0\"/>\n\
             <circle cx=\"7\" cy=\"6\" r=\"4\" fill=\"none\" stroke=\"#222222\"/>\n\
             <path fill=\"none\" stroke=\"#111111\" d=\"M1 1l1 1\"/>\n\
             <rect x=\"1\" y=\"2\" width=\"3\" height=\"5\" fill=\"#222222\"/>\n"
        );
    }

    #[test]
    fn text_keeps_its_words() {
        let mut svg = Svg::new((10, 10));
        let style = TextStyle::from(("sans-serif", 12).into_font()).color(&DARK);
        svg.draw_text("a < b & c", &style, (0, 16)).expect("drawn");
        assert_eq!(
            svg.finish(),
            "<text x=\"0\" y=\"16\" dy=\"0.5ex\" font-size=\"12\" fill=\"#111111\">a &lt; b &amp; c</text>\n"
        );
    }
}
