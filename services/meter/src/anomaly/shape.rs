//! How unlike everything before the last buckets look: the distance of their shape to the nearest earlier ones.
//!
//! A stretch of buckets is written as the means of its eight equal segments; its distance to an earlier stretch is
//! Euclid's. The third-nearest counts, so that one earlier incident does not make the next one ordinary. This is
//! the left discord of the matrix-profile literature (Yeh et al. 2016, Lu et al. 2022) and the distance of KNN-CAD
//! (Burnaev and Ishimtsev 2016), without their normalising: level and size are part of what is unusual.
//! Never compares a stretch with one that overlaps it. Keeps at most `STRETCHES_MAX` stretches.

use std::collections::VecDeque;

/// Segments a stretch is written as.
const SEGMENTS: usize = 8;
/// Earlier stretches kept, oldest dropped first: of 5-minute buckets 21 days at the wide view's stride of six, 3.5 at
/// the narrow one's of one.
const STRETCHES_MAX: usize = 1_000;
/// Earlier stretches below which nothing is compared.
const STRETCHES_MIN: usize = 20;
/// Which of the nearest counts, from 0.
const NEIGHBOUR: usize = 3;

type Stretch = [f32; SEGMENTS];

/// One view of shapes of a fixed length.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Buckets in a segment.
    segment: usize,
    /// Every so many buckets a stretch is kept.
    stride: usize,
    /// The last buckets, oldest first: at most one stretch of them.
    recent: VecDeque<f64>,
    /// Buckets seen, for the stride.
    seen: usize,
    /// Stretches that still overlap the present one, oldest first.
    waiting: VecDeque<Stretch>,
    /// Stretches that may be compared, oldest first.
    earlier: VecDeque<Stretch>,
    /// Room for distances, kept between calls.
    distances: Vec<f32>,
}

impl Shape {
    /// A view of stretches of `buckets` buckets (a multiple of 8).
    pub(super) fn new(buckets: usize) -> Self {
        let segment = buckets / SEGMENTS;
        Shape {
            segment,
            stride: (segment / 2).max(1),
            recent: VecDeque::with_capacity(buckets),
            seen: 0,
            waiting: VecDeque::new(),
            earlier: VecDeque::new(),
            distances: Vec::new(),
        }
    }

    /// Takes the next value and gives the distance of the stretch it ends; 0 while there is nothing to compare with.
    pub(super) fn distance(&mut self, value: f64) -> f64 {
        let buckets = self.segment * SEGMENTS;
        if self.recent.len() == buckets {
            self.recent.pop_front();
        }
        self.recent.push_back(value);
        if self.recent.len() < buckets {
            return 0.0;
        }
        let stretch = self.stretch();
        let distance = self.nearest(&stretch);
        self.keep(stretch);
        distance
    }

    fn stretch(&self) -> Stretch {
        let mut stretch = [0.0; SEGMENTS];
        for (index, mean) in stretch.iter_mut().enumerate() {
            let values = self.recent.range(index * self.segment..(index + 1) * self.segment);
            *mean = (values.sum::<f64>() / self.segment as f64) as f32;
        }
        stretch
    }

    fn nearest(&mut self, stretch: &Stretch) -> f64 {
        if self.earlier.len() < STRETCHES_MIN {
            return 0.0;
        }
        self.distances.clear();
        self.distances.extend(self.earlier.iter().map(|other| squared(stretch, other)));
        let (_, found, _) = self.distances.select_nth_unstable_by(NEIGHBOUR, f32::total_cmp);
        f64::from(*found).sqrt()
    }

    fn keep(&mut self, stretch: Stretch) {
        self.seen += 1;
        if !self.seen.is_multiple_of(self.stride) {
            return;
        }
        self.waiting.push_back(stretch);
        if self.waiting.len() <= self.segment * SEGMENTS / self.stride {
            return;
        }
        self.earlier.extend(self.waiting.pop_front());
        if self.earlier.len() > STRETCHES_MAX {
            self.earlier.pop_front();
        }
    }
}

fn squared(one: &Stretch, other: &Stretch) -> f32 {
    one.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(index: usize) -> f64 {
        10.0 + (index % 48) as f64
    }

    #[test]
    fn what_repeats_is_near() {
        let mut shape = Shape::new(24);
        let last = (0..2_000).map(|index| shape.distance(wave(index))).last();
        assert_eq!(last, Some(0.0));
    }

    #[test]
    fn a_flat_middle_is_far_though_its_level_is_ordinary() {
        let mut shape = Shape::new(24);
        for index in 0..2_000 {
            shape.distance(wave(index));
        }
        let flat = (0..24).map(|_| shape.distance(34.0)).last().expect("24 values were taken");
        assert!(flat > 10.0, "{flat}");
    }

    #[test]
    fn a_stretch_is_never_compared_with_one_it_overlaps() {
        let mut shape = Shape::new(24);
        for index in 0..500 {
            shape.distance(wave(index));
        }
        let mut nearest = f64::MAX;
        for _ in 0..24 {
            nearest = shape.distance(500.0);
        }
        assert!(nearest > 1_000.0, "{nearest}");
    }

    #[test]
    fn memory_ends_at_its_bound() {
        let mut shape = Shape::new(24);
        for index in 0..5_000 {
            shape.distance(wave(index * 7));
        }
        assert_eq!(shape.earlier.len(), STRETCHES_MAX);
        assert!(shape.waiting.len() <= 24 && shape.recent.len() == 24);
    }
}
