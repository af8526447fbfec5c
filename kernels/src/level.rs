//! Instruction sets with kernels of their own.

/// Instruction sets with their own kernels, from the lowest to the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Ordinary Rust: runs everywhere and defines the results.
    Plain,
    /// NEON with the dot-product extension.
    Neon,
    /// AVX2 and FMA; int8 products through 16-bit multiply-adds.
    Avx2,
    /// AVX2 with 256-bit `vpdpbusd`.
    AvxVnni,
    /// AVX-512 (F, BW, VL) with 512-bit `vpdpbusd`.
    Avx512,
}

impl Level {
    /// Every level, from the lowest to the highest.
    pub const ALL: [Level; 5] =
        [Level::Plain, Level::Neon, Level::Avx2, Level::AvxVnni, Level::Avx512];

    /// The name that `CUTQ_SIMD` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Plain => "plain",
            Level::Neon => "neon",
            Level::Avx2 => "avx2",
            Level::AvxVnni => "avx-vnni",
            Level::Avx512 => "avx512",
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
