//! Who goes together: gathers callers that ask the same but for the symbol, until a time is over or the call is full.
//!
//! The first caller of a group opens it and waits for it; the others only join. A group that nobody waits for any more is
//! taken away with all in it, so that none of them waits for nothing. The table is held for a look only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// All groups that gather.
pub(crate) struct Groups<T> {
    open: Mutex<Table<T>>,
    open_max: usize,
}

struct Table<T> {
    groups: HashMap<Vec<u8>, Open<T>>,
    next: u64,
}

/// What one call may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Different symbols.
    pub(crate) symbols: usize,
    /// Bytes of the symbols.
    pub(crate) bytes: usize,
    /// Callers.
    pub(crate) callers: usize,
}

/// Who came: the symbols, each once, in the order of their coming, and the callers, each with the place of its symbol.
#[derive(Debug)]
pub(crate) struct Gathered<T> {
    pub(crate) symbols: Vec<String>,
    pub(crate) callers: Vec<(usize, T)>,
    bytes: usize,
}

struct Open<T> {
    number: u64,
    gathered: Gathered<T>,
    full: oneshot::Sender<Gathered<T>>,
}

/// What became of a caller.
pub(crate) enum Joined<T> {
    /// It opened a group, and somebody must wait for that.
    First(First<T>),
    /// It waits with others.
    Waits,
    /// There are too many groups.
    Refused,
}

/// The right to wait for a group.
pub(crate) struct First<T> {
    groups: Arc<Groups<T>>,
    key: Vec<u8>,
    number: u64,
    full: oneshot::Receiver<Gathered<T>>,
}

impl<T> Groups<T> {
    /// So many may be open at a time.
    pub(crate) fn new(open_max: usize) -> Self {
        Self { open: Mutex::new(Table { groups: HashMap::new(), next: 0 }), open_max }
    }

    /// Brings a caller to those who ask the same.
    pub(crate) fn join(
        self: &Arc<Self>,
        key: Vec<u8>,
        symbol: String,
        caller: T,
        bounds: Bounds,
    ) -> Joined<T> {
        let mut table = self.lock();
        if let Some(open) = table.groups.get_mut(&key)
            && open.gathered.fits(&symbol, bounds)
        {
            open.gathered.add(symbol, caller);
            if open.gathered.is_full(bounds) {
                close(table.groups.remove(&key));
            }
            return Joined::Waits;
        }
        close(table.groups.remove(&key));
        if table.groups.len() >= self.open_max {
            return Joined::Refused;
        }
        table.next += 1;
        let number = table.next;
        let (full, filled) = oneshot::channel();
        let mut gathered = Gathered { symbols: Vec::new(), callers: Vec::new(), bytes: 0 };
        gathered.add(symbol, caller);
        table.groups.insert(key.clone(), Open { number, gathered, full });
        Joined::First(First { groups: self.clone(), key, number, full: filled })
    }

    /// How many callers gather.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.lock().groups.values().map(|open| open.gathered.callers.len()).sum()
    }

    fn take(&self, key: &[u8], number: u64) -> Option<Gathered<T>> {
        let mut table = self.lock();
        let is = table.groups.get(key).is_some_and(|open| open.number == number);
        if is { table.groups.remove(key).map(|open| open.gathered) } else { None }
    }

    fn lock(&self) -> MutexGuard<'_, Table<T>> {
        // What the lock holds is whole after every statement.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets a group go before its time.
fn close<T>(open: Option<Open<T>>) {
    if let Some(Open { gathered, full, .. }) = open {
        drop(full.send(gathered));
    }
}

impl<T> Gathered<T> {
    fn fits(&self, symbol: &str, bounds: Bounds) -> bool {
        let known = self.symbols.iter().any(|known| known == symbol);
        known || self.bytes + symbol.len() <= bounds.bytes
    }

    fn is_full(&self, bounds: Bounds) -> bool {
        self.symbols.len() >= bounds.symbols || self.callers.len() >= bounds.callers
    }

