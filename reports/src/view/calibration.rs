//! A calibration on the page.

use crate::calibration::{interval, rates, sentence};
use receipt::CalibrationRecord;
use receipt::figures;
use serde::Serialize;

/// The calibration's part of the page.
#[derive(Debug, Serialize)]
pub struct CalibrationView {
    sentence: String,
    setup: String,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    effect: String,
    gates: usize,
    detected: String,
    interval: String,
    elsewhere: usize,
    inconclusive: usize,
    unstable: usize,
    seconds: String,
}

impl CalibrationView {
    /// Of a record.
    pub fn new(record: &CalibrationRecord) -> Self {
        let loads: Vec<f64> = record.trials.iter().filter_map(|t| t.load_1m).collect();
        let load = match figures::median(loads.iter().copied()) {
            Some(median) => {
                let most = loads.iter().copied().fold(0.0, f64::max);
                format!("; load average when a gate began: median {median:.1}, at most {most:.1}")
            }
            None => String::new(),
        };
        let rows = rates(record).into_iter().map(|r| {
            let (low, high) = interval(r.detected, r.gates);
            Row {
                effect: if r.effect == 0.0 { "none".into() } else { format!("{}%", r.effect) },
                gates: r.gates,
                detected: r.detected.to_string(),
                interval: format!("{} to {}", figures::percent(low), figures::percent(high)),
                elsewhere: r.elsewhere,
                inconclusive: r.inconclusive,
                unstable: r.unstable,
                seconds: format!("{:.0}", r.seconds),
            }
        });
        Self {
            sentence: sentence(record),
            setup: format!(
                "Threshold {}, chance of any false alarm {} a gate, {} comparisons a gate{load}",
                figures::percent(record.rule.delta),
                figures::percent(record.rule.alpha),
                record.rule.comparisons
            ),
            rows: rows.collect(),
        }
    }
}
