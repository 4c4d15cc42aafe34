//! Who may have a connection: so many in all, and so many from one address.
//!
//! A place is given back when it is dropped. Of IPv6 a whole /64 network counts as one address, because a single
//! machine has as many of those as it likes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::counter;
use tokio::sync::Semaphore;

use crate::telemetry::{REFUSED, describe};

/// The places of one port. Clones are the same.
#[derive(Clone)]
pub struct Places(Arc<Inner>);

struct Inner {
    free: Semaphore,
    taken: Mutex<HashMap<IpAddr, usize>>,
    per_address_max: usize,
    port: String,
}

/// A connection's place.
pub struct Place {
    places: Places,
    address: IpAddr,
}

impl Places {
    /// So many in all, at most [`Semaphore::MAX_PERMITS`], and so many an address; 0: as many as there are.
    pub fn new(max: usize, per_address_max: usize, port: u16) -> Self {
        describe();
        Self(Arc::new(Inner {
            free: Semaphore::new(max.min(Semaphore::MAX_PERMITS)),
            taken: Mutex::default(),
            per_address_max,
            port: port.to_string(),
        }))
    }

    /// Waits until there is a place at all. Only for the one who takes them.
    pub async fn any(&self) {
        // It is never closed.
        drop(self.0.free.acquire().await);
    }

    /// Takes a place for a connection from this address. None when it has as many as it may, or there is none.
    pub fn take(&self, address: IpAddr) -> Option<Place> {
        let (address, max) = (network(address), self.0.per_address_max);
        let permit = self.0.free.try_acquire().ok()?;
        let mut taken = self.0.taken();
        let count = taken.entry(address).or_default();
        if max > 0 && *count >= max {
            drop(taken);
            counter!(REFUSED, "port" => self.0.port.clone()).increment(1);
            tracing::debug!(%address, "{address} has {max} connections already; another one was closed.");
            return None;
        }
        *count += 1;
        permit.forget();
        drop(taken);
        Some(Place { places: self.clone(), address })
    }
}

impl Inner {
    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.taken();
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
        drop(taken);
        self.places.0.free.add_permits(1);
    }
}

/// What counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let places = Places::new(10, 2, 0);
        let held: Vec<Place> = (0..2).filter_map(|_| places.take(ip("192.0.2.1"))).collect();
        assert_eq!(held.len(), 2);
        assert!(places.take(ip("192.0.2.1")).is_none());
        assert!(places.take(ip("::ffff:192.0.2.1")).is_none(), "the same in another spelling");
        assert!(places.take(ip("192.0.2.2")).is_some(), "others are not hurt");
        drop(held);
        assert!(places.0.taken().is_empty(), "nothing is remembered of who is gone");
        assert!(places.take(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let places = Places::new(10, 1, 0);
        let _held = places.take(ip("2001:db8:1:2::1")).unwrap();
        assert!(places.take(ip("2001:db8:1:2:ffff::1")).is_none());
        assert!(places.take(ip("2001:db8:1:3::1")).is_some());
    }

    #[tokio::test]
    async fn all_together_have_a_bound() {
        let places = Places::new(2, 0, 0);
        let one = places.take(ip("192.0.2.1")).unwrap();
        let _two = places.take(ip("192.0.2.1")).unwrap();
        assert!(places.take(ip("192.0.2.2")).is_none());
        drop(one);
        places.any().await;
        assert!(places.take(ip("192.0.2.2")).is_some());
    }
}