    fn add(&mut self, symbol: String, caller: T) {
        let known = self.symbols.iter().position(|known| *known == symbol);
        let place = known.unwrap_or_else(|| {
            self.bytes += symbol.len();
            self.symbols.push(symbol);
            self.symbols.len() - 1
        });
        self.callers.push((place, caller));
    }
}

impl<T> First<T> {
    /// Waits until the group is full, or until this time. Nothing: it was taken away.
    pub(crate) async fn gather(mut self, until: Instant) -> Option<Gathered<T>> {
        tokio::select! {
            gathered = &mut self.full => gathered.ok(),
            () = sleep_until(until) => match self.groups.take(&self.key, self.number) {
                Some(gathered) => Some(gathered),
                // It filled at that very moment.
                None => (&mut self.full).await.ok(),
            },
        }
    }
}

impl<T> Drop for First<T> {
    fn drop(&mut self) {
        drop(self.groups.take(&self.key, self.number));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BOUNDS: Bounds = Bounds { symbols: 3, bytes: 12, callers: 5 };

    fn join(groups: &Arc<Groups<u32>>, key: &str, symbol: &str, caller: u32) -> Joined<u32> {
        groups.join(key.as_bytes().to_vec(), symbol.to_owned(), caller, BOUNDS)
    }

    #[track_caller]
    fn first(joined: Joined<u32>) -> First<u32> {
        let Joined::First(first) = joined else { panic!("somebody was there before") };
        first
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(10)
    }

    #[tokio::test(start_paused = true)]
    async fn callers_of_one_window_go_together_and_a_symbol_is_asked_once() {
        let groups = Arc::new(Groups::new(8));
        let first_of = first(join(&groups, "q", "A", 1));
        assert!(matches!(join(&groups, "q", "B", 2), Joined::Waits));
        assert!(matches!(join(&groups, "q", "A", 3), Joined::Waits));
        let other = first(join(&groups, "r", "A", 4));
        assert_eq!(groups.waiting(), 4);
        let before = Instant::now();
        let gathered = first_of.gather(soon()).await.expect("a group");
        assert_eq!(before.elapsed().as_millis() / 2, 5, "the window, no longer");
        assert_eq!(
            (gathered.symbols, gathered.callers),
            (vec!["A".into(), "B".into()], vec![(0, 1), (1, 2), (0, 3)])
        );
        drop(first(join(&groups, "q", "A", 5)));
        drop(other);
        assert_eq!(groups.waiting(), 0, "nobody is left behind");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_group_goes_at_once() {
        let groups = Arc::new(Groups::new(8));
        let by_symbols = first(join(&groups, "q", "A", 1));
        for symbol in ["B", "C"] {
            assert!(matches!(join(&groups, "q", symbol, 2), Joined::Waits));
        }
        let by_callers = first(join(&groups, "q", "A", 1));
        for n in 2..=5 {
            assert!(matches!(join(&groups, "q", "A", n), Joined::Waits));
        }
        let by_bytes = first(join(&groups, "q", "LONG-LONG", 1));
        let next = first(join(&groups, "q", "OTHER", 2));
        let before = Instant::now();
        for (group, symbols, callers) in [(by_symbols, 3, 3), (by_callers, 1, 5), (by_bytes, 1, 1)] {
            let gathered = group.gather(soon()).await.expect("a group");
            assert_eq!((gathered.symbols.len(), gathered.callers.len()), (symbols, callers));
        }
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert_eq!(next.gather(soon()).await.expect("a group").symbols, ["OTHER"]);
    }

    #[tokio::test]
    async fn groups_are_bounded() {
        let groups = Arc::new(Groups::new(2));
        let held = [first(join(&groups, "a", "A", 1)), first(join(&groups, "b", "A", 1))];
        assert!(matches!(join(&groups, "c", "A", 1), Joined::Refused));
        assert!(matches!(join(&groups, "a", "B", 1), Joined::Waits));
        drop(held);
        first(join(&groups, "c", "A", 1));
    }
}
