//! Digests of a receipt's values, so that an edit shows and is found. They show that a file is not what was written;
//! they prove nothing about who wrote it: whoever can run this program can also write a receipt. For that, sign the
//! file (`receipt export --format intoto` makes the statement to sign).
//!
//! A receipt is cut into parts (an object, a cell, a kernel). Each plain value of a part is a leaf, and leaves are
//! numbered in the order of their pointers. Besides one digest of all leaves, a part keeps two short ones for every bit
//! of the number: over the leaves that have the bit, and over those that do not. A single edit changes exactly one of
//! each two, and so spells its own number. That is 34 short digests for a hundred thousand values, where a digest for
//! each would double the file. Several edits of one part leave some bits open; what is named then is the smallest
//! object that holds all candidates.

use crate::hash::hex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// How the digests are made.
const METHOD: &str = "sha256 of pointer=value by leaf";
/// The field that is left out of the digests.
pub const FIELD: &str = "integrity";
/// Pairs of short digests: parts of up to 2^40 leaves.
const MAX_BITS: u32 = 40;

/// Digests of a receipt.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Integrity {
    /// How they are made.
    pub method: String,
    /// SHA-256 over all parts.
    pub root: String,
    /// The parts.
    pub parts: Vec<Part>,
}

/// One part of a receipt.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Part {
    /// JSON pointer; empty for the plain values of the receipt itself.
    pub part: String,
    /// Plain values in it, those of its own parts left out.
    pub leaves: u64,
    /// SHA-256 over all leaves.
    pub sha256: String,
    #[doc = "For each bit of a leaf's number, the XOR of the first 32 bits of the digests of the leaves without it and \
             of those with it."]
    pub locate: Vec<String>,
}

/// One difference from what was written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edit {
    /// JSON pointer to the field, or to the smallest object that is known to hold it.
    pub field: String,
    /// What is wrong with it.
    pub what: String,
}

/// A leaf: its pointer and its digest.
struct Leaf {
    pointer: String,
    digest: [u8; 32],
}

impl Integrity {
    /// Digests of a receipt as JSON; its own field `integrity` is not looked at.
    pub fn of(receipt: &Value) -> Self {
        let parts: Vec<Part> = parts(receipt).iter().map(|(pointer, leaves)| Part::of(pointer, leaves)).collect();
        Self { method: METHOD.into(), root: root(&parts), parts }
    }

    /// Where `receipt` is not what these digests were made of. Empty when it is.
    pub fn edits(&self, receipt: &Value) -> Vec<Edit> {
        let mut edits = Vec::new();
        if self.method != METHOD {
            let what = format!("is {:?}, this build makes {METHOD:?}", self.method);
            return vec![Edit { field: "/integrity/method".into(), what }];
        }
        let found = parts(receipt);
        if self.root != root(&self.parts) {
            // The digests themselves were edited: those that no longer fit what is there, or else the root.
            let fits = |part: &Part| found.iter().any(|(p, leaves)| *p == part.part && Part::of(p, leaves) == *part);
            let odd = self.parts.iter().position(|part| !fits(part));
            let field = odd.map_or("/integrity/root".into(), |i| format!("/integrity/parts/{i}"));
            edits.push(Edit { field, what: "at odds with the other digests".into() });
            return edits;
        }
        for part in &self.parts {
            match found.iter().find(|(pointer, _)| *pointer == part.part) {
                Some((_, leaves)) => part.edits(leaves, &mut edits),
                None => edits.push(Edit { field: part.part.clone(), what: "missing, but was written".into() }),
            }
        }
        for (pointer, _) in found.iter().filter(|(pointer, _)| !self.parts.iter().any(|p| p.part == *pointer)) {
            edits.push(Edit { field: pointer.clone(), what: "added since the receipt was written".into() });
        }
        edits
    }
}

