//! `list claims --field`: what others publish, and what physics says of it. No run is needed.

use crate::error::Result;
use crate::output::{Output, table};
use receipt::judge::field::{Judged, Machine, Model, summary};
use reports::field::{field, judged};
use serde::Serialize;

#[derive(Serialize)]
struct Listing {
    summary: String,
    machines: &'static [Machine],
    models: &'static [Model],
    claims: &'static [Judged],
}

/// Prints every published figure with its verdict.
pub fn list(json: bool, out: &Output) -> Result<()> {
    let (field, judged) = (field(), judged());
    if json {
        let (machines, models) = (&field.machines[..], &field.models[..]);
        return out.json(&Listing { summary: summary(judged), machines, models, claims: judged });
    }
    let rows = judged.iter().map(|j| {
        let threads = j.claim.threads.map_or_else(|| "-".into(), |threads| threads.to_string());
        let says = format!("{} ({})", j.claim.title, j.claim.source);
        let machine = j.machine_title.clone();
        vec![j.claim.id.clone(), says, j.stated(), machine, threads, j.words(), j.why.clone(), j.decided_by()]
    });
    let columns = ["claim", "says", "stated", "machine", "threads", "verdict", "because it", "what would decide it"];
    out.line(table(&columns, &[4], rows))?;
    out.line(format!("{}; a possible figure is not a right one", summary(judged)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use model::synth::{SynthShape, SyntheticModel};

    #[test]
    fn every_claim_names_a_scenario_that_exists() {
        let known = |name: &str| Scenario::load(name).map(drop).map_err(|error| error.to_string());
        receipt::judge::field::parse("field-claims.toml", reports::field::CLAIMS, &known).expect("valid");
        let wrong = reports::field::CLAIMS.replace("scenario = \"prefill\"", "scenario = \"nowhere\"");
        let error = receipt::judge::field::parse("field-claims.toml", &wrong, &known).expect_err("refused").to_string();
        assert!(error.contains("claim \"litespark-epyc-prefill-1\"") && error.contains("nowhere"), "{error}");
    }

    /// A synthetic file counts rows of the embedding and the head as ternary where they are stored so.
    #[test]
    fn models_that_have_a_synthetic_shape_have_its_weights() {
        let mut shapes = Vec::new();
        for model in &field().models {
            let Some(name) = &model.shape else { continue };
            let shape = SynthShape::by_name(name).expect("a shape");
            let found = SyntheticModel::new(shape, None, None, 0).expect("a model").summary().ternary_weights;
            let rows = match name.as_str() {
                "2b-4t" => 0,
                "bonsai-1.7b" => 1,
                "bonsai-8b" => 2,
                other => panic!("say how often {other} stores its head as ternary"),
            };
            assert_eq!(model.ternary + rows * model.head, found, "{}", model.name);
            shapes.push(name.as_str());
        }
        assert!(["2b-4t", "bonsai-1.7b", "bonsai-8b"].iter().all(|shape| shapes.contains(shape)), "{shapes:?}");
        // The f16 head of the published file: its bytes are what is left of it.
        let model = field().models.iter().find(|model| model.name == "2b-4t").expect("there");
        let bytes = model.ternary / 4 + model.head * 2;
        let file = SyntheticModel::new(SynthShape::by_name("2b-4t").expect("a shape"), None, None, 0).expect("a model");
        assert!((1.0..1.02).contains(&(file.bytes() as f64 / bytes as f64)), "{} {bytes}", file.bytes());
    }
}
