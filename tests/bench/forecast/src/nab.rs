//! The anomaly detector by the benchmark's own scoring: together, by family, and with each family left out.

use std::collections::BTreeSet;
use std::time::Instant;

use meter::anomaly::{Alarm, Sensitivity, Verdict};

use crate::corpus::File;
use crate::score::{self, FEW_FALSE_ALARMS, FEW_MISSES, Outcome, STANDARD, Scored};

const GOAL: f64 = 60.0;
/// Rows between the alarms of a detector that looks at nothing: what the scoring gives away for free.
const BLIND_ROWS: usize = 400;
/// Least surprises that a family's others may choose from.
pub(crate) const SURPRISES: [f64; 6] = [1.0, 1.25, 1.5, 1.75, 2.0, 2.5];

/// Prints the figures; whether the goal is met.
pub(crate) fn measure(files: &[File]) -> bool {
    let begun = Instant::now();
    let scores: Vec<Vec<f64>> = files.iter().map(|file| detect(file, Sensitivity::default())).collect();
    let rows: usize = scores.iter().map(Vec::len).sum();
    let each = begun.elapsed().as_secs_f64() * 1e6 / rows as f64;
    let all: Vec<(&File, &[f64])> = files.iter().zip(scores.iter().map(Vec::as_slice)).collect();
    let standard = score::best(&all, STANDARD);
    println!(
        "anomalies, {} files of the Numenta Anomaly Benchmark (goal: standard profile >= 60)",
        files.len()
    );
    println!("  {rows} buckets, {each:.1} us each");
    print("standard profile", &standard);
    print("few false alarms", &score::best(&all, FEW_FALSE_ALARMS));
    print("few misses", &score::best(&all, FEW_MISSES));
    blind(files);
    families(files, &all, standard.threshold);
    for (file, scores) in &all {
        print(&format!("    {}", file.name), &score::at(&[(*file, *scores)], STANDARD, standard.threshold));
    }
    standard.score >= GOAL
}

/// By family: with the constants as they are, and with the sensitivity that the other families would choose.
fn families(files: &[File], all: &Scored<'_>, threshold: f64) {
    let tried: Vec<(f64, Vec<Vec<f64>>)> = SURPRISES
        .map(|surprise| {
            let sensitivity = Sensitivity { surprise, ..Sensitivity::default() };
            (surprise, files.iter().map(|file| detect(file, sensitivity)).collect())
        })
        .into();
    for (surprise, scores) in &tried {
        print(&format!("least surprise {surprise}"), &score::best(&pair(files, scores, |_| true), STANDARD));
    }
    let names: BTreeSet<&str> = files.iter().map(File::family).collect();
    let (mut hits, mut windows, mut false_alarms, mut gained) = (0, 0, 0, 0.0);
    for name in names {
        let inside: Vec<_> = all.iter().copied().filter(|(file, _)| file.family() == name).collect();
        print(name, &score::at(&inside, STANDARD, threshold));
        let by_others = tried.iter().map(|(surprise, scores)| {
            let others = score::best(&pair(files, scores, |file| file.family() != name), STANDARD);
            (others, surprise, scores)
        });
        let Some((others, surprise, scores)) =
            by_others.max_by(|one, other| one.0.score.total_cmp(&other.0.score))
        else {
            continue;
        };
        let left_out =
            score::at(&pair(files, scores, |file| file.family() == name), STANDARD, others.threshold);
        print(&format!("  least surprise chosen by the others: {surprise}"), &left_out);
        hits += left_out.hits;
        windows += left_out.windows;
        false_alarms += left_out.false_alarms;
        gained += left_out.gained;
    }
    let score = 100.0 * gained / (windows as f64 * (STANDARD.hit + STANDARD.miss));
    println!(
        "  each family by the others' choice: {score:.1}, hits {hits} of {windows}, false alarms {false_alarms}"
    );
}

fn pair<'a>(
    files: &'a [File],
    scores: &'a [Vec<f64>],
    which: impl Fn(&File) -> bool,
) -> Vec<(&'a File, &'a [f64])> {
    files.iter().zip(scores.iter().map(Vec::as_slice)).filter(|(file, _)| which(file)).collect()
}

/// A score for every row: 0, and where an anomaly begins, more the more surprising it is.
pub(crate) fn detect(file: &File, sensitivity: Sensitivity) -> Vec<f64> {
    let mut alarm = Alarm::new(sensitivity);
    let rows = file.rows.iter();
    rows.map(|(at, value)| match alarm.observe(*at, *value, false) {
        Verdict::Began(anomaly) => 1.0 - 10f64.powf(-anomaly.surprise),
        Verdict::Normal | Verdict::Lasts | Verdict::Ended => 0.0,
    })
    .collect()
}

fn blind(files: &[File]) {
    let scores: Vec<Vec<f64>> = files
        .iter()
        .map(|file| (0..file.rows.len()).map(|row| f64::from(u8::from(row % BLIND_ROWS == 0))).collect())
        .collect();
    let all: Vec<(&File, &[f64])> = files.iter().zip(scores.iter().map(Vec::as_slice)).collect();
    print(&format!("an alarm every {BLIND_ROWS} rows, for comparison"), &score::at(&all, STANDARD, 0.5));
}

fn print(name: &str, outcome: &Outcome) {
    let Outcome { threshold, score, windows, hits, false_alarms, .. } = outcome;
    let score = if score.is_nan() { "-".to_owned() } else { format!("{score:.1}") };
    println!(
        "  {name:62} {score:>6}  hits {hits:2} of {windows:2}, false alarms {false_alarms:3}, threshold {threshold:.4}"
    );
}
