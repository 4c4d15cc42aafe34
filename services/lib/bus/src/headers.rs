//! Between name and value pairs and the client's header map. Only the fallible constructors are used: the
//! others panic on a line break.

use std::str::FromStr;

use async_nats::{HeaderMap, HeaderName, HeaderValue};

use crate::error::Error;

/// Builds a header map.
pub(crate) fn build<N: AsRef<str>>(
    fields: impl IntoIterator<Item = (N, String)>,
) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        set(&mut map, name.as_ref(), &value)?;
    }
    Ok(map)
}

/// Sets one header.
pub(crate) fn set(map: &mut HeaderMap, name: &str, value: &str) -> Result<(), Error> {
    let refused = || Error::Header { name: name.to_owned() };
    let key = HeaderName::from_str(name).map_err(|_| refused())?;
    let value = HeaderValue::from_str(value).map_err(|_| refused())?;
    map.insert(key, value);
    Ok(())
}

/// Every field, the first value of each name.
pub(crate) fn fields(map: Option<&HeaderMap>) -> impl Iterator<Item = (&str, &str)> + Clone {
    map.into_iter()
        .flat_map(HeaderMap::iter)
        .filter_map(|(name, values)| Some((name.as_ref(), values.first()?.as_str())))
}

/// One field, its name in any case.
pub(crate) fn find<'a>(map: Option<&'a HeaderMap>, name: &str) -> Option<&'a str> {
    fields(map).find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
