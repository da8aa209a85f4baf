//! Which engines a run has, and why others of its table are not run.
//!
//! Nothing that a scenario file says runs a program: an engine runs when the user names it with `--engine`, or, of the
//! engines that this program ships a definition of, by setting the environment variable that says where it is, for the
//! scenario that is about engines.

use super::definition::{Definition, OWN};
use crate::error::{Error, Result};
use crate::scenario::Scenario;

/// The built-in scenario about engines, whose table has those that this program knows how to run.
pub const ABOUT: &str = "engines";

/// The engines that this program ships a definition of; our own is the first.
pub fn shipped() -> Result<Vec<Definition>> {
    Ok(Scenario::load_built_in(ABOUT)?.tables)
}

/// An engine of a run.
#[derive(Clone, Debug)]
pub struct Selected {
    pub definition: Definition,
    /// Why it is not run.
    pub left_out: Option<String>,
}

/// The engines of a run: our own first, then those of `--engine`, else those of the scenario and of the shipped table.
/// None where the run is not about engines.
///
/// # Errors
/// A name that no table has.
pub fn select(named: &[String], scenario: &Scenario) -> Result<Vec<Selected>> {
    if named.is_empty() && scenario.engines.is_none() {
        return Ok(Vec::new());
    }
    let shipped = shipped()?;
    let known = table(&shipped, &scenario.tables);
    let run = |definition: &Definition| Selected { definition: definition.clone(), left_out: None };
    let own = known.iter().filter(|engine| engine.name == OWN).map(|engine| run(engine));
    if named.is_empty() {
        let others = known.iter().filter(|engine| engine.name != OWN).map(|engine| {
            let ours = shipped.iter().any(|shipped| shipped == *engine);
            let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            let variables = engine.variables();
            let found = ours && !variables.is_empty() && variables.iter().all(set);
            let hint = variables.iter().map(|name| format!(" (it needs {name})")).collect::<String>();
            let why = format!("not named; --engine {} runs it{hint}", engine.name);
            Selected { left_out: (!found).then_some(why), ..run(engine) }
        });
        return Ok(own.chain(others).collect());
    }
    let mut selected: Vec<Selected> = own.collect();
    for name in named {
        let engine = find(&known, name)?;
        if selected.iter().all(|known| known.definition.name != engine.name) {
            selected.push(run(engine));
        }
    }
    Ok(selected)
}

/// All definitions: a scenario's own take the place of shipped ones of the same name, but for our own program's.
pub fn table<'d>(shipped: &'d [Definition], own: &'d [Definition]) -> Vec<&'d Definition> {
    let replaced = |engine: &&Definition| engine.name == OWN || own.iter().all(|own| own.name != engine.name);
    shipped.iter().filter(replaced).chain(own.iter().filter(|own| own.name != OWN)).collect()
}

/// The definition of this name.
pub fn find<'d>(known: &[&'d Definition], name: &str) -> Result<&'d Definition> {
    known.iter().find(|engine| engine.name == name).copied().ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|engine| engine.name.as_str()).collect();
        Error::input(format!("no engine is called \"{name}\"; there are {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name='t'\nsummary='s'\nanalysis='a'\n[engines]\n";
    const MINE: &str = "[[engine]]\nname='mine'\nsummary='s'\nversion=['v']\nrun=['r']\nformats=['i2_s']\n";

    fn scenario(text: &str) -> Scenario {
        Scenario::parse("t.toml", text).expect("valid")
    }

    fn names(selected: &[Selected], run: bool) -> Vec<&str> {
        let wanted = selected.iter().filter(|engine| engine.left_out.is_none() == run);
        wanted.map(|engine| engine.definition.name.as_str()).collect()
    }

    #[test]
    fn the_shipped_table_begins_with_our_own_and_says_where_the_others_come_from() {
        let all = shipped().expect("valid");
        assert_eq!((all[0].name.as_str(), all[0].variables().len()), (OWN, 0));
        for engine in &all[1..] {
            assert!(!engine.variables().is_empty(), "{}: a variable says where it is", engine.name);
            assert!(!engine.build.is_empty(), "{}: how a user gets it", engine.name);
        }
    }

    #[test]
    fn nothing_that_a_scenario_says_runs() {
        let about = scenario(&format!("{HEAD}{MINE}"));
        let selected = select(&[], &about).expect("selected");
        assert_eq!(names(&selected, true), [OWN], "no variable of a shipped one is set here");
        let left = selected.iter().find(|engine| engine.definition.name == "mine").expect("a row");
        assert_eq!(left.left_out.as_deref(), Some("not named; --engine mine runs it"));
        let named = select(&["mine".into(), "mine".into()], &about).expect("selected");
        assert_eq!((names(&named, true), named.len()), (vec![OWN, "mine"], 2));
    }

    #[test]
    fn a_run_that_is_not_about_engines_has_none_and_unknown_names_are_refused() {
        let other = scenario("name='t'\nsummary='s'\nanalysis='a'\n");
        assert!(select(&[], &other).expect("selected").is_empty());
        let error = select(&["nobody".into()], &other).expect_err("refused").to_string();
        assert!(error.starts_with("no engine is called \"nobody\"; there are tritbench, "), "{error}");
    }

    /// A file that redefines our own program would make it tie with anything.
    #[test]
    fn our_own_program_is_what_it_is() {
        let impostor = MINE.replace("mine", OWN);
        let selected = select(&[OWN.into()], &scenario(&format!("{HEAD}{impostor}"))).expect("selected");
        assert_eq!((selected.len(), &selected[0].definition.run[0][..]), (1, "{self}"));
    }
}
