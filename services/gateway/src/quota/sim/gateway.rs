//! A gateway of the world: calls that take from its purse, and the loop around its keeper.

use std::collections::HashMap;

use model::Timestamp;
use rand::Rng;
use rand::rngs::StdRng;

use super::bus::{Reply, Request, Said};
use super::{Event, Plan, World};
use crate::quota::hold::Hold;
use crate::quota::keeper::{Keeper, TICK_MS};
use crate::quota::purse::Take;
use model::quota::Span;
use model::quota::clock::{Clock, Now};
use model::quota::ledger::Ledger;

/// When a message that has no answer is given up, in milliseconds.
const PATIENCE_MS: u64 = 2_000;

/// How often a call asks again, and how long it waits each time at most, in milliseconds.
const TRIES_MAX: u32 = 4;
const WAIT_MS_MAX: u64 = 1_000;

pub(super) struct Gateway {
    pub(super) life: u32,
    pub(super) is_up: bool,
    pub(super) is_cut: bool,
    pub(super) is_paused: bool,
    pub(super) wall_off_ms: i64,
    pub(super) messages: u64,
    pub(super) waited: u64,
    born: u64,
    drift_ppm: i64,
    clock: Clock,
    pub(super) keeper: Keeper,
    calls: HashMap<u64, (Hold, u64)>,
    number: u64,
    /// The message that is waited for: its number, when it was sent, and what it writes.
    asked: Option<(u64, u64, Option<Ledger>)>,
}

impl Gateway {
    pub(super) fn new(plan: &Plan, n: usize, life: u32, born: u64, random: &mut StdRng) -> Self {
        Self {
            life,
            is_up: true,
            is_cut: false,
            is_paused: false,
            wall_off_ms: random.random_range(-300..=300),
            messages: 0,
            waited: 0,
            born,
            drift_ppm: random.random_range(-100..=100),
            clock: Clock::default(),
            keeper: Keeper::new(plan.limit.clone(), &format!("g{n}-{life}")),
            calls: HashMap::new(),
            number: 0,
            asked: None,
        }
    }

    fn steady(&self, now: u64) -> u64 {
        let gone = i64::try_from(now - self.born).expect("a short world");
        u64::try_from(5_000 + gone + gone * self.drift_ppm / 1_000_000).expect("after the start")
    }
}

impl World {
    fn time(&self, n: usize) -> (u64, Option<Now>) {
        let gateway = &self.gateways[n];
        let steady = gateway.steady(self.now);
        let true_ms = self.plan.start_ms + i64::try_from(self.now).expect("a short world");
        (steady, gateway.clock.read(steady, Timestamp::from_millis(true_ms + gateway.wall_off_ms)))
    }

    pub(super) fn call(&mut self, n: usize, tries: u32) {
        if !self.gateways[n].is_up || self.gateways[n].is_paused {
            return;
        }
        let units = self.random.random_range(1..=self.plan.units_max);
        let (steady, _) = self.time(n);
        let gateway = &mut self.gateways[n];
        let mut hold = match Hold::take([(gateway.keeper.purse(), units)], steady) {
            Ok(hold) => hold,
            Err(refusal) => {
                gateway.waited += u64::from(tries == 0);
                if let Take::Wait { until_ms } | Take::Soon { again_ms: until_ms } = refusal.take
                    && tries < TRIES_MAX
                    && until_ms < steady + WAIT_MS_MAX
                {
                    self.at(self.now + until_ms - steady, Event::Call(n, tries + 1));
                }
                return;
            }
        };
        if self.random.random_range(0..20) == 0 {
            hold.cancel(&(), || steady);
            return;
        }
        // An estimate is an upper bound.
        let estimates = self.plan.units_max > 1 && !matches!(self.plan.limit.span, Span::Concurrent);
        let used = if estimates { self.random.random_range(1..=units) } else { units };
        gateway.number += 1;
        let (call, life) = (gateway.number, gateway.life);
        gateway.calls.insert(call, (hold, used));
        let way = self.within(self.plan.way_ms);
        self.at(self.now + way, Event::Arrive(n, used, life));
        let length = way + self.within(self.plan.call_ms);
        self.at(self.now + length, Event::Answer(n, life, call));
    }

