//! What shells, editors and packages take from the program: completions, manual pages, schemas.

use crate::common::*;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn committed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/schema").join(format!("{name}.schema.json"))
}

#[test]
fn committed_schemas_are_those_of_the_types_and_take_the_files() {
    let schemas = [("scenario", "list scenarios"), ("claims", "list claims"), ("engine", "engine list")];
    for (name, command) in schemas {
        let shown = printed(&format!("{command} --schema"));
        let how = format!("tritbench {command} --schema > scenarios/schema/{name}.schema.json");
        let committed = std::fs::read_to_string(committed(name)).unwrap_or_default();
        assert!(shown == committed, "{name}: not what the types say; {how}");
    }
    let refusals = |schema: &str, file: &str| -> Vec<String> {
        let validator = jsonschema::validator_for(&read_json(committed(schema))).expect("a schema");
        let toml: toml::Value = toml::from_str(file).expect("TOML");
        let value: Value = serde_json::to_value(toml).expect("JSON");
        validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect()
    };
    for name in ["quick", "seed-tables", "2b-4t", "prefill", "bonsai-8b", "activation-rules", "engines", "timeout"] {
        let text = std::fs::read_to_string(scenarios().join(format!("{name}.toml"))).expect("there");
        assert_eq!(refusals("scenario", &text), [""; 0], "{name}");
    }
    let claims = std::fs::read_to_string(scenarios().join("claims.toml")).expect("there");
    assert_eq!(refusals("claims", &claims), [""; 0]);
    let wrong = "name = 'n'\nsummary = 's'\nanalysis = 'a'\nmicro = { rounds = 'many', residency = ['l2'] }\nx = 1\n";
    assert_eq!(refusals("scenario", wrong).len(), 2, "{:?}", refusals("scenario", wrong));
    refused("list kernels --schema", 2, &["--schema is that of files"]);
}

#[test]
fn every_command_has_completions_and_a_manual_page() {
    for (shell, part) in [("bash", "complete -F"), ("zsh", "#compdef tritbench"), ("fish", "complete -c tritbench")] {
        let script = printed(&format!("completions {shell}"));
        assert!(script.contains(part) && script.contains("perplexity") && script.contains("kernel-library"), "{shell}");
        let folder = Folder::new();
        // Each shell reads its own, where it is installed.
        let file = folder.write("script", &script);
        if let Ok(output) = Command::new(shell).args(["-n", &file]).output() {
            succeeds(output);
        }
    }
    let folder = Folder::new();
    succeeds(run(&format!("man {}", folder.make("man1"))));
    let pages = folder.names("man1");
    for command in ["", "-compare", "-doctor", "-receipt-verify"] {
        assert!(pages.contains(&format!("tritbench{command}.1")), "{pages:?}");
    }
    let page = folder.read("man1/tritbench-count.1");
    assert!(page.contains(".TH") && page.contains("asm"), "{page}");
    refused(&format!("man {}", folder.at("nowhere")), 2, &["nowhere"]);
    refused("completions powershell", 2, &["powershell", "bash"]);
}
