//! How wide text is, without a font: the advances of DejaVu Sans, the widest of the fonts that pages commonly get for
//! `sans-serif`, so that what fits here fits elsewhere. Everything that must not collide is placed by it.

/// Hundredths of an em from space to tilde.
const REGULAR: [u8; 95] = [
    32, 41, 46, 84, 64, 96, 78, 28, 40, 40, 50, 84, 32, 37, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 34, 34, 84,
    84, 84, 54, 100, 69, 69, 70, 77, 64, 58, 78, 76, 30, 30, 66, 56, 87, 75, 79, 61, 79, 70, 64, 62, 74, 69, 99, 69,
    62, 69, 40, 34, 40, 84, 50, 50, 62, 64, 55, 64, 62, 36, 64, 64, 28, 28, 58, 28, 98, 64, 62, 64, 64, 42, 53, 40, 64,
    60, 82, 60, 60, 53, 64, 34, 64, 84,
];
const BOLD: [u8; 95] = [
    35, 46, 53, 84, 70, 101, 88, 31, 46, 46, 53, 84, 38, 42, 38, 37, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 40, 40,
    84, 84, 84, 58, 100, 78, 77, 74, 83, 69, 69, 83, 84, 38, 38, 78, 64, 100, 84, 85, 74, 85, 77, 73, 69, 82, 78, 111,
    78, 73, 73, 46, 37, 46, 84, 50, 50, 68, 72, 60, 72, 68, 44, 72, 72, 35, 35, 67, 35, 105, 72, 69, 72, 72, 50, 60,
    48, 72, 66, 93, 65, 66, 59, 72, 37, 72, 84,
];

/// Width of one line of text in pixels, rounded up; `px` is the font's size.
pub fn width(text: &str, px: i32, bold: bool) -> i32 {
    let table = if bold { &BOLD } else { &REGULAR };
    let of = |c: char| match c {
        ' '..='~' => i64::from(table[c as usize - 32]),
        '·' | '’' => 38,
        '×' | '±' | '≥' | '≤' | '→' | '←' => 84,
        '–' | '§' | '²' => 50,
        'µ' => 74,
        '…' => 100,
        // Whatever this is, no common font makes it wider.
        _ => 115,
    };
    let hundredths: i64 = text.chars().map(of).sum();
    (hundredths.saturating_mul(i64::from(px)) + 99).div_euclid(100).min(i64::from(i32::MAX)) as i32
}

/// `text`, or as much of it as `room` pixels hold, with a sign that it goes on.
pub fn fit(text: &str, px: i32, bold: bool, room: i32) -> String {
    if width(text, px, bold) <= room {
        return text.into();
    }
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if width(&short, px, bold) + px > room {
            short.pop();
            break;
        }
    }
    short.truncate(short.trim_end().len());
    if short.is_empty() { String::new() } else { short + "…" }
}

/// `text` in lines of at most `room` pixels, broken at spaces; never more than a hundred, whatever the text.
pub fn wrap(text: &str, px: i32, room: i32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        let word = fit(word, px, false, room);
        let full = lines.len() == 100;
        match lines.last_mut() {
            Some(line) if width(line, px, false) + width(&word, px, false) + px / 2 <= room => {
                line.push(' ');
                line.push_str(&word);
            }
            _ if full => break,
            _ => lines.push(word),
        }
    }
    lines
}

