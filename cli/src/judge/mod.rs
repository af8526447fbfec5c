//! Judges: who says what is wrong with an answer, and what they said.
//!
//! Every reply is kept as it came; a judgment is what is read out of it. So a reply that cannot be
//! read is never a judgment, and nothing that was received has to be asked for again.
//!
//! | module      | what it does                                              |
//! |-------------|-----------------------------------------------------------|
//! | `spec`      | the judge that a word on the command line names           |
//! | `prompt`    | what a language model is asked                            |
//! | `call`      | what a judge is asked about one answer                    |
//! | `reply`     | what came back, or why nothing did                        |
//! | `log`       | `calls.jsonl`: all replies                                |
//! | `reading`   | from a reply to a judgment                                |
//! | `judgment`, `quote` | what a judge says                                 |
//! | `asking`, `waiting` | what any judge does                               |
//! | `judging`   | from answers to judgments                                 |
//! | `counts`, `agreement` | the same in numbers                             |
//! | `writing`   | `judgments.jsonl`                                         |
//! | `command`   | the judge that is a program of the user's                 |
//! | `human`     | the judge that is a person, at a page or in the terminal  |
//! | `http`      | the judge that is a language model behind a server        |
//! | `model`     | the judge that is a language model in this process        |
//! | `trained`   | the same, if it has learned to judge                      |
//! | `replay`    | the judge that repeats what was said before               |
//! | `price`, `forecast`, `limit` | what calls take and cost             |

mod agreement;
mod asking;
mod call;
mod command;
mod counts;
mod forecast;
mod http;
mod human;
mod judging;
mod judgment;
mod limit;
mod log;
mod model;
mod price;
mod prompt;
mod quote;
mod reading;
mod replay;
mod reply;
mod spec;
mod trained;
mod waiting;
mod writing;

pub use crate::data::Answer;
pub use agreement::Agreement;
pub use asking::{Judge, ask};
pub use command::CommandJudge;
pub use counts::Counts;
pub use forecast::Forecast;
pub use http::{Drawing, HttpJudge, Options as HttpOptions, Timeouts};
pub use human::{Desk, HumanJudge};
pub use judging::{Judged, Judging};
pub use judgment::{Judgment, Verdict};
pub use limit::Limited;
pub use log::CallLog;
pub use model::ModelJudge;
pub use price::Price;
pub use prompt::Prompt;
pub use replay::Replay;
pub use reply::Reply;
pub use spec::Spec;
pub use trained::TrainedJudge;
pub use writing::write_judgments;
