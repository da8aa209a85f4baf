//! Instruction counts of one kernel call: exact, the same on every run of the same build, and independent of the
//! machine's speed.

use super::operation::{Activations, Operation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A struct of counters that can be scaled as a whole.
macro_rules! counters {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $field:ident,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
        pub struct $name<T> {
            $($(#[$inner])* pub $field: T,)*
        }

        impl $name<u64> {
            /// The counters by name.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field),)*].into_iter()
            }

            fn scaled(&self, factor: f64) -> $name<f64> {
                $name { $($field: self.$field as f64 * factor,)* }
            }
        }
    };
}

counters! {
    #[doc = "Instructions by what they do. Each is in one class; one that computes on an operand in memory is in the \
             class of what it computes\n(and among [`Traffic::reads`])."]
    Classes {
        /// Instructions that move from memory to a register, broadcasts included.
        load,
        /// Instructions that move to memory.
        store,
        /// Moves between vector or mask registers, or from and to general ones.
        register_move,
        /// Permutes, shuffles, packs, unpacks, inserts, extracts, blends, alignments, broadcasts from registers.
        shuffle,
        /// Vector and scalar floating-point products, with or without a sum.
        multiply_add,
        /// Vector shifts by bits.
        shift,
        /// Vector `and`, `or`, `xor`, `ternlog`, tests, GF(2) products.
        logic,
        /// Other vector and floating-point arithmetic: additions, averages, minima, comparisons, signs.
        arithmetic,
        /// Conversions and widenings.
        convert,
        /// Everything on general registers that is not a load, a store or a branch.
        scalar,
        /// Jumps, calls and returns.
        branch,
        /// Software prefetches.
        prefetch,
        /// `vzeroupper`, `nop` and what fits nowhere else.
        other,
    }
}

counters! {
    /// Instructions by the widest vector register that they name.
    Widths {
        /// Instructions that name no vector register, or one lane of it (`addss`).
        scalar,
        /// Instructions on 128-bit registers (xmm).
        bits_128,
        /// Instructions on 256-bit registers (ymm).
        bits_256,
        /// Instructions on 512-bit registers (zmm).
        bits_512,
    }
}

counters! {
    /// What instructions ask of memory, the stack included. A masked access counts in full, a gather as one element.
    Traffic {
        /// Number of accesses that read memory.
        reads,
        /// Number of accesses that write memory.
        writes,
        /// Bytes read from memory.
        bytes_loaded,
        /// Bytes written to memory.
        bytes_stored,
    }
}

/// A count of instructions, in all, by class, by vector width, and of accesses to memory.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Mix<T> {
    /// All instructions. A `rep` string instruction is one, however often it repeats.
    pub instructions: T,
    /// Instructions by what they do: each is in one class.
    pub classes: Classes<T>,
    /// Instructions by the widest vector register that they name.
    pub widths: Widths<T>,
    /// Accesses to memory and the bytes moved.
    pub memory: Traffic<T>,
}

impl Mix<u64> {
    /// All counters divided by `weights` and times 64: what 64 weights cost.
    pub fn per_64(&self, weights: f64) -> Mix<f64> {
        let factor = 64.0 / weights;
        Mix {
            instructions: self.instructions as f64 * factor,
            classes: self.classes.scaled(factor),
            widths: self.widths.scaled(factor),
            memory: self.memory.scaled(factor),
        }
    }
}

impl<T: Copy + std::ops::Add<Output = T>> Mix<T> {
    /// Number of instructions that name a vector register.
    pub fn vector(&self) -> T {
        self.widths.bits_128 + self.widths.bits_256 + self.widths.bits_512
    }
}

