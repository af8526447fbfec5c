//! The answers as a page: what it shows, and what its keys do.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::draft::Draft;
use super::pile::{Act, Pile};
use super::response::{Response, Status};
use super::server::{Question, Server};
use super::sheet::Counts;
use crate::judge::reply::Reply;

/// What the page shows.
#[derive(Serialize)]
struct View<'a> {
    turn: u64,
    number: usize,
    counts: Counts,
    /// Of the rest.
    seconds_left: Option<u64>,
    can_undo: bool,
    is_finished: bool,
    /// None at the end.
    answer: Option<Shown<'a>>,
    complaints: Vec<&'a str>,
}

#[derive(Serialize)]
struct Shown<'a> {
    instruction: String,
    response: &'a str,
    draft: &'a Draft,
}

/// What a key does on the page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Of what the person saw.
    turn: u64,
    act: Act,
    #[serde(default)]
    draft: Draft,
}

/// What is said to a page that shows something else by now.
const STALE: &str = "not done: another page was used meanwhile; this is what is next";
/// What is said when nothing can be saved any more, or is to be.
const STOPPED: &str = "cutq has stopped: its terminal says why. What was saved before is safe";

/// Serves the page until the person has finished.
pub fn sit(
    server: &Server,
    pile: &mut Pile,
    stop: &dyn Fn() -> bool,
    received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
) {
    while !pile.is_finished() {
        let Some(asked) = server.next(stop) else { return };
        let (response, next) = match &asked.question {
            Question::State => (shown(pile), ControlFlow::Continue(())),
            Question::Act(body) => step(body, pile, received),
        };
        asked.answer(&response);
        if next.is_break() {
            return;
        }
    }
}

fn shown(pile: &Pile) -> Response {
    let answer = pile.present().map(|(answer, draft)| Shown {
        instruction: answer.instruction(),
        response: &answer.response,
        draft,
    });
    let view = View {
        turn: pile.turn(),
        number: pile.number(),
        counts: pile.counts(),
        seconds_left: pile.left().map(|left| left.as_secs()),
        can_undo: pile.can_undo(),
        is_finished: pile.is_finished(),
        answer,
        complaints: pile.complaints(),
    };
    Response::json(Status::Ok, &view)
}

/// Does what the page asks for, saves it, and shows what is next.
fn step(
    body: &[u8],
    pile: &mut Pile,
    received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
) -> (Response, ControlFlow<()>) {
    let on = ControlFlow::Continue(());
    let Ok(Step { turn, act, draft }) = serde_json::from_slice(body) else {
        return (Response::plain(Status::BadRequest), on);
    };
    if turn != pile.turn() {
        return (Response::error(Status::Conflict, STALE), on);
    }
    let saved = match pile.act(act, draft) {
        Err(refusal) => {
            let why = json!({"refused": refusal.to_string()});
            return (Response::json(Status::Ok, &why), on);
        }
        Ok(reply) => reply.map_or(on, received),
    };
    match saved {
        ControlFlow::Continue(()) => (shown(pile), on),
        stopped => (Response::error(Status::Stopped, STOPPED), stopped),
    }
}

#[cfg(test)]
mod tests {
    use super::super::pile::tests::call;
    use super::*;

    #[test]
    fn a_page_that_lags_behind_saves_nothing() {
        let mut pile = Pile::new(&[], &["a", "b"].map(call), 0, &[]);
        let mut saved = Vec::new();
        let mut press = |body: &str, then: ControlFlow<()>| {
            let (response, next) = step(body.as_bytes(), &mut pile, &mut |reply| {
                saved.push(reply.text);
                then
            });
            (response.status, next)
        };
        let on = ControlFlow::Continue(());
        for (body, expected) in [
            ("{}", Status::BadRequest),
            (r#"{"turn":0,"act":"praise"}"#, Status::BadRequest),
            (r#"{"turn":0,"act":"good","draft":{"judgment":"Loud.","quotes":[]}}"#, Status::Ok),
            (r#"{"turn":0,"act":"good"}"#, Status::Ok),
            (r#"{"turn":0,"act":"good"}"#, Status::Conflict),
        ] {
            assert_eq!(press(body, on), (expected, on), "{body}");
        }
        let stop = ControlFlow::Break(());
        let wrong = r#"{"turn":1,"act":"criticise","draft":{"judgment":"Loud.","quotes":[]}}"#;
        assert_eq!(press(wrong, stop), (Status::Stopped, stop));
        assert_eq!(saved.len(), 2, "a good answer with criticism is refused");
    }
}
