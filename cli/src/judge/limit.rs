//! A judge that is asked no more once its replies cost too much.

use std::ops::ControlFlow;

use anyhow::{Result, bail};

use super::asking::Judge;
use super::call::Call;
use super::price::Price;
use super::reply::Reply;

/// A judge with the most that it may cost.
pub struct Limited {
    /// Who judges.
    pub judge: Box<dyn Judge>,
    /// Of its tokens.
    pub price: Price,
    /// What all its replies may cost together.
    pub max_cost: f64,
    /// What they have cost so far, those of earlier processes too.
    pub spent: f64,
}

impl Limited {
    fn check(&self) -> Result<()> {
        let Self { spent, max_cost, .. } = self;
        if spent >= max_cost {
            bail!(
                "the replies have cost {spent:.2}, and --max-cost is {max_cost}\nhint: what was \
                 received is kept, and the same command goes on with a higher --max-cost"
            );
        }
        Ok(())
    }
}

impl Judge for Limited {
    fn name(&self) -> &str {
        self.judge.name()
    }

    fn ask(
        &mut self,
        calls: &[Call],
        received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
        stop: &dyn Fn() -> bool,
    ) -> Result<()> {
        if calls.is_empty() {
            return Ok(());
        }
        self.check()?;
        let (price, max_cost, spent) = (self.price, self.max_cost, &mut self.spent);
        let mut received = |reply: Reply| {
            *spent += price.of_all([&reply]);
            match received(reply) {
                ControlFlow::Continue(()) if *spent < max_cost => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        };
        self.judge.ask(calls, &mut received, stop)?;
        self.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::data::Answer;
    use crate::judge::call::Key;
    use crate::judge::reply::{Outcome, Usage};

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
            _stop: &dyn Fn() -> bool,
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
        let ask = |calls: &[Call], max_cost, spent| {
            let judge = Box::new(Expensive);
            let (mut limited, mut n) = (Limited { judge, price, max_cost, spent }, 0);
            let mut received = |_| {
                n += 1;
                ControlFlow::Continue(())
            };
            let is_ok = limited.ask(calls, &mut received, &|| false).is_ok();
            (n, is_ok)
        };
        assert_eq!(ask(&calls, 5.0, 0.0), (2, false));
        assert_eq!(ask(&calls, 100.0, 0.0), (4, true));
        assert_eq!(ask(&calls, 5.0, 2.5), (1, false), "an earlier process has paid");
        assert_eq!(ask(&calls, 5.0, 5.0), (0, false));
        assert_eq!(ask(&[], 5.0, 5.0), (0, true), "nobody has to be asked");
    }
}
