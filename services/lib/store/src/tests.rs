//! What a store does, on both databases.
