//! Our own program as an engine: it speaks the protocol as any other does, and ties with itself.
//!
//! What `generate` chooses for a prompt is chosen once, when the model is loaded, for the largest batch of ids: nothing
//! is probed within a request that is timed.

use super::base64;
use super::protocol::{Described, Generated, Loaded as Answer, Logits, Scored, VERSION};
use crate::choose::decode_kernel;
use crate::choose::prefill_kernel::PrefillPolicy;
use crate::cmd::model_args::{ModelArgs, prepare};
use crate::error::{Error, Result};
use crate::gpu::DeviceArgs;
use crate::interrupt;
use crate::load_model::{Head, Loaded};
use crate::machine::{Machine, MachineArgs};
use crate::measure::bench::Bench;
use crate::measure::generation::greedy;
use crate::measure::ready::{Lengths, ready};
use crate::model_spec::LayoutArgs;
use crate::scenario::activations;
use model::decoder::Decoder;
use model::generate::Session;
use model::perplexity::{Text, score};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, Write};

/// A request as it is read: the other side of [`super::protocol::Request`].
#[derive(Debug, Deserialize)]
#[serde(tag = "request", rename_all = "lowercase")]
enum Asked {
    Describe,
    Load(Load),
    Generate { ids: Vec<u32>, count: usize },
    Score { ids: Vec<u32>, window: usize },
    Logits { ids: Vec<u32> },
    Quit,
}

/// What is to be loaded, and how.
#[derive(Debug, Deserialize)]
struct Load {
    model: String,
    threads: usize,
    head_bits: u32,
    batch: usize,
    context: usize,
}

/// A line that is read.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default = "version")]
    tritbench: u32,
    #[serde(flatten)]
    asked: Asked,
}

fn version() -> u32 {
    VERSION
}

/// Answers requests until one says `quit`, or none comes any more. One that cannot be answered gets the reason, and the
/// next is read.
pub fn serve(input: impl BufRead, output: impl Write) -> Result<()> {
    let mut wire = Wire { input, output };
    let mut next = wire.next()?;
    loop {
        next = match next {
            None | Some(Asked::Quit) => return Ok(()),
            Some(Asked::Load(load)) => match load.model() {
                Ok((machine, loaded)) => with_model(&load, &machine, &loaded, &mut wire)?,
                Err(error) => wire.after(Err::<(), _>(error))?,
            },
            Some(Asked::Describe) => wire.after(Ok(described()))?,
            Some(_) => wire.after(Err::<(), _>(Error::input("no model is loaded; send load first")))?,
        };
    }
}

/// Answers requests about one model. Gives the request that ends it.
fn with_model<R: BufRead, W: Write>(
    load: &Load,
    machine: &Machine,
    loaded: &Loaded,
    wire: &mut Wire<R, W>,
) -> Result<Option<Asked>> {
    let mut decoder = match load.decoder(machine, loaded) {
        Ok(decoder) => decoder,
        Err(error) => return wire.after(Err::<(), _>(error)),
    };
    let mut next = wire.after(Ok(Answer {
        vocabulary: loaded.model.config.vocab,
        threads: machine.threads,
        head_bits: load.head_bits,
        cache: "f16".into(),
        batch: decoder.batch(),
        activations: activations(loaded.model.activations).name().into(),
        bytes_per_token: Some(decoder.bytes_per_token()),
    }))?;
    let mut model = Speaking { decoder: &mut decoder, context: load.context };
    loop {
        next = match next {
            None | Some(Asked::Quit | Asked::Load(_)) => return Ok(next),
            Some(Asked::Describe) => wire.after(Ok(described()))?,
            Some(Asked::Generate { ids, count }) => wire.after(model.generate(ids, count))?,
            Some(Asked::Score { ids, window }) => wire.after(model.score(&ids, window))?,
            Some(Asked::Logits { ids }) => wire.after(model.logits(&ids))?,
        };
    }
}

fn described() -> Described {
    let requests = ["generate", "score", "logits"].map(str::to_owned).to_vec();
    Described { name: "tritbench".into(), version: env!("CARGO_PKG_VERSION").into(), requests }
}

