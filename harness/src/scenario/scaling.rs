//! What shares a scale in products of kernels with scales of groups.

use kernels::{ActivationRule, Family, Needs, ScaleUnit};
use receipt::Activations;

/// Weights that share a scale where no model says it: what most published files have.
const GROUP: usize = 128;
/// Weights of a group that a scenario may ask for: those of some kernel's.
const GROUPS: [usize; 3] = [64, 128, 256];

/// What shares a scale in a cell of kernels with scales of groups. Cells of other kernels have one scale a tensor, and
/// a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// Weights of a group.
    pub group: usize,
    /// Which activations.
    pub rule: ActivationRule,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { group: GROUP, rule: ActivationRule::Token }
    }
}

impl Scaling {
    /// Whether a word of a scenario's entry is meant as [`Self::parse`] reads it: it begins with `g` and a digit.
    pub fn is_like(word: &str) -> bool {
        word.strip_prefix('g').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    }

    /// Reads `g64x32`, `g128xtoken`: weights of a group, and the rule of activations.
    ///
    /// # Errors
    /// A line that says what may stand there.
    pub fn parse(word: &str) -> Result<Self, String> {
        let parts = word.strip_prefix('g').and_then(|rest| rest.split_once('x'));
        let group = parts.and_then(|(group, _)| GROUPS.into_iter().find(|size| size.to_string() == group));
        let rule = parts.and_then(|(_, rule)| ActivationRule::find(rule));
        let scaling = group.zip(rule).map(|(group, rule)| Self { group, rule });
        let (groups, rules) = (GROUPS.map(|size| size.to_string()), ActivationRule::ALL.map(ActivationRule::name));
        let next = format!("a size of {} and a rule of {}", groups.join(", "), rules.join(", "));
        scaling.ok_or_else(|| format!("\"{word}\" is no scaling; write g64x32 or g128xtoken: {next}"))
    }

    /// That of a model whose matrices and activations ask this of a kernel.
    pub fn of(needs: Needs) -> Self {
        let group = if let ScaleUnit::Group(group) = needs.scales { group } else { GROUP };
        Self { group, rule: needs.rule }
    }

    /// What operands of a cell ask of a kernel.
    pub fn needs(self) -> Needs {
        Needs { scales: ScaleUnit::Group(self.group), rule: self.rule, ..Needs::NONE }
    }

    /// As receipts and workers have it, of a cell of this family.
    pub fn recorded(self, family: Family) -> (Option<usize>, Option<Activations>) {
        if family == Family::W2gA8 { (Some(self.group), Some(activations(self.rule))) } else { (None, None) }
    }

    /// What a receipt or a worker's parent says; what it does not say is by default.
    pub fn said(group: Option<usize>, activations: Option<Activations>) -> Self {
        let default = Self::default();
        let rule = activations.and_then(|rule| ActivationRule::find(rule.name())).unwrap_or(default.rule);
        Self { group: group.unwrap_or(default.group), rule }
    }
}

/// The receipt's value for a rule.
pub const fn activations(rule: ActivationRule) -> Activations {
    match rule {
        ActivationRule::Token => Activations::Token,
        ActivationRule::Per256 => Activations::Per256,
        ActivationRule::Per128 => Activations::Per128,
        ActivationRule::Per32 => Activations::Per32,
    }
}

/// Reads the name of a rule, as people type it.
///
/// # Errors
/// A line that lists the names.
pub fn parse_rule(name: &str) -> Result<ActivationRule, String> {
    let names = ActivationRule::ALL.map(ActivationRule::name).join(", ");
    let wrong = || format!("\"{name}\" is no rule of activations; take one of {names}");
    ActivationRule::find(&name.trim().to_lowercase()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_read_again() {
        for (group, rule) in [64, 128, 256].into_iter().flat_map(|g| ActivationRule::ALL.map(|rule| (g, rule))) {
            let scaling = Scaling { group, rule };
            assert_eq!(activations(rule).name(), rule.name());
            let (group, activations) = scaling.recorded(Family::W2gA8);
            assert_eq!((Scaling::said(group, activations), Scaling::of(scaling.needs())), (scaling, scaling));
            assert_eq!(scaling.recorded(Family::W2A8), (None, None));
        }
        // What builds of before there was a choice measured.
        assert_eq!(Scaling::said(None, None), Scaling { group: 128, rule: ActivationRule::Token });
        assert_eq!(Scaling::of(Needs::TERNARY), Scaling::default());
    }

    #[test]
    fn scalings_are_read_from_words() {
        let read = |word| Scaling::parse(word).map(|scaling| (scaling.group, scaling.rule));
        assert_eq!(read("g64x32"), Ok((64, ActivationRule::Per32)));
        assert_eq!(read("g128xtoken"), Ok((128, ActivationRule::Token)));
        assert_eq!(read("g256x256"), Ok((256, ActivationRule::Per256)));
        for wrong in ["g96x32", "g64x64", "g64", "g64x", "g064x32", "g64x32x1", "64x32"] {
            let what = read(wrong).expect_err(wrong);
            assert!(what.starts_with(&format!("\"{wrong}\" is no scaling; write g64x32")), "{what}");
        }
        assert!(Scaling::is_like("g96x32") && !Scaling::is_like("dram") && !Scaling::is_like("gram"));
    }

    #[test]
    fn rules_are_read_as_people_type_them() {
        assert_eq!(parse_rule(" Token"), Ok(ActivationRule::Token));
        assert_eq!(parse_rule("32"), Ok(ActivationRule::Per32));
        let wrong = parse_rule("64").expect_err("no rule");
        assert_eq!(wrong, "\"64\" is no rule of activations; take one of token, 256, 128, 32");
    }
}
