//! Dropout of the elements of a matrix.

use crate::kernels::Kernels;
use crate::loops::Dropout;

impl Kernels {
    /// Multiplies elements of row `row` of a matrix, those from `column` on, by their factors in the
    /// mask.
    ///
    /// # Panics
    /// If the mask has no such row, or the elements end `2^31` columns after the first one.
    pub fn dropout(&self, dropout: &Dropout, row: usize, column: usize, x: &mut [f32]) {
        assert!(column + x.len() < 1 << 31, "{column} + {} columns", x.len());
        let (pool, first) = dropout.at(row, column);
        // SAFETY: holding `Kernels` proves the features of its level.
        unsafe { (self.loops.dropout)(pool, first, x) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;
    use crate::loops::DropoutPool;

    /// Rows of a mask, from a column on.
    fn mask(dropout: &Dropout, rows: usize, column: usize, len: usize) -> Vec<Vec<f32>> {
        let kernels = Kernels::with(Level::Plain).expect("the plain level always exists");
        let row = |row| {
            let mut factors = vec![1.0; len];
            kernels.dropout(dropout, row, column, &mut factors);
            factors
        };
        (0..rows).map(row).collect()
    }

    fn keys(n: u64) -> Vec<u64> {
        (0..n).collect()
    }

    #[test]
    #[cfg_attr(miri, ignore = "a million numbers take minutes")]
    fn drops_the_share_asked_for_and_keeps_the_mean() {
        let p = 0.05;
        let dropout = Dropout::new(DropoutPool::new(7 << 33 | 3, p), 5, &keys(1024));
        let mask = mask(&dropout, 1024, 0, 1024);
        let all: Vec<f64> = mask.iter().flatten().map(|&x| f64::from(x)).collect();
        let n = all.len() as f64;
        let dropped = all.iter().filter(|&&x| x == 0.0).count() as f64 / n;
        // The pool has half a million factors: a standard deviation of 3e-4.
        assert!((dropped - f64::from(p)).abs() < 1.2e-3, "{dropped}");
        assert!((all.iter().sum::<f64>() / n - 1.0).abs() < 1.3e-3);
    }

    /// Of a column, of a row and of two masks, the factors are as likely to be dropped together as
    /// independent ones are.
    #[test]
    #[cfg_attr(miri, ignore = "a million numbers take minutes")]
    fn rows_columns_and_masks_are_independent() {
        let (n, p) = (1024, 0.25);
        let pool = DropoutPool::new(11, p);
        let masks = [1, 2].map(|seed| mask(&Dropout::new(pool, seed, &keys(n)), 1024, 0, 256));
        let dropped = |mask: usize, row: usize, column: usize| masks[mask][row][column] == 0.0;
        // Each factor, and one so many masks, rows and columns on.
        for (what, [mask, row, column]) in
            [("masks", [1, 0, 0]), ("rows", [0, 1, 0]), ("columns", [0, 0, 1])]
        {
            let first = (0..1023).flat_map(|row| (0..255).map(move |column| (row, column)));
            let both =
                first.filter(|&(r, c)| dropped(0, r, c) && dropped(mask, r + row, c + column));
            let share = both.count() as f64 / (1023.0 * 255.0);
            // 260,000 pairs, of which some are the same factors: a standard deviation of about 1e-3.
            assert!((share - f64::from(p * p)).abs() < 4e-3, "{what}: {share}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "a pool takes minutes")]
    fn a_part_is_a_part_of_the_whole_and_of_the_pool() {
        let pool = DropoutPool::new(5, 0.5);
        let dropout = Dropout::new(pool, 3, &[8, 9]);
        let whole = mask(&dropout, 2, 0, 4096);
        assert_eq!(mask(&dropout, 2, 1000, 96)[1], whole[1][1000..1096]);
        let factors = pool.first(DropoutPool::len(4096));
        for (row, &window) in whole.iter().zip(dropout.windows()) {
            assert_eq!(factors[window as usize * Dropout::STRIDE..][..4096], *row);
        }
    }

    #[test]
    fn a_row_depends_on_key_seed_and_pool() {
        let pool = DropoutPool::new(5, 0.5);
        let row = |pool: DropoutPool, seed: u64, keys: &[u64], at: usize| -> Vec<f32> {
            mask(&Dropout::new(pool, seed, keys), at + 1, 0, 64).swap_remove(at)
        };
        let one = row(pool, 3, &[8], 0);
        assert_eq!(row(pool, 3, &[1, 2, 8], 2), one);
        assert_ne!(row(pool, 3, &[9], 0), one);
        assert_ne!(row(pool, 4, &[8], 0), one);
        assert_ne!(row(DropoutPool::new(5 | 1 << 40, 0.5), 3, &[8], 0), one);
        assert!(row(DropoutPool::new(5, 0.0), 3, &[8], 0).iter().all(|&x| x == 1.0));
    }
}
