//! Digests of a receipt's values, so that an edit shows: one SHA-256 a part (an object, a cell, a kernel). They show
//! that a file is not what was written; they prove nothing about who wrote it: whoever can run this program can also
//! write a receipt. For that, sign the file with any tool that signs files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// How the digests are made: a part's is over those of its plain values, each as pointer=value, in order of pointers.
const METHOD: &str = "sha256 of pointer=value by leaf";
/// Name of the receipt's field that holds the digests, and that they leave out.
pub const FIELD: &str = "integrity";

/// Digests (SHA-256) of all values of a receipt, part by part.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Integrity {
    /// How the digests are made, in words.
    pub method: String,
    /// SHA-256 over the digests of all parts.
    pub root: String,
    /// The digests of the parts (an object, a cell, a kernel).
    pub parts: Vec<Part>,
}

/// The digest of one part of a receipt.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Part {
    /// JSON pointer to the part; empty for the plain values of the receipt itself.
    pub part: String,
    /// Number of plain values in the part; those of parts within it are left out.
    pub leaves: u64,
    /// SHA-256 over all plain values of the part.
    pub sha256: String,
    /// In receipts before 1.3, digests of groups of leaves. The root is over them too; nothing else uses them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locate: Vec<String>,
}

/// The JSON pointer of a part that is not what was written (`/` for the receipt's own plain values), and what is wrong.
pub type Edit = (String, &'static str);

impl Integrity {
    /// Computes the digests of a receipt given as JSON; its own field `integrity` is left out.
    pub fn of(receipt: &Value) -> Self {
        let parts = parts(receipt);
        Self { method: METHOD.into(), root: root(&parts), parts }
    }

    /// The parts of `receipt` that are not what these digests were made of; empty when nothing was edited.
    pub fn edits(&self, receipt: &Value) -> Vec<Edit> {
        if self.method != METHOD {
            return vec![("/integrity/method".into(), "not the method of this build")];
        }
        let found = parts(receipt);
        let now = |part: &Part| found.iter().find(|now| now.part == part.part);
        let is_same =
            |part: &Part| now(part).is_some_and(|now| (now.leaves, &now.sha256) == (part.leaves, &part.sha256));
        if self.root != root(&self.parts) {
            // The digests themselves were edited: those that no longer fit what is there, or else the root.
            let odd = self.parts.iter().position(|part| !is_same(part));
            let field = odd.map_or("/integrity/root".into(), |i| format!("/integrity/parts/{i}"));
            return vec![(field, "at odds with the other digests")];
        }
        let named = |part: &Part| if part.part.is_empty() { "/".into() } else { part.part.clone() };
        let edited = self.parts.iter().filter(|part| !is_same(part)).map(|part| match now(part) {
            Some(_) => (named(part), "not what was written"),
            None => (named(part), "missing, but was written"),
        });
        let is_new = |now: &&Part| !self.parts.iter().any(|part| part.part == now.part);
        let added = found.iter().filter(is_new).map(|now| (named(now), "added since the receipt was written"));
        edited.chain(added).collect()
    }
}

fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn root(parts: &[Part]) -> String {
    let mut all = Sha256::new();
    for part in parts {
        all.update(format!("{} {} {} {}\n", part.part, part.leaves, part.sha256, part.locate.join(" ")));
    }
    hex(all)
}

/// All parts: each object in the receipt, each element of a list of objects in it or in one of its objects.
fn parts(receipt: &Value) -> Vec<Part> {
    let mut all = Vec::new();
    let mut plain = Leaves::default();
    for (key, value) in sorted(receipt).filter(|(key, _)| *key != FIELD) {
        let pointer = pointer_to("", key);
        if value.is_object() {
            let mut leaves = Leaves::default();
            for (key, value) in sorted(value) {
                elements(value, pointer_to(&pointer, key), &mut leaves, &mut all);
            }
            all.push(leaves.part(pointer));
        } else {
            elements(value, pointer, &mut plain, &mut all);
        }
    }
    all.push(plain.part(String::new()));
    all
}

/// Elements of a list of objects become parts; anything else joins `leaves`.
fn elements(value: &Value, pointer: String, leaves: &mut Leaves, all: &mut Vec<Part>) {
    match value {
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (i, item) in items.iter().enumerate() {
                let mut leaves = Leaves::default();
                let pointer = format!("{pointer}/{i}");
                leaves.add(item, &pointer);
                all.push(leaves.part(pointer));
            }
        }
        value => leaves.add(value, &pointer),
    }
}

/// The plain values of a part.
#[derive(Default)]
struct Leaves {
    count: u64,
    digest: Sha256,
}

impl Leaves {
    fn add(&mut self, value: &Value, pointer: &str) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                sorted(value).for_each(|(key, value)| self.add(value, &pointer_to(pointer, key)));
            }
            Value::Array(items) if !items.is_empty() => {
                items.iter().enumerate().for_each(|(i, item)| self.add(item, &format!("{pointer}/{i}")));
            }
            leaf => {
                self.count += 1;
                self.digest.update(Sha256::digest(format!("{pointer}={}", canonical(leaf))));
            }
        }
    }

    fn part(self, pointer: String) -> Part {
        let sha256 = hex(self.digest);
        Part { part: pointer, leaves: self.count, sha256, locate: Vec::new() }
    }
}

/// Fields by name, whatever order the map keeps.
fn sorted(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let mut fields: Vec<(&String, &Value)> = value.as_object().into_iter().flatten().collect();
    fields.sort_by_key(|(key, _)| *key);
    fields.into_iter()
}