    pub(super) fn answer(&mut self, n: usize, life: u32, call: u64) {
        let (steady, _) = self.time(n);
        let gateway = &mut self.gateways[n];
        let Some((mut hold, used)) = gateway.calls.remove(&call).filter(|_| gateway.life == life) else {
            return;
        };
        if matches!(self.plan.limit.span, Span::Concurrent) {
            *self.provider.at_once.get_mut(&(n, life)).expect("it arrived") -= used;
        }
        hold.settle(&(), || steady, |_, _| used);
    }

    pub(super) fn tick(&mut self, n: usize, life: u32) {
        if self.gateways[n].life != life || !self.gateways[n].is_up {
            return;
        }
        self.at(self.now + TICK_MS, Event::Tick(n, life));
        if self.gateways[n].is_paused {
            return;
        }
        let (steady, now) = self.time(n);
        let gateway = &mut self.gateways[n];
        gateway.keeper.tick(steady, now.as_ref());
        if gateway.asked.as_ref().is_some_and(|(_, since, _)| steady - since > PATIENCE_MS) {
            gateway.asked = None;
        }
        if gateway.asked.is_none() && (now.is_none() || gateway.keeper.is_due(steady, false)) {
            self.ask(n, None);
        }
    }

    /// Reads, or writes.
    fn ask(&mut self, n: usize, write: Option<(Ledger, u64)>) {
        let gateway = &mut self.gateways[n];
        gateway.number += 1;
        let operation = gateway.number;
        let steady = gateway.steady(self.now);
        let text = write
            .as_ref()
            .map(|(ledger, revision)| (serde_json::to_string(ledger).expect("serialises"), *revision));
        gateway.asked = Some((operation, steady, write.map(|(ledger, _)| ledger)));
        let from = (n, gateway.life);
        self.send(&Request { from, operation, write: text });
    }

    pub(super) fn told(&mut self, reply: Reply) {
        let n = reply.to.0;
        let gateway = &mut self.gateways[n];
        if gateway.life != reply.to.1 || !gateway.is_up || gateway.is_paused || gateway.is_cut {
            return;
        }
        let asked = gateway.asked.take();
        let Some((operation, since, write)) = asked else { return };
        if operation != reply.operation {
            gateway.asked = Some((operation, since, write));
            return;
        }
        let steady = gateway.steady(self.now);
        let true_ms = self.plan.start_ms + i64::try_from(self.now).expect("a short world");
        gateway.clock.hear(since, steady, reply.stamp, Timestamp::from_millis(true_ms + gateway.wall_off_ms));
        let (_, now) = self.time(n);
        let now = now.expect("the bus was heard");
        let gateway = &mut self.gateways[n];
        match (reply.said, write) {
            (Said::Read(ledger, revision), _) => {
                if let Ok(Some(next)) = gateway.keeper.plan(ledger.as_ref(), &now) {
                    self.ask(n, Some((next, revision)));
                }
            }
            (Said::Written, Some(written)) => gateway.keeper.landed(&written, &now),
            (Said::Conflict, _) => self.ask(n, None),
            (Said::Written, None) => unreachable!("only writes are written"),
        }
    }

    pub(super) fn crash(&mut self, n: usize) {
        let gateway = &mut self.gateways[n];
        gateway.is_up = false;
        gateway.calls.clear();
        // Its connections close with it.
        self.provider.at_once.remove(&(n, gateway.life));
    }

    /// Ends in order, with what stands in the record; nothing of it where the bus is away.
    pub(super) fn leave(&mut self, n: usize) {
        let (_, now) = self.time(n);
        let gateway = &mut self.gateways[n];
        if let (Some(now), true, false) = (now, gateway.is_up, gateway.is_cut || self.bus_is_down) {
            let read: Option<Ledger> =
                self.store.value.as_deref().map(|text| serde_json::from_str(text).expect("a ledger"));
            if let Some(next) = gateway.keeper.leave(read.as_ref(), &now) {
                self.store.value = Some(serde_json::to_string(&next).expect("serialises"));
                self.store.revision += 1;
            }
        }
        self.crash(n);
    }

    pub(super) fn start(&mut self, n: usize) {
        let old = &self.gateways[n];
        if old.is_up {
            return;
        }
        let (life, wall, cut) = (old.life + 1, old.wall_off_ms, old.is_cut);
        let (messages, waited) = (old.messages, old.waited);
        let new = Gateway::new(&self.plan, n, life, self.now, &mut self.random);
        self.gateways[n] = Gateway { wall_off_ms: wall, is_cut: cut, messages, waited, ..new };
        self.at(self.now, Event::Tick(n, life));
    }
}
