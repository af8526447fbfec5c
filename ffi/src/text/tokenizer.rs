//! Text to token ids: the GGUF's own tokenizer, or a `tokenizer.json`.

use std::path::Path;
use std::sync::Arc;

use cutq_core::template::Piece;

use crate::gguf::file::Gguf;
use crate::llama::error::LlamaError;
use crate::llama::model::LlamaModel;
use crate::sys;
use crate::text::controls::Controls;
use crate::text::end_token::end_token;

/// A tokenizer.
///
/// Markup becomes special tokens only where a template wrote it: text of an example stays text,
/// whatever it looks like.
pub struct Tokenizer {
    model: LlamaModel,
    json: Option<Box<tokenizers::Tokenizer>>,
    controls: Arc<Controls>,
    eos: u32,
    /// The ids of [`SEAM`], if a blank is put before text that begins anew.
    seam: Option<Vec<u32>>,
}

/// A run of a prompt: one special token, or text without any.
#[derive(Debug, PartialEq)]
enum Run {
    Special(u32),
    Text(String),
}

impl Tokenizer {
    /// The tokenizer inside a GGUF.
    ///
    /// # Errors
    /// If there is none, or llama.cpp does not know its kind.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, LlamaError> {
        Self::new(gguf, None)
    }

    fn new(gguf: &Gguf, json: Option<Box<tokenizers::Tokenizer>>) -> Result<Self, LlamaError> {
        let path = gguf.path();
        if !gguf.has_tokenizer() {
            return Err(LlamaError::NoTokenizer { path: path.to_owned() });
        }
        let model = LlamaModel::load(path, None)?;
        let controls = Controls::of_model(&model);
        let eos = end_token(gguf, &model, &controls)
            .ok_or_else(|| LlamaError::NoEnd { path: path.to_owned() })?;
        let controls = Arc::new(controls);
        let mut tokenizer = Self { model, json, controls, eos, seam: None };
        tokenizer.seam = tokenizer.find_seam()?;
        Ok(tokenizer)
    }

    /// A Hugging Face `tokenizer.json`; special tokens come from the GGUF it stands in for.
    ///
    /// # Errors
    /// If either file cannot be read.
    pub fn from_json(path: &Path, gguf: &Gguf) -> Result<Self, LlamaError> {
        let json = tokenizers::Tokenizer::from_file(path).map_err(|error| {
            LlamaError::TokenizerJson { path: path.to_owned(), reason: error.to_string() }
        })?;
        let mut json = Box::new(json);
        // Made for batches of a fixed length: they would cut examples and fill them up.
        json.with_padding(None);
        json.with_truncation(None).expect("no truncation is always possible");
        // "Encode special tokens" as the text they look like.
        json.set_encode_special_tokens(true);
        Self::new(gguf, Some(json))
    }

    /// The ids of a prompt, the beginning-of-sequence token included where the model wants one.
    ///
    /// # Errors
    /// If the tokenizer refuses the text.
    pub fn encode_prompt(&self, pieces: &[Piece]) -> Result<Vec<u32>, LlamaError> {
        let mut ids = Vec::new();
        for run in self.runs(pieces) {
            match run {
                Run::Special(id) => ids.push(id),
                Run::Text(text) => ids.extend(self.encode_text(&text)?),
            }
        }
        if let Some(bos) = self.bos()
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        Ok(ids)
    }

    /// The ids of a response, without an end token. It goes on where its prompt ends, so no blank
    /// is put before it.
    ///
    /// # Errors
    /// If the tokenizer refuses the text.
    pub fn encode_response(&self, text: &str) -> Result<Vec<u32>, LlamaError> {
        if let Some(seam) = self.seam.as_ref().filter(|_| !text.is_empty()) {
            let ids = self.encode_text(&format!("{SEAM}{text}"))?;
            if let Some(rest) = ids.strip_prefix(&seam[..]) {
                return Ok(rest.to_vec());
            }
        }
        self.encode_text(text)
    }

    /// Whether the text of a control token, such as `<|im_end|>`, stands in `text`. It stays text.
    pub fn has_control_text(&self, text: &str) -> bool {
        self.controls.find(text, 0).is_some()
    }

    /// The tokens that text never becomes.
    pub(crate) fn controls(&self) -> Arc<Controls> {
        self.controls.clone()
    }

    fn find_seam(&self) -> Result<Option<Vec<u32>>, LlamaError> {
        let first = self.encode_text("a")?.first().copied();
        let adds_blank = first.is_some_and(|id| self.piece_bytes(id).starts_with(b" "));
        adds_blank.then(|| self.encode_text(SEAM)).transpose()
    }

    /// What a token stands for; bytes that are not UTF-8 are replaced.
    pub fn piece(&self, token: u32) -> String {
        String::from_utf8_lossy(&self.piece_bytes(token)).into_owned()
    }

    /// The bytes that a token stands for; a character may be spread over several tokens.
    pub fn piece_bytes(&self, token: u32) -> Vec<u8> {
        self.model.piece(token)
    }

    /// Whether the token is one that text never becomes.
    pub fn is_special(&self, token: u32) -> bool {
        self.controls.contains(token)
    }

    /// The token that ends a text: the end-of-sequence token, or if the file names none or an
    /// impossible one, another at which llama.cpp ends an answer.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// Whether llama.cpp ends an answer at this token.
    pub fn is_end(&self, token: u32) -> bool {
        self.model.is_end(token)
    }

    /// The beginning-of-sequence token, if prompts start with one.
    pub fn bos(&self) -> Option<u32> {
        // SAFETY: the vocabulary is alive; −1 stands for none.
        unsafe {
            let vocab = self.model.vocab();
            let wanted = sys::llama_vocab_get_add_bos(vocab);
            u32::try_from(sys::llama_vocab_bos(vocab)).ok().filter(|_| wanted)
        }
    }

    /// Cuts the template's pieces at control tokens and joins all text between them, so that
    /// merges across the seams of template and data are those of the whole text.
    fn runs(&self, pieces: &[Piece]) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut text = String::new();
        for piece in pieces {
            let mut rest = match piece {
                Piece::Data(data) => {
                    text.push_str(data);
                    continue;
                }
                Piece::Template(template) => template.as_str(),
            };
            while let Some(found) = self.controls.find(rest, 0) {
                text.push_str(&rest[..found.start]);
                if !text.is_empty() {
                    runs.push(Run::Text(std::mem::take(&mut text)));
                }
                runs.push(Run::Special(found.id));
                rest = &rest[found.end..];
            }
            text.push_str(rest);
        }
        if !text.is_empty() {
            runs.push(Run::Text(text));
        }
        runs
    }

    fn encode_text(&self, text: &str) -> Result<Vec<u32>, LlamaError> {
        let fail = |reason: String| {
            let text = text.chars().take(40).collect();
            LlamaError::Tokenize { text, reason }
        };
        if let Some(json) = &self.json {
            let encoding = json.encode_fast(text, false).map_err(|e| fail(e.to_string()))?;
            return Ok(encoding.get_ids().to_vec());
        }
        let len = i32::try_from(text.len()).map_err(|_| fail("longer than 2 GiB".into()))?;
        let mut ids = vec![0i32; text.len() + 8];
        // SAFETY: text and ids are as long as said; neither special tokens are added nor markup
        // in the text parsed.
        let n = unsafe {
            let (data, max) = (text.as_ptr().cast(), ids.len() as i32);
            let vocab = self.model.vocab();
            sys::llama_tokenize(vocab, data, len, ids.as_mut_ptr(), max, false, false)
        };
        let n = usize::try_from(n).map_err(|_| fail(format!("{} tokens", n.unsigned_abs())))?;
        Ok(ids[..n].iter().map(|&id| id as u32).collect())
    }
}

/// A character that is in no token but its own, for a text to go on after.
const SEAM: &str = "\u{1}";
