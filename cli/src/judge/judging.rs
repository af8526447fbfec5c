//! From answers to judgments: calls, replies, and what is read out of them.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Result;
use cutq_core::order::choose;

use super::agreement::Agreement;
use super::call::{Call, Key};
use super::counts::Counts;
use super::judgment::Judgment;
use super::log::CallLog;
use super::prompt::Prompt;
use super::reading;
use super::reply::{Outcome, Reply};
use crate::data::Answer;

/// How answers are judged.
pub struct Judging<'a> {
    /// What a language model is asked.
    pub prompt: &'a Prompt,
    /// The share of answers that are judged twice.
    pub again: f64,
    /// Chooses them.
    pub seed: u64,
}

/// What was said.
#[derive(Debug)]
pub struct Judged {
    /// One for each answer, in their order; none of an answer that is empty or whose call failed.
    pub judgments: Vec<Option<Judgment>>,
    /// In numbers.
    pub counts: Counts,
    /// Of the judge with itself, over the answers that it judged twice.
    pub with_itself: Agreement,
}

/// The calls about a number of answers.
pub struct Calls {
    /// The call about each answer; none about an empty one.
    first: Vec<Option<Call>>,
    /// The second calls, with the answer's number.
    second: Vec<(usize, Call)>,
}

impl Judging<'_> {
    /// The calls of a judge of this name about `answers`.
    ///
    /// # Errors
    /// If the judge's prompt cannot be made.
    pub fn calls(&self, judge: &str, answers: &[Arc<Answer>]) -> Result<Calls> {
        let call = |answer: &Arc<Answer>, repetition: &str| {
            let messages = self.prompt.messages(answer)?;
            let (instruction, answer) = (answer.instruction(), answer.clone());
            let texts = messages.iter().flat_map(|message| [&message.role, &message.content]);
            let own = [judge, repetition, &instruction, &answer.response];
            let key = Key::new(own.into_iter().chain(texts.map(String::as_str)));
            Ok::<_, anyhow::Error>(Call { key, answer, messages })
        };
        let some = |answer: &&Arc<Answer>| !answer.response.trim().is_empty();
        let first = answers
            .iter()
            .map(|answer| Some(answer).filter(some).map(|answer| call(answer, "0")).transpose());
        let first = first.collect::<Result<Vec<_>>>()?;
        let n = (self.again * answers.len() as f64).ceil() as usize;
        let chosen = choose(answers.len(), n, self.seed).into_iter();
        let second = chosen.filter(|&i| first[i].is_some());
        let second = second.map(|i| Ok((i, call(&answers[i], "1")?))).collect::<Result<_>>()?;
        Ok(Calls { first, second })
    }
}

impl Calls {
    /// Those that have no answer in `log` yet.
    pub fn open(&self, log: &CallLog) -> Vec<Call> {
        self.all().filter(|call| log.answer(&call.key).is_none()).cloned().collect()
    }

    /// What was received in `log` of any attempt to make them.
    pub fn replies<'a>(&'a self, log: &'a CallLog) -> impl Iterator<Item = &'a Reply> {
        self.all().flat_map(|call| log.replies_to(&call.key))
    }

    /// The others, with their answers in `log`.
    pub fn answered(&self, log: &CallLog) -> Vec<(Call, Reply)> {
        self.all().filter_map(|call| Some((call.clone(), log.answer(&call.key)?.clone()))).collect()
    }

    /// Each once: of answers that are the same there is one call.
    fn all(&self) -> impl Iterator<Item = &Call> {
        let mut seen = HashSet::new();
        let all = self.first.iter().flatten().chain(self.second.iter().map(|(_, call)| call));
        all.filter(move |call| seen.insert(&call.key))
    }

    /// What the replies in `log` say: nothing but these, so that it can be read again at no cost.
    pub fn read(&self, log: &CallLog) -> Judged {
        let mut counts = Counts::default();
        let mut judgments = Vec::with_capacity(self.first.len());
        for call in &self.first {
            let Some(call) = call else {
                counts.empty += 1;
                judgments.push(None);
                continue;
            };
            let judgment = read(call, log);
            match (&judgment, log.last(&call.key)) {
                (Some(Ok(judgment)), _) => counts.add(judgment),
                (Some(Err(outcome)), _) => *counts.failed.entry(*outcome).or_default() += 1,
                // Who takes a judgment back has not failed: they are asked again.
                (None, None | Some(Reply { outcome: Outcome::Withdrawn, .. })) => {
                    counts.unasked += 1;
                }
                (None, Some(last)) => *counts.failed.entry(last.outcome).or_default() += 1,
            }
            judgments.push(judgment.and_then(Result::ok));
        }
        let mut with_itself = Agreement::default();
        for (answer, call) in &self.second {
            let passes = |judgment: &Judgment| judgment.verdict.passes();
            let first = judgments[*answer].as_ref().and_then(passes);
            let second = read(call, log).and_then(Result::ok).as_ref().and_then(passes);
            if let (Some(first), Some(second)) = (first, second) {
                with_itself.add(first, second);
            }
        }
        Judged { judgments, counts, with_itself }
    }
}

/// What the answer to a call says; nothing without an answer.
fn read(call: &Call, log: &CallLog) -> Option<Result<Judgment, Outcome>> {
    let reply = log.answer(&call.key)?;
    let text = reply.text.as_deref().unwrap_or_default();
    let judgment = match reply.p_yes {
        Some(_) => reading::read_decided(text, &call.answer.response),
        None => reading::read(text, &call.answer.response),
    };
    Some(judgment.map(|judgment| Judgment { p_yes: reply.p_yes, ..judgment }))
}
