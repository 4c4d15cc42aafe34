//! The same detector as the meter uses it: how many of the taxi series' five events are told, at how many false alarms a week.

use meter::anomaly::Sensitivity;

use crate::corpus::File;
use crate::nab::{SURPRISES, detect};
use crate::score::{self, Outcome, STANDARD};

const FILE: &str = "realKnownCause/nyc_taxi.csv";
const EVENTS_GOAL: usize = 4;
const FALSE_ALARMS_PER_WEEK_GOAL: f64 = 0.2;
const WEEK_SECS: f64 = 7.0 * 86_400.0;

/// Prints the figures; whether the goal is met, or the series is not given.
pub(crate) fn measure(files: &[File]) -> bool {
    println!("taxi events (goal: 4 of 5 at <= 0.2 false alarms a week)");
    let Some(file) = files.iter().find(|file| file.name == FILE) else {
        println!("  the series is not given");
        return true;
    };
    let all_weeks: f64 = files.iter().map(weeks).sum();
    let mut met = false;
    for surprise in SURPRISES {
        let sensitivity = Sensitivity { surprise, ..Sensitivity::default() };
        let outcome = told(file, sensitivity);
        let per_week = outcome.false_alarms as f64 / weeks(file);
        let of_all: Vec<Outcome> = files.iter().map(|file| told(file, sensitivity)).collect();
        let sum = |count: fn(&Outcome) -> usize| of_all.iter().map(count).sum::<usize>();
        println!(
            "  least surprise {surprise:4}: {} of {} events, {per_week:.2} false alarms a week; all files: {} of {} windows, {:.2} a week",
            outcome.hits,
            outcome.windows,
            sum(|outcome| outcome.hits),
            sum(|outcome| outcome.windows),
            sum(|outcome| outcome.false_alarms) as f64 / all_weeks,
        );
        let by_default = surprise == Sensitivity::default().surprise;
        met |= by_default && outcome.hits >= EVENTS_GOAL && per_week <= FALSE_ALARMS_PER_WEEK_GOAL;
    }
    met
}

/// What is told, whatever its score.
fn told(file: &File, sensitivity: Sensitivity) -> Outcome {
    score::at(&[(file, &detect(file, sensitivity))], STANDARD, f64::MIN_POSITIVE)
}

/// Weeks that are scored.
fn weeks(file: &File) -> f64 {
    match (file.rows.get(file.probation()), file.rows.last()) {
        (Some((first, _)), Some((last, _))) => (last.as_second() - first.as_second()) as f64 / WEEK_SECS,
        _ => 0.0,
    }
}