impl Load {
    /// Opens the model as `generate` does.
    fn model(&self) -> Result<(Machine, Loaded)> {
        let machine = MachineArgs::default().or_else(self.threads, None);
        let args = ModelArgs {
            model: self.model.clone(),
            layout: LayoutArgs::default(),
            kernel: "auto".into(),
            head: Some(Head::of_bits(self.head_bits)?),
            pre: None,
            activations: None,
            device: DeviceArgs::default(),
            dense: false,
            machine,
            json: true,
        };
        prepare(&args, |opened| match (opened.config.context, self.context) {
            (_, 0) => Err(Error::input("a context of 0 ids holds no prompt; ask for at least 1")),
            (most, asked) if asked > most => {
                let what = format!("a context of {asked} ids is longer than the model's");
                Err(Error::input(format!("{what}; ask for at most {most}")))
            }
            _ => Ok(()),
        })
    }

    /// The decoder with what `generate` chooses by default, for a prompt of the largest batch.
    fn decoder<'m>(&self, machine: &'m Machine, loaded: &'m Loaded) -> Result<Decoder<'m>> {
        let head = Head::of_bits(self.head_bits)?;
        let mut bench = Bench::new(loaded, machine, Some(head), interrupt::flag());
        let prompt = self.batch.clamp(1, self.context);
        let selection = decode_kernel::select("auto", prompt, &mut bench.chooser)?;
        let lengths = Lengths { prompt, answer: self.context, context: self.context };
        ready(&mut bench, selection.kernel, &PrefillPolicy::Auto, false, lengths)
    }
}

/// A model that was loaded.
struct Speaking<'d, 'm> {
    decoder: &'d mut Decoder<'m>,
    context: usize,
}

impl Speaking<'_, '_> {
    fn generate(&mut self, ids: Vec<u32>, count: usize) -> Result<Generated> {
        // The last id is not fed.
        self.check(&ids, ids.len().saturating_add(count.saturating_sub(1)))?;
        let mut request = greedy(ids, count, None, Vec::new());
        request.stop_at_eos = false;
        let said = Session::new(self.decoder, request)?.run(interrupt::flag(), &mut |_| {})?;
        interrupt::check("interrupted while text was generated")?;
        let (all, first) = (said.prefill + said.decode, said.first_token.unwrap_or(said.prefill));
        let decode = all.saturating_sub(first);
        Ok(Generated { ids: said.token_ids, prompt_ns: first.as_nanos() as u64, decode_ns: decode.as_nanos() as u64 })
    }

    fn score(&mut self, ids: &[u32], window: usize) -> Result<Scored> {
        self.check(ids, window)?;
        if window == 0 || ids.len() <= window {
            let what = format!("{} ids have no whole window of {window}", ids.len());
            return Err(Error::input(format!("{what}: it takes at least 1 id and the next one")));
        }
        let text = Text { tokens: ids, window, max_windows: usize::MAX };
        let scored = score(self.decoder, text, interrupt::flag(), |_, _| {})?;
        Ok(Scored {
            nats: Some(scored.nats_per_token),
            positions: scored.tokens,
            rule: "every".into(),
            feeding: format!("{} ids at once", self.decoder.batch().min(window)),
        })
    }

    fn logits(&mut self, ids: &[u32]) -> Result<Logits> {
        self.check(ids, ids.len())?;
        self.decoder.reset();
        for part in ids.chunks(self.decoder.batch()) {
            self.decoder.forward(part)?;
        }
        Ok(Logits { logits: base64::of_numbers(self.decoder.logits()?) })
    }

    /// Refuses ids that the vocabulary does not have, none, and a sequence that is longer than the context.
    fn check(&self, ids: &[u32], longest: usize) -> Result<()> {
        let (vocabulary, context) = (self.decoder.model().config.vocab, self.context);
        if let Some((at, id)) = ids.iter().enumerate().find(|(_, id)| **id as usize >= vocabulary) {
            return Err(Error::input(format!("id {id} (number {at}) is outside the vocabulary of {vocabulary}")));
        }
        if ids.is_empty() {
            return Err(Error::input("no ids; give at least one"));
        }
        if longest > context {
            let what = format!("a sequence of {longest} ids does not fit the context of {context}");
            return Err(Error::input(format!("{what}; ask for fewer, or load with a larger one")));
        }
        Ok(())
    }
}

