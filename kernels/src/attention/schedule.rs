//! Which thread computes what.
//!
//! Every thread works out the same schedule from the same arguments and takes its share of it.

use super::shape::{AttentionShape, Segment};
use super::share::Share;
use crate::loops::tile_softmax::TILE;

/// Work of a tile of queries or keys besides its scores, in scores.
const TILE_COST: u64 = 512;

/// Work of the backward pass whose results no other task touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// All of a head of keys: `dk`, `dv`, and `dq` of the query heads that share it.
    Head,
    /// `dk` and `dv` of the tile of keys that begins here.
    Keys(usize),
    /// `dq` of the tile of queries that begins here, for all query heads that share the keys.
    Queries(usize),
}

/// Tiles of queries of the forward pass, `(segment, head, first query)`: those whose middle, in
/// the order of all work, lies in this share of it.
pub(super) fn forward(
    shape: &AttentionShape,
    segments: &[Segment],
    share: Share,
) -> impl Iterator<Item = (Segment, usize, usize)> {
    let items = move || {
        segments.iter().flat_map(move |&segment| {
            (0..shape.n_head).flat_map(move |head| {
                (0..segment.len).step_by(TILE).map(move |query| (segment, head, query))
            })
        })
    };
    let cost = move |segment: Segment, query| query_cost(shape, segment, query);
    let total: u64 = items().map(|(segment, _, query)| cost(segment, query)).sum();
    let mut done = 0;
    items().filter(move |&(segment, _, query)| {
        let cost = cost(segment, query);
        let middle = 2 * done + cost;
        done += cost;
        let thread = u128::from(middle) * share.n_threads as u128 / (2 * u128::from(total));
        thread == share.thread as u128
    })
}

/// Tasks of the backward pass, `(segment, head of keys, task)`.
///
/// Whole heads take five matrix products per tile, split ones seven. Heads go whole to the thread
/// with the least work as long as its fair share is not exceeded, the others are split.
pub(super) fn backward(
    shape: &AttentionShape,
    segments: &[Segment],
    share: Share,
) -> Vec<(Segment, usize, Task)> {
    let cost = |segment: Segment| -> u64 {
        (0..segment.len).step_by(TILE).map(|query| query_cost(shape, segment, query)).sum()
    };
    let mut heads: Vec<(u64, Segment, usize)> = segments
        .iter()
        .flat_map(|&segment| (0..shape.n_head_kv).map(move |head| (cost(segment), segment, head)))
        .collect();
    heads.sort_by_key(|&(cost, segment, head)| (std::cmp::Reverse(cost), segment.start, head));
    let total: u64 = heads.iter().map(|(cost, ..)| cost).sum();
    let fair = total.div_ceil(share.n_threads as u64);
    let mut load = vec![0; share.n_threads];
    let mut mine = Vec::new();
    let mut give = |load: &mut [u64], thread: usize, cost, item| {
        load[thread] += cost;
        if thread == share.thread {
            mine.push(item);
        }
    };
    let mut split = Vec::new();
    for (cost, segment, head) in heads {
        let thread = least(&load);
        // A sixteenth too much costs less than seven products instead of five.
        if load[thread] + 5 * cost <= 5 * fair + 5 * fair / 16 {
            give(&mut load, thread, 5 * cost, (segment, head, Task::Head));
            continue;
        }
        for tile in (0..segment.len).step_by(TILE) {
            let (keys, queries) = (Task::Keys(tile), Task::Queries(tile));
            split.push((4 * key_cost(shape, segment, tile), (segment, head, keys)));
            split.push((3 * query_cost(shape, segment, tile), (segment, head, queries)));
        }
    }
    split.sort_by_key(|&(cost, _)| std::cmp::Reverse(cost));
    for (cost, item) in split {
        let thread = least(&load);
        give(&mut load, thread, cost, item);
    }
    mine
}

fn least(load: &[u64]) -> usize {
    (0..load.len()).min_by_key(|&thread| load[thread]).unwrap_or(0)
}

/// Scores of a tile of queries.
fn query_cost(shape: &AttentionShape, segment: Segment, query: usize) -> u64 {
    let n = (segment.len - query).min(TILE);
    (n * (query + n - shape.first_tile(query))) as u64 + TILE_COST
}

/// Scores of a tile of keys.
fn key_cost(shape: &AttentionShape, segment: Segment, key: usize) -> u64 {
    let n = (segment.len - key).min(TILE);
    (n * (shape.last_query(segment, key) - key)) as u64 + TILE_COST
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: AttentionShape =
        AttentionShape { n_head: 9, n_head_kv: 3, head_dim: 64, scale: 0.125, window: None };

    fn packs() -> Vec<Vec<Segment>> {
        let segment = |start, len| Segment { start, len };
        vec![
            vec![segment(0, 2048)],
            vec![segment(0, 300), segment(300, 21), segment(400, 65), segment(465, 1)],
            vec![],
            vec![segment(0, 0), segment(7, 1)],
        ]
    }

    #[test]
    fn every_task_has_one_thread() {
        for segments in packs() {
            for n_threads in 1..6 {
                let mut queries = Vec::new();
                let mut tasks = Vec::new();
                for thread in 0..n_threads {
                    let share = Share { thread, n_threads };
                    queries.extend(forward(&SHAPE, &segments, share));
                    for (segment, head, task) in backward(&SHAPE, &segments, share) {
                        let tiles = (0..segment.len).step_by(TILE);
                        match task {
                            Task::Head => tasks.extend(tiles.flat_map(|tile| {
                                [
                                    (segment.start, head, true, tile),
                                    (segment.start, head, false, tile),
                                ]
                            })),
                            Task::Keys(tile) => tasks.push((segment.start, head, true, tile)),
                            Task::Queries(tile) => tasks.push((segment.start, head, false, tile)),
                        }
                    }
                }
                let tiles: usize = segments.iter().map(|s| s.len.div_ceil(TILE)).sum();
                assert_eq!((queries.len(), tasks.len()), (9 * tiles, 2 * 3 * tiles));
                queries.sort_by_key(|&(segment, head, query)| (segment.start, head, query));
                queries.dedup();
                tasks.sort_unstable();
                tasks.dedup();
                assert_eq!((queries.len(), tasks.len()), (9 * tiles, 2 * 3 * tiles));
            }
        }
    }

    #[test]
    fn shares_are_balanced() {
        let segments = packs()[0].clone();
        for n_threads in [2, 3, 4] {
            let loads = (0..n_threads).map(|thread| {
                let share = Share { thread, n_threads };
                forward(&SHAPE, &segments, share)
                    .map(|(segment, _, query)| query_cost(&SHAPE, segment, query))
                    .sum::<u64>()
            });
            let loads: Vec<u64> = loads.collect();
            let least = loads.iter().min().expect("two threads at least");
            let most = loads.iter().max().expect("two threads at least");
            assert!((most - least) * 20 < *most, "{loads:?}");
        }
    }
}
