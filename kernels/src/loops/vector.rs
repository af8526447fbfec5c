//! Registers of floats.

/// Floats in the widest vector: rows of buffers begin at a multiple of it, and products have a
/// multiple of it as columns.
pub(crate) const LANES: usize = 16;

/// Floats side by side in a register.
pub(crate) trait Vector: Copy {
    /// A divisor of 16.
    const LANES: usize;

    /// All lanes the same.
    ///
    /// # Safety
    /// The CPU has the vector's instructions.
    unsafe fn splat(x: f32) -> Self;

    /// # Safety
    /// The CPU has the vector's instructions; all lanes are readable.
    unsafe fn load(from: *const f32) -> Self;

    /// # Safety
    /// The CPU has the vector's instructions; all lanes are writable and not shared.
    unsafe fn store(self, to: *mut f32);

    /// `self · b + c`, rounded once.
    ///
    /// # Safety
    /// The CPU has the vector's instructions.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;

    /// # Safety
    /// The CPU has the vector's instructions.
    unsafe fn add(self, other: Self) -> Self;
}

impl Vector for [f32; 16] {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        [x; 16]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: readable, by the trait's contract.
        unsafe { from.cast::<Self>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: writable, by the trait's contract.
        unsafe { to.cast::<Self>().write(self) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        std::array::from_fn(|i| self[i].mul_add(b[i], c[i]))
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] + other[i])
    }
}

#[cfg(target_arch = "aarch64")]
impl Vector for std::arch::aarch64::float32x4_t {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: every aarch64 CPU has NEON, here and below.
        unsafe { std::arch::aarch64::vdupq_n_f32(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: readable, by the trait's contract.
        unsafe { std::arch::aarch64::vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: writable, by the trait's contract.
        unsafe { std::arch::aarch64::vst1q_f32(to, self) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        // SAFETY: as above.
        unsafe { std::arch::aarch64::vfmaq_f32(c, self, b) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { std::arch::aarch64::vaddq_f32(self, other) }
    }
}

/// [`Vector`] for a register type from its intrinsics.
#[cfg(target_arch = "x86_64")]
macro_rules! register {
    (
        $vector:ident, $lanes:literal, $splat:ident, $load:ident, $store:ident, $fma:ident,
        $add:ident
    ) => {
        impl Vector for std::arch::x86_64::$vector {
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(x: f32) -> Self {
                // SAFETY: the caller vouches for the CPU.
                unsafe { std::arch::x86_64::$splat(x) }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: the caller vouches for the CPU and the memory.
                unsafe { std::arch::x86_64::$load(from) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: the caller vouches for the CPU and the memory.
                unsafe { std::arch::x86_64::$store(to, self) }
            }

            #[inline(always)]
            unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                // SAFETY: the caller vouches for the CPU.
                unsafe { std::arch::x86_64::$fma(self, b, c) }
            }

            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: the caller vouches for the CPU.
                unsafe { std::arch::x86_64::$add(self, other) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
register!(
    __m256,
    8,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps
);
#[cfg(target_arch = "x86_64")]
register!(
    __m512,
    16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps
);
