//! Variants of a known family whose computation differs from the one written here.

use crate::gguf::value::Value;
use crate::model::error::ArchitectureError;
use crate::model::family::Family;
use crate::model::keys::Keys;
use crate::model::traits::Traits;

impl Keys<'_> {
    /// Refuses what is not computed here, and what llama.cpp would end the process for.
    pub fn refuse_variants(&self) -> Result<(), ArchitectureError> {
        let positive = |key: &str| self.int(key).unwrap_or(0) > 0;
        if positive("expert_count") || positive("expert_used_count") {
            return Err(self.variant("a mixture of experts"));
        }
        if positive("nextn_predict_layers") {
            return Err(self.variant("layers that predict several tokens"));
        }
        if self.int("attention.causal") == Some(0) {
            return Err(self.variant("attention to later tokens (an embedding model)"));
        }
        if positive("pooling_type") {
            return Err(self.variant("pooling of all tokens (an embedding model)"));
        }
        if self.float("final_logit_softcapping").unwrap_or(0.0) != 0.0 {
            return Err(self.variant("soft-capping of the logits"));
        }
        if let Some(Value::Ints(sections)) = self.value("rope.dimension_sections")
            && sections.get(3).is_some_and(|&section| section != 0)
        {
            return Err(self.variant(format!("rope.dimension_sections of {sections:?}")));
        }
        if self.prefix == Family::Granite.name() && self.int("rope.scaling.finetuned") == Some(0) {
            return Err(self.variant("a Granite that does not rotate (rope.scaling.finetuned)"));
        }
        Ok(())
    }

    /// The width of a head, if keys and values have it; `usual` if the file is silent.
    pub fn head_dim(&self, usual: usize) -> Result<usize, ArchitectureError> {
        let width = self.size_or("attention.key_length", usual)?;
        self.of_width(width, "attention.value_length", usual)?;
        self.of_width(width, "attention.key_length_swa", width)?;
        self.of_width(width, "attention.value_length_swa", width)?;
        Ok(width)
    }

    /// How many dimensions of a head rotate: all, but where the family may leave some.
    pub fn n_rot(&self, traits: &Traits, width: usize) -> Result<usize, ArchitectureError> {
        let n_rot = self.size_or("rope.dimension_count", width)?;
        if traits.partial && n_rot < width && n_rot.is_multiple_of(2) {
            return Ok(n_rot);
        }
        self.of_width(width, "rope.dimension_count", width)?;
        self.of_width(width, "rope.dimension_count_swa", width)?;
        Ok(width)
    }

    fn of_width(&self, width: usize, key: &str, default: usize) -> Result<(), ArchitectureError> {
        match self.size_or(key, default)? {
            other if other != width => {
                Err(self.variant(format!("{key} of {other} where heads are {width} wide")))
            }
            _ => Ok(()),
        }
    }
}
