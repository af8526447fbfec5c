//! The projections of a transformer layer that LoRA can adapt.

use std::fmt;
use std::str::FromStr;

/// A projection of a layer, by llama.cpp's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Projection {
    AttnQ,
    AttnK,
    AttnV,
    /// Q, K and V in one matrix.
    AttnQkv,
    AttnOutput,
    FfnGate,
    /// Gate and up in one matrix where a family has no `FfnGate`.
    FfnUp,
    FfnDown,
}

/// A name that is not a projection.
#[derive(Debug, thiserror::Error)]
#[error("unknown target module {0:?}: known are {known}, and all", known = Projection::ALL.map(Projection::name).join(", "))]
pub struct UnknownProjection(String);

impl Projection {
    /// Every projection, in the order in which a layer uses them. No family has all of them.
    pub const ALL: [Self; 8] = [
        Self::AttnQ,
        Self::AttnK,
        Self::AttnV,
        Self::AttnQkv,
        Self::AttnOutput,
        Self::FfnGate,
        Self::FfnUp,
        Self::FfnDown,
    ];

    /// Those of most families.
    pub const SEPARATE: [Self; 7] = [
        Self::AttnQ,
        Self::AttnK,
        Self::AttnV,
        Self::AttnOutput,
        Self::FfnGate,
        Self::FfnUp,
        Self::FfnDown,
    ];

    /// The three projections of the feed-forward network, which the paper adapts.
    pub const FFN: [Self; 3] = [Self::FfnGate, Self::FfnUp, Self::FfnDown];

    /// llama.cpp's name, as in `blk.0.NAME.weight`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AttnQ => "attn_q",
            Self::AttnK => "attn_k",
            Self::AttnV => "attn_v",
            Self::AttnQkv => "attn_qkv",
            Self::AttnOutput => "attn_output",
            Self::FfnGate => "ffn_gate",
            Self::FfnUp => "ffn_up",
            Self::FfnDown => "ffn_down",
        }
    }

    /// The projections that hold this one in a family that has `held`: itself, the one that it is a
    /// part of, or its parts.
    pub(crate) fn among(self, held: &[Self]) -> Vec<Self> {
        let parts = [Self::AttnQ, Self::AttnK, Self::AttnV];
        match self {
            _ if held.contains(&self) => vec![self],
            Self::AttnQkv => parts.to_vec(),
            Self::FfnGate => vec![Self::FfnUp],
            _ => vec![Self::AttnQkv],
        }
    }

    /// The name of the same projection in Hugging Face's models.
    pub fn peft_name(self) -> &'static str {
        match self {
            Self::AttnQ => "self_attn.q_proj",
            Self::AttnK => "self_attn.k_proj",
            Self::AttnV => "self_attn.v_proj",
            Self::AttnQkv => "self_attn.qkv_proj",
            Self::AttnOutput => "self_attn.o_proj",
            Self::FfnGate => "mlp.gate_proj",
            Self::FfnUp => "mlp.up_proj",
            Self::FfnDown => "mlp.down_proj",
        }
    }

    /// Parses `all` or a comma-separated list; sorted, without repetitions.
    ///
    /// # Errors
    /// If a name is unknown.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, UnknownProjection> {
        if text == "all" {
            return Ok(Self::ALL.to_vec());
        }
        let mut projections =
            text.split(',').map(|name| name.trim().parse()).collect::<Result<Vec<Self>, _>>()?;
        projections.sort_unstable();
        projections.dedup();
        Ok(projections)
    }
}

impl FromStr for Projection {
    type Err = UnknownProjection;

    /// Accepts llama.cpp's names (`ffn_gate`) and PEFT's (`gate_proj`).
    fn from_str(text: &str) -> Result<Self, UnknownProjection> {
        if text == "gate_up_proj" {
            return Ok(Self::FfnUp);
        }
        Self::ALL
            .into_iter()
            .find(|p| p.name() == text || p.peft_name().ends_with(&format!(".{text}")))
            .ok_or_else(|| UnknownProjection(text.to_owned()))
    }
}

impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
