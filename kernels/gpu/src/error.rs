//! What can go wrong between here and a device.

use std::time::Duration;

/// Why a device did not do what it was asked to. One line each; the device is usable again unless it is lost.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// This machine has no adapter that can compute.
    #[error(
        "no GPU was found: no Vulkan, Metal or DirectX 12 adapter (on Debian mesa-vulkan-drivers has a software one)"
    )]
    NoAdapter,
    /// There are adapters, but none of this number.
    #[error("there is no gpu:{asked}; there {}", listed(.found))]
    NoSuchAdapter {
        /// The number that was asked for.
        asked: usize,
        /// Names of those that there are.
        found: Vec<String>,
    },
    /// The driver gave no device.
    #[error("{adapter} gives no device: {why}")]
    NoDevice {
        /// Name of the adapter.
        adapter: String,
        /// The driver's reason.
        why: String,
    },
    /// A shader or what it is given does not validate.
    #[error("shader {shader} does not validate: {why}")]
    Shader {
        /// File of the shader, without its ending.
        shader: &'static str,
        /// The first line of the reason.
        why: String,
    },
    /// The device refused an operation.
    #[error("the device refuses: {0}")]
    Refused(String),
    /// The device is gone: nothing works on it any more.
    #[error("the device was lost: {0}")]
    Lost(String),
    /// A submission did not come back in time.
    #[error("a submission took longer than {} ms and was given up", .0.as_millis())]
    TooLong(Duration),
    /// A matrix that does not fit the adapter's buffers, or a kernel's range.
    #[error("a matrix of {rows} x {k} is too large: {why}")]
    TooLarge {
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        k: usize,
        /// Which limit it passes.
        why: String,
    },
    /// Operands that do not fit each other: a fault of the caller.
    #[error("{0}")]
    Operands(String),
}

impl GpuError {
    /// Whether the device can do nothing more after this.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::TooLong(_))
    }
}

fn listed(found: &[String]) -> String {
    let all: Vec<String> = found.iter().enumerate().map(|(i, name)| format!("gpu:{i} ({name})")).collect();
    format!("{} {}", if all.len() == 1 { "is" } else { "are" }, all.join(", "))
}

/// The first line of a driver's or validator's words that says something.
pub(crate) fn first_line(words: &str) -> String {
    let said = words.lines().map(str::trim).find(|line| !line.is_empty());
    said.unwrap_or("no reason was given").trim_end_matches([':', ';', '.']).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_line_and_name_what_there_is() {
        let error = GpuError::NoSuchAdapter { asked: 7, found: vec!["llvmpipe".into(), "A card".into()] };
        assert_eq!(error.to_string(), "there is no gpu:7; there are gpu:0 (llvmpipe), gpu:1 (A card)");
        let error = GpuError::NoSuchAdapter { asked: 1, found: vec!["llvmpipe".into()] };
        assert_eq!(error.to_string(), "there is no gpu:1; there is gpu:0 (llvmpipe)");
        assert_eq!(first_line("\n  Shader error:\n  at 3"), "Shader error");
        assert!(GpuError::TooLong(Duration::from_millis(20)).to_string().contains("20 ms"));
        assert!(GpuError::Lost(String::new()).is_fatal() && !GpuError::NoAdapter.is_fatal());
    }
}
