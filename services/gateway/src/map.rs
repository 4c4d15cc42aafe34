//! Containers that every call uses: quick to look into, and without memory of their own where they hold little.

/// A table whose hash is quick and differs from process to process. What callers can put into one is bounded where it is kept.
pub(crate) type Map<K, V> = std::collections::HashMap<K, V, Hashing>;

/// Its hash.
pub(crate) type Hashing = foldhash::fast::RandomState;

/// A list that needs no memory of its own for as many as most routes have.
pub(crate) type Few<T> = smallvec::SmallVec<[T; 3]>;
