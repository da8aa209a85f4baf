//! Which activations share a scale when a token is quantised to int8.

/// How many activations of a token share a scale. The engine chooses it, no file says it: what it costs in truth is
/// measured, not assumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ActivationRule {
    /// All of a token, as BitNet b1.58 is trained and run.
    #[default]
    Token,
    /// 256 in a row, as llama.cpp's Q8_K.
    Per256,
    /// 128 in a row.
    Per128,
    /// 32 in a row, with scales rounded to f16, as llama.cpp's Q8_0.
    Per32,
}

impl ActivationRule {
    /// All rules, from coarse to fine.
    pub const ALL: [Self; 4] = [Self::Token, Self::Per256, Self::Per128, Self::Per32];

    /// Name on command lines and in receipts: `token`, `256`, `128` or `32`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Per256 => "256",
            Self::Per128 => "128",
            Self::Per32 => "32",
        }
    }

    /// The rule of that name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// Activations that share a scale; none where all of a token do.
    pub const fn block(self) -> Option<usize> {
        match self {
            Self::Token => None,
            Self::Per256 => Some(256),
            Self::Per128 => Some(128),
            Self::Per32 => Some(32),
        }
    }

    /// Activations whose products with weights in groups of `group` are summed exactly before any scale: those of a
    /// group, or of a block where a group has several.
    pub fn unit(self, group: usize) -> usize {
        self.block().map_or(group, |block| block.min(group))
    }
}

impl std::fmt::Display for ActivationRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
