//! How far two judges agree, or one with itself.

use serde::Serialize;

/// Two verdicts on each of a number of answers: good, or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Both say that the answer is good.
    pub both_good: usize,
    /// Both say that it is not.
    pub both_bad: usize,
    /// Only the first says that it is good.
    pub first_good: usize,
    /// Only the second does.
    pub second_good: usize,
}

impl Agreement {
    /// Counts one answer.
    pub fn add(&mut self, first: bool, second: bool) {
        *match (first, second) {
            (true, true) => &mut self.both_good,
            (false, false) => &mut self.both_bad,
            (true, false) => &mut self.first_good,
            (false, true) => &mut self.second_good,
        } += 1;
    }

    /// How many answers there are.
    pub fn n(&self) -> usize {
        self.both_good + self.both_bad + self.first_good + self.second_good
    }

    /// The share of answers on which both say the same; none without answers.
    pub fn share(&self) -> Option<f64> {
        (self.n() > 0).then(|| (self.both_good + self.both_bad) as f64 / self.n() as f64)
    }

    /// Cohen's kappa, `(p_o − p_e) / (1 − p_e)`: the observed agreement `p_o` beyond the one that is
    /// expected by chance, `p_e = p₁ p₂ + (1 − p₁)(1 − p₂)` for judges that call the shares `p₁` and
    /// `p₂` good. 1 is full agreement, 0 chance; none where both always say the same word.
    pub fn kappa(&self) -> Option<f64> {
        let observed = self.share()?;
        let share = |good: usize| (self.both_good + good) as f64 / self.n() as f64;
        let (first, second) = (share(self.first_good), share(self.second_good));
        let expected = first * second + (1.0 - first) * (1.0 - second);
        (expected < 1.0).then(|| (observed - expected) / (1.0 - expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kappa_is_agreement_beyond_chance() {
        // A textbook's: p_o = 0.7, p_e = 0.5.
        let agreement = Agreement { both_good: 20, both_bad: 15, first_good: 5, second_good: 10 };
        assert_eq!((agreement.n(), agreement.share()), (50, Some(0.7)));
        assert!((agreement.kappa().expect("both words occur") - 0.4).abs() < 1e-12);
        let mut all = Agreement::default();
        assert_eq!((all.share(), all.kappa()), (None, None));
        all.add(true, true);
        assert_eq!((all.share(), all.kappa()), (Some(1.0), None));
        all.add(false, false);
        assert_eq!(all.kappa(), Some(1.0));
        let mut chance = Agreement::default();
        for pair in [(true, true), (true, false), (false, true), (false, false)] {
            chance.add(pair.0, pair.1);
        }
        assert_eq!(chance.kappa(), Some(0.0));
    }
}