/// Lines in and out.
struct Wire<R, W> {
    input: R,
    output: W,
}

impl<R: BufRead, W: Write> Wire<R, W> {
    /// Writes an answer, or why there is none, and reads the next request.
    fn after(&mut self, answer: Result<impl Serialize>) -> Result<Option<Asked>> {
        match answer {
            Ok(answer) => self.write(&answer)?,
            Err(error) if error.is_interrupt() => return Err(error),
            Err(error) => self.write(&BTreeMap::from([("error", error.to_string())]))?,
        }
        self.next()
    }

    /// The next request that can be read; none at the end. What is no request gets the reason.
    fn next(&mut self) -> Result<Option<Asked>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = self.input.read_until(b'\n', &mut line);
            if read.map_err(|error| Error::input(format!("cannot read requests: {error}")))? == 0 {
                return Ok(None);
            }
            let wrong = match serde_json::from_slice(&line) {
                Ok(Line { tritbench: VERSION, asked }) => return Ok(Some(asked)),
                Ok(Line { tritbench, .. }) => {
                    format!("protocol {tritbench} is not spoken here; \"tritbench\": {VERSION} is")
                }
                Err(error) => format!("not a request: {error}"),
            };
            self.write(&BTreeMap::from([("error", wrong)]))?;
        }
    }

    fn write(&mut self, answer: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(answer);
        let line = line.map_err(|error| Error::failed(format!("cannot write an answer: {error}")))?;
        let written = writeln!(self.output, "{line}").and_then(|()| self.output.flush());
        written.map_err(|error| Error::input(format!("cannot write answers: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::protocol::Request;

    /// What the harness writes is what is read here.
    #[test]
    fn every_request_is_read() {
        let ids = &[1, 2][..];
        let load = Request::Load { model: "m", threads: 1, head_bits: 16, batch: 64, context: 512 };
        let generate = Request::Generate { ids, count: 3 };
        let score = Request::Score { ids, window: 1 };
        let all = [Request::Describe, load, generate, score, Request::Logits { ids }, Request::Quit];
        let read = all.map(|request| {
            let line = serde_json::to_vec(&request).expect("JSON");
            format!("{:?}", serde_json::from_slice::<Line>(&line).expect("read").asked)
        });
        let want =
            ["Describe", "Load(Load { model: \"m\"", "Generate { ids: [1, 2], count: 3", "Score {", "Logits {", "Quit"];
        assert!(read.iter().zip(want).all(|(read, want)| read.starts_with(want)), "{read:?}");
    }

    #[test]
    fn what_cannot_be_answered_gets_a_reason_and_the_next_is_read() {
        let lines = concat!(
            "nonsense\n\n{\"request\": \"dance\"}\n{\"request\": \"describe\", \"tritbench\": 2}\n",
            "{\"tritbench\": 1, \"request\": \"logits\", \"ids\": [1], \"more\": null}\n",
            "{\"request\": \"load\", \"model\": \"builtin\", \"threads\": 1, \"head_bits\": 5, \"batch\": 1, ",
            "\"context\": 8}\n{\"request\": \"describe\"}"
        );
        let mut said = Vec::new();
        serve(lines.as_bytes(), &mut said).expect("the end of the input ends it");
        let said = String::from_utf8(said).expect("UTF-8");
        let said: Vec<&str> = said.lines().collect();
        let parts =
            ["not a request", "not a request", "unknown variant `dance`", "protocol 2", "send load first", "5 bits"];
        assert_eq!(said.len(), 7, "{said:?}");
        for (line, part) in said.iter().zip(parts) {
            assert!(line.starts_with("{\"error\":\"") && line.contains(part), "{line} without {part}");
        }
        assert!(said[6].contains("\"requests\":[\"generate\",\"score\",\"logits\"]"), "{}", said[6]);
    }
}