/// Moves labels apart: places at least `gap` pixels from each other and inside `room`, in the order of what they belong
/// to and as near to it as that allows. With more labels than room they leave it at its lower end.
pub fn apart(wanted: &[i32], gap: i32, room: (i32, i32)) -> Vec<i32> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&i| wanted[i]);
    // With the gaps taken out this is the nearest sequence that never falls: neighbours that would are pooled at their
    // mean.
    let mut pools: Vec<(i64, i64)> = Vec::new();
    for (place, &i) in order.iter().enumerate() {
        pools.push((i64::from(wanted[i]) - place as i64 * i64::from(gap), 1));
        while let [.., (a, n), (b, m)] = pools[..]
            && a * m > b * n
        {
            pools.truncate(pools.len() - 2);
            pools.push((a + b, n + m));
        }
    }
    let last = i64::from(room.1) - (wanted.len() as i64 - 1) * i64::from(gap);
    let levels = pools.iter().flat_map(|&(sum, n)| std::iter::repeat_n(sum / n, n as usize));
    let mut out = vec![0; wanted.len()];
    for (place, (level, i)) in levels.zip(order).enumerate() {
        out[i] = (level.min(last).max(i64::from(room.0)) + place as i64 * i64::from(gap)) as i32;
    }
    out
}

/// Places in a chart that text has taken: a text for a place that is taken, or outside, is not drawn.
pub struct Taken {
    inside: [i32; 4],
    boxes: Vec<[i32; 4]>,
}

impl Taken {
    /// A chart's area between these corners, with nothing taken yet.
    pub fn new(from: (i32, i32), to: (i32, i32)) -> Self {
        Self { inside: [from.0, from.1, to.0, to.1], boxes: Vec::new() }
    }

    /// Takes the place of a line of `width` pixels that begins at `x`, centred on `y`; false if something is there.
    pub fn take(&mut self, (x, y): (i32, i32), width: i32, px: i32) -> bool {
        let new = [x - 2, y - px / 2 - 1, x + width + 2, y + px / 2 + 1];
        let [left, top, right, bottom] = self.inside;
        let free = new[0] + 2 >= left && new[1] >= top && new[2] - 2 <= right && new[3] <= bottom;
        let meets = |b: &[i32; 4]| new[0] < b[2] && b[0] < new[2] && new[1] < b[3] && b[1] < new[3];
        if !free || self.boxes.iter().any(meets) {
            return false;
        }
        self.boxes.push(new);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_font() {
        // "Ladder" in DejaVu Sans at 100 px: 55.7 + 61.3 + 63.5 + 63.5 + 61.5 + 41.1.
        assert!((347..=352).contains(&width("Ladder", 100, false)), "{}", width("Ladder", 100, false));
        assert!(width("Ladder", 100, true) > width("Ladder", 100, false));
        assert_eq!(width("", 12, true), 0);
    }

    #[test]
    fn what_does_not_fit_is_cut_and_says_so() {
        assert_eq!(fit("avx2-permute", 12, false, 200), "avx2-permute");
        let short = fit("a kernel with a very long name", 12, false, 80);
        assert!(short.ends_with('…') && width(&short, 12, false) <= 80, "{short}");
        assert_eq!(fit("wide", 12, false, 5), "");
        let lines = wrap("one two three four five six seven", 12, 80);
        assert!(lines.len() > 2 && lines.iter().all(|l| width(l, 12, false) <= 80), "{lines:?}");
        assert!(wrap("", 12, 80).is_empty());
    }

    #[test]
    fn a_place_is_taken_once() {
        let mut taken = Taken::new((0, 0), (100, 100));
        assert!(taken.take((10, 20), 50, 12));
        assert!(!taken.take((40, 25), 50, 12), "something is there");
        assert!(taken.take((40, 40), 50, 12));
        assert!(!taken.take((60, 70), 50, 12), "outside");
    }

    #[test]
    fn labels_keep_their_distance_and_their_order() {
        assert_eq!(apart(&[10, 50, 90], 12, (0, 100)), [10, 50, 90]);
        assert_eq!(apart(&[50, 50, 50], 10, (0, 100)), [40, 50, 60]);
        assert_eq!(apart(&[98, 99, 2], 10, (0, 100)), [90, 100, 2]);
        let crowd = apart(&[5; 30], 10, (0, 100));
        assert!(crowd.windows(2).all(|w| w[1] - w[0] == 10), "{crowd:?}");
        assert!(apart(&[], 10, (0, 100)).is_empty());
    }
}
