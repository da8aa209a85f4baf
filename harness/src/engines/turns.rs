//! Engines in turns: all loaded, in balanced random order, each asked the same three things a round by one clock.
//!
//! A short prompt and one id, the short prompt and all ids, a long prompt and one id: what the second takes more than
//! the first is decoding, what the third takes more is the prompt. Whatever a request costs beside, an adapter and a
//! pipe, is in all three and cancels.

use super::client::Client;
use crate::error::Result;
use crate::guests::Failed;
use crate::interrupt;
use crate::measure::rounds::{Spent, orders};
use receipt::{EngineTurns, OwnTimes, Round, Rule, TurnEntry};

/// How the turns are taken.
#[derive(Clone, Copy)]
pub struct Plan<'p> {
    /// Ids that prompts are taken from: the long one has all, the short one the last.
    pub prompt: &'p [u32],
    pub short: usize,
    /// Ids of the long text.
    pub tokens: usize,
    pub rounds: usize,
    pub seed: u64,
    pub rule: &'p Rule,
}

/// An engine that takes turns.
pub struct Player {
    pub name: String,
    /// Whether it is our own program once more.
    pub self_pair: bool,
    pub client: Client,
}

/// What one turn of one engine took.
#[derive(Clone, Copy)]
struct Turn {
    first: Spent,
    text: Spent,
    prompt: Spent,
    own: OwnTimes,
}

/// Rounds as they come; players that fail leave, with all that was measured of them.
struct Turns {
    kinds: [Vec<Round>; 3],
    own_times: Vec<Vec<OwnTimes>>,
}

/// Lets the players take turns. Those that failed come back by name; the others stay in `players`.
///
/// # Errors
/// An interrupt.
pub fn measure(
    players: &mut Vec<Player>,
    plan: Plan<'_>,
    mut step: impl FnMut(usize),
) -> Result<(EngineTurns, Vec<(String, Failed)>)> {
    let mut lost = Vec::new();
    let mut turns = Turns { kinds: Default::default(), own_times: vec![Vec::new(); players.len()] };
    // Once to get warm: pages of a mapped file, a pool of threads. Whoever fails takes our own second process along.
    while let Some((index, failed)) = warm(players, plan) {
        turns.leave(players, index, failed, &mut lost)?;
    }
    let mut waiting = orders(players.len(), plan.rounds, plan.seed);
    waiting.reverse();
    while let Some(order) = waiting.pop() {
        interrupt::check("interrupted while engines took turns")?;
        step(plan.rounds - waiting.len() - 1);
        if let Err((index, failed)) = turns.round(players, plan, order) {
            turns.leave(players, index, failed, &mut lost)?;
            waiting = orders(players.len(), waiting.len() + 1, plan.seed ^ waiting.len() as u64);
        }
    }
    let [first, text, prompt] = turns.kinds;
    let entries = players.iter().map(|player| TurnEntry { engine: player.name.clone(), self_pair: player.self_pair });
    let record = EngineTurns {
        short: plan.short,
        long: plan.prompt.len(),
        tokens: plan.tokens,
        entries: entries.collect(),
        rule: plan.rule.clone(),
        first,
        text,
        prompt,
        own_times: turns.own_times,
        noise_floor: 0.0,
    };
    Ok((record, lost))
}

/// Lets everybody take one turn that is not kept; the first that fails comes back.
fn warm(players: &mut [Player], plan: Plan<'_>) -> Option<(usize, Failed)> {
    let mut turns = players.iter_mut().enumerate();
    turns.find_map(|(index, player)| turn(&mut player.client, plan).err().map(|failed| (index, failed)))
}

impl Turns {
    /// One round of all players; where one fails, none of it is kept.
    fn round(
        &mut self,
        players: &mut [Player],
        plan: Plan<'_>,
        order: Vec<u8>,
    ) -> std::result::Result<(), (usize, Failed)> {
        let mut taken: Vec<Option<Turn>> = vec![None; players.len()];
        for &index in &order {
            let index = usize::from(index);
            taken[index] = Some(turn(&mut players[index].client, plan).map_err(|failed| (index, failed))?);
        }
        let taken: Vec<Turn> = taken.into_iter().flatten().collect();
        let kinds: [fn(&Turn) -> Spent; 3] = [|turn| turn.first, |turn| turn.text, |turn| turn.prompt];
        for (rounds, of) in self.kinds.iter_mut().zip(kinds) {
            let spent = || taken.iter().map(of);
            rounds.push(Round {
                order: order.clone(),
                ns: spent().map(|spent| spent.ns).collect(),
                cpu_ns: spent().map(|spent| spent.cpu_ns).collect(),
                wall_ns: Vec::new(),
                involuntary_switches: spent().map(|spent| spent.involuntary_switches).collect(),
            });
        }
        self.own_times.iter_mut().zip(&taken).for_each(|(times, turn)| times.push(turn.own));
        Ok(())
    }

    /// Lets a player that failed go. Our own second process goes with the first: it has nothing left to be compared
    /// with.
    fn leave(
        &mut self,
        players: &mut Vec<Player>,
        index: usize,
        failed: Failed,
        lost: &mut Vec<(String, Failed)>,
    ) -> Result<()> {
        let failed = match failed {
            Failed::Run(error) => return Err(error),
            row => row,
        };
        let name = players.remove(index).name;
        self.forget(index);
        if let Some(twin) = players.iter().position(|player| player.self_pair && player.name == name) {
            players.remove(twin).client.quit();
            self.forget(twin);
        }
        lost.push((name, failed));
        Ok(())
    }

    /// Takes a column out of all rounds.
    fn forget(&mut self, index: usize) {
        for round in self.kinds.iter_mut().flatten() {
            round.order.retain(|entry| usize::from(*entry) != index);
            round.order.iter_mut().filter(|entry| usize::from(**entry) > index).for_each(|entry| *entry -= 1);
            round.ns.remove(index);
            round.cpu_ns.remove(index);
            round.involuntary_switches.remove(index);
        }
        self.own_times.remove(index);
    }
}

/// The three requests of one turn.
fn turn(client: &mut Client, plan: Plan<'_>) -> std::result::Result<Turn, Failed> {
    let short = &plan.prompt[plan.prompt.len() - plan.short..];
    let (_, first) = client.generate(short, 1)?;
    let (own_text, text) = client.generate(short, plan.tokens)?;
    let (own_prompt, prompt) = client.generate(plan.prompt, 1)?;
    let own = OwnTimes { text_decode_ns: own_text.decode_ns, prompt_ns: own_prompt.prompt_ns };
    Ok(Turn { first, text, prompt, own })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_takes_its_column_along() {
        let round = |order: [u8; 3]| Round {
            order: order.into(),
            ns: vec![10, 20, 30],
            cpu_ns: vec![1, 2, 3],
            wall_ns: Vec::new(),
            involuntary_switches: vec![0; 3],
        };
        let own = |ns| vec![OwnTimes { text_decode_ns: ns, prompt_ns: 0 }];
        let rounds = vec![round([2, 1, 0]), round([1, 0, 2])];
        let mut turns =
            Turns { kinds: [rounds.clone(), rounds.clone(), rounds], own_times: vec![own(1), own(2), own(3)] };
        turns.forget(1);
        for rounds in &turns.kinds {
            assert_eq!((&rounds[0].order[..], &rounds[1].order[..]), (&[1, 0][..], &[0, 1][..]));
            assert_eq!((&rounds[0].ns[..], &rounds[1].cpu_ns[..]), (&[10, 30][..], &[1, 3][..]));
        }
        assert_eq!(turns.own_times, [own(1), own(3)]);
    }
}
