//! Waiting for what a judge says, and meanwhile for Ctrl-C.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long to wait before asking again whether to stop.
pub const TICK: Duration = Duration::from_millis(100);

/// Why nothing was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// It has taken too long.
    Late,
    /// The user asked to stop.
    Stopped,
    /// Nobody sends any more.
    Over,
}

/// The next message, waited for until `end` if there is one. What is there already is received, also
/// after `stop`.
///
/// # Errors
/// Why there is none.
pub fn receive<T>(
    messages: &Receiver<T>,
    end: Option<Instant>,
    stop: &dyn Fn() -> bool,
) -> Result<T, Nothing> {
    loop {
        let stopped = stop();
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let wait = if stopped { Duration::ZERO } else { left.unwrap_or(TICK).min(TICK) };
        match messages.recv_timeout(wait) {
            Ok(message) => return Ok(message),
            Err(RecvTimeoutError::Disconnected) => return Err(Nothing::Over),
            Err(RecvTimeoutError::Timeout) if stopped => return Err(Nothing::Stopped),
            Err(RecvTimeoutError::Timeout) if left.is_some_and(|left| left <= TICK) => {
                return Err(Nothing::Late);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn nothing_is_waited_for_longer_than_asked() {
        let (sender, messages) = channel();
        let begun = Instant::now();
        let soon = begun + TICK * 2;
        let goes_on = || false;
        assert_eq!(receive::<u8>(&messages, Some(soon), &goes_on), Err(Nothing::Late));
        assert!((soon..soon + TICK * 10).contains(&Instant::now()));
        let stop = || Instant::now() > soon + TICK;
        assert_eq!(receive(&messages, None, &stop), Err(Nothing::Stopped));
        sender.send(7).expect("listens");
        assert_eq!(receive(&messages, None, &|| true), Ok(7), "it was there");
        drop(sender);
        assert_eq!(receive(&messages, None, &goes_on), Err(Nothing::Over));
    }
}
