//! A curve of bounded length that keeps its extrema.
//!
//! When it is full it is thinned: first by points between two extrema, which a straight line replaces well, then, on
//! a curve that is nothing but teeth, by keeping the least and the most of every few. A regression may therefore
//! move by less than the screen can show, but it never disappears.

/// Most points of a curve; well above the dots that any terminal has in a row.
pub(super) const POINTS_KEPT: usize = 4_096;

/// Points are grouped by this many when thinning by extrema is all that is left.
const GROUP: usize = 8;

/// A curve over time.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    points: Vec<(f64, f64)>,
}

impl Series {
    /// The next point; `x` never falls. Constant time on average.
    pub(super) fn push(&mut self, x: f64, y: f64) {
        if self.points.len() == POINTS_KEPT {
            self.thin();
        }
        self.points.push((x, y));
    }

    /// The points, oldest first.
    pub(super) fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    fn thin(&mut self) {
        let points = std::mem::take(&mut self.points);
        let kept = without_every_other_slope(&points);
        self.points = if kept.len() <= POINTS_KEPT * 3 / 4 { kept } else { extrema_of_groups(&points) };
    }
}

/// Drops every other point of those that only lie on the way from one extremum to the next.
fn without_every_other_slope(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::with_capacity(points.len());
    let mut drop_next = true;
    for (index, &point) in points.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| points.get(index));
        let on_the_way = match (before, points.get(index + 1)) {
            (Some(before), Some(after)) => {
                let rising = before.1 < point.1 && point.1 < after.1;
                let falling = before.1 > point.1 && point.1 > after.1;
                rising
                    || falling
                    || (before.1.total_cmp(&point.1).is_eq() && point.1.total_cmp(&after.1).is_eq())
            }
            _ => false,
        };
        if !on_the_way || !drop_next {
            kept.push(point);
        }
        drop_next = !(on_the_way && drop_next);
    }
    kept
}

/// Keeps the least and the most of each group, in their order.
fn extrema_of_groups(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut kept = Vec::with_capacity(points.len());
    for group in points.chunks(GROUP) {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let (Some(&least), Some(&most)) = (group.iter().min_by(by_height), group.iter().max_by(by_height))
        else {
            continue;
        };
        // At one instant a curve first falls, then rises: that is the order of a regression.
        let (first, second) = if least.0 <= most.0 { (least, most) } else { (most, least) };
        kept.extend([first, second]);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rises(series: &Series) -> usize {
        series.points().windows(2).filter(|pair| pair[1].1 > pair[0].1 + 400.0).count()
    }

    #[test]
    fn every_tooth_of_a_long_saw_is_kept() {
        let mut series = Series::default();
        let mut x = 0.0;
        for _tooth in 0..300 {
            for step in 0..1_000 {
                series.push(x, 1_000.0 - f64::from(step) * 0.9);
                x += 0.001;
            }
        }
        assert!(series.points().len() <= POINTS_KEPT);
        assert_eq!(rises(&series), 299);
        assert_eq!(series.points().first(), Some(&(0.0, 1_000.0)));
    }

    #[test]
    fn a_curve_of_nothing_but_teeth_keeps_its_height() {
        let mut series = Series::default();
        for tooth in 0..100_000 {
            series.push(f64::from(tooth), 10.0);
            series.push(f64::from(tooth), if tooth == 7_777 { 99.0 } else { 20.0 });
        }
        assert!(series.points().len() <= POINTS_KEPT);
        let heights = || series.points().iter().map(|point| point.1);
        assert_eq!((heights().fold(f64::MAX, f64::min), heights().fold(0.0, f64::max)), (10.0, 99.0));
        assert!(series.points().is_sorted_by(|a, b| a.0 <= b.0));
    }
}
