//! Pages of lists: `?page_size=` and `&cursor=`, a cursor bound to the filter it was made for.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use runtime::Problem;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

/// The largest page; a larger wish is reduced to it.
const PAGE_MAX: u32 = 500;

/// How a list is asked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// Items in a page: 50 when absent, at most 500.
    pub(crate) page_size: Option<u32>,
    /// Where the page before ended, from its `next`.
    pub(crate) cursor: Option<String>,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// The address of the next page; null on the last.
    pub(crate) next: Option<String>,
}

impl Paging {
    /// Items wanted.
    pub(crate) fn size(&self) -> u32 {
        self.page_size.unwrap_or(50).clamp(1, PAGE_MAX)
    }

    /// Where to go on, if it was made for this filter.
    pub(crate) fn after(&self, filter: &str) -> Result<Option<String>, Problem> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let wrong =
            || Problem::bad_request("the cursor is not one of this list and filter; begin without it");
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
        let text = String::from_utf8(bytes).map_err(|_| wrong())?;
        let (mark, position) = text.split_once(':').ok_or_else(wrong)?;
        if mark != bound_to(filter) {
            return Err(wrong());
        }
        Ok(Some(position.to_owned()))
    }

    /// A page of one item more than wanted: the surplus tells that there is a next one.
    pub(crate) fn page<T>(
        &self,
        path: &str,
        filter: &str,
        mut items: Vec<T>,
        position: impl Fn(&T) -> String,
    ) -> Page<T> {
        let size = self.size() as usize;
        let more = items.len() > size;
        items.truncate(size);
        let next = items.last().filter(|_| more).map(|last| {
            let cursor = URL_SAFE_NO_PAD.encode(format!("{}:{}", bound_to(filter), position(last)));
            let also = if filter.is_empty() { String::new() } else { format!("&{filter}") };
            format!("{path}?page_size={size}{also}&cursor={cursor}")
        });
        Page { items, next }
    }
}

fn bound_to(filter: &str) -> String {
    let digest = Sha256::digest(filter.as_bytes());
    URL_SAFE_NO_PAD.encode(&digest[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_where_its_page_ended_and_only_there() {
        let paging = Paging { page_size: Some(2), cursor: None };
        let page = paging.page("/api/v1/x", "a=b", vec!["1", "2", "3"], |item| (*item).to_owned());
        let next = page.next.expect("there is more");
        let cursor = next.split_once("cursor=").expect("has a cursor").1.to_owned();
        let paging = Paging { page_size: None, cursor: Some(cursor) };
        assert_eq!(paging.after("a=b").expect("same filter").as_deref(), Some("2"));
        assert!(paging.after("a=c").is_err());
    }

    #[test]
    fn the_last_page_has_no_next() {
        let page = Paging::default().page("/x", "", vec![1, 2], ToString::to_string);
        assert!(page.next.is_none());
    }
}
