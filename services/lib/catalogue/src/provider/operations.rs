//! What a provider can be asked under a name that is the same for all: the words are `model`'s, because integrations may
//! bring their own.

pub use model::operation::{Case, Operation, Pair, Parameter, Reading, Time, TimeUnit};

use super::Provider;

impl Provider {
    /// An operation by its canonical name, where the environment has it.
    pub fn operation(&self, environment: &str, name: &str) -> Option<&Operation> {
        let all = |operation: &&Operation| {
            operation.environments.is_empty()
                || operation.environments.iter().any(|e| e.eq_ignore_ascii_case(environment))
        };
        self.operations.get(name).filter(all)
    }
}
