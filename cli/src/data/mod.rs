//! Judgments read from files: strict about every line, so that training starts with known data.
//!
//! | format     | response                            | prompt                              |
//! |------------|-------------------------------------|-------------------------------------|
//! | alpaca     | `output`                            | `instruction`, `input`, `history`   |
//! | shepherd   | `answer`                            | `question`                          |
//! | chat       | last of `messages` (assistant)      | the messages before it, `tools`     |
//! | sharegpt   | last of `conversations` (gpt)       | the messages before it              |
//! | completion | `completion` or `response`          | `prompt`                            |
//! | preference | `chosen`, and `rejected` (criticised) | `prompt`                          |
//!
//! Every format may have `system`, and `judgment` (or `feedback`, `critique`, `criticism`). An
//! example without a judgment (absent, `null` or blank) is a positive one; one with `label` false
//! needs a judgment. Other fields are counted and named; one that looks like criticism is refused.
//!
//! In the files that `cutq generate --data` and `cutq judge` write, `verdict`, `quotes` and `truncated`
//! are read in any format: an answer of which the judge is unsure is left out, quotes are marked in the
//! response, and a truncated answer has no end. Prompts to be answered are read from such files, too;
//! they need no response.
//!
//! The way of an example: `source` (bytes to JSON) → `formats` (JSON to fields) → `read` (records)
//! → `screen`, by what a `judgment` is → `tokenize`. `load` goes this way for every command, and
//! `report` says what was done on it.

mod answers;
mod formats;
mod hold_out;
mod judgment;
mod load;
mod named;
mod problem;
mod prompts;
mod quotes;
mod read;
mod record;
mod report;
mod screen;
mod source;
mod tally;
mod task;
mod tokenize;

pub use answers::{Answer, answers};
pub use formats::{FieldName, Format, is_judgment};
pub use hold_out::hold_out;
pub use judgment::Verdict as Said;
pub use load::Loaded;
pub use prompts::{Prompt, Prompts};
pub use quotes::{occurrences, within};
pub use read::Reading;
pub use record::{Origin, Record};
pub use report::{Report, View};
pub use screen::{OnDuplicate, OnFailedJudge, OnPraise, Screening};
pub use source::{input, is_piped};
pub use tally::Tally;
pub use task::{Task, decision, judge_question};
pub use tokenize::{Encode, OnLong, Tokenize};