fn root(parts: &[Part]) -> String {
    let mut all = Sha256::new();
    for part in parts {
        all.update(format!("{} {} {} {}\n", part.part, part.leaves, part.sha256, part.locate.join(" ")));
    }
    hex(&all.finalize())
}

impl Part {
    fn of(pointer: &str, leaves: &[Leaf]) -> Self {
        let mut all = Sha256::new();
        leaves.iter().for_each(|leaf| all.update(leaf.digest));
        let bits = usize::BITS - leaves.len().saturating_sub(1).leading_zeros();
        let mut groups = vec![[0u32; 2]; bits.min(MAX_BITS) as usize];
        for (number, leaf) in leaves.iter().enumerate() {
            let [a, b, c, d, ..] = leaf.digest;
            let short = u32::from_be_bytes([a, b, c, d]);
            for (bit, pair) in groups.iter_mut().enumerate() {
                pair[number >> bit & 1] ^= short;
            }
        }
        Self {
            part: pointer.into(),
            leaves: leaves.len() as u64,
            sha256: hex(&all.finalize()),
            locate: groups.iter().map(|[without, with]| format!("{without:08x} {with:08x}")).collect(),
        }
    }

    fn edits(&self, leaves: &[Leaf], edits: &mut Vec<Edit>) {
        let now = Self::of(&self.part, leaves);
        let mut edit = |field: String, what: String| edits.push(Edit { field, what });
        if now == *self {
            return;
        }
        let name = |part: &str| if part.is_empty() { "/".to_owned() } else { part.to_owned() };
        if now.leaves != self.leaves || now.locate.len() != self.locate.len() {
            let what = format!("with {} values, {} were written", now.leaves, self.leaves);
            return edit(name(&self.part), what);
        }
        let candidates = self.candidates(&now, leaves.len());
        match candidates[..] {
            [] => edit(name(&self.part), "not what was written".into()),
            [only] => edit(leaves[only].pointer.clone(), "not what was written".into()),
            [first, ..] => {
                let last = candidates[candidates.len() - 1];
                let field = common(&leaves[first].pointer, &leaves[last].pointer);
                edit(name(field), "with values that are not what was written".into());
            }
        }
    }

    /// Numbers of the leaves that can have been edited, given that the part's digest differs: ascending.
    fn candidates(&self, now: &Self, leaves: usize) -> Vec<usize> {
        let changed = self.locate.iter().zip(&now.locate).map(|(was, is)| {
            let side = |text: &str, i: usize| text.split(' ').nth(i).map(str::to_owned);
            [0, 1].map(|i| side(was, i) != side(is, i))
        });
        let changed: Vec<[bool; 2]> = changed.collect();
        (0..leaves).filter(|number| changed.iter().enumerate().all(|(bit, pair)| pair[number >> bit & 1])).collect()
    }
}

/// The pointer of the smallest object or array that holds both.
fn common<'a>(a: &'a str, b: &str) -> &'a str {
    let same: usize = a.split('/').zip(b.split('/')).take_while(|(a, b)| a == b).map(|(a, _)| a.len() + 1).sum();
    &a[..same.saturating_sub(1)]
}

/// All parts with their leaves: each object in the receipt, each element of a list of objects in it or in one of its
/// objects.
fn parts(receipt: &Value) -> Vec<(String, Vec<Leaf>)> {
    let mut all = Vec::new();
    let mut own = Vec::new();
    for (key, value) in sorted(receipt).filter(|(key, _)| key != FIELD) {
        let pointer = format!("/{}", escape(&key));
        match value {
            Value::Object(_) => {
                let mut leaves = Vec::new();
                for (inner, value) in sorted(value) {
                    let pointer = format!("{pointer}/{}", escape(&inner));
                    elements(value, pointer, &mut leaves, &mut all);
                }
                all.push((pointer, leaves));
            }
            value => elements(value, pointer, &mut own, &mut all),
        }
    }
    all.push((String::new(), own));
    all
}

