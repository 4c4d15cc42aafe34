//! How the benchmark scores (Lavin and Ahmad 2015, arXiv 1510.03336, and its scorer).
//!
//! One threshold for all files. Within a window the earliest detection counts, the more the earlier; a window missed costs;
//! a detection elsewhere costs, the less the closer behind a window. Normalised between a detector that never fires
//! (0) and one that fires at each window's start and nowhere else (100). Nothing depends on how many files there are.

use crate::corpus::File;

/// Distance after a window, in its lengths, from which a false detection costs all.
const FAR: f64 = 3.0;

/// What a hit, a false detection and a miss weigh.
#[derive(Clone, Copy)]
pub(crate) struct Weights {
    pub(crate) hit: f64,
    pub(crate) false_alarm: f64,
    pub(crate) miss: f64,
}

pub(crate) const STANDARD: Weights = Weights { hit: 1.0, false_alarm: 0.11, miss: 1.0 };
pub(crate) const FEW_FALSE_ALARMS: Weights = Weights { hit: 1.0, false_alarm: 0.22, miss: 1.0 };
pub(crate) const FEW_MISSES: Weights = Weights { hit: 1.0, false_alarm: 0.11, miss: 2.0 };

/// A row that is scored.
#[derive(Clone, Copy)]
struct Row {
    score: f64,
    /// What a detection here is worth (in a window) or costs (outside).
    worth: f64,
    /// Its window, among all.
    window: Option<usize>,
}

/// What a threshold brings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) threshold: f64,
    /// Normalised, 0 to 100 (below 0 for worse than nothing).
    pub(crate) score: f64,
    /// The same before normalising: what was gained over a detector that never fires.
    pub(crate) gained: f64,
    pub(crate) windows: usize,
    pub(crate) hits: usize,
    pub(crate) false_alarms: usize,
}

/// Files with the detector's score for every row.
pub(crate) type Scored<'a> = [(&'a File, &'a [f64])];

/// The outcome at the threshold that is best for these files together.
pub(crate) fn best(files: &Scored<'_>, weights: Weights) -> Outcome {
    let (mut rows, windows) = rows(files, weights);
    rows.sort_by(|one, other| other.score.total_cmp(&one.score));
    let mut worths = vec![-weights.miss; windows];
    let (mut sum, mut best) = (0.0, (0.0, f64::INFINITY));
    for (index, row) in rows.iter().enumerate() {
        sum += gain(&mut worths, row);
        let last_of_its_score = rows.get(index + 1).is_none_or(|next| next.score < row.score);
        if last_of_its_score && sum > best.0 {
            best = (sum, row.score);
        }
    }
    at(files, weights, best.1)
}

/// The outcome at a given threshold.
pub(crate) fn at(files: &Scored<'_>, weights: Weights, threshold: f64) -> Outcome {
    let (rows, windows) = rows(files, weights);
    let mut worths = vec![-weights.miss; windows];
    let detections = || rows.iter().filter(|row| row.score >= threshold);
    let sum: f64 = detections().map(|row| gain(&mut worths, row)).sum();
    let possible = windows as f64 * (weights.hit + weights.miss);
    Outcome {
        threshold,
        score: if windows == 0 { f64::NAN } else { 100.0 * sum / possible },
        gained: sum,
        windows,
        hits: worths.iter().filter(|worth| **worth > -weights.miss).count(),
        false_alarms: detections().filter(|row| row.window.is_none()).count(),
    }
}

/// What a detection adds, over a detector that never fires.
fn gain(worths: &mut [f64], row: &Row) -> f64 {
    let Some(window) = row.window else {
        return row.worth;
    };
    let before = worths[window];
    worths[window] = before.max(row.worth);
    worths[window] - before
}

fn rows(files: &Scored<'_>, weights: Weights) -> (Vec<Row>, usize) {
    let (mut rows, mut windows) = (Vec::new(), 0);
    for (file, scores) in files {
        let scored = (0..scores.len()).skip(file.probation());
        rows.extend(scored.map(|row| {
            let (worth, window) = worth(file, row, weights);
            Row { score: scores[row], worth, window: window.map(|window| windows + window) }
        }));
        windows += file.windows.len();
    }
    (rows, windows)
}

fn worth(file: &File, row: usize, weights: Weights) -> (f64, Option<usize>) {
    let Some(next) = file.windows.iter().position(|(_, last)| row <= *last) else {
        return (behind(file.windows.last(), row) * weights.false_alarm, None);
    };
    let (first, last) = file.windows[next];
    if row >= first {
        let position = -((last - row + 1) as f64) / (last - first + 1) as f64;
        return (sigmoid(position) / sigmoid(-1.0) * weights.hit, Some(next));
    }
    (behind(next.checked_sub(1).map(|before| &file.windows[before]), row) * weights.false_alarm, None)
}

fn behind(window: Option<&(usize, usize)>, row: usize) -> f64 {
    let Some((first, last)) = window else {
        return -1.0;
    };
    let position = (row - last) as f64 / (last - first) as f64;
    if position >= FAR { -1.0 } else { sigmoid(position) }
}

/// 1 far before 0, -1 far after.
fn sigmoid(position: f64) -> f64 {
    2.0 / (1.0 + (5.0 * position).exp()) - 1.0
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn file() -> File {
        let rows = (0..1_000).map(|row| (Timestamp::from_second(row * 300).expect("a time"), 0.0)).collect();
        File { name: "family/file.csv".to_owned(), rows, windows: vec![(400, 499)] }
    }

    fn check(fires: &[usize], weights: Weights) -> f64 {
        let file = file();
        let mut scores = vec![0.0; 1_000];
        for row in fires {
            scores[*row] = 1.0;
        }
        at(&[(&file, &scores)], weights, 0.5).score
    }

    #[test]
    fn never_firing_is_nothing_and_firing_at_the_start_is_all() {
        assert_eq!(check(&[], STANDARD), 0.0);
        assert!((check(&[400], STANDARD) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn only_the_earliest_in_a_window_counts() {
        assert_eq!(check(&[400, 450, 499], STANDARD), check(&[400], STANDARD));
    }

    #[test]
    fn a_false_alarm_costs_all_before_a_window_and_little_right_behind_it() {
        assert!((check(&[300], STANDARD) + 5.5).abs() < 1e-9);
        assert!(check(&[500], STANDARD) > -0.2);
        assert!((check(&[900], FEW_FALSE_ALARMS) + 11.0).abs() < 1e-9);
    }

    #[test]
    fn probation_is_not_scored() {
        assert_eq!(check(&[149], STANDARD), 0.0);
    }

    #[test]
    fn the_best_threshold_leaves_out_what_costs() {
        let file = file();
        let mut scores = vec![0.0; 1_000];
        (scores[400], scores[300]) = (0.9, 0.8);
        let found = best(&[(&file, &scores)], STANDARD);
        assert_eq!((found.threshold, found.hits, found.false_alarms), (0.9, 1, 0));
    }
}
