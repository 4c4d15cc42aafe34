//! Questions to the services that may touch the outside, and their refusals as problems.

use std::time::Duration;

use crate::problems::RETRY_SECS;
use model::ask::{Answer, Refused};
use model::subject;
use runtime::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problems::internal;
use crate::state::Api;

/// How long a probe or a test delivery may take.
const PATIENCE: Duration = Duration::from_secs(65);

impl Api {
    /// Asks a service. A refusal comes back as it is, so that the caller can point at the right field.
    pub(crate) async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        service: &'static str,
        question: &'static str,
        body: &Q,
    ) -> Result<Result<A, Refused>, Problem> {
        let subject = subject::ask(service, question);
        match self.bus.ask::<Q, Answer<A>>(&subject, body, PATIENCE).await {
            Ok(Answer::Ok(answer)) => Ok(Ok(answer)),
            Ok(Answer::Refused(refused)) => Ok(Err(refused)),
            Err(bus::Error::NoResponders { .. }) => Err(Problem::unavailable(
                format!("no `{service}` is running that could answer; start that role and try again"),
                RETRY_SECS,
            )),
            Err(bus::Error::Timeout { .. }) => Err(Problem::unavailable(
                format!("`{service}` did not answer in time; try again"),
                RETRY_SECS,
            )),
            Err(error) => Err(internal(error)),
        }
    }
}
