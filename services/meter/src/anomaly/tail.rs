//! How rare a figure is among those before it.
//!
//! Within the past, rareness is counted; beyond the past's top fiftieth, an exponential tail is fitted to that fiftieth's
//! excesses (peaks over threshold, as Siffer et al. do for streams, KDD 2017). So a figure twice the largest ever
//! seen counts more than one that is barely larger, without any assumption about the bulk.
//! Never keeps more than `FIGURES_MAX` figures: the oldest goes first.

use std::collections::VecDeque;

/// Figures kept: two weeks of 5-minute buckets.
const FIGURES_MAX: usize = 4_000;
/// Figures below which nothing is said: a hundredth cannot be seen in fewer.
const FIGURES_MIN: usize = 100;
/// One in so many figures belongs to the tail.
const TAIL_ONE_IN: usize = 50;
/// Figures the tail has at least, so that its mean means something.
const TAIL_MIN: usize = 8;
/// The tail's scale is at least this share of the way from the median to where the tail begins: a past that repeats itself
/// exactly would otherwise make the smallest rounding a miracle.
const SCALE_SHARE_MIN: f64 = 0.05;
/// And at least this share of the figures' own size.
const SCALE_RELATIVE_MIN: f64 = 1e-6;
/// The largest surprise: one in 10^30.
const SURPRISE_MAX: f64 = 30.0;

/// The figures of a view so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    /// All figures kept, smallest first.
    sorted: Vec<f32>,
    /// The same, oldest first.
    order: VecDeque<f32>,
}

impl Tail {
    /// The surprise of a figure: `-log10` of the chance of one as large, 0 to 30; then keeps it.
    pub(super) fn weigh(&mut self, figure: f64) -> f64 {
        let surprise = self.surprise(figure);
        self.keep(figure as f32);
        surprise
    }

    /// The middle figure so far; `None` while there are too few to judge by.
    pub(super) fn median(&self) -> Option<f64> {
        (self.sorted.len() >= FIGURES_MIN).then(|| f64::from(self.sorted[self.sorted.len() / 2]))
    }

    fn surprise(&self, figure: f64) -> f64 {
        let count = self.sorted.len();
        if count < FIGURES_MIN {
            return 0.0;
        }
        let tail = (count / TAIL_ONE_IN).max(TAIL_MIN);
        let begins = f64::from(self.sorted[count - tail - 1]);
        if figure <= begins {
            let as_large = count - self.sorted.partition_point(|kept| f64::from(*kept) < figure);
            return -((as_large as f64 + 1.0) / (count as f64 + 1.0)).log10();
        }
        let excess: f64 = self.sorted[count - tail..].iter().map(|kept| f64::from(*kept) - begins).sum();
        let middle = f64::from(self.sorted[count / 2]);
        let scale = (excess / tail as f64)
            .max(SCALE_SHARE_MIN * (begins - middle))
            .max(SCALE_RELATIVE_MIN * begins.abs())
            .max(f64::from(f32::MIN_POSITIVE));
        let share = (tail as f64 / count as f64).log10();
        ((figure - begins) / scale * std::f64::consts::LOG10_E - share).clamp(0.0, SURPRISE_MAX)
    }

    fn keep(&mut self, figure: f32) {
        let place = self.sorted.partition_point(|kept| *kept < figure);
        self.sorted.insert(place, figure);
        self.order.push_back(figure);
        if self.order.len() > FIGURES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            let place = self.sorted.partition_point(|kept| *kept < oldest);
            self.sorted.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(figures: impl IntoIterator<Item = f64>) -> Tail {
        let mut tail = Tail::default();
        for figure in figures {
            tail.weigh(figure);
        }
        tail
    }

    #[test]
    fn few_figures_surprise_nobody() {
        assert_eq!(after((0..99).map(f64::from)).weigh(1e9), 0.0);
    }

    #[test]
    fn a_middling_figure_is_no_surprise() {
        let surprise = after((0..1000).map(f64::from)).weigh(500.0);
        assert!((0.2..0.4).contains(&surprise), "{surprise}");
    }

    #[test]
    fn further_beyond_the_largest_is_more_surprising() {
        let mut tail = after((0..1000).map(f64::from));
        let (near, far) = (tail.clone().weigh(1001.0), tail.weigh(1100.0));
        assert!(2.0 < near && near + 1.0 < far, "{near} {far}");
    }

    #[test]
    fn a_constant_past_makes_its_own_value_ordinary() {
        assert!(after([7.0; 500]).weigh(7.0).abs() < 0.01);
    }

    #[test]
    fn memory_ends_at_its_bound() {
        let tail = after((0..10_000).map(|figure| f64::from(figure % 977)));
        assert_eq!((tail.sorted.len(), tail.order.len()), (FIGURES_MAX, FIGURES_MAX));
        assert!(tail.sorted.is_sorted());
    }
}
