//! What a `post_processor` of tokenizer.json puts around a text.

use super::json::found;
use serde_json::Value;

/// The tokens that are put around one text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// Before it.
    pub before: Vec<String>,
    /// Behind it.
    pub behind: Vec<String>,
}

/// Reads a post-processor; `None` where it is silent about tokens around a text. The error is what is wrong, without
/// the place.
pub fn read(post_processor: Option<&Value>) -> Result<Option<Template>, String> {
    let Some(step) = post_processor else { return Ok(None) };
    match step.get("type").and_then(Value::as_str) {
        Some("ByteLevel") => Ok(None),
        Some("TemplateProcessing") => of_single(step.get("single").unwrap_or(&Value::Null)).map(Some),
        Some("Sequence") => {
            let steps = step.get("processors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let mut all = Vec::new();
            for inner in steps {
                // One level: no published file nests them.
                if inner.get("type").and_then(Value::as_str) == Some("Sequence") {
                    return Err("a sequence within a sequence is not read here".into());
                }
                all.extend(read(Some(inner))?);
            }
            if all.len() > 1 { Err("two templates do not run here".into()) } else { Ok(all.pop()) }
        }
        other => Err(format!("{} does not run here; known: ByteLevel, TemplateProcessing", other.unwrap_or("no type"))),
    }
}

fn of_single(pieces: &Value) -> Result<Template, String> {
    let Some(pieces) = pieces.as_array() else {
        return Err(format!("\"single\" of its template must be a list, found {}", found(pieces)));
    };
    let (mut template, mut seen) = (Template::default(), false);
    for piece in pieces {
        let special = piece.get("SpecialToken").and_then(|token| token.get("id")).and_then(Value::as_str);
        match (special, piece.get("Sequence")) {
            (Some(token), _) if seen => template.behind.push(token.to_owned()),
            (Some(token), _) => template.before.push(token.to_owned()),
            (None, Some(_)) if !seen => seen = true,
            _ => return Err(format!("\"single\" of its template has {}, which does not run here", found(piece))),
        }
    }
    if seen { Ok(template) } else { Err("\"single\" of its template leaves the text out".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tokens_before_and_behind_are_told_apart() {
        let (bos, text) = (json!({"SpecialToken": {"id": "<b>"}}), json!({"Sequence": {"id": "A"}}));
        let template = |single: Value| json!({"type": "TemplateProcessing", "single": single});
        let read = |value: &Value| super::read(Some(value));
        let found = read(&template(json!([bos, text, bos]))).unwrap().unwrap();
        assert_eq!(found, Template { before: vec!["<b>".into()], behind: vec!["<b>".into()] });
        let bytes = json!({"type": "ByteLevel"});
        let sequence = json!({"type": "Sequence", "processors": [bytes, template(json!([bos, text]))]});
        assert_eq!(read(&sequence).unwrap().unwrap().before, ["<b>"]);
        assert_eq!((read(&bytes), super::read(None)), (Ok(None), Ok(None)));
        for (bad, part) in [
            (template(json!([bos])), "leaves the text out"),
            (template(json!([text, text])), "an object of 1"),
            (template(json!("$A")), "must be a list"),
            (json!({"type": "RobertaProcessing"}), "RobertaProcessing does not run here"),
            (json!({"type": "Sequence", "processors": [sequence]}), "within a sequence"),
        ] {
            let error = read(&bad).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
