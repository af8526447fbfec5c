//! How much text fits, found with few looks at the tokens.

/// So many bytes of text, and the tokens that come of them.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Bytes of text.
    pub bytes: usize,
    /// Tokens of the longest prompt.
    pub tokens: usize,
}

/// Bytes beyond the place where the limit is expected that are tried first: a few tokens.
const REACH: usize = 16;

/// Bytes between `fits` and `exceeds` that make `room` tokens, or fewer while one byte more makes
/// too many.
///
/// Tokens need not grow with every byte, since a byte can complete a longer piece: of several such
/// places one is found. While the ends are far apart, the next try is a little beyond the place
/// where a text as dense as that between them would reach `room`, on the side of the farther end;
/// then the middle. Even text of `n` bytes takes about five tries whatever `n`, no text more than
/// `1.5 * log2(n)`.
///
/// # Errors
/// The first one that `tokens` returns.
pub fn most_that_fits<E>(
    mut fits: Point,
    mut exceeds: Point,
    room: usize,
    mut tokens: impl FnMut(usize) -> Result<usize, E>,
) -> Result<usize, E> {
    let mut reach = REACH;
    while fits.tokens < room && exceeds.bytes - fits.bytes > 1 {
        let bytes = next_try(fits, exceeds, room, reach);
        let found = Point { bytes, tokens: tokens(bytes)? };
        if found.tokens <= room {
            fits = found;
        } else {
            exceeds = found;
        }
        // So that uneven text comes to plain bisection soon.
        reach *= 4;
    }
    Ok(fits.bytes)
}

/// A place between the two, neither of them included.
fn next_try(fits: Point, exceeds: Point, room: usize, reach: usize) -> usize {
    let span = exceeds.bytes - fits.bytes;
    if span <= 2 * reach {
        return fits.bytes + span / 2;
    }
    let share = (room - fits.tokens) as f64 / (exceeds.tokens - fits.tokens) as f64;
    let aim = (share * span as f64) as usize;
    let aim = if aim < span / 2 { aim + reach } else { aim - reach };
    fits.bytes + aim.clamp(1, span - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// The place found for texts of `n` bytes, and the tries it took.
    fn search(n: usize, room: usize, tokens: impl Fn(usize) -> usize) -> (usize, u32) {
        let point = |bytes| Point { bytes, tokens: tokens(bytes) };
        let mut tries = 0;
        let count = |bytes| {
            tries += 1;
            Ok::<_, Infallible>(tokens(bytes))
        };
        let Ok(found) = most_that_fits(point(0), point(n), room, count);
        let full = tokens(found) == room;
        assert!(full || (tokens(found) < room && tokens(found + 1) > room), "{found} of {n}");
        (found, tries)
    }

    #[test]
    fn even_text_takes_few_tries_however_long() {
        for n in [9_000, 100_000, 10_000_000] {
            let (found, tries) = search(n, 2048, |bytes| 60 + bytes.div_ceil(4));
            assert!((7949..=7952).contains(&found), "{found}");
            assert!(tries <= 7, "{tries} for {n}");
        }
    }

    #[test]
    fn uneven_text_takes_little_more_than_bisection() {
        let shapes: [fn(usize) -> usize; 4] = [
            |bytes| bytes.min(100) + bytes / 64,
            |bytes| bytes.saturating_sub(999_000) * 3,
            |bytes| if bytes < 500_000 { bytes / 1000 } else { bytes },
            |bytes| bytes / 4 + bytes % 4,
        ];
        for shape in shapes {
            for room in [120, 499, 2048] {
                let (_, tries) = search(1_000_000, room, shape);
                assert!(tries <= 30, "{tries} for {room}");
            }
        }
    }

    #[test]
    fn neighbours_need_no_try() {
        assert_eq!(search(1, 3, |bytes| 3 + bytes), (0, 0));
    }
}
