//! What an integration's calls are counted by: endpoint, caller and route. Looking up a count that is there allocates nothing.

use model::RouteId;
use model::usage::Count;

use crate::map::{Few, Map};

/// Different endpoints, callers and routes that are counted apart between two flushes. More are counted as [`OTHER`].
const COUNTS_MAX: usize = 4_096;
/// The endpoint of calls that found no place of their own.
const OTHER: &str = "other";

/// Whose call it is: for which endpoint, by whom, by which route if any.
#[derive(Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) actor: &'a str,
    pub(crate) route: Option<&'a RouteId>,
}

/// What was counted, and where of each caller, endpoint and route.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) all: Vec<Count>,
    places: Map<String, Map<String, Few<usize>>>,
}

impl Counts {
    /// The count of a call.
    pub(super) fn of(&mut self, whose: Whose<'_>) -> &mut Count {
        let found = self.place(whose).or_else(|| {
            let full = self.all.len() >= COUNTS_MAX;
            full.then(|| self.place(Whose { endpoint: OTHER, ..whose })).flatten()
        });
        let place = found.unwrap_or_else(|| {
            let Whose { endpoint, actor, route } = whose;
            let endpoint = if self.all.len() < COUNTS_MAX { endpoint } else { OTHER };
            let place = self.all.len();
            self.all.push(Count {
                endpoint: endpoint.to_owned(),
                actor: actor.to_owned(),
                route: route.cloned(),
                ..Count::default()
            });
            let places = self.places.entry(actor.to_owned()).or_default();
            places.entry(endpoint.to_owned()).or_default().push(place);
            place
        });
        &mut self.all[place]
    }

    fn place(&self, whose: Whose<'_>) -> Option<usize> {
        let places = self.places.get(whose.actor)?.get(whose.endpoint)?;
        // An endpoint is called through few routes.
        places.iter().copied().find(|place| self.all[*place].route.as_ref() == whose.route)
    }
}
