//! The tasks that make up a call, for threads to divide among themselves.

use std::ops::Range;

use super::shape::{AttentionShape, Segment};
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

/// A tile of queries of one head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueryTile {
    /// Where the segment's keys and values are.
    pub keys: Segment,
    /// The head of queries.
    pub head: usize,
    /// The tile's first query, counted in the segment.
    pub query: usize,
    /// The token of that query among the queries and outputs.
    pub token: usize,
}

/// New tokens of a sequence whose keys and values, with those of the tokens before them, lie in one
/// row of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedSegment {
    /// All tokens of the sequence, the new ones at its end, among the cache's keys and values.
    pub keys: Segment,
    /// The new ones among the queries and outputs.
    pub queries: Segment,
}

/// The tasks of attention over a pack, forward and backward.
///
/// Each is done once, by any thread and in any order; the results do not depend on it.
#[derive(Clone, Debug)]
pub struct AttentionSchedule {
    pub(super) shape: AttentionShape,
    /// Tokens of the longest segment.
    pub(super) longest: usize,
    /// Tiles of queries, of each head the last first: they see most keys.
    pub(super) forward: Vec<QueryTile>,
    /// `(segment, head of keys, task)`, those with the most work first.
    pub(super) backward: Vec<(Segment, usize, Task)>,
}

impl AttentionSchedule {
    /// The tasks for `n_threads` threads to share.
    ///
    /// # Panics
    /// If `n_head` is not a multiple of `n_head_kv`, or the head dimension, the window
    /// or `n_threads` is 0.
    pub fn new(shape: AttentionShape, segments: &[Segment], n_threads: usize) -> Self {
        shape.check();
        let longest = segments.iter().map(|segment| segment.len).max().unwrap_or(0);
        let all = |&segment| tiles(&shape, CachedSegment { keys: segment, queries: segment });
        let forward = segments.iter().flat_map(all).collect();
        let backward = backward(&shape, segments, n_threads);
        Self { shape, longest, forward, backward }
    }

    /// The tasks of the forward pass of new tokens whose keys and values are in a cache, with those
    /// of the tokens before them.
    ///
    /// # Panics
    /// As [`AttentionSchedule::new`]; if a sequence has fewer tokens than are new.
    pub fn cached(shape: AttentionShape, segments: &[CachedSegment]) -> Self {
        shape.check();
        let longest = segments.iter().map(|segment| segment.keys.len).max().unwrap_or(0);
        let forward = segments.iter().flat_map(|&segment| tiles(&shape, segment)).collect();
        Self { shape, longest, forward, backward: Vec::new() }
    }

    /// The tasks of [`Kernels::attention`](crate::Kernels::attention).
    pub fn forward(&self) -> Range<usize> {
        0..self.forward.len()
    }

    /// The tasks of [`Kernels::attention_backward`](crate::Kernels::attention_backward).
    pub fn backward(&self) -> Range<usize> {
        0..self.backward.len()
    }
}

/// The tiles of a segment's queries.
fn tiles(
    shape: &AttentionShape,
    CachedSegment { keys, queries }: CachedSegment,
) -> impl Iterator<Item = QueryTile> {
    let past = keys.len.checked_sub(queries.len).expect("new tokens are among all");
    (0..shape.n_head).flat_map(move |head| {
        let new = (0..queries.len).step_by(TILE).rev();
        new.map(move |n| QueryTile { keys, head, query: past + n, token: queries.start + n })
    })
}

/// Tasks of the backward pass.
///
/// Whole heads take five matrix products per tile, split ones seven. Heads stay whole as long as
/// they can be dealt out without one thread getting more than its fair share; the others are split.
fn backward(
    shape: &AttentionShape,
    segments: &[Segment],
    n_threads: usize,
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
    let fair = total.div_ceil(n_threads as u64);
    let mut load = vec![0; n_threads];
    let mut tasks = Vec::new();
    for (cost, segment, head) in heads {
        let least = load.iter_mut().min().expect("there is a thread");
        // A sixteenth too much costs less than seven products instead of five.
        if *least + 5 * cost <= 5 * fair + 5 * fair / 16 {
            *least += 5 * cost;
            tasks.push((5 * cost, (segment, head, Task::Head)));
            continue;
        }
        for tile in (0..segment.len).step_by(TILE) {
            let (keys, queries) = (Task::Keys(tile), Task::Queries(tile));
            tasks.push((4 * key_cost(shape, segment, tile), (segment, head, keys)));
            tasks.push((3 * query_cost(shape, segment, tile), (segment, head, queries)));
        }
    }
    tasks.sort_by_key(|&(cost, _)| std::cmp::Reverse(cost));
    tasks.into_iter().map(|(_, task)| task).collect()
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
    fn every_part_belongs_to_one_task() {
        for segments in packs() {
            for n_threads in 1..6 {
                let schedule = AttentionSchedule::new(SHAPE, &segments, n_threads);
                let mut queries = schedule.forward.clone();
                let mut tasks = Vec::new();
                for &(segment, head, task) in &schedule.backward {
                    let tiles = (0..segment.len).step_by(TILE);
                    match task {
                        Task::Head => tasks.extend(tiles.flat_map(|tile| {
                            [(segment.start, head, true, tile), (segment.start, head, false, tile)]
                        })),
                        Task::Keys(tile) => tasks.push((segment.start, head, true, tile)),
                        Task::Queries(tile) => tasks.push((segment.start, head, false, tile)),
                    }
                }
                let tiles: usize = segments.iter().map(|s| s.len.div_ceil(TILE)).sum();
                assert_eq!((queries.len(), tasks.len()), (9 * tiles, 2 * 3 * tiles));
                queries.sort_by_key(|tile| (tile.keys.start, tile.head, tile.query));
                queries.dedup();
                tasks.sort_unstable();
                tasks.dedup();
                assert_eq!((queries.len(), tasks.len()), (9 * tiles, 2 * 3 * tiles));
            }
        }
    }

    #[test]
    fn heads_are_split_where_threads_would_wait() {
        let heads = |n_threads| {
            let schedule = AttentionSchedule::new(SHAPE, &packs()[0], n_threads);
            schedule.backward.iter().filter(|(.., task)| *task == Task::Head).count()
        };
        assert_eq!([1, 2, 3, 4].map(heads), [3, 2, 3, 0]);
    }
}
