//! How the next token is chosen from the logits.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// How the next token is chosen: in this order, as llama.cpp's samplers do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Divides the logits of tokens that have occurred in the answer, or multiplies negative ones; 1
    /// for none.
    pub repeat_penalty: f32,
    /// Only this many of the likeliest tokens are drawn; 0 for all.
    pub top_k: usize,
    /// Only the likeliest tokens whose probabilities sum to this are drawn; 1 for all.
    pub top_p: f32,
    /// Only tokens of at least this share of the likeliest one's probability are drawn; 0 for all.
    pub min_p: f32,
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f32,
}

impl Choice {
    /// The likeliest token.
    pub const GREEDY: Self =
        Self { repeat_penalty: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, temperature: 0.0 };

    /// The token after `answer` by these logits. The draw depends on the seed and on the number of
    /// tokens so far.
    pub(super) fn choose(&self, logits: &[f32], answer: &[u32], seed: u64) -> u32 {
        let mut penalized = Vec::new();
        let logits = match self.repeat_penalty {
            1.0 => logits,
            penalty => {
                penalized.extend_from_slice(logits);
                penalize(&mut penalized, answer, penalty);
                &penalized[..]
            }
        };
        if self.temperature == 0.0 {
            return likeliest(logits) as u32;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(answer.len() as u64);
        self.draw(logits, rng.random::<f64>())
    }

    /// The token that the share `at` of the probabilities of those that are left falls on.
    fn draw(&self, logits: &[f32], at: f64) -> u32 {
        let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let left = self.top(logits, most);
        let temperature = f64::from(self.temperature);
        let weight = |&(_, logit): &(u32, f32)| ((f64::from(logit) - most) / temperature).exp();
        let weights: Vec<f64> = left.iter().map(weight).collect();
        let mut rest = at * weights.iter().sum::<f64>();
        let drawn = weights.iter().position(|weight| {
            rest -= weight;
            rest < 0.0
        });
        left[drawn.unwrap_or(left.len() - 1)].0
    }

    /// The tokens that may be drawn, with their logits, of which the largest is `most`.
    fn top(&self, logits: &[f32], most: f64) -> Vec<(u32, f32)> {
        let share = |logit: f32| (f64::from(logit) - most).exp();
        // What is so unlikely that no draw falls on it is not looked at.
        let least = most as f32 - NEVER * self.temperature.max(1.0);
        let all = (0..).zip(logits.iter().copied()).filter(|&(_, logit)| logit >= least);
        let mut left: Vec<(u32, f32)> = all.collect();
        if self.top_k > 0 && self.top_k < left.len() {
            left.select_nth_unstable_by(self.top_k - 1, likelier);
            left.truncate(self.top_k);
        }
        if self.top_p < 1.0 {
            let sum: f64 = left.iter().map(|&(_, logit)| share(logit)).sum();
            // Tokens of less are not among the likeliest that sum to `top_p`: all of them together
            // are less than the rest.
            let floor = (1.0 - f64::from(self.top_p)) * sum / left.len() as f64;
            left.retain(|&(_, logit)| share(logit) >= floor);
            left.sort_unstable_by(likelier);
            let mut taken = 0.0;
            let enough = left.iter().position(|&(_, logit)| {
                taken += share(logit);
                taken >= f64::from(self.top_p) * sum
            });
            left.truncate(enough.map_or(left.len(), |last| last + 1));
        }
        if self.min_p > 0.0 {
            left.retain(|&(_, logit)| share(logit) >= f64::from(self.min_p));
        }
        left
    }
}

/// Nats below the likeliest token, in units of the temperature, from which on tokens are never drawn:
/// all of a vocabulary of a million together have less than 1e-13 of the probability.
const NEVER: f32 = 44.0;

/// The likelier first; of equal ones that of the smaller id.
fn likelier(a: &(u32, f32), b: &(u32, f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

fn penalize(logits: &mut [f32], answer: &[u32], penalty: f32) {
    let mut seen = answer.to_vec();
    seen.sort_unstable();
    seen.dedup();
    for token in seen {
        let logit = &mut logits[token as usize];
        *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
    }
}

/// The first of the largest.
fn likeliest(logits: &[f32]) -> usize {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter().position(|&logit| logit == largest).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probabilities 0.1, 0.4, 0.2, 0.3.
    fn logits() -> Vec<f32> {
        [0.1f32, 0.4, 0.2, 0.3].map(f32::ln).to_vec()
    }

    /// How often each token is drawn, of a thousand draws in even steps.
    fn shares(sampling: Choice) -> [usize; 4] {
        let mut counts = [0; 4];
        for i in 0..1000 {
            counts[sampling.draw(&logits(), (f64::from(i) + 0.5) / 1000.0) as usize] += 1;
        }
        counts
    }

    const PLAIN: Choice = Choice { temperature: 1.0, ..Choice::GREEDY };

    #[test]
    fn tokens_are_drawn_by_what_is_left_of_their_probabilities() {
        assert_eq!(shares(PLAIN), [100, 400, 200, 300]);
        assert_eq!(shares(Choice { top_k: 2, ..PLAIN }), [0, 571, 0, 429]);
        assert_eq!(shares(Choice { top_p: 0.65, ..PLAIN }), [0, 571, 0, 429]);
        assert_eq!(shares(Choice { min_p: 0.6, ..PLAIN }), [0, 571, 0, 429]);
        assert_eq!(shares(Choice { top_p: 0.01, ..PLAIN }), [0, 1000, 0, 0]);
        // Squared: 0.01, 0.16, 0.04, 0.09 of 0.3.
        assert_eq!(shares(Choice { temperature: 0.5, ..PLAIN }), [33, 534, 133, 300]);
    }

    #[test]
    fn a_draw_depends_on_seed_and_position_alone() {
        let choose = |seed, answer: &[u32]| PLAIN.choose(&logits(), answer, seed);
        let draws = |seed| (0..20).map(|n| choose(seed, &vec![0; n])).collect::<Vec<_>>();
        assert_eq!(draws(3), draws(3));
        assert_ne!(draws(3), draws(4));
        assert!(draws(3).iter().any(|&token| token != draws(3)[0]));
        assert_eq!(Choice::GREEDY.choose(&logits(), &[1], 3), 1);
        let penalty = Choice { repeat_penalty: 2.0, ..Choice::GREEDY };
        assert_eq!(penalty.choose(&logits(), &[1, 1], 3), 3);
        assert_eq!(penalty.choose(&[1.0, 3.0], &[1], 3), 1, "3 / 2 is still the largest");
    }
}
