//! Refuses limits that could be kept and cannot be meant: what contradicts itself. Pure.
//!
//! Only new configurations are held to it. One that stands is kept as it is, because half of a limit is better than none.

use std::collections::BTreeSet;

use super::{Fault, Kind, Quota, Unit, Why};
use crate::integration::Window as Per;

/// Everything that contradicts itself in the limits of an integration.
pub fn contradictions(quotas: &[Quota]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (place, quota) in quotas.iter().enumerate() {
        let mut tell = |field: String, why| faults.push(Fault { pointer: format!("/{place}{field}"), why });
        if let Some(throttle) = quota.throttle.filter(|throttle| *throttle <= quota.near) {
            tell("/throttle".to_owned(), Why::ThrottleFirst { throttle, near: quota.near });
        }
        for n in twice(quota.paths.iter().map(String::as_str)) {
            tell(format!("/paths/{n}"), Why::PathTwice(quota.paths[n].clone()));
        }
        for n in twice(quota.weights.iter().map(|weight| weight.path.as_str())) {
            tell(format!("/weights/{n}/path"), Why::PathTwice(quota.weights[n].path.clone()));
        }
        if quota.timezone.as_ref().is_some_and(|zone| !zone.is_empty()) && !quota.goes_by_a_clock() {
            tell("/timezone".to_owned(), Why::ZoneOfNothing);
        }
        if quota.unit != Unit::Requests && quota.kind == Some(Kind::Concurrent) {
            tell("/unit".to_owned(), Why::Contradiction("calls are at a time, not tokens"));
        }
    }
    faults
}

/// The places of paths that were named before, whatever their placeholders are called.
fn twice<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let is_again = |(place, path): (usize, &str)| (!seen.insert(bare(path))).then_some(place);
    paths.enumerate().filter_map(is_again).collect()
}

/// A path with its placeholders' names left out.
fn bare(path: &str) -> String {
    let is_placeholder = |segment: &&str| segment.starts_with('{') && segment.ends_with('}');
    let segments = path.split('/').map(|segment| Some(segment).filter(|one| !is_placeholder(one)));
    segments.map(|segment| segment.unwrap_or("{}")).collect::<Vec<_>>().join("/")
}

impl Quota {
    /// Whether its windows begin by a zone's clock; of a window with a name nobody is refused who says UTC, which changes
    /// nothing.
    fn goes_by_a_clock(&self) -> bool {
        match (self.kind, self.per) {
            (Some(Kind::Rolling | Kind::Bucket | Kind::Concurrent), _) | (_, None) => false,
            (_, Some(Per::Day | Per::Week | Per::Month)) => true,
            // An hour of a zone that is half of one away begins at another moment.
            (_, Some(Per::Hour)) | (Some(Kind::Calendar), Some(Per::Second | Per::Minute)) => true,
            (None, Some(Per::Second | Per::Minute)) => self.zone() == "UTC",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[expect(clippy::needless_pass_by_value, reason = "a table of values reads better")]
    fn check(with: Value, pointers: &[&str]) {
        let mut quota = json!({"name": "a", "requests": 10});
        with.as_object().expect("members").iter().for_each(|(name, value)| quota[name] = value.clone());
        let quota: Quota = serde_json::from_value(quota).expect("a quota");
        let faults = contradictions(std::slice::from_ref(&quota));
        let found: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(found, pointers, "{with} {faults:?}");
    }

    #[test]
    fn what_contradicts_itself_is_told_with_its_place() {
        let day = |more: Value| {
            let mut day = json!({"per": "day", "timezone": "UTC"});
            more.as_object().expect("members").iter().for_each(|(name, value)| day[name] = value.clone());
            day
        };
        check(day(json!({"throttle": 0.8})), &["/0/throttle"]);
        check(day(json!({"throttle": 0.7})), &["/0/throttle"]);
        check(day(json!({"throttle": 0.81})), &[]);
        check(day(json!({"throttle": 0.7, "near": 0.6})), &[]);
        let weights = |paths: &[&str]| {
            let all = paths.iter().map(|path| json!({"path": path, "units": 2}));
            day(json!({"weights": all.collect::<Vec<_>>()}))
        };
        check(weights(&["/a", "/b", "/a"]), &["/0/weights/2/path"]);
        check(weights(&["/a/{x}/b", "/a/{y}/b", "/a/{y}"]), &["/0/weights/1/path"]);
        check(day(json!({"paths": ["/a", "/a"]})), &["/0/paths/1"]);
    }

    #[test]
    fn a_zone_belongs_to_windows_that_go_by_a_clock() {
        check(json!({"per": "day", "timezone": "Europe/Berlin"}), &[]);
        check(json!({"per": "hour", "timezone": "UTC"}), &[]);
        check(json!({"per": "hour", "timezone": "Asia/Kolkata"}), &[]);
        check(json!({"per": "minute", "kind": "calendar", "timezone": "Asia/Tokyo"}), &[]);
        check(json!({"per": "hour", "kind": "rolling", "timezone": "Asia/Kolkata"}), &["/0/timezone"]);
        check(json!({"per": "minute", "kind": "calendar", "timezone": "UTC"}), &[]);
        check(json!({"per": "minute", "timezone": "UTC"}), &[]);
        check(json!({"per": "minute", "timezone": "Asia/Tokyo"}), &["/0/timezone"]);
        check(json!({"per": "minute", "kind": "bucket", "timezone": "UTC"}), &["/0/timezone"]);
        check(json!({"window_secs": 30, "timezone": "Europe/Berlin"}), &["/0/timezone"]);
        check(json!({"per": "day", "kind": "rolling", "timezone": "UTC"}), &["/0/timezone"]);
        check(json!({"kind": "concurrent", "timezone": "UTC"}), &["/0/timezone"]);
        check(json!({"kind": "concurrent", "unit": "tokens"}), &["/0/unit"]);
        check(json!({"window_secs": 30, "timezone": ""}), &[]);
    }
}