/// The instructions of one call of one kernel, from the first of its function to the last.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize, Deserialize)]
pub struct CountRecord {
    /// Kernel id. The call entered the function of this kernel's descriptor, which was checked.
    pub kernel: String,
    /// The kernel's long name: `{op}-{act}{weight}{out}-{isa}-{technique}-{mr}x{nr}`.
    pub name: String,
    /// `dequantize`, `gemv` or `gemm`.
    pub op: Operation,
    /// Rows of the matrix.
    pub m: usize,
    /// Columns of the matrix.
    pub k: usize,
    /// Tokens of a batch; 1 but for `gemm`.
    pub tokens: usize,
    /// Weights of a group that has a scale, of W2gA8; absent of the others, and before 1.6, when it was 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_group: Option<usize>,
    /// Which activations share a scale, of W2gA8; absent of the others, and before 1.6, when all of a token did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activations: Option<Activations>,
    /// Weights that the call multiplies with: m x k, times the tokens of a batch.
    pub weights_per_call: u64,
    /// Seed from which weights and activations were made.
    pub seed: u64,
    #[doc = "`branches` (stopped at each branch, straight code between them counted from its bytes), `steps` (stopped \
             at each instruction) or `plugin` (seen by a plugin of qemu, of an emulated Arm)."]
    pub method: String,
    /// Whether the kernel ran with address randomisation off.
    pub fixed_addresses: bool,
    /// SHA-256 of what the counted call computed: the same as the call that was held against the oracle.
    pub output_sha256: String,
    /// Instructions of the whole call.
    pub total: Mix<u64>,
    /// Instructions of the whole call, for each 64 weights.
    pub per_64_weights: Mix<f64>,
    /// The loop that most instructions of the call are in; absent when nothing repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hot_loop: Option<LoopRecord>,
}

/// The innermost loop with most of a call's instructions.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize, Deserialize)]
pub struct LoopRecord {
    /// How often the loop's body runs in one call.
    pub passes: u64,
    /// Share of the call's instructions that are in the loop: 0.9 is 90%.
    pub share: f64,
    /// Weights that one pass of the loop multiplies with (times tokens): from the packed codes that it reads.
    pub weights_per_pass: f64,
    /// Instructions of one pass of the loop.
    pub pass: Mix<u64>,
    /// Instructions of the loop, for each 64 weights.
    pub per_64_weights: Mix<f64>,
    #[doc = "Cycles that a static model of a CPU's ports needs for the loop; absent where none was asked, and before \
             1.4."]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<PortCycles>,
    #[doc = "The loop's instructions by address, with those that few passes reach; absent before 1.9. What they \
             executed together, and the call's other\ninstructions, is the call's count."]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listing: Vec<AsmLine>,
}

/// One instruction of a call, and how often the call executed it.
#[derive(Clone, Debug, Default, JsonSchema, PartialEq, Serialize, Deserialize)]
pub struct AsmLine {
    /// Where it is, in bytes from the first instruction of the kernel's function; other functions may lie before it.
    pub offset: i64,
    /// Bytes of code that it takes.
    pub bytes: u64,
    /// How often one call executes it.
    pub executions: u64,
    /// What it does: the name of its class among [`Classes`].
    pub class: String,
    /// Bytes of memory that one execution reads and writes.
    pub memory_bytes: u64,
    /// The instruction in AT&T syntax; targets of jumps are offsets.
    pub text: String,
}

/// The cycles of a loop by ports and dispatch alone, with all data in the first-level cache and no dependencies.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize, Deserialize)]
pub struct PortCycles {
    /// Name and version of the tool that has the model: `llvm-mca 14.0.6`.
    pub tool: String,
    /// CPU that was modelled, by the tool's name for it.
    pub cpu: String,
    /// Whether the modelled CPU is the machine's own, and not only the nearest one that the tool knows.
    pub same_cpu: bool,
    /// Cycles for each 64 weights (times tokens).
    pub cycles_per_64_weights: f64,
}

impl PortCycles {
    /// Tool and model in words: `llvm-mca 14.0.6 on sapphirerapids`, with `(nearest)` where that is another CPU.
    pub fn model(&self) -> String {
        format!("{} on {}{}", self.tool, self.cpu, if self.same_cpu { "" } else { " (nearest)" })
    }
}
