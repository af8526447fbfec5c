//! What a file says of positions: rotary embedding, sliding windows, temperature.

use crate::ggml::rope::{Rope, Yarn};
use crate::model::architecture::{Temperature, Window};
use crate::model::error::ArchitectureError;
use crate::model::keys::Keys;
use crate::model::tensors::SHORT_ROPE_FACTORS;
use crate::model::traits::{Rotated, Traits, Windows};

impl Keys<'_> {
    /// The rotary embedding of layers that see everything.
    pub fn rope(&self, traits: &Traits, n_rot: usize) -> Result<Rope, ArchitectureError> {
        let factor = self.rope_factor();
        let yarn = self.yarn()?;
        let named = self.float("rope.scaling.attn_factor").unwrap_or(1.0);
        let magnitude = yarn.map_or(1.0, |_| self.yarn_magnitude(factor)) * named;
        Ok(Rope {
            mode: traits.rope_mode,
            n_rot,
            freq_base: self.float("rope.freq_base").unwrap_or(10_000.0) as f32,
            freq_scale: (1.0 / factor) as f32,
            magnitude: magnitude as f32,
            yarn,
        })
    }

    /// Tokens that the model holds: where frequencies have other divisors in longer sequences, those
    /// that it was first trained to hold.
    pub fn context_length(&self) -> Result<usize, ArchitectureError> {
        let all = self.size("context_length")?;
        match self.gguf.tensors().contains_key(SHORT_ROPE_FACTORS) {
            true => Ok(all.min(self.size_or("rope.scaling.original_context_length", all)?)),
            false => Ok(all),
        }
    }

    /// What positions are divided by: `rope.scaling.factor`, or by its old name `rope.scale_linear`,
    /// unless the type is `none`; 0 stands for 1.
    fn rope_factor(&self) -> f64 {
        if self.text("rope.scaling.type") == Some("none") {
            return 1.0;
        }
        let factor = self.float("rope.scaling.factor").or_else(|| self.float("rope.scale_linear"));
        factor.filter(|&factor| factor != 0.0).unwrap_or(1.0)
    }

    fn yarn(&self) -> Result<Option<Yarn>, ArchitectureError> {
        match self.text("rope.scaling.type") {
            None | Some("none" | "linear") => Ok(None),
            Some("longrope") if self.gguf.tensors().contains_key(SHORT_ROPE_FACTORS) => Ok(None),
            Some("yarn") => {
                let context_length = self.size("context_length")?;
                let beta = |key, usual| self.float(key).unwrap_or(usual) as f32;
                Ok(Some(Yarn {
                    n_ctx_orig: self
                        .size_or("rope.scaling.original_context_length", context_length)?,
                    beta_fast: beta("rope.scaling.yarn_beta_fast", 32.0),
                    beta_slow: beta("rope.scaling.yarn_beta_slow", 1.0),
                }))
            }
            Some(kind) => Err(self.variant(format!("rope scaling of type {kind}"))),
        }
    }

    /// What YaRN multiplies rotated heads by: `m(1) = 1 + ln(factor) / 10`, over
    /// `m(yarn_log_multiplier)` if there is one.
    ///
    /// `yarn_attn_factor` takes its place, but for 1/m(1): that is a correction of m(1) which
    /// neither transformers nor llama.cpp apply (DeepSeek's distilled Qwen3 has it).
    fn yarn_magnitude(&self, factor: f64) -> f64 {
        let of = |by: f64| if factor <= 1.0 { 1.0 } else { 1.0 + 0.1 * by * factor.ln() };
        let usual = of(1.0) / of(self.float("rope.scaling.yarn_log_multiplier").unwrap_or(0.0));
        let named = self.float("rope.scaling.yarn_attn_factor");
        named.filter(|named| (named * of(1.0) - 1.0).abs() > 1e-3).unwrap_or(usual)
    }

    /// Sliding windows, if the family has some and the file says how long they are; `rope` is that
    /// of the layers without.
    pub fn window(
        &self,
        windows: Option<Windows>,
        rope: Rope,
        n_layer: usize,
    ) -> Result<Option<Window>, ArchitectureError> {
        let key = "attention.sliding_window";
        let Some(windows) = windows.filter(|_| self.int(key).unwrap_or(0) != 0) else {
            return Ok(None);
        };
        let freq_base = windows.freq_base.unwrap_or(rope.freq_base);
        let freq_base = self.float("rope.freq_base_swa").map_or(freq_base, |base| base as f32);
        let unscaled = Rope { freq_scale: 1.0, magnitude: 1.0, yarn: None, ..rope };
        let rope = if windows.scaled { rope } else { unscaled };
        Ok(Some(Window {
            size: self.size(key)?,
            local: self.local_layers(n_layer, windows.period)?,
            rope: Rope { freq_base, ..rope },
        }))
    }

    /// Which of the layers rotate.
    pub fn rotated(&self, rotated: Rotated, window: Option<&Window>, n_layer: usize) -> Vec<bool> {
        let rotates = |layer: usize| match (rotated, window) {
            (Rotated::All, _) | (Rotated::Local, None) => true,
            (Rotated::ThreeOfFour, _) => !(layer + 1).is_multiple_of(4),
            (Rotated::Local, Some(window)) => window.local[layer],
        };
        (0..n_layer).map(rotates).collect()
    }

    /// How queries grow with their position, if the file says so.
    pub fn temperature(&self, rope: Rope) -> Result<Option<Temperature>, ArchitectureError> {
        let scale = self.float("attention.temperature_scale").unwrap_or(0.0) as f32;
        match rope.yarn {
            _ if scale == 0.0 => Ok(None),
            Some(Yarn { n_ctx_orig, .. }) => Ok(Some(Temperature { scale, n_ctx_orig })),
            None => Err(self.variant("attention.temperature_scale without YaRN")),
        }
    }
}
