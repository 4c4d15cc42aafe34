//! What a type cannot say of calls that are merged: names can be sent, places be read, bounds be kept; and whose form
//! holds for an endpoint. Pure.

use std::collections::BTreeMap;

use model::merge::{ENDPOINTS_MAX, Form, Merge, SYMBOLS_MAX, WINDOW_MS_MAX};

use crate::Provider;
use crate::operation::Wrong;

/// The longest path, name or pointer, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// The fewest symbols that are worth a call of their own.
const SYMBOLS_MIN: u32 = 2;

type Checked = Result<(), Wrong>;

/// The form of an endpoint: its own, else its provider's. Nothing where neither has one.
pub fn form<'f>(path: &str, merge: &'f Merge, provider: Option<&'f Provider>) -> Option<&'f Form> {
    merge.form.as_ref().or_else(|| provider.and_then(|provider| provider.merges.get(path)))
}

/// Checks what an integration wants to be merged.
pub fn check_own(merges: &BTreeMap<String, Merge>, provider: Option<&Provider>) -> Checked {
    must(merges.len() <= ENDPOINTS_MAX, &[], || format!("at most {ENDPOINTS_MAX} endpoints"))?;
    for (path, merge) in merges {
        let Some(form) = form(path, merge, provider) else {
            return Err(at(&[path], unknown(path, provider)));
        };
        let own = merge.form.is_some();
        check(path, form).map_err(|Wrong { at: way, reason }| {
            let first = [Some(path.clone()), own.then(|| "form".to_owned())];
            Wrong { at: first.into_iter().flatten().chain(way).collect(), reason }
        })?;
        let window_ms = merge.window_ms;
        must((1..=WINDOW_MS_MAX).contains(&window_ms), &[path, "window_ms"], || {
            format!("must be 1 to {WINDOW_MS_MAX}, not {window_ms}")
        })?;
        let most = form.symbols_max;
        let own_most = merge.symbols_max.unwrap_or(most);
        must((SYMBOLS_MIN..=most).contains(&own_most), &[path, "symbols_max"], || {
            format!("must be {SYMBOLS_MIN} to {most}, not {own_most}")
        })?;
    }
    Ok(())
}

fn unknown(path: &str, provider: Option<&Provider>) -> String {
    let known: Vec<&str> = provider.iter().flat_map(|p| p.merges.keys().map(String::as_str)).collect();
    let named = provider.filter(|provider| !provider.is_custom());
    let of = named.map_or("a custom provider", |provider| provider.name.as_str());
    let has = match known.is_empty() {
        true => format!("the catalogue knows no endpoint of {of} that takes several symbols"),
        false => format!("of {of} the catalogue knows {}", known.join(", ")),
    };
    format!("nothing is known of several symbols at `{path}`: {has}; else say how in `form`")
}

/// Checks the form of one endpoint.
pub fn check(path: &str, form: &Form) -> Checked {
    must(is_path(path), &[], || format!("`{path}` is no path: it begins with one `/` and has no query"))?;
    if let Some(many) = &form.path {
        must(is_path(many), &["path"], || {
            format!("`{many}` is no path: it begins with one `/` and has no query")
        })?;
    }
    let names = [("parameter", Some(&form.parameter)), ("many", form.many.as_ref())];
    for (key, name) in names {
        let whole = name.is_none_or(|name| is_name(name));
        must(whole, &[key], || "is the name of a parameter: letters, digits, `-`, `_`, `.`".to_owned())?;
    }
    must((SYMBOLS_MIN..=SYMBOLS_MAX).contains(&form.symbols_max), &["symbols_max"], || {
        format!("must be {SYMBOLS_MIN} to {SYMBOLS_MAX}, not {}", form.symbols_max)
    })?;
    let pointer = form.at.is_empty() || form.at.starts_with('/');
    must(pointer && form.at.len() <= TEXT_BYTES_MAX, &["at"], || {
        "a JSON pointer is empty or begins with `/`".to_owned()
    })?;
    let field = form.symbol.as_ref().is_none_or(|name| (1..=TEXT_BYTES_MAX).contains(&name.len()));
    must(field, &["symbol"], || format!("has 1 to {TEXT_BYTES_MAX} bytes"))
}

