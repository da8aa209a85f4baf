//! The JSON Schema of receipts, made from the types.

use crate::record::Receipt;
use serde_json::Value;

/// Draft 2020-12. Fields that newer versions add are allowed, so that a receipt of any version 1 validates.
///
/// Descriptions are the types' doc comments, line breaks included. Those that a line of source is too short for are
/// written as `#[doc = ".."]`, so that the schema does not change with where source lines end.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Receipt).to_value();
    schema["title"] = "tritbench receipt, version 1".into();
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::store::sealed;

    const COMMITTED: &str = include_str!("../schema/receipt-1.schema.json");

    #[test]
    fn the_committed_schema_is_that_of_the_types() {
        let text = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
        let how = "regenerate: cargo run -p harness -- receipt schema > reports/receipt/schema/receipt-1.schema.json";
        assert!(text == COMMITTED, "reports/receipt/schema/receipt-1.schema.json is not what the types say; {how}");
    }

    #[test]
    fn receipts_of_every_version_and_state_validate() {
        let validator = jsonschema::validator_for(&serde_json::from_str(COMMITTED).unwrap()).unwrap();
        let assert_valid = |value: &Value| {
            let errors: Vec<String> =
                validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(errors.is_empty(), "{errors:?}");
        };
        let others = [fixture::interrupted(), fixture::empty(), fixture::hostile(), fixture::engines(), fixture::gpu()];
        for receipt in [fixture::complete()].into_iter().chain(others) {
            assert_valid(&serde_json::from_slice(&sealed(&receipt).unwrap()).unwrap());
        }
        let old = include_bytes!("../tests/fixtures/receipt-1.0.0.json");
        let mut old: Value = serde_json::from_slice(old).unwrap();
        assert_valid(&old);
        old["host"]["cpus"] = "two".into();
        assert!(!validator.is_valid(&old), "a schema that accepts anything says nothing");
    }
}
