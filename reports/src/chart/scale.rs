//! Values onto pixels, and round values to write beside an axis.

use std::ops::RangeInclusive;

/// A linear or logarithmic axis: turns values into pixels.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    log: bool,
    from: f64,
    to: f64,
    pixel_from: i32,
    pixel_to: i32,
}

impl Scale {
    /// A linear scale from 0 to `max`, over these pixels.
    pub fn linear(max: f64, pixels: (i32, i32)) -> Self {
        let to = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        Self { log: false, from: 0.0, to, pixel_from: pixels.0, pixel_to: pixels.1 }
    }

    /// A linear scale from one value to another, over these pixels.
    pub fn between(from: f64, to: f64, pixels: (i32, i32)) -> Self {
        if from.is_finite() && to.is_finite() && to - from > to.abs() * 1e-9 {
            return Self { log: false, from, to, pixel_from: pixels.0, pixel_to: pixels.1 };
        }
        Self { log: false, from: 0.0, to: 1.0, pixel_from: pixels.0, pixel_to: pixels.1 }
    }

    /// A logarithmic scale over positive values; any other range becomes 1..10 so that an odd receipt still draws.
    pub fn log(range: RangeInclusive<f64>, pixels: (i32, i32)) -> Self {
        let (mut from, mut to) = (*range.start(), *range.end());
        if !(from.is_finite() && to.is_finite() && from > 0.0 && to > from) {
            (from, to) = (1.0, 10.0);
        }
        Self { log: true, from, to, pixel_from: pixels.0, pixel_to: pixels.1 }
    }

    /// The pixel of a value; values outside the range stop at its ends.
    pub fn at(&self, value: f64) -> i32 {
        let share = if self.log {
            (value.max(f64::MIN_POSITIVE).ln() - self.from.ln()) / (self.to.ln() - self.from.ln())
        } else {
            (value - self.from) / (self.to - self.from)
        };
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        self.pixel_from + (f64::from(self.pixel_to - self.pixel_from) * share).round() as i32
    }

    /// The value at a share of the way from one end of the range to the other.
    pub fn value(&self, share: f64) -> f64 {
        if self.log { self.from * (self.to / self.from).powf(share) } else { self.from + (self.to - self.from) * share }
    }

    /// Whether a value lies in the range.
    pub fn holds(&self, value: f64) -> bool {
        value >= self.from && value <= self.to
    }

    /// Round values in the range, at least `gap` pixels apart.
    pub fn ticks(&self, gap: i32) -> Vec<f64> {
        let room = (self.pixel_to - self.pixel_from).abs() / gap.max(1);
        if !self.log {
            return self.steps(room);
        }
        let (low, high) = (self.from.log10().floor() as i32, self.to.log10().ceil() as i32);
        let of = |factors: &[f64], every: usize| -> Vec<f64> {
            let decades = (low..=high).step_by(every);
            let all = decades.flat_map(|d| factors.iter().map(move |f| power_of_ten(*f, d)));
            all.filter(|v| *v >= self.from * 0.9999 && *v <= self.to * 1.0001).collect()
        };
        let decades = [
            of(&[1.0, 1.5, 2.0, 3.0, 5.0, 7.0], 1),
            of(&[1.0, 2.0, 5.0], 1),
            of(&[1.0, 3.0], 1),
            of(&[1.0], 1),
            of(&[1.0], 2),
        ];
        // A range between two of these has equal steps.
        decades
            .into_iter()
            .chain((1..=room).rev().map(|room| self.steps(room)))
            .find(|t| {
                let pixels: Vec<i32> = t.iter().map(|v| self.at(*v)).collect();
                t.len() >= 2 && pixels.windows(2).all(|w| (w[1] - w[0]).abs() >= gap)
            })
            .unwrap_or_else(|| vec![self.from, self.to])
    }

    /// Multiples of a round step in the range, at most one more than `room`.
    fn steps(&self, room: i32) -> Vec<f64> {
        let (factor, decade) = nice_step((self.to - self.from) / f64::from(room.max(1)));
        let first = (self.from / power_of_ten(factor, decade)).ceil();
        let within = (self.to - self.from) * 1e-4;
        // At most one for each gap: where doubles are too coarse for the step, adding it changes nothing.
        (0..=room)
            .map(|i| power_of_ten((first + f64::from(i)) * factor, decade))
            .take_while(|v| *v <= self.to + within)
            .collect()
    }
}

/// `factor * 10^decade`, dividing for negative decades: 7 / 10 prints as 0.7, 7 * 0.1 does not.
fn power_of_ten(factor: f64, decade: i32) -> f64 {
    if decade < 0 { factor / 10f64.powi(-decade) } else { factor * 10f64.powi(decade) }
}

/// The least of 1, 2 and 5 times a power of ten that is not below `raw`, as factor and power.
fn nice_step(raw: f64) -> (f64, i32) {
    let decade = raw.max(f64::MIN_POSITIVE).log10().floor() as i32;
    let factor = [1.0, 2.0, 5.0].into_iter().find(|f| power_of_ten(*f, decade) >= raw).unwrap_or(10.0);
    (factor, decade)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_apart() {
        let scale = Scale::log(0.8..=30.0, (0, 300));
        let ticks = scale.ticks(30);
        assert!(ticks.contains(&1.0) && ticks.contains(&10.0), "{ticks:?}");
        assert_eq!(Scale::linear(47.0, (0, 500)).ticks(80), [0.0, 10.0, 20.0, 30.0, 40.0]);
        // The range of one kernel and its limit, between 3 and 7 times a power of ten; and what prints as it reads.
        assert_eq!(Scale::log(43.09..=67.33, (0, 284)).ticks(40), [45.0, 50.0, 55.0, 60.0, 65.0]);
        assert_eq!(Scale::log(0.51..=0.69, (0, 284)).ticks(60), [0.55, 0.6, 0.65]);
        assert!((Scale::log(1.0..=100.0, (0, 2)).value(0.5) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn odd_values_stay_on_the_canvas() {
        for scale in [Scale::log(f64::NAN..=0.0, (10, 20)), Scale::linear(f64::INFINITY, (10, 20))] {
            for v in [f64::NAN, -1.0, 0.0, f64::INFINITY] {
                assert!((10..=20).contains(&scale.at(v)));
            }
            assert!(scale.ticks(5).len() < 20);
        }
    }
}
