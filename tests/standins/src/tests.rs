//! Tests over real HTTP, and of the pure parts.
