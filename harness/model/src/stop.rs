//! When generation ends: token ids, the model's own end token, and strings in the text.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Longest stop string in bytes; it bounds the text that is held back.
const MAX_STOP_BYTES: usize = 4096;

/// Why generation ended, as written in receipts and `generate --json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The requested number of tokens was made.
    MaxTokens,
    /// The model picked its end-of-text token.
    Eos,
    /// The model picked a token id that the user or the model's notes name.
    StopId,
    /// A stop string appeared in the generated text.
    StopString,
    /// The time limit passed.
    Timeout,
    /// The user pressed Ctrl-C.
    Interrupted,
}

/// Where and why a text ends, as found by [`StopRules::push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The rule that ended the text.
    pub reason: StopReason,
    /// Bytes of the generated text that belong to the answer: what comes before the stop string or the stopping token.
    pub text_bytes: usize,
}

/// Checks each new token, in this order: stop ids, eos, stop strings. Allocates nothing after construction as long as
/// no piece is longer than announced.
pub struct StopRules {
    ids: Vec<u32>,
    eos: Option<u32>,
    strings: Vec<Vec<u8>>,
    longest: usize,
    /// The last bytes of the text, enough for a match that began in earlier tokens.
    tail: Vec<u8>,
    /// Bytes of text so far.
    total: usize,
}

impl StopRules {
    /// Rules of one generation. `longest_piece` is the length in bytes of the longest token (see
    /// `Tokenizer::longest_piece`).
    pub fn new(ids: &[u32], eos: Option<u32>, strings: &[String], longest_piece: usize) -> Result<Self> {
        if let Some(bad) = strings.iter().find(|s| s.is_empty() || s.len() > MAX_STOP_BYTES) {
            let what = format!("a --stop string of {} bytes is not possible", bad.len());
            return Err(Error::input(format!("{what}; give 1 to {MAX_STOP_BYTES} bytes")));
        }
        let strings: Vec<Vec<u8>> = strings.iter().map(|s| s.clone().into_bytes()).collect();
        let longest = strings.iter().map(Vec::len).max().unwrap_or(0);
        let tail = Vec::with_capacity(longest + longest_piece);
        Ok(Self { ids: ids.to_vec(), eos, strings, longest, tail, total: 0 })
    }

    /// Takes a generated token and its bytes; says whether generation ends with it. A stopping token's own bytes are
    /// not part of the text.
    pub fn push(&mut self, id: u32, piece: &[u8]) -> Option<Stop> {
        if self.ids.contains(&id) {
            return Some(Stop { reason: StopReason::StopId, text_bytes: self.total });
        }
        if self.eos == Some(id) {
            return Some(Stop { reason: StopReason::Eos, text_bytes: self.total });
        }
        self.total += piece.len();
        // Text further back than the longest stop string less one byte cannot be part of a new match.
        let excess = self.tail.len().saturating_sub(self.longest.saturating_sub(1));
        self.tail.drain(..excess);
        let old = self.tail.len();
        self.tail.extend_from_slice(piece);
        let start = self.strings.iter().filter_map(|s| find_ending_after(&self.tail, s, old)).min()?;
        let text_bytes = self.total - (self.tail.len() - start);
        Some(Stop { reason: StopReason::StopString, text_bytes })
    }

    /// Bytes of the text that may be shown already. The rest may be the beginning of a stop string, which would be cut
    /// from the text.
    pub fn settled_bytes(&self) -> usize {
        let held = self.strings.iter().map(|s| {
            let most = self.tail.len().min(s.len() - 1);
            (1..=most).rev().find(|&n| self.tail.ends_with(&s[..n])).unwrap_or(0)
        });
        self.total - held.max().unwrap_or(0)
    }
}

/// Start of the first occurrence of `needle` in `tail` that ends after byte `old`.
fn find_ending_after(tail: &[u8], needle: &[u8], old: usize) -> Option<usize> {
    let from = (old + 1).saturating_sub(needle.len());
    tail[from..].windows(needle.len()).position(|w| w == needle).map(|i| from + i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules(strings: &[&str]) -> StopRules {
        let strings: Vec<String> = strings.iter().map(|s| s.to_string()).collect();
        StopRules::new(&[9, 3, 9], Some(7), &strings, 16).unwrap()
    }

    #[test]
    fn ids_come_before_eos_and_eos_before_strings() {
        let mut r = rules(&["x"]);
        assert_eq!(r.push(1, b"ab"), None);
        assert_eq!(r.push(3, b"x"), Some(Stop { reason: StopReason::StopId, text_bytes: 2 }));
        assert_eq!(r.push(7, b"x"), Some(Stop { reason: StopReason::Eos, text_bytes: 2 }));
        let both = StopRules::new(&[7], Some(7), &[], 1).unwrap().push(7, b"");
        assert_eq!(both.unwrap().reason, StopReason::StopId);
    }

    #[test]
    fn strings_may_span_tokens_and_characters() {
        let mut r = rules(&["é\n\n", "User:"]);
        let pieces: [&[u8]; 4] = [b"caf", b"\xc3", b"\xa9\n", b"\nmore"];
        let stops: Vec<_> = pieces.iter().map(|p| r.push(0, p)).collect();
        assert_eq!(stops[3], Some(Stop { reason: StopReason::StopString, text_bytes: 3 }));
        assert!(stops[..3].iter().all(Option::is_none));
        let mut r = rules(&["b", "abc"]);
        assert_eq!(r.push(0, b"zzabc").unwrap().text_bytes, 2, "the earliest match counts");
    }

    #[test]
    fn what_may_still_match_is_held_back() {
        let mut r = rules(&["User:"]);
        r.push(0, b"Hi Us");
        assert_eq!(r.settled_bytes(), 3);
        r.push(0, b"age");
        assert_eq!(r.settled_bytes(), 8);
        assert_eq!(rules(&[]).settled_bytes(), 0);
    }

    #[test]
    fn reasons_are_spelled_as_documented() {
        let all = [StopReason::MaxTokens, StopReason::Eos, StopReason::StopId, StopReason::StopString];
        let json = serde_json::to_string(&(all, StopReason::Timeout, StopReason::Interrupted)).unwrap();
        assert_eq!(json, r#"[["max_tokens","eos","stop_id","stop_string"],"timeout","interrupted"]"#);
    }

    #[test]
    fn empty_and_huge_strings_are_refused() {
        assert!(StopRules::new(&[], None, &[String::new()], 1).is_err());
        assert!(StopRules::new(&[], None, &["a".repeat(5000)], 1).is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_a_search_of_the_whole_text(
            pieces in prop::collection::vec("[ab]{0,4}", 0..30), strings in prop::collection::vec("[ab]{1,6}", 1..4),
        ) {
            let mut r = StopRules::new(&[], None, &strings, 4).unwrap();
            let room = r.tail.capacity();
            let mut text = String::new();
            for piece in &pieces {
                text.push_str(piece);
                let want = strings.iter().filter_map(|s| text.find(s.as_str())).min();
                let got = r.push(0, piece.as_bytes());
                prop_assert_eq!(got.map(|s| s.text_bytes), want);
                prop_assert_eq!(r.tail.capacity(), room);
                if got.is_some() {
                    break;
                }
                prop_assert!(r.settled_bytes() <= text.len());
            }
        }
    }
}
