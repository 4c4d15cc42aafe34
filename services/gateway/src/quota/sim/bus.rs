//! The bus: one record, written by compare-and-set, behind a network that delays, loses and doubles.

use model::Timestamp;
use rand::Rng;

use super::{Event, World};
use model::quota::ledger::Ledger;

/// The slowest message of a healthy bus, in milliseconds.
const SLOW_MS: u64 = 60;
/// The slowest of all: it comes when nobody waits for it any more.
const LATE_MS: u64 = 4_000;

#[derive(Default)]
pub(super) struct Store {
    pub(super) value: Option<String>,
    pub(super) revision: u64,
    /// How wrong its clock is.
    pub(super) off_ms: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) from: (usize, u32),
    pub(super) operation: u64,
    /// What to write, and against which revision; nothing: read.
    pub(super) write: Option<(String, u64)>,
}

#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) to: (usize, u32),
    pub(super) operation: u64,
    pub(super) stamp: Timestamp,
    pub(super) said: Said,
}

#[derive(Clone, Debug)]
pub(super) enum Said {
    Read(Option<Ledger>, u64),
    Written,
    Conflict,
}

impl World {
    pub(super) fn send(&mut self, request: &Request) {
        let n = request.from.0;
        self.gateways[n].messages += 1;
        for _ in 0..self.copies(n) {
            let delay = self.delay();
            self.at(self.now + delay, Event::Asked(request.clone()));
        }
    }

    pub(super) fn serve(&mut self, request: Request) {
        if self.bus_is_down {
            return;
        }
        let said = match request.write {
            None => {
                let value = self.store.value.as_deref();
                Said::Read(
                    value.map(|text| serde_json::from_str(text).expect("a ledger")),
                    self.store.revision,
                )
            }
            Some((value, expected)) if expected == self.store.revision => {
                self.store.value = Some(value);
                self.store.revision += 1;
                Said::Written
            }
            Some(_) => Said::Conflict,
        };
        let true_ms = self.plan.start_ms + i64::try_from(self.now).expect("a short world");
        let stamp = Timestamp::from_millis(true_ms + self.store.off_ms);
        let reply = Reply { to: request.from, operation: request.operation, stamp, said };
        for _ in 0..self.copies(request.from.0) {
            let delay = self.delay();
            self.at(self.now + delay, Event::Told(reply.clone()));
        }
    }

    fn copies(&mut self, n: usize) -> usize {
        if self.gateways[n].is_cut || self.bus_is_down {
            return 0;
        }
        match self.random.random_range(0..200) {
            chance if chance < self.plan.faults.lossy => 0,
            chance if chance < 2 * self.plan.faults.lossy => 2,
            _ => 1,
        }
    }

    fn delay(&mut self) -> u64 {
        let late = self.plan.faults.lossy > 0 && self.random.random_range(0..30) == 0;
        self.within(if late { LATE_MS } else { SLOW_MS })
    }
}
