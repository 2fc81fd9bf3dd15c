//! Least squares under W ≥ 0 with a small ridge, by cyclic coordinate descent in a fixed order.
//!
//! The descent begins with sizes that fall with the rate and explain the largest observation: what the evidence cannot
//! separate stays as it was. Beginning at zero would put everything into the first class that is visited.
//!
//! It must never depend on how often it was called before: the same evidence gives the same bits.

use super::evidence::Evidence;
use super::grid::CLASSES;

/// Passes over the classes; each brings every weight to its best value given the others.
const SWEEPS: usize = 200;
/// The ridge, relative to the largest observation. It decides only between weights that the evidence does not separate,
/// and spreads what is left open evenly over them. A starting value, not measured.
const RIDGE: f64 = 1e-4;
/// Errors are relative to the observation, and to this at least.
const FLOOR_BYTES: f64 = 1_048_576.0;

/// Before the evidence each class gets the same part of the writes: its size is inversely proportional to its rate, which
/// rises by 10^(6/23) from class to class. On the known grid this gave a much better chance after the first pass than
/// equal sizes (Brier 0.18 instead of 0.46, where the base rate has 0.23).
const FALL: f64 = 0.548;

type Vector = [f64; CLASSES];

/// What the size of the memory counts beside an observation, when the fit would be larger than it. A starting value.
const MEMORY_COUNTS: f64 = 100.0;

/// The weights, in bytes, and the error of the fit relative to what was observed (root mean square). Together they have
/// at most the memory's size, as far as the descent comes.
///
/// A guest that scans its memory dirties as much in each second until it begins again: slow classes alone would explain
/// that if they were larger than the memory. Faster ones that fit into it explain it as well.
pub(super) fn fit(evidence: &Evidence, memory_bytes: f64) -> (Vector, f64) {
    let largest = evidence.weighted().fold(FLOOR_BYTES, |most, (_, row)| most.max(row.dirtied_bytes));
    let floor = FLOOR_BYTES.max(largest * 0.005);
    let mut gram: [Vector; CLASSES] = [[0.0; CLASSES]; CLASSES];
    let mut target: Vector = [0.0; CLASSES];
    for (weight, row) in evidence.weighted() {
        let scale = row.dirtied_bytes + floor;
        let relative = weight / (scale * scale);
        for ((line, target), exposed) in gram.iter_mut().zip(&mut target).zip(row.exposed) {
            *target += relative * exposed * row.dirtied_bytes;
            for (cell, other) in line.iter_mut().zip(row.exposed) {
                *cell += relative * exposed * other;
            }
        }
    }
    let ridge = RIDGE / (largest * largest);
    let mut weights = descend(&gram, &target, ridge, falling(evidence));
    if weights.iter().sum::<f64>() > memory_bytes {
        // One observation more: all classes, written as often as it takes, have the size of the memory.
        let counts = MEMORY_COUNTS / (memory_bytes * memory_bytes);
        gram.iter_mut().flatten().for_each(|cell| *cell += counts);
        for target in &mut target {
            *target += counts * memory_bytes;
        }
        weights = descend(&gram, &target, ridge, weights);
    }
    (weights, error(evidence, &weights, floor))
}

/// Sizes that fall by a constant factor from class to class, such that they explain the largest observation.
fn falling(evidence: &Evidence) -> Vector {
    let rows = evidence.weighted().map(|(_, row)| row);
    let largest = rows.reduce(|most, row| if row.dirtied_bytes > most.dirtied_bytes { row } else { most });
    let Some(row) = largest else { return [0.0; CLASSES] };
    let mut size = 1.0;
    let sizes = [(); CLASSES].map(|()| {
        let this = size;
        size *= FALL;
        this
    });
    let explained: f64 = sizes.iter().zip(row.exposed).map(|(size, exposed)| size * exposed).sum();
    sizes.map(|size| size * row.dirtied_bytes / explained.max(1e-9))
}

/// Minimises wᵀ·gram·w − 2·targetᵀ·w + ridge·wᵀw under w ≥ 0.
fn descend(gram: &[Vector; CLASSES], target: &Vector, ridge: f64, from: Vector) -> Vector {
    let mut weights = from;
    // gram · weights, kept up to date.
    let mut products =
        gram.map(|line| line.iter().zip(from).map(|(cell, weight)| cell * weight).sum::<f64>());
    for _ in 0..SWEEPS {
        let mut moved = false;
        for (index, (line, target)) in gram.iter().zip(target).enumerate() {
            let (Some(own), Some(weight), Some(product)) =
                (line.get(index), weights.get_mut(index), products.get(index))
            else {
                continue;
            };
            let others = product - own * *weight;
            let best = ((target - others) / (own + ridge)).max(0.0);
            let change = best - *weight;
            if change != 0.0 {
                *weight = best;
                products.iter_mut().zip(line).for_each(|(product, cell)| *product += cell * change);
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    weights
}

fn error(evidence: &Evidence, weights: &Vector, floor: f64) -> f64 {
    let (mut squares, mut total) = (0.0, 0.0);
    for (weight, row) in evidence.weighted() {
        let fitted: f64 = row.exposed.iter().zip(weights).map(|(exposed, weight)| exposed * weight).sum();
        let relative = (fitted - row.dirtied_bytes) / (row.dirtied_bytes + floor);
        squares += weight * relative * relative;
        total += weight;
    }
    if total > 0.0 { libm::sqrt(squares / total) } else { 0.0 }
}
