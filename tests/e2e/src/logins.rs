//! Every way to log in at a NATS: over TLS of an authority of its own, with an nkey, a token, a credentials file of
//! an operator, or a client's certificate.

use bus::{Bus, Error};
use harness::servers::{Gate, Nats};

#[tokio::test(flavor = "multi_thread")]
async fn every_login_opens_its_gate_and_no_other() {
    for gate in [Gate::Nkey, Gate::Token, Gate::Creds, Gate::Certificate] {
        let nats = Nats::start(gate).await;
        let settings = nats.settings();
        let bus = Bus::connect(&settings).await.unwrap_or_else(|error| panic!("{gate:?}: {error:?}"));
        bus.declare().await.unwrap_or_else(|error| panic!("{gate:?}: {error:?}"));
        bus.check().await.unwrap_or_else(|error| panic!("{gate:?}: {error:?}"));

        let stranger = bus::Settings { login: bus::Login::None, cert: None, ..settings };
        let refused = Bus::connect(&stranger).await.expect_err("a stranger is not let in");
        let is_named = match gate {
            Gate::Certificate => matches!(refused, Error::Trust { .. }),
            Gate::Nkey | Gate::Token | Gate::Creds => matches!(refused, Error::Login { .. }),
        };
        assert!(is_named && !refused.is_transient(), "{gate:?}: {refused:?}");
    }
}
