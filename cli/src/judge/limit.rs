//! A judge that is asked no more once its replies cost too much.

use std::collections::HashMap;
use std::ops::ControlFlow;

use anyhow::{Result, bail};

use super::asking::Judge;
use super::call::{Call, Key};
use super::price::Price;
use super::reply::{Reply, Usage};

/// A judge with the most that it may cost.
pub struct Limited {
    /// Who judges.
    pub judge: Box<dyn Judge>,
    /// Of its tokens.
    pub price: Price,
    /// What all its replies may cost together.
    pub max_cost: f64,
    /// What they have cost so far.
    pub spent: f64,
}

impl Judge for Limited {
    fn name(&self) -> &str {
        self.judge.name()
    }

    fn ask(
        &mut self,
        calls: &[Call],
        received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
    ) -> Result<()> {
        let by_key: HashMap<&Key, &Call> = calls.iter().map(|call| (&call.key, call)).collect();
        let (price, max_cost, spent) = (self.price, self.max_cost, &mut self.spent);
        self.judge.ask(calls, &mut |reply| {
            let call = by_key.get(&reply.key);
            *spent += call.map_or(0.0, |call| price.of(Usage::of(call, &reply)));
            match received(reply) {
                ControlFlow::Continue(()) if *spent < max_cost => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        })?;
        if self.spent >= self.max_cost {
            let (spent, max_cost) = (self.spent, self.max_cost);
            bail!("the replies have cost {spent:.2}, and --max-cost is {max_cost}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::data::Answer;
    use crate::judge::reply::Outcome;

    /// Reads and writes a million tokens each time.
    struct Expensive;

    impl Judge for Expensive {
        fn name(&self) -> &str {
            "expensive"
        }

        fn ask(
            &mut self,
            calls: &[Call],
            received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
        ) -> Result<()> {
            for call in calls {
                let mut reply =
                    Reply::new(call.key.clone(), Outcome::Answered, "x".into(), Duration::ZERO);
                reply.usage =
                    Some(Usage { prompt_tokens: 1_000_000, completion_tokens: 1_000_000 });
                if received(reply).is_break() {
                    break;
                }
            }
            Ok(())
        }
    }

    #[test]
    fn nobody_is_asked_beyond_the_limit() {
        let call = |name: &str| {
            let (id, response) = (name.to_owned(), String::new());
            let answer =
                Answer { id, messages: Vec::new(), response, fields: serde_json::Map::new() };
            Call { key: Key::new([name]), answer: Arc::new(answer), messages: Vec::new() }
        };
        let calls = ["a", "b", "c", "d"].map(call);
        let price = Price { input: 1.0, output: 2.0 };
        let ask = |max_cost| {
            let judge = Box::new(Expensive);
            let (mut limited, mut n) = (Limited { judge, price, max_cost, spent: 0.0 }, 0);
            let done = limited.ask(&calls, &mut |_| {
                n += 1;
                ControlFlow::Continue(())
            });
            (n, done.is_ok())
        };
        assert_eq!(ask(5.0), (2, false));
        assert_eq!(ask(100.0), (4, true));
    }
}
