//! What came in with the lock file: nothing that `.cargo/deny.toml` bans, and nothing but from one registry.
//!
//! Licences are in the packages, not in the lock file: `licences` looks at those. Here only our own licence is held
//! against the list.

use toml::{Table, Value};

use crate::fault::Fault;

const DENY: &str = ".cargo/deny.toml";
const LOCK: &str = "Cargo.lock";

/// What the lock file has and must not have, and what the rules leave unsaid.
pub fn check(deny: &str, lock: &str) -> Vec<Fault> {
    let (deny, lock) = match (deny.parse::<Table>(), lock.parse::<Table>()) {
        (Ok(deny), Ok(lock)) => (deny, lock),
        (Err(error), _) => return vec![Fault::of(DENY, format!("is not TOML: {error}"))],
        (_, Err(error)) => return vec![Fault::of(LOCK, format!("is not TOML: {error}"))],
    };
    let mut faults = Vec::new();
    let packages = list(lock.get("package"));
    for ban in list(deny.get("bans").and_then(|bans| bans.get("deny"))) {
        let name = text(ban, "crate");
        if name.is_empty() || text(ban, "reason").is_empty() {
            faults.push(Fault::of(DENY, format!("bans `{name}` without a reason")));
        }
        let wrappers: Vec<&str> = list(ban.get("wrappers")).iter().filter_map(Value::as_str).collect();
        for package in packages.iter().filter(|package| text(package, "name") == name) {
            let users: Vec<&str> = users(packages, name).filter(|user| !wrappers.contains(user)).collect();
            if wrappers.is_empty() || !users.is_empty() {
                let version = text(package, "version");
                faults.push(Fault::of(LOCK, format!("has the banned `{name}` {version}, for {users:?}")));
            }
        }
    }
    for rule in ["unknown-registry", "unknown-git"] {
        if deny.get("sources").map(|sources| text(sources, rule)) != Some("deny") {
            faults.push(Fault::of(DENY, format!("must have `{rule} = \"deny\"`")));
        }
    }
    faults.extend(sources(packages));
    faults
}

/// Whether the root manifest's licence is one that the rules let in.
pub fn check_licence(deny: &str, manifest: &str) -> Vec<Fault> {
    let read = |text: &str, keys: [&str; 3]| {
        let table: Value = text.parse::<Table>().ok()?.into();
        keys.iter().filter(|key| !key.is_empty()).try_fold(table, |value, key| value.get(key).cloned())
    };
    let own = read(manifest, ["workspace", "package", "license"]);
    let allowed = read(deny, ["licenses", "allow", ""]);
    match own {
        Some(own) if list(allowed.as_ref()).contains(&own) => Vec::new(),
        own => vec![Fault::of("Cargo.toml", format!("has the licence {own:?}, which {DENY} does not allow"))],
    }
}

fn sources(packages: &[Value]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let foreign: Vec<&Value> = packages.iter().filter(|package| package.get("source").is_some()).collect();
    let first = foreign.first().map_or("", |package| text(package, "source"));
    for package in foreign {
        let (name, source) = (text(package, "name"), text(package, "source"));
        if !source.starts_with("registry+") || source != first {
            faults.push(Fault::of(LOCK, format!("takes `{name}` from {source}")));
        } else if text(package, "checksum").is_empty() {
            faults.push(Fault::of(LOCK, format!("has no checksum of `{name}`")));
        }
    }
    faults
}

fn users<'a>(packages: &'a [Value], name: &'a str) -> impl Iterator<Item = &'a str> {
    let uses = move |package: &&Value| {
        let names = list(package.get("dependencies")).iter().filter_map(Value::as_str);
        names.filter_map(|dependency| dependency.split(' ').next()).any(|dependency| dependency == name)
    };
    packages.iter().filter(uses).map(|package| text(package, "name"))
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::none;
    use crate::tree;

    const RULES: &str = "[sources]\nunknown-registry = \"deny\"\nunknown-git = \"deny\"\n[licenses]\nallow = [\"MIT\"]\n\
        [bans]\ndeny = [{ crate = \"bad\", reason = \"r\" }, { crate = \"half\", wrappers = [\"w\"], reason = \"r\" }]";

    fn package(name: &str, rest: &str) -> String {
        format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\n{rest}\n")
    }

    fn of_registry(name: &str) -> String {
        package(name, "source = \"registry+https://r.example\"\nchecksum = \"00\"")
    }

    #[test]
    fn nothing_banned_is_locked() {
        let deny = tree::text(DENY);
        none(check(&deny, &tree::text(LOCK)));
        none(check_licence(&deny, &tree::text("Cargo.toml")));
    }

    #[test]
    fn a_banned_crate_is_found_unless_only_its_wrappers_use_it() {
        let ours = package("w", "dependencies = [\"half\"]");
        assert_eq!(check(RULES, &(ours.clone() + &of_registry("half"))), []);
        let other = package("x", "dependencies = [\"half 1.0.0\"]");
        assert_eq!(check(RULES, &(ours + &other + &of_registry("half"))).len(), 1);
        assert_eq!(check(RULES, &of_registry("bad")).len(), 1);
        assert_eq!(check(RULES, &of_registry("badly")), []);
    }

    #[test]
    fn another_source_or_no_checksum_is_found() {
        let good = of_registry("a");
        for bad in [
            "source = \"git+https://g.example/x\"",
            "source = \"registry+https://other.example\"\nchecksum = \"00\"",
            "source = \"registry+https://r.example\"",
        ] {
            assert_eq!(check(RULES, &(good.clone() + &package("b", bad))).len(), 1, "{bad}");
        }
    }

    #[test]
    fn rules_without_reasons_or_with_holes_are_found() {
        assert_eq!(check(&RULES.replace("crate = \"bad\", reason = \"r\"", "crate = \"bad\""), "").len(), 1);
        assert_eq!(check(&RULES.replace("unknown-git = \"deny\"", "unknown-git = \"allow\""), "").len(), 1);
        assert_eq!(check("x", "").len(), 1);
        assert_eq!(check_licence(RULES, "[workspace.package]\nlicense = \"MIT\""), []);
        assert_eq!(check_licence(RULES, "[workspace.package]\nlicense = \"GPL-3.0\"").len(), 1);
        assert_eq!(check_licence(RULES, "").len(), 1);
    }
}
