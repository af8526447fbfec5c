//! The tasks that make up a call, for threads to divide among themselves.

use std::ops::Range;

use super::shape::{AttentionShape, PAGE, Segment};
use crate::chunks::chunks;
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

/// Queries that read the same head of keys: some of one head, or a single one of several heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueryTile {
    /// Where the segment's pages begin among the schedule's.
    pub pages: usize,
    /// The first head of queries.
    pub head: usize,
    /// Heads; one, unless there is a single query.
    pub n_heads: usize,
    /// The first query, counted in the segment.
    pub query: usize,
    /// Queries of each head.
    pub n_queries: usize,
    /// The token of the first query among the queries and outputs.
    pub token: usize,
}

/// New tokens of a sequence whose keys and values, with those of the tokens before them, are kept in
/// pages of [`PAGE`] tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptSegment<'a> {
    /// The first token of each page among the kept keys and values.
    pub pages: &'a [usize],
    /// All tokens of the sequence, the new ones at its end.
    pub len: usize,
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
    /// The first token of each page of keys and values, segment by segment.
    pub(super) pages: Vec<usize>,
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
        let backward = backward(&shape, segments, n_threads);
        let mut schedule = Self { shape, longest, pages: vec![], forward: vec![], backward };
        for &queries in segments {
            let Segment { start, len } = queries;
            let pages: Vec<usize> = (start..start + len).step_by(PAGE).collect();
            schedule.add(KeptSegment { pages: &pages, len, queries });
        }
        schedule
    }

    /// The tasks of the forward pass of new tokens whose keys and values are kept, with those of the
    /// tokens before them.
    ///
    /// # Panics
    /// As [`AttentionSchedule::new`]; if a sequence has fewer tokens than are new, or fewer pages
    /// than its tokens fill.
    pub fn kept(shape: AttentionShape, segments: &[KeptSegment<'_>]) -> Self {
        shape.check();
        let longest = segments.iter().map(|segment| segment.len).max().unwrap_or(0);
        let mut schedule =
            Self { shape, longest, pages: vec![], forward: vec![], backward: vec![] };
        segments.iter().for_each(|&segment| schedule.add(segment));
        schedule
    }

    /// Adds the forward tasks of a segment. The heads that share keys also share a tile if there is a
    /// single query, whose lanes would be idle otherwise.
    fn add(&mut self, KeptSegment { pages, len, queries }: KeptSegment<'_>) {
        let past = len.checked_sub(queries.len).expect("new tokens are among all");
        assert!(len <= pages.len() * PAGE, "{len} tokens in {} pages", pages.len());
        let first_page = self.pages.len();
        self.pages.extend(pages);
        let n_heads = if queries.len == 1 { self.shape.group().min(TILE) } else { 1 };
        for kv in 0..self.shape.n_head_kv {
            let heads = kv * self.shape.group()..(kv + 1) * self.shape.group();
            for heads in chunks(heads, n_heads) {
                for n in chunks(0..queries.len, TILE).rev() {
                    self.forward.push(QueryTile {
                        pages: first_page,
                        head: heads.start,
                        n_heads: heads.len(),
                        query: past + n.start,
                        n_queries: n.len(),
                        token: queries.start + n.start,
                    });
                }
            }
        }
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
                queries.sort_by_key(|tile| (tile.token, tile.head));
                queries.dedup();
                tasks.sort_unstable();
                tasks.dedup();
                let heads: usize = queries.iter().map(|tile| tile.n_heads).sum();
                assert_eq!((heads, tasks.len()), (9 * tiles, 2 * 3 * tiles));
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