/// A number that other programs write differently stays the same: 1.0 and 1 are one value.
fn canonical(leaf: &Value) -> String {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match leaf.as_f64() {
        Some(x) if leaf.is_f64() && x.fract() == 0.0 && x.abs() < EXACT && !(x == 0.0 && x.is_sign_negative()) => {
            (x as i64).to_string()
        }
        _ => leaf.to_string(),
    }
}

/// RFC 6901.
fn pointer_to(object: &str, key: &str) -> String {
    format!("{object}/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn receipt() -> Value {
        json!({
            "elapsed_s": 1.0,
            "argv": ["a", "b"],
            "host": {"cpus": 2, "load": {"before": 0.5, "after": null}, "a/b": 1},
            "micro": [{"k": 256, "rounds": [{"ns": [10, 20]}, {"ns": [30, 40]}]}, {"k": 512, "rounds": []}],
            "generation": {"threads": 1, "kernels": [{"decode": 3.5}, {"decode": 4.5}]}
        })
    }

    #[test]
    fn the_part_of_an_edit_is_named_and_no_other() {
        let integrity = Integrity::of(&receipt());
        assert!(integrity.edits(&receipt()).is_empty());
        let edits = [
            ("/elapsed_s", "/"),
            ("/argv/1", "/"),
            ("/host/cpus", "/host"),
            ("/host/load/after", "/host"),
            ("/host/a~1b", "/host"),
            ("/micro/0/rounds/1/ns/0", "/micro/0"),
            ("/micro/0/k", "/micro/0"),
            ("/micro/1/k", "/micro/1"),
            ("/micro/1/rounds", "/micro/1"),
            ("/generation/threads", "/generation"),
            ("/generation/kernels/1/decode", "/generation/kernels/1"),
        ];
        for (pointer, part) in edits {
            let mut edited = receipt();
            *edited.pointer_mut(pointer).unwrap() = json!(77);
            assert_eq!(integrity.edits(&edited), [(part.into(), "not what was written")], "{pointer}");
        }
        let mut edited = receipt();
        (edited["micro"][0]["rounds"][0]["ns"][0], edited["host"]["cpus"]) = (json!(1), json!(3));
        assert_eq!(integrity.edits(&edited).into_iter().map(|edit| edit.0).collect::<Vec<_>>(), ["/host", "/micro/0"]);
    }

    #[test]
    fn a_part_is_the_digest_of_its_leaves_digests() {
        let integrity = Integrity::of(&json!({"a": {"x": [7, 7, [], null, -0.0], "y": {"z": {}}, "l": [{"b": 1}]}}));
        let part = |pointer: &str| integrity.parts.iter().find(|part| part.part == pointer).expect("there");
        let leaves = ["/a/x/0=7", "/a/x/1=7", "/a/x/2=[]", "/a/x/3=null", "/a/x/4=-0.0", "/a/y/z={}"];
        let digest = |leaves: &[&str]| {
            let all = leaves.iter().fold(Sha256::new(), |all, leaf| all.chain_update(Sha256::digest(leaf)));
            (leaves.len() as u64, hex(all))
        };
        assert_eq!((part("/a").leaves, part("/a").sha256.clone()), digest(&leaves));
        assert_eq!((part("/a/l/0").leaves, part("/a/l/0").sha256.clone()), digest(&["/a/l/0/b=1"]));
    }

    #[test]
    fn numbers_are_written_in_one_way() {
        let numbers = [json!(-1.0), json!(0.0), json!(-0.0), json!(1.5), json!(9007199254740991.0)];
        assert_eq!(numbers.map(|n| canonical(&n)), ["-1", "0", "-0.0", "1.5", "9007199254740991"]);
        // From 2^53 on an integer is not known from a float's value.
        assert_eq!(canonical(&json!(9007199254740992.0)), "9007199254740992.0");
    }

    #[test]
    fn what_is_added_removed_or_renamed_shows() {
        let integrity = Integrity::of(&receipt());
        type Change<'a> = &'a dyn Fn(&mut Value);
        let edits: [(&str, &str, Change<'_>); 4] = [
            ("/new", "added since the receipt was written", &|r| r["new"] = json!({})),
            ("/micro/1", "missing, but was written", &|r| drop(r["micro"].as_array_mut().unwrap().pop())),
            ("/host", "not what was written", &|r| r["host"]["more"] = json!(1)),
            ("/host", "not what was written", &|r| {
                let cpus = r["host"].as_object_mut().unwrap().remove("cpus").unwrap();
                r["host"]["cores"] = cpus;
            }),
        ];
        for (part, what, change) in edits {
            let mut edited = receipt();
            change(&mut edited);
            assert_eq!(integrity.edits(&edited), [(part.into(), what)]);
        }
    }

    #[test]
    fn edited_digests_show() {
        let integrity = Integrity::of(&receipt());
        let edit = |change: &dyn Fn(&mut Integrity)| {
            let mut edited = integrity.clone();
            change(&mut edited);
            edited.edits(&receipt())[0].0.clone()
        };
        assert_eq!(edit(&|i| i.root = "0".repeat(64)), "/integrity/root");
        assert_eq!(edit(&|i| i.method.clear()), "/integrity/method");
        assert_eq!(edit(&|i| i.parts[0].leaves += 1), "/integrity/parts/0");
        assert_eq!(edit(&|i| i.parts[1].sha256 = "0".repeat(64)), "/integrity/parts/1");
        assert_eq!(edit(&|i| i.parts[3].locate = vec!["0".into()]), "/integrity/root");
    }

    #[test]
    fn another_programs_way_of_writing_numbers_changes_nothing() {
        let integrity = Integrity::of(&receipt());
        let mut same = receipt();
        same["elapsed_s"] = json!(1);
        assert!(integrity.edits(&same).is_empty());
        same["elapsed_s"] = json!(1.0000000000000002);
        assert_eq!(integrity.edits(&same)[0].0, "/");
    }
}