/// Elements that are objects become parts; anything else joins `leaves`.
fn elements(value: &Value, pointer: String, leaves: &mut Vec<Leaf>, all: &mut Vec<(String, Vec<Leaf>)>) {
    match value {
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (i, item) in items.iter().enumerate() {
                let mut own = Vec::new();
                let mut pointer = format!("{pointer}/{i}");
                collect(item, &mut pointer, &mut own);
                all.push((pointer, own));
            }
        }
        value => collect(value, &mut { pointer }, leaves),
    }
}

fn collect(value: &Value, pointer: &mut String, leaves: &mut Vec<Leaf>) {
    let length = pointer.len();
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in sorted(value) {
                pointer.push('/');
                pointer.push_str(&escape(&key));
                collect(value, pointer, leaves);
                pointer.truncate(length);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                // Writing to a String cannot fail.
                let _ = write!(pointer, "/{i}");
                collect(item, pointer, leaves);
                pointer.truncate(length);
            }
        }
        leaf => {
            let mut text = pointer.clone();
            text.push('=');
            canonical(leaf, &mut text);
            leaves.push(Leaf { pointer: pointer.clone(), digest: Sha256::digest(text).into() });
        }
    }
}

/// Fields by name, whatever order the map keeps.
fn sorted(value: &Value) -> impl Iterator<Item = (String, &Value)> {
    let mut fields: Vec<(String, &Value)> =
        value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value)).collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields.into_iter()
}

/// A number that other programs write differently stays the same: 1.0 and 1 are one value.
fn canonical(leaf: &Value, text: &mut String) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let _ = match leaf.as_f64() {
        Some(x) if leaf.is_f64() && x.fract() == 0.0 && x.abs() < EXACT && !(x == 0.0 && x.is_sign_negative()) => {
            write!(text, "{}", x as i64)
        }
        _ => write!(text, "{leaf}"),
    };
}

