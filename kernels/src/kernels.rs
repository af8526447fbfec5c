//! The kernels that this CPU can run, chosen once at run time.

use crate::level::Level;
use crate::loops::{self, Loops};
use crate::micro::{self, Micro};

/// Environment variable that asks for a level.
const VARIABLE: &str = "CUTQ_SIMD";

/// A set of kernels that this CPU can run.
#[derive(Clone, Copy)]
pub struct Kernels {
    level: Level,
    pub(crate) micro: &'static Micro,
    pub(crate) loops: &'static Loops,
}

impl Kernels {
    /// The highest level of this CPU, or the one that `CUTQ_SIMD` names.
    ///
    /// # Errors
    /// If the variable names no level, or one that this CPU lacks.
    pub fn detect() -> Result<Kernels, SimdError> {
        match std::env::var_os(VARIABLE) {
            None => Ok(Kernels::highest()),
            Some(value) => Kernels::named(&value.to_string_lossy()),
        }
    }

    /// The kernels of `level`, if this CPU has its instructions.
    pub fn with(level: Level) -> Option<Kernels> {
        Some(Kernels { level, micro: micro::table(level)?, loops: loops::table(level) })
    }

    /// The level in use.
    pub fn level(&self) -> Level {
        self.level
    }

    fn highest() -> Kernels {
        Level::ALL.into_iter().rev().find_map(Kernels::with).expect("the plain level always exists")
    }

    fn named(value: &str) -> Result<Kernels, SimdError> {
        let level = Level::ALL
            .into_iter()
            .find(|level| level.name() == value)
            .ok_or_else(|| SimdError::Unknown { value: value.to_owned() })?;
        Kernels::with(level)
            .ok_or_else(|| SimdError::Unsupported { level, highest: Kernels::highest().level })
    }
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernels({})", self.level)
    }
}

/// A request for kernels that cannot be met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SimdError {
    /// `CUTQ_SIMD` holds no level's name.
    #[error("CUTQ_SIMD={value:?} is not one of plain, neon, avx2, avx-vnni, avx512")]
    Unknown {
        /// What the variable holds.
        value: String,
    },
    /// The CPU lacks the instructions.
    #[error("CUTQ_SIMD={level}, but the highest level of this CPU is {highest}")]
    Unsupported {
        /// The level asked for.
        level: Level,
        /// The highest level that would work.
        highest: Level,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_select_levels() {
        for level in Level::ALL {
            match Kernels::named(level.name()) {
                Ok(kernels) => assert_eq!(kernels.level(), level),
                Err(error) => {
                    assert_eq!(Kernels::with(level).map(|k| k.level()), None);
                    assert!(matches!(error, SimdError::Unsupported { .. }));
                }
            }
        }
        assert!(matches!(Kernels::named("sse9"), Err(SimdError::Unknown { .. })));
    }
}