fn is_path(path: &str) -> bool {
    let plain = path.starts_with('/') && !path.starts_with("//") && path.len() <= TEXT_BYTES_MAX;
    let dots = path.split('/').any(|segment| matches!(segment, "." | ".."));
    plain
        && !dots
        && path.bytes().all(|b| b.is_ascii_graphic())
        && !path.contains(['?', '#', '\\', '%', '{', '*'])
}

fn is_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=TEXT_BYTES_MAX).contains(&name.len()) && name.bytes().all(letter)
}

fn must(holds: bool, way: &[&str], reason: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(at(way, reason())) }
}

fn at(way: &[&str], reason: String) -> Wrong {
    Wrong { at: way.iter().map(|step| (*step).to_owned()).collect(), reason }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Catalogue;

    #[track_caller]
    fn check_text(provider: &str, merges: serde_json::Value, wanted: Option<(&str, &str)>) {
        let merges: BTreeMap<String, Merge> = serde_json::from_value(merges).expect("settings");
        let found = check_own(&merges, Catalogue::builtin().get(provider));
        let found = found.err().map(|wrong| (wrong.pointer(), wrong.reason));
        match (found, wanted) {
            (None, None) => {}
            (Some((pointer, reason)), Some((wanted, part))) => {
                assert_eq!(pointer, wanted, "{reason}");
                assert!(reason.contains(part), "{reason}");
            }
            (found, wanted) => panic!("{found:?} is not {wanted:?}"),
        }
    }

    #[test]
    fn a_preset_needs_only_its_endpoint() {
        check_text("binance", json!({ "/api/v3/ticker/price": {} }), None);
        check_text("binance", json!({ "/api/v3/ticker/price": { "window_ms": 50, "symbols_max": 2 } }), None);
        check_text("custom", json!({ "/q": { "form": { "parameter": "s", "symbol": "id" } } }), None);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let unknown = json!({ "/api/v3/depth": {} });
        check_text("binance", unknown, Some(("/~1api~1v3~1depth", "/api/v3/ticker/price")));
        check_text("fred", json!({ "/x": {} }), Some(("/~1x", "no endpoint of FRED")));
        check_text("custom", json!({ "/x": {} }), Some(("/~1x", "a custom provider")));
        for (merge, pointer, part) in [
            (json!({ "window_ms": 0 }), "/window_ms", "1 to 50, not 0"),
            (json!({ "window_ms": 51 }), "/window_ms", "1 to 50, not 51"),
            (json!({ "symbols_max": 1 }), "/symbols_max", "2 to 100, not 1"),
            (json!({ "symbols_max": 101 }), "/symbols_max", "2 to 100, not 101"),
            (json!({ "form": { "parameter": "" } }), "/form/parameter", "name of a parameter"),
            (json!({ "form": { "parameter": "a&b" } }), "/form/parameter", "name of a parameter"),
            (json!({ "form": { "parameter": "a", "many": "a b" } }), "/form/many", "name of a parameter"),
            (json!({ "form": { "parameter": "a", "path": "x" } }), "/form/path", "no path"),
            (json!({ "form": { "parameter": "a", "path": "/x/../y" } }), "/form/path", "no path"),
            (json!({ "form": { "parameter": "a", "symbols_max": 1 } }), "/form/symbols_max", "2 to 100"),
            (json!({ "form": { "parameter": "a", "at": "x" } }), "/form/at", "JSON pointer"),
            (json!({ "form": { "parameter": "a", "symbol": "" } }), "/form/symbol", "bytes"),
        ] {
            let wanted = format!("/~1api~1v3~1ticker~1price{pointer}");
            check_text("binance", json!({ "/api/v3/ticker/price": merge }), Some((&wanted, part)));
        }
        let bad = json!({ "quote?x": { "form": { "parameter": "a" } } });
        check_text("custom", bad, Some(("/quote?x/form", "no path")));
        let many: serde_json::Map<_, _> =
            (0..17).map(|n| (format!("/{n}"), json!({ "form": { "parameter": "a" } }))).collect();
        check_text("custom", many.into(), Some(("", "at most 16")));
    }
}
