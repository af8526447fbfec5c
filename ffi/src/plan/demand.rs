//! What a run asks for.

/// What a run asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Tokens of the largest example in all its contexts, which share a pass.
    pub largest: usize,
    /// Tokens of the longest sequence.
    pub longest: usize,
    /// Tokens that a pass may have at most; `largest` if that is more.
    pub micro_batch: usize,
    /// Whether `micro_batch` was asked for: then no smaller number is considered.
    pub fixed: bool,
    /// Bytes of the optimizer's state per parameter of the adapter.
    pub optimizer_bytes: usize,
    /// Bytes that the program takes beside the engine.
    pub program: u64,
}

impl Demand {
    /// Numbers of tokens to consider, from the largest: halves, down to the largest example.
    pub(super) fn micro_batches(&self) -> Vec<usize> {
        let largest = self.micro_batch.max(self.largest);
        if self.fixed {
            return vec![self.micro_batch];
        }
        let halves = std::iter::successors(Some(largest), |&n| Some(n / 2));
        let mut all: Vec<usize> = halves.take_while(|&n| n > self.largest).collect();
        all.push(self.largest);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_halved_down_to_the_largest_example() {
        let demand = |largest, micro_batch, fixed| {
            let (longest, optimizer_bytes, program) = (largest, 8, 0);
            Demand { largest, longest, micro_batch, fixed, optimizer_bytes, program }
                .micro_batches()
        };
        assert_eq!(demand(300, 1024, false), [1024, 512, 300]);
        assert_eq!(demand(1024, 1024, false), [1024]);
        assert_eq!(demand(3000, 1024, false), [3000]);
        assert_eq!(demand(300, 1024, true), [1024]);
    }
}
