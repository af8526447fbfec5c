//! Judgments read from files: strict about every line, so that training starts with known data.
//!
//! | format   | response                        | judgment   | prompt                     |
//! |----------|---------------------------------|------------|----------------------------|
//! | alpaca   | `output`                        | `judgment` | `instruction` and `input`  |
//! | shepherd | `answer`                        | `feedback` | `question`                 |
//! | chat     | last of `messages` (assistant)  | `judgment` | the messages before it     |
//!
//! A file is a JSON array or has one JSON object per line. Other fields are ignored. An example
//! without a judgment (absent, `null` or blank) is a positive one.

mod formats;
mod hold_out;
mod praise;
mod problem;
mod read;
mod record;
mod screen;
mod source;
mod tokenize;

pub use formats::Format;
pub use hold_out::hold_out;
pub use read::{Records, read};
pub use record::{Origin, Record};
pub use screen::{OnDuplicate, OnFailedJudge, OnPraise, ScreenReport, Screening};
pub use tokenize::{Encode, OnLong, Tokenize, TokenizeReport};
