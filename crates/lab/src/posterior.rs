//! What is believed after evidence. Devices nothing was seen of share one weight, so that the work goes with what was seen and not with how
//! many devices there are.

use crate::statistics::as_float;

/// The natural logarithm of the least evidence there is: records get lost, so that nothing that is missing proves anything.
pub(crate) const FLOOR: f64 = -6.907_755_278_982_137;
/// Differences of log-weights that are none.
const TIE: f64 = 1e-9;

/// What is believed before anything is seen.
#[derive(Debug)]
pub(crate) struct Prior {
    chances: Vec<f64>,
    /// Logarithms of the chances, the least first.
    ranked: Vec<f64>,
    /// The sum of c·ln c.
    content: f64,
}

impl Prior {
    /// Of chances that sum to one.
    pub(crate) fn new(chances: Vec<f64>) -> Self {
        let mut ranked: Vec<f64> = chances.iter().map(|chance| chance.ln()).collect();
        ranked.sort_unstable_by(f64::total_cmp);
        let content = chances.iter().map(|chance| content(*chance)).sum();
        Self { chances, ranked, content }
    }

    /// As many devices, each as likely.
    pub(crate) fn uniform(devices: usize) -> Self {
        Self::new(vec![1.0 / as_float(devices.max(1)); devices])
    }

    pub(crate) fn chance(&self, device: usize) -> f64 {
        self.chances.get(device).copied().unwrap_or_default()
    }

    /// How many devices have at least this log-weight before anything is seen.
    fn at_least(&self, weight: f64) -> usize {
        self.ranked.len() - self.ranked.partition_point(|each| *each < weight)
    }
}

/// x·ln x, which is zero for none.
fn content(chance: f64) -> f64 {
    if chance > 0.0 { chance * chance.ln() } else { 0.0 }
}

/// The evidence of some windows: for each device by how much its log-weight is above the one of devices that were not seen.
#[derive(Debug)]
pub(crate) struct Tally {
    excess: Vec<f64>,
    touched: Vec<usize>,
}

impl Tally {
    pub(crate) fn new(devices: usize) -> Self {
        Self { excess: vec![0.0; devices], touched: Vec::new() }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        for device in self.touched.drain(..) {
            if let Some(excess) = self.excess.get_mut(device) {
                *excess = 0.0;
            }
        }
    }

    /// Evidence for a device, as the logarithm of its likelihood.
    pub(crate) fn add(&mut self, device: usize, log_likelihood: f64) {
        let Some(excess) = self.excess.get_mut(device) else { return };
        let more = log_likelihood - FLOOR;
        if more > 0.0 {
            if *excess <= 0.0 {
                self.touched.push(device);
            }
            *excess += more;
        }
    }

    fn of(&self, device: usize) -> f64 {
        self.excess.get(device).copied().unwrap_or_default()
    }
}

/// How far the observer has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Verdict {
    /// The chance the best guess has, as far as the observer can tell.
    pub(crate) top1: f64,
    /// Whether the best guess was right; where several are best, the share of them that are.
    pub(crate) hit: f64,
    /// The entropy that is left, in bits.
    pub(crate) bits: f64,
    /// Where the target is among the candidates; the middle of those that are as likely.
    pub(crate) rank: f64,
}

/// What follows from the evidence, and how well the target (any of its devices) is hidden.
pub(crate) fn verdict(prior: &Prior, tally: &Tally, own: &[usize]) -> Verdict {
    let seen = Seen::new(prior, tally);
    let best = own.iter().map(|device| weight(prior, tally, *device)).max_by(f64::total_cmp);
    let top = seen.top(prior);
    let tied = seen.at_least(prior, top - TIE);
    let right = own.iter().filter(|device| weight(prior, tally, **device) >= top - TIE).count();
    let rank = best.filter(|weight| weight.is_finite()).map_or_else(
        || as_float(prior.chances.len() + 1),
        |weight| {
            let above = seen.at_least(prior, weight + TIE);
            let equal = seen.at_least(prior, weight - TIE) - above;
            as_float(above) + f64::midpoint(as_float(equal), 1.0)
        },
    );
    Verdict {
        top1: (top - seen.log_total).exp(),
        hit: as_float(right) / as_float(tied.max(1)),
        bits: seen.entropy(prior) / std::f64::consts::LN_2,
        rank,
    }
}

fn weight(prior: &Prior, tally: &Tally, device: usize) -> f64 {
    prior.chance(device).ln() + tally.of(device)
}

/// The devices there is evidence for, and what they add up to.
struct Seen {
    /// For each of them the log of its prior, and its log-weight.
    weights: Vec<(f64, f64)>,
    /// The logarithm of the sum of all weights, seen and unseen.
    log_total: f64,
    /// What the unseen had of the prior.
    unseen: f64,
}

impl Seen {
    fn new(prior: &Prior, tally: &Tally) -> Self {
        let (mut weights, mut unseen) = (Vec::with_capacity(tally.touched.len()), 1.0);
        for device in &tally.touched {
            let chance = prior.chance(*device);
            if chance > 0.0 {
                unseen -= chance;
                weights.push((chance.ln(), chance.ln() + tally.of(*device)));
            }
        }
        // What rounding leaves of nothing is nothing.
        if unseen < 1e-12 || weights.len() == prior.chances.len() {
            unseen = 0.0;
        }
        let highest = weights.iter().map(|weight| weight.1).fold(0.0, f64::max);
        let sum: f64 = weights.iter().map(|weight| (weight.1 - highest).exp()).sum();
        let log_total = highest + (sum + unseen * (-highest).exp()).ln();
        Self { weights, log_total, unseen }
    }

