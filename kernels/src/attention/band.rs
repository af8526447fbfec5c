//! Which scores of a tile are visible.

use std::ops::Range;

use crate::loops::LANES;
use crate::loops::tile_softmax::Row;

/// Row `r` of a tile sees the lanes from `low + r` to before `high + r`.
#[derive(Clone, Copy)]
pub(crate) struct Band {
    pub low: isize,
    pub high: isize,
}

/// Further than any lane, and far from overflowing.
const FAR: isize = isize::MAX / 4;

impl Band {
    /// The band of a tile whose rows are keys and whose lanes are queries.
    pub(crate) fn of_queries(query: usize, key: usize, window: Option<usize>) -> Band {
        let low = key as isize - query as isize;
        Band { low, high: low.saturating_add(width(window)) }
    }

    /// The band of a tile whose rows are queries and whose lanes are keys.
    pub(crate) fn of_keys(query: usize, key: usize, window: Option<usize>) -> Band {
        let high = query as isize - key as isize + 1;
        Band { low: high.saturating_sub(width(window)), high }
    }

    /// Whether the first `rows` rows see the first `lanes` lanes.
    pub(crate) fn is_full(&self, rows: usize, lanes: usize) -> bool {
        self.low + rows as isize <= 1 && self.high >= lanes as isize
    }

    /// The lanes that some of the rows see, in whole vectors, among the first `lanes`.
    pub(crate) fn lanes(&self, rows: Range<usize>, lanes: usize) -> Range<usize> {
        let low = clamp(self.low + rows.start as isize, lanes) / LANES * LANES;
        let high = clamp(self.high + rows.end as isize - 1, lanes).next_multiple_of(LANES);
        low..high.min(lanes).max(low)
    }

    /// Overwrites what is hidden in the first `lanes` lanes of a tile.
    pub(crate) fn hide(&self, tile: &mut [Row], lanes: usize, value: f32) {
        for (r, row) in tile.iter_mut().enumerate() {
            let low = clamp(self.low + r as isize, lanes);
            let high = clamp(self.high + r as isize, lanes).max(low);
            row[..low].fill(value);
            row[high..lanes].fill(value);
        }
    }

    /// The rows that see some of the lanes, among the first `rows`.
    pub(crate) fn rows(&self, lanes: Range<usize>, rows: usize) -> Range<usize> {
        let start = clamp(lanes.start as isize - self.high + 1, rows);
        let end = clamp(lanes.end as isize - self.low, rows);
        start..end.max(start)
    }
}

fn width(window: Option<usize>) -> isize {
    window.map_or(FAR, |window| window.min(FAR as usize) as isize)
}

fn clamp(value: isize, end: usize) -> usize {
    value.clamp(0, end as isize) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_is_visible() {
        for (query, key, window) in [
            (64, 64, None),
            (128, 64, None),
            (128, 64, Some(70)),
            (64, 64, Some(5)),
            (0, 0, Some(1)),
        ] {
            let by_queries = Band::of_queries(query, key, window);
            let by_keys = Band::of_keys(query, key, window);
            let mut all = true;
            for i in 0..48 {
                for j in 0..48 {
                    let (q, k) = (query + i, key + j);
                    let visible = k <= q && window.is_none_or(|w| q - k < w);
                    all &= visible;
                    for (band, row, lane) in [(by_queries, j, i), (by_keys, i, j)] {
                        let (r, l) = (row as isize, lane as isize);
                        assert_eq!(band.low + r <= l && l < band.high + r, visible);
                        if visible {
                            assert!(band.lanes(row..row + 1, 48).contains(&lane));
                            assert!(band.rows(lane..lane + 1, 48).contains(&row));
                        }
                    }
                }
            }
            assert_eq!(by_queries.is_full(48, 48), all);
            assert_eq!(by_keys.is_full(48, 48), all);
        }
        let band = Band::of_keys(64, 64, Some(5));
        assert_eq!((band.lanes(32..48, 64), band.rows(32..64, 64)), (16..48, 32..64));
    }
}
