//! The table of a level.

#[cfg(target_arch = "aarch64")]
use super::neon;
use super::plain;
#[cfg(target_arch = "x86_64")]
use super::{avx_vnni, avx2, avx512};
use crate::level::Level;
use crate::micro::contract::Micro;

/// The kernels of `level`, if this CPU has its features.
pub(crate) fn table(level: Level) -> Option<&'static Micro> {
    match level {
        Level::Plain => Some(&plain::TABLE),
        #[cfg(target_arch = "aarch64")]
        Level::Neon => neon::detected().then_some(&neon::TABLE),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => avx2::detected().then_some(&avx2::TABLE),
        #[cfg(target_arch = "x86_64")]
        Level::AvxVnni => avx_vnni::detected().then_some(&avx_vnni::TABLE),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => avx512::detected().then_some(&avx512::TABLE),
        // Levels of other architectures.
        _ => None,
    }
}