    /// How many devices have at least this log-weight, of all.
    fn at_least(&self, prior: &Prior, least: f64) -> usize {
        let seen = self.weights.iter().filter(|weight| weight.1 >= least).count();
        let taken = self.weights.iter().filter(|weight| weight.0 >= least).count();
        seen + prior.at_least(least).saturating_sub(taken)
    }

    /// The highest log-weight there is.
    fn top(&self, prior: &Prior) -> f64 {
        let seen = self.weights.iter().map(|weight| weight.1).fold(f64::NEG_INFINITY, f64::max);
        let highest = prior.ranked.last().copied().unwrap_or(f64::NEG_INFINITY);
        if seen >= highest || self.unseen <= 0.0 {
            return seen;
        }
        // The most likely one of those that were not seen: the seen ones are passed over, most likely first.
        let mut taken: Vec<f64> = self.weights.iter().map(|weight| weight.0).collect();
        taken.sort_unstable_by(|left, right| right.total_cmp(left));
        let mut taken = taken.into_iter().peekable();
        let mut unseen =
            prior.ranked.iter().rev().filter(|weight| taken.next_if_eq(weight).is_none());
        unseen.next().map_or(seen, |weight| seen.max(*weight))
    }

    fn entropy(&self, prior: &Prior) -> f64 {
        let of_seen: f64 = self
            .weights
            .iter()
            .map(|weight| weight.1 - self.log_total)
            .map(|log_chance| -log_chance * log_chance.exp())
            .sum();
        if self.unseen <= 0.0 {
            return of_seen.max(0.0);
        }
        let seen_content: f64 = self.weights.iter().map(|weight| weight.0 * weight.0.exp()).sum();
        let scale = (-self.log_total).exp();
        let of_unseen = -scale * (prior.content - seen_content - self.unseen * self.log_total);
        (of_seen + of_unseen).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{FLOOR, Prior, Tally, verdict};
    use proptest::prelude::*;

    fn is_close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9 * (1.0 + right.abs())
    }

    #[test]
    fn without_evidence_everybody_is_as_likely() {
        let verdict = verdict(&Prior::uniform(64), &Tally::new(64), &[3]);
        assert!(is_close(verdict.top1, 1.0 / 64.0) && is_close(verdict.hit, 1.0 / 64.0));
        assert!(is_close(verdict.bits, 6.0) && is_close(verdict.rank, 32.5));
    }

    #[test]
    fn those_with_equal_evidence_share_it() {
        let (prior, mut tally) = (Prior::uniform(1_000), Tally::new(1_000));
        for device in 0..8 {
            for _ in 0..20 {
                tally.add(device, 3.0);
            }
        }
        let known = verdict(&prior, &tally, &[5]);
        assert!(is_close(known.top1, 0.125) && is_close(known.hit, 0.125));
        assert!(is_close(known.bits, 3.0) && is_close(known.rank, 4.5));
        assert!(is_close(verdict(&prior, &tally, &[5, 6]).hit, 0.25), "two devices of one account");
        assert!(is_close(verdict(&prior, &tally, &[]).hit, 0.0));
        tally.clear();
        assert!(is_close(verdict(&prior, &tally, &[5]).top1, 0.001));
    }

    proptest! {
        /// Against the plain computation over all devices.
        #[test]
        fn sparse_is_exact(
            chances in proptest::collection::vec(0_u8..5, 2..40),
            evidence in proptest::collection::vec((0_usize..40, -8.0..8.0_f64), 0..30), own in 0_usize..40,
        ) {
            let total: f64 = chances.iter().map(|chance| f64::from(*chance)).sum();
            prop_assume!(total > 0.0);
            let own = own % chances.len();
            let chances: Vec<f64> = chances.iter().map(|chance| f64::from(*chance) / total).collect();
            let mut scores = vec![0.0; chances.len()];
            let mut tally = Tally::new(chances.len());
            for (device, log) in evidence {
                let device = device % chances.len();
                tally.add(device, log);
                scores[device] += (log - FLOOR).max(0.0);
            }
            let weights: Vec<f64> = chances.iter().zip(&scores).map(|(c, s)| c * s.exp()).collect();
            let sum: f64 = weights.iter().sum();
            let posterior: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
            let top = posterior.iter().copied().fold(0.0, f64::max);
            let bits: f64 = posterior.iter().filter(|p| **p > 0.0).map(|p| -p * p.log2()).sum();
            let known = verdict(&Prior::new(chances), &tally, &[own]);
            prop_assert!(is_close(known.top1, top), "{} {top}", known.top1);
            prop_assert!((known.bits - bits).abs() < 1e-6, "{} {bits}", known.bits);
            let near = |left: f64, right: f64| (left - right).abs() <= 1e-9 * right;
            let tied = posterior.iter().filter(|p| near(**p, top)).count();
            let hit = if near(posterior[own], top) { 1.0 / crate::statistics::as_float(tied) } else { 0.0 };
            prop_assert!(is_close(known.hit, hit), "{} {hit}", known.hit);
            if posterior[own] > 0.0 {
                let above = posterior.iter().filter(|p| **p > posterior[own] && !near(**p, posterior[own])).count();
                let equal = posterior.iter().filter(|p| near(**p, posterior[own])).count();
                let rank = crate::statistics::as_float(above) + f64::midpoint(crate::statistics::as_float(equal), 1.0);
                prop_assert!(is_close(known.rank, rank), "{} {rank}", known.rank);
            }
        }
    }
}
