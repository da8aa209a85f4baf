//! CPU features, detected once; a mask can hide some to see what another machine would do.

use std::fmt;
use std::sync::OnceLock;

/// Environment variable with a feature list, as [`CpuFeatures::parse`] takes it; features outside it are hidden.
pub const MASK_VARIABLE: &str = "TRITBENCH_CPU_FEATURES";

/// What a CPU can do, or a kernel needs: a set of instruction-set features.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuFeatures(u32);

/// The features of each architecture, by the names that Linux gives them; where the compiler has another one, it stands
/// behind an arrow. Those of this architecture alone have names here.
macro_rules! features {
    ($($arch:literal, $is_detected:ident { $($constant:ident = $bit:literal, $name:tt => $feature:tt;)* })*) => {
        impl CpuFeatures {
            $($(
                #[doc = concat!("`", $name, "`, of ", $arch)]
                pub const $constant: Self = Self(1 << $bit);
            )*)*
            $(
                #[cfg(target_arch = $arch)]
                const NAMES: &'static [(Self, &'static str)] = &[$((Self::$constant, $name)),*];

                #[cfg(target_arch = $arch)]
                fn probe() -> Self {
                    let mut found = Self::NONE;
                    $(if std::arch::$is_detected!($feature) { found = found.with(Self::$constant); })*
                    found
                }
            )*
        }
    };
}

features! {
    "x86_64", is_x86_feature_detected {
        AVX2 = 0, "avx2" => "avx2";
        FMA = 1, "fma" => "fma";
        F16C = 2, "f16c" => "f16c";
        AVXVNNI = 3, "avxvnni" => "avxvnni";
        AVX512F = 4, "avx512f" => "avx512f";
        AVX512BW = 5, "avx512bw" => "avx512bw";
        AVX512DQ = 6, "avx512dq" => "avx512dq";
        AVX512VL = 7, "avx512vl" => "avx512vl";
        AVX512VNNI = 8, "avx512vnni" => "avx512vnni";
        AVX512VBMI = 9, "avx512vbmi" => "avx512vbmi";
        AVX512VBMI2 = 10, "avx512vbmi2" => "avx512vbmi2";
        GFNI = 11, "gfni" => "gfni";
    }
    "aarch64", is_aarch64_feature_detected {
        ASIMD = 16, "asimd" => "neon";
        ASIMDDP = 17, "asimddp" => "dotprod";
        I8MM = 18, "i8mm" => "i8mm";
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
impl CpuFeatures {
    const NAMES: &'static [(Self, &'static str)] = &[];
}

/// Why a feature list is refused: a word of it is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown CPU feature '{name}'; known: {known}")]
pub struct UnknownFeature {
    /// The unknown word, as it was given.
    pub name: String,
    /// The words that a feature list may contain, as text for the error message.
    pub known: String,
}

impl CpuFeatures {
    /// No optional feature: what every CPU of the architecture has.
    pub const NONE: Self = Self(0);
    /// What every CPU with AVX2 ships with: AVX2, FMA, F16C.
    pub const X86_64_V3: Self = Self::AVX2.with(Self::FMA).with(Self::F16C);
    /// The AVX-512 base set on top of [`Self::X86_64_V3`].
    pub const X86_64_V4: Self =
        Self::X86_64_V3.with(Self::AVX512F).with(Self::AVX512BW).with(Self::AVX512DQ).with(Self::AVX512VL);
    /// [`Self::X86_64_V4`] and AVX-512 VNNI: instructions for dot products of bytes.
    pub const X86_64_V4_VNNI: Self = Self::X86_64_V4.with(Self::AVX512VNNI);
    /// Words of a feature list that stand for several features.
    #[cfg(target_arch = "aarch64")]
    const GROUPS: &'static [(Self, &'static str)] = &[(Self::NONE, "none")];
    /// Words of a feature list that stand for several features.
    #[cfg(not(target_arch = "aarch64"))]
    const GROUPS: &'static [(Self, &'static str)] = &[
        (Self::NONE, "none"),
        (Self::X86_64_V3, "avx2"),
        (Self::X86_64_V3, "x86-64-v3"),
        (Self::X86_64_V4, "x86-64-v4"),
    ];

    /// The features of this CPU (asked once, then remembered), as far as the environment variable [`MASK_VARIABLE`]
    /// lets them through: with `TRITBENCH_CPU_FEATURES=avx2`, everything behaves as on a machine without AVX-512. A
    /// value that does not parse hides all; [`Self::mask_from_environment`] says what is wrong with it.
    pub fn detect() -> Self {
        static FOUND: OnceLock<CpuFeatures> = OnceLock::new();
        *FOUND.get_or_init(|| {
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            let found = Self::probe();
            #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
            let found = Self::NONE;
            match Self::mask_from_environment() {
                Ok(Some(mask)) => found.intersect(mask),
                Ok(None) => found,
                Err(_) => Self::NONE,
            }
        })
    }

    /// The features listed in the environment variable [`MASK_VARIABLE`]; `None` if it is not set or empty.
    ///
    /// # Errors
    /// A word that is neither a feature nor a group.
    pub fn mask_from_environment() -> Result<Option<Self>, UnknownFeature> {
        match std::env::var_os(MASK_VARIABLE) {
            Some(list) if !list.is_empty() => Self::parse(&list.to_string_lossy()).map(Some),
            _ => Ok(None),
        }
    }

    /// The union: features that are in either set.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The intersection: features that are in both sets.
    pub const fn intersect(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The difference: features of this set that `other` lacks.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether this set has every feature of `other`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set has no feature at all.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Names of the features, in the order of [`Self::parse`]'s message.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(feature, _)| self.contains(*feature)).map(|(_, name)| *name)
    }

    /// Parses a comma-separated list, in any case and with spaces around the words. `avx2` brings FMA and F16C (no CPU
    /// has it alone), `avx512*` brings what it is built on, `none` is the empty set.
    ///
    /// # Errors
    /// The first word that is neither a feature nor a group; an empty one is neither.
    pub fn parse(list: &str) -> Result<Self, UnknownFeature> {
        // The group is what `avx2` alone stands for.
        let singles = Self::NAMES.iter().filter(|(_, name)| *name != "avx2");
        let words = || Self::GROUPS.iter().chain(singles.clone());
        list.split(',').try_fold(Self::NONE, |set, word| {
            let word = word.trim().to_ascii_lowercase();
            let Some((features, _)) = words().find(|(_, name)| *name == word) else {
                let known: Vec<&str> = words().map(|(_, name)| *name).collect();
                return Err(UnknownFeature { name: word, known: known.join(", ") });
            };
            let base = match &word[..] {
                "avxvnni" => Self::X86_64_V3,
                word if word.starts_with("avx512") => Self::X86_64_V3.with(Self::AVX512F),
                "asimddp" | "i8mm" => Self::ASIMD,
                _ => Self::NONE,
            };
            Ok(set.with(*features).with(base))
        })
    }
}

