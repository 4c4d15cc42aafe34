//! A small world in which gateways share a limit: deterministic by seed, with a bus that delays, loses and doubles, gateways
//! that crash, pause, are cut off and have wrong clocks, and a provider that counts for itself.
//!
//! What must hold in every one: the provider never counts more than its limit. Where nothing crashes, at least 98 % of the
//! limit is usable; and nobody asks more often than he may.

mod bus;
mod gateway;
mod provider;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use bus::{Reply, Request, Store};
use gateway::Gateway;
use model::quota::{Limit, Span};
use provider::Provider;

/// What goes wrong, and how often.
#[derive(Clone, Debug, Default)]
struct Faults {
    /// Messages of the bus that are lost or doubled, in a hundred.
    lossy: u32,
    /// Milliseconds between crashes, of anyone; 0: none.
    crash_every_ms: u64,
    /// The same of cuts between one gateway and the bus.
    cut_every_ms: u64,
    /// The same of the whole bus.
    outage_every_ms: u64,
    /// The same of jumps of a wall clock.
    jump_every_ms: u64,
    /// The same of jumps of the bus's clock.
    bus_jump_every_ms: u64,
    /// The same of pauses of a gateway.
    pause_every_ms: u64,
    /// The same of ends in order, with everything given back.
    leave_every_ms: u64,
}

/// A world before it begins.
#[derive(Clone, Debug)]
struct Plan {
    limit: Limit,
    /// When it begins, in Unix milliseconds.
    start_ms: i64,
    millis: u64,
    gateways: usize,
    /// Calls a second, of all.
    calls: f64,
    /// The heaviest call, in units.
    units_max: u64,
    /// The slowest way to the provider, in milliseconds.
    way_ms: u64,
    /// The longest call, in milliseconds.
    call_ms: u64,
    faults: Faults,
}

#[derive(Debug)]
enum Event {
    Call(usize, u32),
    Tick(usize, u32),
    Arrive(usize, u64, u32),
    Answer(usize, u32, u64),
    Asked(Request),
    Told(Reply),
    Fault(&'static str),
    Mend(&'static str, usize),
}

struct World {
    plan: Plan,
    random: StdRng,
    /// True milliseconds since it began.
    now: u64,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    number: u64,
    store: Store,
    gateways: Vec<Gateway>,
    provider: Provider,
    bus_is_down: bool,
}

impl World {
    fn run(plan: &Plan, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let provider = Provider::new(&plan.limit, plan.start_ms + random.random_range(-20..=20));
        let mut world = Self {
            store: Store::default(),
            gateways: (0..plan.gateways).map(|n| Gateway::new(plan, n, 0, 0, &mut random)).collect(),
            plan: plan.clone(),
            random,
            now: 0,
            queue: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            number: 0,
            provider,
            bus_is_down: false,
        };
        for n in 0..plan.gateways {
            world.at(0, Event::Tick(n, 0));
            world.next_call(n);
        }
        for (name, every) in [
            ("crash", plan.faults.crash_every_ms),
            ("cut", plan.faults.cut_every_ms),
            ("outage", plan.faults.outage_every_ms),
            ("jump", plan.faults.jump_every_ms),
            ("bus jump", plan.faults.bus_jump_every_ms),
            ("pause", plan.faults.pause_every_ms),
            ("leave", plan.faults.leave_every_ms),
        ] {
            if every > 0 {
                let first = world.random.random_range(0..every * 2);
                world.at(first, Event::Fault(name));
            }
        }
        while let Some(Reverse((at, _, place))) = world.queue.pop() {
            if at >= plan.millis {
                break;
            }
            world.now = at;
            let event = world.events[place].take().expect("each event happens once");
            world.free.push(place);
            world.step(event);
        }
        world
    }

    fn at(&mut self, at: u64, event: Event) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[place] = Some(event);
        self.number += 1;
        self.queue.push(Reverse((at, self.number, place)));
    }

    fn within(&mut self, most: u64) -> u64 {
        self.random.random_range(0..=most)
    }

    /// The first gateway has half of the calls, the others the rest.
    fn next_call(&mut self, n: usize) {
        let others = (self.plan.gateways - 1).max(1) as f64;
        let part = if self.plan.gateways == 1 {
            1.0
        } else if n == 0 {
            0.5
        } else {
            0.5 / others
        };
        let mean = 1_000.0 / (self.plan.calls * part);
        let wait = -(1.0 - self.random.random::<f64>()).ln() * mean;
        self.at(self.now + wait.round() as u64, Event::Call(n, 0));
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Call(n, tries) => {
                self.call(n, tries);
                if tries == 0 {
                    self.next_call(n);
                }
            }
            Event::Tick(n, life) => self.tick(n, life),
            // A connection that closed before it was counted was never counted.
            Event::Arrive(n, _, life) if self.is_closed(n, life) => {}
            Event::Arrive(n, units, life) => self.provider.count(self.now, units, (n, life)),
            Event::Answer(n, life, call) => self.answer(n, life, call),
            Event::Asked(request) => self.serve(request),
            Event::Told(reply) => self.told(reply),
            Event::Fault(name) => self.fault(name),
            Event::Mend(name, n) => self.mend(name, n),
        }
    }

    fn is_closed(&self, n: usize, life: u32) -> bool {
        let gateway = &self.gateways[n];
        matches!(self.plan.limit.span, Span::Concurrent) && !(gateway.is_up && gateway.life == life)
    }

    fn fault(&mut self, name: &'static str) {
        let n = self.random.random_range(0..self.plan.gateways);
        let faults = &self.plan.faults;
        let (every, length) = match name {
            "crash" => (faults.crash_every_ms, 2_000),
            "cut" => (faults.cut_every_ms, 40_000),
            "outage" => (faults.outage_every_ms, 40_000),
            "jump" => (faults.jump_every_ms, 0),
            "bus jump" => (faults.bus_jump_every_ms, 20_000),
            "pause" => (faults.pause_every_ms, 30_000),
            _ => (faults.leave_every_ms, 2_000),
        };
        match name {
            "crash" => self.crash(n),
            "cut" => self.gateways[n].is_cut = true,
            "outage" => self.bus_is_down = true,
            "jump" => {
                let hours = self.random.random_range(-30..=30);
                self.gateways[n].wall_off_ms = hours * 3_600_000 / 2;
            }
            "bus jump" => self.store.off_ms = self.random.random_range(-4..=4) * 1_800_000 + 420_000,
            "pause" => self.gateways[n].is_paused = true,
            _ => self.leave(n),
        }
        let length = self.within(length);
        self.at(self.now + length, Event::Mend(name, n));
        let next = self.within(every * 2);
        self.at(self.now + next + 1, Event::Fault(name));
    }

    fn mend(&mut self, name: &str, n: usize) {
        match name {
            "crash" | "leave" => self.start(n),
            "cut" => self.gateways[n].is_cut = false,
            "outage" => self.bus_is_down = false,
            "bus jump" => self.store.off_ms = 0,
            "pause" => self.gateways[n].is_paused = false,
            _ => {}
        }
    }
}