/// RFC 6901.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
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
    fn a_single_edit_names_itself() {
        let integrity = Integrity::of(&receipt());
        assert!(integrity.edits(&receipt()).is_empty());
        let pointers = [
            "/elapsed_s",
            "/argv/1",
            "/host/cpus",
            "/host/load/after",
            "/host/a~1b",
            "/micro/0/rounds/1/ns/0",
            "/micro/0/k",
            "/micro/1/k",
            "/micro/1/rounds",
            "/generation/threads",
            "/generation/kernels/1/decode",
        ];
        for pointer in pointers {
            let mut edited = receipt();
            *edited.pointer_mut(pointer).unwrap() = json!(77);
            let edits = integrity.edits(&edited);
            assert_eq!(edits.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(), [pointer]);
        }
    }

    /// The first 32 bits of a leaf's digest.
    fn short(leaf: &str) -> u32 {
        let digest: [u8; 32] = Sha256::digest(leaf).into();
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }

    #[test]
    fn a_part_has_one_pair_of_digests_for_each_bit_of_its_numbers() {
        let integrity = Integrity::of(&json!({"a": {"x": [7, 7, {}, null, -0.0]}}));
        let part = integrity.parts.iter().find(|part| part.part == "/a").expect("there");
        // `{}` makes the list one of objects, whose elements are parts of their own.
        assert_eq!((part.leaves, part.locate.len()), (0, 0));
        let integrity = Integrity::of(&json!({"a": {"x": [7, 7, [], null, -0.0], "y": {"z": {}}}}));
        let part = integrity.parts.iter().find(|part| part.part == "/a").expect("there");
        let leaves = ["/a/x/0=7", "/a/x/1=7", "/a/x/2=[]", "/a/x/3=null", "/a/x/4=-0.0", "/a/y/z={}"];
        assert_eq!((part.leaves, part.locate.len()), (6, 3));
        for (bit, pair) in part.locate.iter().enumerate() {
            let side = |with: usize| {
                let own = leaves.iter().enumerate().filter(|(number, _)| number >> bit & 1 == with);
                own.fold(0, |xor, (_, leaf)| xor ^ short(leaf))
            };
            assert_eq!(*pair, format!("{:08x} {:08x}", side(0), side(1)), "bit {bit}");
        }
    }

    #[test]
    fn numbers_are_written_in_one_way() {
        let written = |value: Value| {
            let mut text = String::new();
            canonical(&value, &mut text);
            text
        };
        let numbers = [json!(-1.0), json!(0.0), json!(-0.0), json!(1.5), json!(9007199254740991.0)];
        assert_eq!(numbers.map(written), ["-1", "0", "-0.0", "1.5", "9007199254740991"]);
        // From 2^53 on an integer is not known from a float's value.
        assert_eq!(written(json!(9007199254740992.0)), "9007199254740992.0");
    }

    #[test]
    fn a_value_more_is_counted_even_where_it_needs_no_bit_more() {
        let integrity = Integrity::of(&json!({"a": {"x": 1, "y": 2, "z": 3}}));
        let edits = integrity.edits(&json!({"a": {"x": 1, "y": 2, "z": 3, "zz": 4}}));
        assert_eq!(edits.len(), 1);
        assert_eq!((edits[0].field.as_str(), edits[0].what.as_str()), ("/a", "with 4 values, 3 were written"));
    }

    #[test]
    fn several_edits_name_what_holds_them() {
        let integrity = Integrity::of(&receipt());
        let mut edited = receipt();
        edited["micro"][0]["rounds"][0]["ns"][0] = json!(1);
        edited["micro"][0]["rounds"][0]["ns"][1] = json!(1);
        edited["host"]["cpus"] = json!(3);
        let fields: Vec<String> = integrity.edits(&edited).into_iter().map(|e| e.field).collect();
        assert!(fields.contains(&"/host/cpus".into()) && fields[1].starts_with("/micro/0"), "{fields:?}");
    }

    #[test]
    fn what_is_added_removed_or_renamed_shows() {
        let integrity = Integrity::of(&receipt());
        let edit = |change: &dyn Fn(&mut Value)| {
            let mut edited = receipt();
            change(&mut edited);
            let edits = integrity.edits(&edited);
            assert_eq!(edits.len(), 1, "{edits:?}");
            format!("{} {}", edits[0].field, edits[0].what)
        };
        assert_eq!(edit(&|r| r["new"] = json!({})), "/new added since the receipt was written");
        let removed = edit(&|r| {
            r["micro"].as_array_mut().unwrap().pop();
        });
        assert_eq!(removed, "/micro/1 missing, but was written");
        assert_eq!(edit(&|r| r["host"]["more"] = json!(1)), "/host with 5 values, 4 were written");
    }

    #[test]
    fn edited_digests_show() {
        let integrity = Integrity::of(&receipt());
        let edit = |change: &dyn Fn(&mut Integrity)| {
            let mut edited = integrity.clone();
            change(&mut edited);
            edited.edits(&receipt())[0].field.clone()
        };
        assert_eq!(edit(&|i| i.root = "0".repeat(64)), "/integrity/root");
        assert_eq!(edit(&|i| i.method.clear()), "/integrity/method");
        assert_eq!(edit(&|i| i.parts[0].leaves += 1), "/integrity/parts/0");
        assert_eq!(edit(&|i| i.parts[1].sha256 = "0".repeat(64)), "/integrity/parts/1");
        assert_eq!(edit(&|i| i.parts[3].locate.clear()), "/integrity/parts/3");
    }

    #[test]
    fn another_programs_way_of_writing_numbers_changes_nothing() {
        let integrity = Integrity::of(&receipt());
        let mut same = receipt();
        same["elapsed_s"] = json!(1);
        assert!(integrity.edits(&same).is_empty());
        same["elapsed_s"] = json!(1.0000000000000002);
        assert_eq!(integrity.edits(&same)[0].field, "/elapsed_s");
    }
}
