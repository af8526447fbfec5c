//! The judge that is a person: at a page that only this machine can open, or in the terminal.
//!
//! Every judgment is in the log before the next answer is shown. What is saved is read back first, so
//! that criticism never counts as praise.
//!
//! | module       | what it does                                                      |
//! |--------------|-------------------------------------------------------------------|
//! | `draft`      | what the person has written about an answer                       |
//! | `pile`, `sheet` | the answers, and what became of each                           |
//! | `complaints` | what they wrote most often                                        |
//! | `pace`       | the time that they need                                           |
//! | `terminal`   | the answers as lines                                              |
//! | `desk`       | the answers as a page: what it shows, and what its keys do        |
//! | `server`     | the page's connections                                            |
//! | `gate`       | who is let in                                                     |
//! | `request`, `response` | what they send, and what is sent back                    |
//! | `page/`      | the page itself                                                   |

mod complaints;
mod desk;
mod draft;
mod gate;
mod pace;
mod pile;
mod request;
mod response;
mod server;
mod sheet;
mod terminal;

use std::mem::take;
use std::ops::ControlFlow;

use anyhow::Result;

use super::asking::Judge;
use super::call::Call;
use super::reply::Reply;
use crate::console::Console;
use pile::Pile;
use server::Server;
use terminal::Terminal;

/// Where a person judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desk {
    /// At a page in the browser.
    Page,
    /// In the terminal, or whatever standard input is.
    Terminal,
}

/// A person who judges. They are the same person wherever they sit.
pub struct HumanJudge {
    desk: Desk,
    console: Console,
    /// What they said before of what is asked about.
    answered: Vec<(Call, Reply)>,
    /// Opened when there is something to judge; one page for everything that is asked.
    place: Option<Place>,
    /// Of the next sitting: no page takes it for one before.
    turn: u64,
    /// What was criticised in those before.
    said: Vec<String>,
}

enum Place {
    Page(Server),
    Terminal(Terminal),
}

impl HumanJudge {
    /// The person at this desk.
    pub fn new(desk: Desk, console: Console) -> Self {
        Self { desk, console, answered: Vec::new(), place: None, turn: 0, said: Vec::new() }
    }
}

impl Place {
    fn open(desk: Desk) -> Result<Self> {
        Ok(match desk {
            Desk::Page => Self::Page(Server::start()?),
            Desk::Terminal => Self::Terminal(Terminal::start()),
        })
    }
}

impl Judge for HumanJudge {
    fn name(&self) -> &str {
        "human"
    }

    fn is_person(&self) -> bool {
        true
    }

    fn recall(&mut self, answered: Vec<(Call, Reply)>) {
        self.answered = answered;
    }

    fn ask(
        &mut self,
        calls: &[Call],
        received: &mut dyn FnMut(Reply) -> ControlFlow<()>,
        stop: &dyn Fn() -> bool,
    ) -> Result<()> {
        let place = match self.place.take() {
            Some(place) => place,
            None => Place::open(self.desk)?,
        };
        let mut pile = Pile::new(&take(&mut self.answered), calls, self.turn, &self.said);
        match self.place.insert(place) {
            Place::Terminal(terminal) => terminal.sit(&mut pile, stop, received)?,
            Place::Page(server) => {
                self.console.warn(format_args!(
                    "{} answers to judge: open this page in a browser on this machine, Ctrl-C ends\n  {}",
                    calls.len(),
                    server.url
                ));
                desk::sit(server, &mut pile, stop, received);
            }
        }
        self.turn = pile.turn() + 1;
        self.said = pile.into_said();
        Ok(())
    }
}
