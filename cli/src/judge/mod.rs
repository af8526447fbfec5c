//! Judges: who says what is wrong with an answer, and what they said.
//!
//! Every reply is kept as it came; a judgment is what is read out of it. So a reply that cannot be
//! read is never a judgment, and nothing that was received has to be asked for again.
//!
//! | module    | what it does                                              |
//! |-----------|-----------------------------------------------------------|
//! | `answer`  | what is judged                                            |
//! | `call`    | what a judge is asked about one answer                    |
//! | `reply`   | what came back, or why nothing did                        |
//! | `quote`   | what a judgment quotes                                    |
//! | `command` | the judge that is a program of the user's                 |

mod answer;
mod call;
mod command;
mod quote;
mod reply;

use std::ops::ControlFlow;

use anyhow::Result;

pub use answer::Answer;
pub use call::{Call, Key};
pub use command::CommandJudge;
pub use quote::Quote;
pub use reply::{Outcome, Reply, Usage};

/// Somebody, or something, that can be asked what is wrong with answers.
pub trait Judge {
    /// What it is called in files: `cmd:./judge.py`, `http://localhost:8080/v1#model`.
    fn name(&self) -> &str;

    /// Asks every call.
    ///
    /// Each reply, also of an attempt that failed and is repeated, goes to `received` before another
    /// one is waited for, in any order. `received` has saved it when it returns; after a `Break`
    /// nobody is asked any more.
    ///
    /// # Errors
    /// What makes it senseless to ask on, such as a wrong key. A single call that fails is a
    /// [`Reply`] with its [`Outcome`].
    fn ask(
        &mut self,
        calls: &[Call],
        received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
    ) -> Result<()>;
}
