//! Small statistics: what is robust against a disturbed run, and how sure few repeats make one.

/// Two-sided 95 % of a normal distribution.
const NORMAL_95: f64 = 1.96;

/// The middle value, or the mean of the two middle ones: some recordings shared their host with other work.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

/// The mean of the values between the quartiles, for what was rounded to whole units and may be disturbed.
pub(super) fn mean_of_middle_half(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let cut = values.len() / 4;
    let middle = values.get(cut..values.len() - cut)?;
    (!middle.is_empty()).then(|| middle.iter().sum::<f64>() / count(middle.len()))
}

/// The value below which a part of the others lies.
pub(super) fn quantile(mut values: Vec<f64>, part: f64) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let place = (count(last) * part.clamp(0.0, 1.0)).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between zero and the last place"
    )]
    values.get(place as usize).copied()
}

/// Wilson's interval, at 95 %, for the probability of an event that happened this often in this many trials.
pub(super) fn binomial_interval(happened: usize, of: usize) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let (n, share) = (count(of), count(happened) / count(of));
    let z = NORMAL_95 * NORMAL_95 / n;
    let middle = share + z / 2.0;
    let half = NORMAL_95 * (share * (1.0 - share) / n + z / (4.0 * n)).sqrt();
    (((middle - half) / (1.0 + z)).max(0.0), ((middle + half) / (1.0 + z)).min(1.0))
}

/// The chance that two samples of one distribution have ranks as different as these or more: the rank-sum test of
/// Wilcoxon, Mann and Whitney, two-sided, by its normal approximation with a correction for ties. `None` for an empty
/// sample.
pub(super) fn rank_test(one: &[f64], other: &[f64]) -> Option<f64> {
    let (n, m) = (count(one.len()), count(other.len()));
    if one.is_empty() || other.is_empty() {
        return None;
    }
    let wins: f64 = one
        .iter()
        .flat_map(|left| other.iter().map(move |right| left.total_cmp(right)))
        .map(|order| match order {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        })
        .sum();
    let mut all: Vec<f64> = one.iter().chain(other).copied().collect();
    all.sort_unstable_by(f64::total_cmp);
    let ties: f64 = all
        .chunk_by(|left, right| left.total_cmp(right).is_eq())
        .map(|tied| count(tied.len()).powi(3) - count(tied.len()))
        .sum();
    let total = n + m;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)).max(1.0));
    if variance <= 0.0 {
        return Some(1.0);
    }
    let distance = ((wins - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    Some((2.0 * above(distance)).min(1.0))
}

/// The part of a normal distribution above this many standard deviations, to seven digits: Abramowitz and Stegun
/// 26.2.17.
fn above(deviations: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * deviations);
    let terms = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let sum = terms.iter().rev().fold(0.0, |sum, term| (sum + term) * t);
    (-deviations * deviations / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 runs")]
pub(super) fn count(value: usize) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-4
    }

    #[test]
    fn middles_do_not_care_for_one_that_was_disturbed() {
        assert_eq!(median(vec![3.0, 1.0, 900.0]), Some(3.0));
        assert_eq!(median(vec![1.0, 2.0]), Some(1.5));
        assert_eq!(mean_of_middle_half(vec![0.0, 1.0, 1.0, 2.0, 900.0]), Some(4.0 / 3.0));
        assert_eq!((median(vec![]), mean_of_middle_half(vec![]), quantile(vec![], 0.5)), (None, None, None));
        assert_eq!(quantile((0..=10).map(f64::from).collect(), 0.9), Some(9.0));
    }

    #[test]
    fn few_repeats_leave_a_wide_interval() {
        let (least, most) = binomial_interval(1, 2);
        assert!(near(least, 0.09453) && near(most, 0.90547), "{least} {most}");
        let (least, most) = binomial_interval(3, 3);
        assert!(near(least, 0.43850) && near(most, 1.0), "{least} {most}");
        assert_eq!(binomial_interval(0, 0), (0.0, 1.0));
    }

    #[test]
    fn ranks_tell_samples_apart() {
        let low: Vec<f64> = (0..10).map(f64::from).collect();
        let high: Vec<f64> = (100..110).map(f64::from).collect();
        // U = 0, mean 50, variance 175: z = 49.5 / 13.2288.
        assert!(near(rank_test(&low, &high).unwrap(), 1.8267e-4));
        assert!(rank_test(&low, &low).unwrap() > 0.99);
        assert_eq!(rank_test(&[1.0], &[1.0]), Some(1.0));
        assert_eq!(rank_test(&[], &low), None);
    }
}
