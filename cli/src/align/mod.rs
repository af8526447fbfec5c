//! The loop: the model answers, a judge says what is wrong, the model trains on that; again.
//!
//! ```text
//! D/run.json            settings, versions, hashes
//! D/lock                held by the process that works here
//! D/dry/                the first prompts, before anything else: is there a signal?
//! D/rounds/K/sample/    answers.jsonl
//! D/rounds/K/judge/     calls.jsonl, judgments.jsonl
//! D/rounds/K/data/      data.jsonl, data.json
//! D/rounds/K/train/     the folder of a training run
//! D/rounds/K/eval/      answers.jsonl, calls.jsonl, judgments.jsonl, drift.json
//! D/rounds/K/adapter.gguf, round.json
//! D/eval/K.jsonl        the judgments of the evaluation
//! D/rounds.jsonl        a line per round; round 0 is before training
//! D/best.gguf           the adapter of the best round
//! D/test/, test.json    the untouched prompts, before and after
//! ```
//!
//! Every stage works in a folder of its own beside its place and is renamed when it is complete, so
//! whatever has its name is whole, and a process that is killed loses part of a stage at most.
//!
//! | module         | what it is                                                   |
//! |----------------|--------------------------------------------------------------|
//! | `settings`     | everything that decides a run: `run.json`                    |
//! | `folder`       | `D`, and where things are in it                              |
//! | `stage`        | a folder that is complete, or worked on                      |
//! | `instructions` | which prompts a round answers                                |
//! | `stages`       | the five stages of a round                                   |
//! | `judging`      | the judge, asked about the answers of a stage                |
//! | `judged`       | answers with what their judge said                           |
//! | `data`         | from judged answers to training data                         |
//! | `measures`     | pass rate, length, repetition, emptiness of answers          |
//! | `drift`        | how far the model is from where it began                     |
//! | `interval`     | 95 % intervals                                               |
//! | `effort`       | what a run has taken: calls, cost, time                      |
//! | `line`         | a line of `rounds.jsonl`                                     |
//! | `diagnosis`    | alarms, and one sentence about a round                       |
//! | `dry`          | the dry round                                                |
//! | `forecast`     | what the whole will take                                     |
//! | `rounds`       | round after round, the best, the end                         |

mod data;
mod diagnosis;
mod drift;
mod dry;
mod effort;
mod folder;
mod forecast;
mod instructions;
mod interval;
mod judged;
mod judging;
mod line;
mod measures;
mod rounds;
mod settings;
mod stage;
mod stages;

pub use effort::cost;
pub use folder::AlignFolder;
pub use judging::RunJudge;
pub use rounds::Rounds;
pub use settings::Settings;
pub use stage::Interrupted;
pub use stages::Stages;
