//! What every process of the house does alike.

pub mod exit;
pub mod settings;
