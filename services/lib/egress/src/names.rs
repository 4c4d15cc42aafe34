//! Header names that are looked for, and taken off, at every call. Pure.

use http::{HeaderMap, HeaderName};

/// Names of headers, in small letters: asked by length first, and nothing is hashed.
#[derive(Clone, Debug, Default)]
pub struct Names(Vec<Vec<&'static str>>);

impl Names {
    /// All names of these lists.
    pub fn of(lists: &[&[&'static str]]) -> Self {
        let mut by_length: Vec<Vec<&'static str>> = Vec::new();
        for name in lists.iter().copied().flatten() {
            if by_length.len() <= name.len() {
                by_length.resize(name.len() + 1, Vec::new());
            }
            by_length[name.len()].push(name);
        }
        Self(by_length)
    }

    /// Whether a name is among them.
    pub fn contains(&self, name: &HeaderName) -> bool {
        let name = name.as_str().as_bytes();
        // Nearly all differ in their first letter.
        let is = |other: &&str| other.as_bytes().first() == name.first() && other.as_bytes() == name;
        self.0.get(name.len()).is_some_and(|same| same.iter().any(is))
    }
}

/// Takes off every header whose name is `gone`.
pub fn take_off(headers: &mut HeaderMap, gone: impl Fn(&HeaderName) -> bool) {
    let found: Vec<HeaderName> = headers.keys().filter(|name| gone(name)).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_they_were_written() {
        let names = Names::of(&[&["te", "host"], &["x-api-key"]]);
        for (name, is_in) in [
            ("TE", true),
            ("Host", true),
            ("X-Api-Key", true),
            ("via", false),
            ("x-api-kez", false),
            ("tes", false),
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            assert_eq!(names.contains(&name), is_in, "{name}");
        }
        assert!(!Names::default().contains(&http::header::HOST));
    }
}