/// How wide code may be that is written for several instruction sets: everything but the registered kernels, which name
/// their features one by one. Each level has all of those before it, and whoever has no code for a level runs that of
/// the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Plain Rust.
    Portable,
    /// [`CpuFeatures::X86_64_V3`].
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// [`CpuFeatures::X86_64_V4`].
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// [`CpuFeatures::X86_64_V4_VNNI`].
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

impl Level {
    /// The widest level that both this CPU and `allowed` have: a value other than [`Self::Portable`] proves that its
    /// features are there.
    pub(crate) fn select(allowed: CpuFeatures) -> Self {
        let usable = CpuFeatures::detect().intersect(allowed);
        #[cfg(target_arch = "x86_64")]
        if usable.contains(CpuFeatures::X86_64_V4_VNNI) {
            return Self::Avx512Vnni;
        } else if usable.contains(CpuFeatures::X86_64_V4) {
            return Self::Avx512;
        } else if usable.contains(CpuFeatures::X86_64_V3) {
            return Self::Avx2;
        }
        let _ = usable;
        Self::Portable
    }

    /// The name of what runs at this level, of those for plain Rust, AVX2, AVX-512 and AVX-512 VNNI.
    pub(crate) fn name(self, names: [&'static str; 4]) -> &'static str {
        names[self as usize]
    }
}

/// A function whose body is compiled for AVX2 too and runs so where this CPU has it: for what is plain Rust, no kernel,
/// and worth wide vectors. Results are the same. Not for AVX-512, where LLVM (1.95) makes scatters of strided stores,
/// which are slower than the stores.
macro_rules! also_for_avx2 {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),*) $body:block) => {
        $(#[$doc])*
        $vis fn $name($($arg: $type),*) {
            #[inline(always)]
            fn body($($arg: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2($($arg: $type),*) { body($($arg),*) }
            match crate::cpu::Level::select(crate::cpu::CpuFeatures::detect()) {
                crate::cpu::Level::Portable => body($($arg),*),
                // SAFETY: `Level::select` found these features, which are part of all other levels, on this CPU.
                #[cfg(target_arch = "x86_64")]
                _ => unsafe { avx2($($arg),*) },
            }
        }
    };
}
pub(crate) use also_for_avx2;

impl fmt::Display for CpuFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let names: Vec<_> = self.names().collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for CpuFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuFeatures({self})")
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn lists_parse_with_what_they_imply_and_are_written_in_order() {
        assert_eq!(CpuFeatures::parse("avx2"), Ok(CpuFeatures::X86_64_V3));
        assert_eq!(CpuFeatures::parse(" none "), Ok(CpuFeatures::NONE));
        assert_eq!(CpuFeatures::parse("AVX2, FMA"), Ok(CpuFeatures::X86_64_V3));
        assert!(["", "avx2,", "avx2,,fma"].iter().all(|list| CpuFeatures::parse(list).is_err()));
        let written = |list| CpuFeatures::parse(list).map(|set| set.to_string());
        assert_eq!(written("gfni,avx512vnni").as_deref(), Ok("avx2,fma,f16c,avx512f,avx512vnni,gfni"));
        assert_eq!(written("none").as_deref(), Ok("none"));
        let error = CpuFeatures::parse("avx2,avx9").expect_err("avx9 does not exist");
        assert!(error.to_string().contains("'avx9'") && error.known.contains("avx512vbmi"), "{error}");
        let set = CpuFeatures::AVX2.with(CpuFeatures::GFNI);
        assert!(set.contains(CpuFeatures::GFNI) && !set.contains(CpuFeatures::FMA));
        assert_eq!(set.without(CpuFeatures::AVX2), CpuFeatures::GFNI);
    }
}

#[cfg(all(test, target_arch = "aarch64"))]
mod tests {
    use super::*;

    #[test]
    fn lists_have_the_names_of_linux_and_what_they_imply() {
        let written = |list| CpuFeatures::parse(list).map(|set| set.to_string());
        assert_eq!(written("ASIMD").as_deref(), Ok("asimd"));
        assert_eq!(written("i8mm, asimddp").as_deref(), Ok("asimd,asimddp,i8mm"));
        assert_eq!(CpuFeatures::parse("none"), Ok(CpuFeatures::NONE));
        let error = CpuFeatures::parse("asimd,avx2").expect_err("of another architecture");
        assert_eq!(error.known, "none, asimd, asimddp, i8mm");
        assert!(CpuFeatures::detect().contains(CpuFeatures::ASIMD), "every 64-bit Arm has it");
    }
}
