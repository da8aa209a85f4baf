//! What must be so in any receipt, whatever was measured: nothing here needs a digest.

use super::problem::Problem;
use crate::record::{
    BlockEntry, EngineTurns, EnginesRecord, Family, GenerationKernel, GenerationRecord, MicroCell, MicroEntry, Receipt,
    Residency, Round, TokenBlocks,
};
use std::fmt::Display;

/// Everything in a receipt that contradicts itself; figures may be recomputed only when nothing does.
pub fn problems(receipt: &Receipt) -> Vec<Problem> {
    let mut found = Found { receipt, problems: Vec::new() };
    found.versions();
    found.hashes();
    found.verify();
    found.device();
    for (i, cell) in receipt.micro.iter().enumerate() {
        found.cell(&format!("/micro/{i}"), cell);
    }
    found.gate();
    found.generation();
    found.activation_rules();
    found.engines();
    found.problems
}

struct Found<'a> {
    receipt: &'a Receipt,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn demand(&mut self, holds: bool, field: impl Into<String>, found: impl Display, what: &str) {
        if !holds {
            self.problems.push(Problem { found: Some(found.to_string()), ..Problem::new(field, what) });
        }
    }

    fn versions(&mut self) {
        let r = self.receipt;
        let old = r.schema_version.starts_with("1.0.");
        let newer = r.rule.is_some() || r.gate.is_some() || r.integrity.is_some();
        self.demand(!(old && newer), "/schema_version", &r.schema_version, "but it has fields of 1.1");
        self.demand(r.timestamp.parse::<jiff::Timestamp>().is_ok(), "/timestamp", &r.timestamp, "not RFC 3339");
        let elapsed = r.elapsed_s;
        self.demand(elapsed.is_finite() && elapsed >= 0.0, "/elapsed_s", elapsed, "not a duration");
        self.demand(r.settings.threads > 0, "/settings/threads", r.settings.threads, "not a number of threads");
    }

    fn hashes(&mut self) {
        let r = self.receipt;
        let mut all = vec![("/scenario/sha256".to_owned(), &r.scenario.sha256)];
        all.extend(r.build.cargo_lock_sha256.iter().map(|hash| ("/build/cargo_lock_sha256".into(), hash)));
        all.extend(r.model.iter().map(|m| ("/model/sha256".into(), &m.sha256)));
        for (i, cell) in r.micro.iter().enumerate() {
            let outputs = cell.entries.iter().enumerate().map(|(e, x)| (format!("/micro/{i}/entries/{e}"), x));
            all.extend(outputs.map(|(entry, x)| (entry + "/output_sha256", &x.output_sha256)));
        }
        if let Some(gate) = &r.gate {
            all.push(("/gate/baseline/binary_sha256".into(), &gate.baseline.binary_sha256));
            all.push(("/gate/current/binary_sha256".into(), &gate.current.binary_sha256));
        }
        let shaders = r.device.iter().flat_map(|device| device.shaders.iter().enumerate());
        all.extend(shaders.map(|(i, shader)| (format!("/device/shaders/{i}/sha256"), &shader.sha256)));
        if let Some(engines) = &r.engines {
            all.push(("/engines/text_sha256".into(), &engines.text_sha256));
            let files = engines.engines.iter().enumerate().filter_map(|(i, engine)| Some((i, engine.file.as_ref()?)));
            all.extend(files.map(|(i, file)| (format!("/engines/engines/{i}/file/sha256"), &file.sha256)));
        }
        for (field, hash) in all {
            let hex = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            self.demand(hex, field, hash, "not a SHA-256 in hex");
        }
    }

    fn verify(&mut self) {
        for (i, v) in self.receipt.verify.iter().enumerate() {
            let at = |field: &str| format!("/verify/{i}/{field}");
            self.demand(v.mismatches <= v.cases, at("mismatches"), v.mismatches, "more than there were cases");
            self.demand((v.cases > 0) == v.available, at("cases"), v.cases, "but only what runs here has cases");
            self.demand(v.available == v.reason.is_none(), at("available"), v.available, "against its reason");
            if v.mismatches == 0 && v.available {
                let within = v.max_relative_error <= v.bound;
                self.demand(within, at("max_relative_error"), v.max_relative_error, "above the bound, but no mismatch");
                // A library's sums are exact where every scale is one; its suite has others too.
                let kernel = self.receipt.kernels.iter().find(|kernel| kernel.id == v.id);
                let scales = kernel.and_then(|kernel| kernel.foreign.as_ref()).is_some_and(|f| f.output == "f32");
                let exact = !v.exact || scales || v.max_abs_error == 0.0;
                self.demand(exact, at("max_abs_error"), v.max_abs_error, "but the kernel is exact and has no mismatch");
            }
        }
    }

    /// A GPU: software is verified and never timed, and what was held against the CPU's text is part of what there was.
    fn device(&mut self) {
        let Some(device) = &self.receipt.device else { return };
        let timed = self.receipt.micro.iter().any(|cell| !cell.rounds.is_empty());
        let never = device.kind == "software" && timed;
        self.demand(!never, "/device/kind", &device.kind, "but software is never timed");
        let period = device.timestamp_period_ns;
        self.demand(period > 0.0 || !timed, "/device/timestamp_period_ns", period, "not the length of a tick");
        if let Some(text) = &device.text {
            let (differing, what) = (text.differing_bits, "more than there were outputs");
            self.demand(differing <= text.outputs, "/device/text/differing_bits", differing, what);
        }
    }

    /// Exact before fast: what has timings must have passed.
    fn passed(&mut self, field: String, id: &str) {
        let own = id.split('+').next().unwrap_or(id);
        let record = self.receipt.verify.iter().find(|v| v.id == own);
        let what = match record {
            None => "timed, but never verified",
            Some(v) if !v.available => "timed, but not available here",
            Some(v) if v.mismatches > 0 => "timed, although it has mismatches",
            Some(_) => return,
        };
        self.demand(false, field, id, what);
    }

    /// Results of int8 activations are the oracle's bit for bit, but those of a library that applied scales of groups:
    /// these are the cell's then.
    fn error(&mut self, field: String, cell: &MicroCell, entry: &MicroEntry) {
        let kernel = self.receipt.kernels.iter().find(|kernel| kernel.id == entry.kernel);
        let foreign = kernel.and_then(|kernel| kernel.foreign.as_ref());
        if let Some((foreign, scaling)) = foreign.zip(cell.scaling()) {
            let own = [foreign.output.clone(), foreign.weight_group.clone(), foreign.act_group.clone()];
            let asked = ["f32".into(), scaling.weight_group.to_string(), scaling.activations.to_string()];
            let what = "scales of the library's kernel, which are not the cell's";
            self.demand(own == asked, field.clone(), own.join(", "), what);
            return;
        }
        let error = entry.max_abs_error.unwrap_or(0.0);
        let equal = cell.family == Family::W2A32 || error == 0.0;
        self.demand(equal, field, error, "but the kernel is exact");
    }

    fn cell(&mut self, at: &str, cell: &MicroCell) {
        let n = cell.entries.len();
        let product = (cell.m as u64).checked_mul(cell.k as u64).and_then(|x| x.checked_mul(cell.tokens as u64));
        let weights = cell.weights_per_call;
        self.demand(product == Some(weights), format!("{at}/weights_per_call"), weights, "not m x k x tokens");
        let grouped = cell.family == Family::W2gA8;
        if let Some(group) = cell.weight_group {
            self.demand(grouped && group > 0, format!("{at}/weight_group"), group, "not a size of groups, of W2gA8");
        }
        if let Some(rule) = cell.activations {
            self.demand(grouped, format!("{at}/activations"), rule, "of W2gA8 alone");
        }
        // Where no kernel has a time there is nothing that was run.
        if n == 0 && !cell.without_time.is_empty() {
            let rounds = cell.rounds.len();
            self.demand(rounds == 0, format!("{at}/rounds"), rounds, "rounds, but no kernel has a time here");
        } else {
            self.demand(cell.calls_per_epoch > 0, format!("{at}/calls_per_epoch"), cell.calls_per_epoch, "not a count");
            let copies = if cell.residency == Residency::Dram { cell.copies > 1 } else { cell.copies == 1 };
            self.demand(copies, format!("{at}/copies"), cell.copies, "cannot be for this residency");
            self.twin(at, cell.entries.iter().map(|e| e.self_pair));
        }
        self.demand(cell.summaries.len() == n, format!("{at}/summaries"), cell.summaries.len(), "not one an entry");
        for (e, entry) in cell.entries.iter().enumerate() {
            self.passed(format!("{at}/entries/{e}/kernel"), &entry.kernel);
            self.error(format!("{at}/entries/{e}/max_abs_error"), cell, entry);
            if let Some(ns) = entry.prepare.as_ref().map(|prepare| prepare.ns_per_token) {
                let field = format!("{at}/entries/{e}/prepare/ns_per_token");
                self.demand(ns.is_finite() && ns >= 0.0, field, ns, "not a duration");
            }
        }
        for (i, round) in cell.rounds.iter().enumerate() {
            self.round(&format!("{at}/rounds/{i}"), round, n);
        }
        if let Some(first) = &cell.unstable_first {
            let at = format!("{at}/unstable_first");
            let once = first.unstable_first.is_none();
            self.demand(once, format!("{at}/unstable_first"), "there", "but a cell is measured at most twice");
            if once {
                self.cell(&at, first);
            }
        }
        if let Some(stream) = &cell.stream {
            let field = format!("{at}/stream/ns");
            self.demand(stream.ns.len() == cell.rounds.len(), field, stream.ns.len(), "times, not one a round");
        }
    }

    /// One A/A entry, and a baseline that is no A/A entry.
    fn twin(&mut self, at: &str, self_pairs: impl ExactSizeIterator<Item = bool>) {
        let n = self_pairs.len();
        let places: Vec<usize> = self_pairs.enumerate().filter(|(_, self_pair)| *self_pair).map(|(i, _)| i).collect();
        let what = "entries, of which one must be A/A and not the first";
        self.demand(places.len() == 1 && places[0] > 0, format!("{at}/entries"), n, what);
    }

    fn round(&mut self, at: &str, round: &Round, entries: usize) {
        let mut order = round.order.clone();
        order.sort_unstable();
        let whole = order.len() == entries && order.iter().enumerate().all(|(i, &e)| i == usize::from(e));
        self.demand(whole, format!("{at}/order"), format!("{:?}", round.order), "not each entry once");
        let switches = round.involuntary_switches.len();
        for (name, length) in
            [("ns", round.ns.len()), ("cpu_ns", round.cpu_ns.len()), ("involuntary_switches", switches)]
        {
            self.demand(length == entries, format!("{at}/{name}"), length, "values, not one an entry");
        }
        let wall = round.wall_ns.len();
        self.demand(wall == 0 || wall == entries, format!("{at}/wall_ns"), wall, "values, not one an entry");
        for (i, &ns) in round.ns.iter().enumerate().filter(|(_, ns)| **ns == 0) {
            self.demand(false, format!("{at}/ns/{i}"), ns, "nothing takes no time");
        }
    }

    fn gate(&mut self) {
        let Some(gate) = &self.receipt.gate else { return };
        for (c, cell) in gate.cells.iter().enumerate() {
            let at = format!("/gate/cells/{c}");
            // A process may have died before there was an epoch.
            let counted = cell.calls_per_epoch > 0 || (cell.broken.is_some() && cell.pairs.is_empty());
            self.demand(counted, format!("{at}/calls_per_epoch"), cell.calls_per_epoch, "not a count");
            for (p, pair) in cell.pairs.iter().enumerate() {
                let rounds = pair.rounds.len();
                let field = format!("{at}/pairs/{p}/rounds");
                self.demand(rounds <= gate.rounds_per_pair, field, rounds, "rounds, more than rounds_per_pair");
                for (i, round) in pair.rounds.iter().enumerate() {
                    self.round(&format!("{at}/pairs/{p}/rounds/{i}"), round, 3);
                }
            }
        }
        for (i, check) in gate.checks.iter().enumerate() {
            let explained = check.passed == (check.baseline == check.current) || !check.note.is_empty();
            let what = "against the two values, without a note";
            self.demand(explained, format!("/gate/checks/{i}/passed"), check.passed, what);
        }
    }

    fn generation(&mut self) {
        let Some(generation) = &self.receipt.generation else { return };
        for (i, kernel) in generation.kernels.iter().enumerate() {
            let at = format!("/generation/kernels/{i}");
            self.passed(format!("{at}/kernel"), &kernel.kernel);
            let ids = kernel.token_ids.len();
            self.demand(ids <= generation.max_tokens, format!("{at}/token_ids"), ids, "ids, more than max_tokens");
            self.generation_rounds(&at, kernel, generation.prompt_ids.len(), generation.max_tokens);
            for (g, golden) in kernel.goldens.iter().enumerate() {
                let most = golden.expected.len();
                let field = format!("{at}/goldens/{g}/compared");
                self.demand(golden.compared <= most, field, golden.compared, "more ids than are expected");
            }
        }
        for (i, blocks) in generation.blocks.iter().enumerate() {
            self.blocks(&format!("/generation/blocks/{i}"), blocks, generation);
        }
    }

    /// Rules of activations: a sum of each in every window, and turns of exactly these rules.
    fn activation_rules(&mut self) {
        let Some(record) = &self.receipt.activation_rules else { return };
        let (at, n) = ("/activation_rules", record.rules.len());
        let tokens = record.windows.len().saturating_mul(record.window);
        self.demand(tokens == record.tokens, format!("{at}/tokens"), record.tokens, "not those of the windows");
        for (i, rule) in record.rules.iter().enumerate() {
            self.passed(format!("{at}/rules/{i}/kernel"), &rule.kernel);
        }
        for (i, window) in record.windows.iter().enumerate() {
            let (at, sums) = (format!("{at}/windows/{i}/by_rule"), window.by_rule.len());
            self.demand(sums == n, &at, sums, "sums, not one a rule");
            for (r, sums) in window.by_rule.iter().enumerate() {
                let most = sums.same_top <= record.window;
                self.demand(most, format!("{at}/{r}/same_top"), sums.same_top, "more positions than the window has");
                self.demand(sums.kl >= 0.0, format!("{at}/{r}/kl"), sums.kl, "no divergence is below 0");
            }
        }
        let Some(blocks) = &record.blocks else { return };
        let at = format!("{at}/blocks");
        self.turns(&at, blocks);
        let ids = blocks.entries.iter().filter(|entry| !entry.self_pair).map(|entry| entry.kernel.as_str());
        let named = ids.eq(record.rules.iter().map(|rule| rule.activations.name()));
        self.demand(named, format!("{at}/entries"), blocks.entries.len(), "entries, which are not the rules");
    }

    /// Engines: our own first and once, texts whose margins are those of their ids, turns of engines that answered.
    fn engines(&mut self) {
        let Some(record) = &self.receipt.engines else { return };
        let at = "/engines";
        self.demand(record.threads > 0, format!("{at}/threads"), record.threads, "not a number of threads");
        for (i, engine) in record.engines.iter().enumerate() {
            let at = format!("{at}/engines/{i}");
            self.demand(engine.own == (i == 0), format!("{at}/own"), engine.own, "but our own program is the first");
            let twice = record.engines[..i].iter().any(|other| other.name == engine.name);
            self.demand(!twice, format!("{at}/name"), &engine.name, "names two engines");
            for (t, text) in engine.truth.iter().flat_map(|truth| &truth.texts).enumerate() {
                let (at, margins) = (format!("{at}/truth/texts/{t}/margins"), text.margins.len());
                self.demand(margins == text.right.len(), at, margins, "margins, not one a right id");
            }
        }
        if let Some(turns) = &record.turns {
            self.engine_turns(record, turns);
        }
    }

    fn engine_turns(&mut self, record: &EnginesRecord, turns: &EngineTurns) {
        let (at, n) = ("/engines/turns", turns.entries.len());
        self.demand(turns.short > 0, format!("{at}/short"), turns.short, "not a length");
        self.demand(turns.long > turns.short, format!("{at}/long"), turns.long, "not longer than the short prompt");
        self.demand(turns.tokens > 1, format!("{at}/tokens"), turns.tokens, "not longer than the short text");
        self.twin(at, turns.entries.iter().map(|entry| entry.self_pair));
        for (e, entry) in turns.entries.iter().enumerate() {
            let at = format!("{at}/entries/{e}/engine");
            let engine = record.engines.iter().find(|engine| engine.name == entry.engine);
            let checked = engine.is_some_and(|engine| engine.truth.is_some());
            self.demand(checked, &at, &entry.engine, "not an engine that was checked");
            // The first once more, in the last column.
            let own = engine.is_some_and(|engine| engine.own);
            let in_place = own == (e == 0 || entry.self_pair) && entry.self_pair == (e > 0 && e + 1 == n);
            self.demand(in_place, &at, &entry.engine, "but the first and the last are our own program");
            let again = turns.entries[..e].iter().any(|other| other.engine == entry.engine && !entry.self_pair);
            self.demand(!again, &at, &entry.engine, "there twice");
        }
        for (name, rounds) in [("first", &turns.first), ("text", &turns.text), ("prompt", &turns.prompt)] {
            let whole = rounds.len() == turns.first.len();
            self.demand(whole, format!("{at}/{name}"), rounds.len(), "rounds, not as many as of the others");
            for (i, round) in rounds.iter().enumerate() {
                self.round(&format!("{at}/{name}/{i}"), round, n);
            }
        }
        let own = turns.own_times.len();
        self.demand(own == n, format!("{at}/own_times"), own, "columns, not one an entry");
        for (e, times) in turns.own_times.iter().enumerate() {
            let whole = times.len() == turns.first.len();
            self.demand(whole, format!("{at}/own_times/{e}"), times.len(), "times, not one a round");
        }
    }

    /// Turns of token blocks, whoever takes them.
    fn turns(&mut self, at: &str, blocks: &TokenBlocks) {
        let n = blocks.entries.len();
        self.twin(at, blocks.entries.iter().map(|e| e.self_pair));
        self.demand(blocks.summaries.len() == n, format!("{at}/summaries"), blocks.summaries.len(), "not one an entry");
        self.demand(blocks.tokens > 0, format!("{at}/tokens"), blocks.tokens, "not a length");
        for (i, round) in blocks.prompts.iter().enumerate() {
            self.round(&format!("{at}/prompts/{i}"), round, n);
        }
        for (i, round) in blocks.rounds.iter().enumerate() {
            let at = format!("{at}/rounds/{i}");
            self.round(&at, &round.round, n);
            let settling = round.settling_ns.len();
            self.demand(settling == n, format!("{at}/settling_ns"), settling, "values, not one an entry");
            let field = format!("{at}/generation");
            self.demand(round.generation < blocks.prompts.len(), field, round.generation, "a text without a prompt");
        }
    }

    fn blocks(&mut self, at: &str, blocks: &TokenBlocks, generation: &GenerationRecord) {
        self.turns(at, blocks);
        let own =
            |e: &BlockEntry| generation.kernels.iter().find(|k| k.kernel == e.kernel && k.family == blocks.family);
        for (e, entry) in blocks.entries.iter().enumerate() {
            let known = own(entry).is_some();
            self.demand(known, format!("{at}/entries/{e}/kernel"), &entry.kernel, "not a kernel of this generation");
        }
        let shortest = blocks.entries.iter().filter_map(own).map(|k| k.token_ids.len()).min().unwrap_or(0);
        let turn = blocks.settling_tokens.saturating_add(blocks.tokens);
        for (i, round) in blocks.rounds.iter().enumerate() {
            let fits = round.from.saturating_add(turn) < shortest;
            self.demand(fits, format!("{at}/rounds/{i}/from"), round.from, "a turn past the end of the text");
        }
    }

    fn generation_rounds(&mut self, at: &str, kernel: &GenerationKernel, prompt: usize, most: usize) {
        self.demand(!kernel.rounds.is_empty(), format!("{at}/rounds"), 0, "rounds, but it is listed");
        for (r, round) in kernel.rounds.iter().enumerate() {
            let at = format!("{at}/rounds/{r}");
            self.demand(
                round.decode_tokens <= most,
                format!("{at}/decode_tokens"),
                round.decode_tokens,
                "above max_tokens",
            );
            let field = format!("{at}/prefill_tokens");
            let tokens = round.prefill_tokens.unwrap_or(0);
            self.demand(tokens <= prompt, field, tokens, "more than the prompt has");
            let first = round.time_to_first_token_ns;
            let in_order = first == 0 || first >= round.prefill_ns;
            self.demand(in_order, format!("{at}/time_to_first_token_ns"), first, "before the prompt was through");
            if let Some(times) = &round.decode_times_ns {
                let phases = [times.embed, times.forward, times.logits, times.sample, times.stop_check];
                let sum: u64 = phases.iter().fold(0, |a, b| a.saturating_add(*b));
                let field = format!("{at}/decode_times_ns");
                self.demand(sum <= round.decode_ns, field, sum, "ns of phases, more than decode_ns");
            }
        }
    }
}
