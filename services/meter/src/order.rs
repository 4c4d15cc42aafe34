//! Middles and shares of unsorted figures.
//!
//! Never keeps a figure; both functions reorder what they are given. Figures must not be NaN (callers refuse those).

/// The value below which `share` (0 to 1) of the figures lie: the upper of two neighbours, so that of an even
/// number the median is the upper middle. `None` without figures.
pub(crate) fn quantile(figures: &mut [f64], share: f64) -> Option<f64> {
    let last = figures.len().checked_sub(1)?;
    let place = ((figures.len() as f64 * share) as usize).min(last);
    let (_, found, _) = figures.select_nth_unstable_by(place, f64::total_cmp);
    Some(*found)
}

/// The middle one of the figures. `None` without figures.
pub(crate) fn median(figures: &mut [f64]) -> Option<f64> {
    quantile(figures, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_no_middle() {
        assert_eq!(median(&mut []), None);
    }

    #[test]
    fn the_middle_is_found_in_any_order() {
        assert_eq!(median(&mut [9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(3.0));
    }

    #[test]
    fn a_share_of_one_is_the_largest() {
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 1.0), Some(3.0));
    }
}
