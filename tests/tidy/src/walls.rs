//! The walls, from the manifests: who may import whom, who names which client library, where versions stand.
//!
//! `[dependencies]`, `[build-dependencies]` and `[dev-dependencies]` are looked at, for all targets. Whether code
//! keeps to its manifest is the compiler's part.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::fault::Fault;
use crate::tree::File;

/// What everyone may import: words, plumbing, data. Those are `model`, `runtime` and `catalogue`.
const COMMON: &[&str] = &["model", "runtime", "catalogue"];
/// The doors of each service, beyond [`COMMON`].
const SERVICES: &[(&str, &[&str])] = &[
    ("gateway", &["bus", "vault", "egress"]),
    ("prober", &["bus", "vault", "egress"]),
    ("failover", &["bus"]),
    ("meter", &["bus", "store"]),
    ("webhooks", &["bus", "store", "vault", "egress"]),
    ("audit", &["bus", "store"]),
    ("api", &["bus", "store", "vault"]),
];
/// What lies on the ground floor. All but `model` import `model`, and nothing else of the house.
const LIBRARY: &[&str] = &["model", "bus", "store", "vault", "egress", "runtime", "catalogue"];
/// The executable, which puts everything together.
const PROGRAM: &str = "signalbox";
/// What may be imported by tests only.
const FOR_TESTS: &[&str] = &["standins", "harness", "e2e", "tidy"];
/// Crates that measure: `bench-x` lies in `tests/bench/x`, imports what it measures, and is imported by nobody.
const BENCHES: &str = "bench-";
/// The stand-ins are the outside world; they know nothing of the house.
const OUTSIDE: &str = "standins";
/// Client libraries, and the manifests under `services/` that may name them. Tests may name any.
const CLIENTS: &[(&str, &[&str])] = &[
    ("async-nats", &["bus"]),
    ("sqlx", &["store"]),
    ("vaultrs", &["vault"]),
    ("rustify", &["vault"]),
    ("reqwest", &["vault"]),
    ("hyper", &["egress", "gateway", "runtime"]),
    ("hyper-util", &["egress", "gateway", "runtime"]),
    ("tokio-rustls", &["egress", "gateway", "runtime"]),
];
/// What a member inherits from the root and does not say itself.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "publish"];

/// One member's manifest.
struct Manifest<'a> {
    path: &'a str,
    name: String,
    in_tests: bool,
    table: Table,
}

/// Everything that breaks a wall, in the manifests among `files`.
pub fn check(files: &[File]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut manifests = Vec::new();
    for file in files.iter().filter(|file| file.name() == "Cargo.toml" && file.path.contains('/')) {
        match file.text.parse::<Table>() {
            Ok(table) => manifests.push(Manifest::new(&file.path, table)),
            Err(error) => faults.push(Fault::of(&file.path, format!("is not TOML: {error}"))),
        }
    }
    for manifest in &manifests {
        inherits(manifest, &mut faults);
        for (dependency, section, value) in manifest.dependencies() {
            versions(manifest, dependency, value, &mut faults);
            let for_tests = manifest.in_tests || section == "dev-dependencies";
            clients(manifest, dependency, for_tests, &mut faults);
            if is_of_the_house(dependency) && !may_import(&manifest.name, dependency, for_tests) {
                faults.push(Fault::of(
                    manifest.path,
                    format!("`{}` must not import `{dependency}`", manifest.name),
                ));
            }
        }
    }
    faults
}

/// Everything that is wrong in the root manifest: versions have one place, and members are named in it once.
pub fn check_root(text: &str) -> Vec<Fault> {
    let path = "Cargo.toml";
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return vec![Fault::of(path, format!("is not TOML: {error}"))],
    };
    let mut faults = Vec::new();
    let dependencies = table.get("workspace").and_then(|it| it.get("dependencies")).and_then(Value::as_table);
    for (name, value) in dependencies.into_iter().flatten() {
        let sourced = ["git", "branch", "rev", "registry"].iter().any(|key| value.get(key).is_some());
        let version = value.as_str().or_else(|| value.get("version").and_then(Value::as_str));
        if sourced || version == Some("*") || (version.is_none() && value.get("path").is_none()) {
            faults.push(Fault::of(path, format!("`{name}` needs a version from the registry, or a path")));
        }
    }
    faults
}

impl<'a> Manifest<'a> {
    fn new(path: &'a str, table: Table) -> Self {
        let name =
            table.get("package").and_then(|it| it.get("name")).and_then(Value::as_str).unwrap_or_default();
        Self { path, name: name.to_owned(), in_tests: path.starts_with("tests/"), table }
    }

    /// Name, section and value of every dependency, also of those for some targets only.
    fn dependencies(&self) -> Vec<(&str, &'static str, &Value)> {
        let targets = self.table.get("target").and_then(Value::as_table);
        let tables =
            targets.into_iter().flat_map(Table::values).filter_map(Value::as_table).chain([&self.table]);
        let mut all = Vec::new();
        for table in tables {
            for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
                let entries = table.get(section).and_then(Value::as_table).into_iter().flatten();
                all.extend(entries.map(|(key, value)| {
                    let name = value.get("package").and_then(Value::as_str).unwrap_or(key);
                    (name, section, value)
                }));
            }
        }
        all
    }
}

fn is_of_the_house(name: &str) -> bool {
    let services = SERVICES.iter().map(|(service, _)| service);
    LIBRARY.iter().chain(FOR_TESTS).chain(services).any(|own| *own == name) || name == PROGRAM
}

fn may_import(who: &str, whom: &str, for_tests: bool) -> bool {
    let doors: BTreeMap<_, _> = SERVICES.iter().copied().collect();
    if who == OUTSIDE || who == "model" {
        return false;
    }
    if FOR_TESTS.contains(&who) || who.starts_with(BENCHES) {
        return true;
    }
    if FOR_TESTS.contains(&whom) {
        return for_tests && whom == OUTSIDE;
    }
    if LIBRARY.contains(&who) {
        return whom == "model";
    }
    if who == PROGRAM {
        return true;
    }
    doors.get(who).is_some_and(|own| COMMON.contains(&whom) || own.contains(&whom))
}

/// The folder that holds a manifest.
fn folder(path: &str) -> &str {
    path.rsplit('/').nth(1).unwrap_or_default()
}

fn is_bench(path: &str) -> bool {
    path.starts_with("tests/bench/")
}

fn inherits(manifest: &Manifest<'_>, faults: &mut Vec<Fault>) {
    let is_inherited =
        |value: Option<&Value>| value.and_then(|it| it.get("workspace")) == Some(&Value::Boolean(true));
    let package = manifest.table.get("package");
    for key in INHERITED.iter().filter(|key| !is_inherited(package.and_then(|it| it.get(key)))) {
        faults.push(Fault::of(manifest.path, format!("needs `{key}.workspace = true`")));
    }
    if !is_inherited(Some(&Value::Table(manifest.table.clone())).and_then(|it| it.get("lints"))) {
        faults.push(Fault::of(manifest.path, "needs `[lints] workspace = true`"));
    }
    let folder = folder(manifest.path);
    let name =
        manifest.name.strip_prefix(BENCHES).filter(|_| is_bench(manifest.path)).unwrap_or(&manifest.name);
    if folder != name {
        faults.push(Fault::of(manifest.path, format!("`{}` lies in the folder `{folder}`", manifest.name)));
    }
}

fn versions(manifest: &Manifest<'_>, dependency: &str, value: &Value, faults: &mut Vec<Fault>) {
    let own = ["version", "path", "git", "registry"].iter().any(|key| value.get(key).is_some());
    if own || value.get("workspace") != Some(&Value::Boolean(true)) {
        faults.push(Fault::of(
            manifest.path,
            format!("`{dependency}` must take its version from the root manifest"),
        ));
    }
}

fn clients(manifest: &Manifest<'_>, dependency: &str, for_tests: bool, faults: &mut Vec<Fault>) {
    let owners = CLIENTS.iter().find(|(client, _)| *client == dependency).map(|(_, owners)| *owners);
    if let Some(owners) = owners
        && !for_tests
        && !owners.contains(&manifest.name.as_str())
    {
        faults.push(Fault::of(manifest.path, format!("only {owners:?} may name `{dependency}`")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::none;
    use crate::tree;

    const HEAD: &str = "version.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
        license.workspace = true\npublish.workspace = true\n[lints]\nworkspace = true\n";

    /// What is found in a manifest of this name with this behind its head.
    fn found(path: &str, rest: &str) -> Vec<String> {
        let prefix = if is_bench(path) { BENCHES } else { "" };
        let name = format!("{prefix}{}", folder(path));
        let text = format!("[package]\nname = \"{name}\"\n{HEAD}{rest}");
        check(&[File::new(path, &text)]).into_iter().map(|fault| fault.what).collect()
    }

    #[test]
    fn the_walls_stand() {
        none(check(&tree::files()));
        none(check_root(&tree::text("Cargo.toml")));
    }

    #[test]
    fn every_member_has_a_place_in_the_house() {
        let files = tree::files();
        let unknown: Vec<_> = files
            .iter()
            .filter(|file| file.name() == "Cargo.toml" && file.path != "Cargo.toml")
            .filter(|file| !is_of_the_house(folder(&file.path)) && !is_bench(&file.path))
            .map(|file| Fault::of(&file.path, "is a crate that the walls do not know"))
            .collect();
        none(unknown);
    }

    #[test]
    fn imports_through_a_wall_are_found() {
        for (who, whom) in [
            ("services/lib/model", "runtime"),
            ("services/lib/bus", "store"),
            ("services/lib/runtime", "bus"),
            ("services/gateway", "store"),
            ("services/prober", "store"),
            ("services/failover", "egress"),
            ("services/failover", "store"),
            ("services/meter", "vault"),
            ("services/audit", "egress"),
            ("services/api", "egress"),
            ("services/api", "prober"),
            ("services/webhooks", "signalbox"),
            ("services/webhooks", "harness"),
            ("tests/standins", "model"),
        ] {
            let name = who.rsplit('/').next().unwrap_or_default();
            for section in ["dependencies", "dev-dependencies", "target.'cfg(unix)'.dependencies"] {
                let faults =
                    found(&format!("{who}/Cargo.toml"), &format!("[{section}]\n{whom}.workspace = true"));
                assert_eq!(faults, [format!("`{name}` must not import `{whom}`")], "{section}");
            }
        }
    }

    #[test]
    fn imports_that_the_house_allows_are_not() {
        for (who, whom) in [
            ("services/lib/vault", "model"),
            ("services/api", "vault"),
            ("services/failover", "runtime"),
            ("services/signalbox", "gateway"),
            ("tests/harness", "signalbox"),
            ("tests/bench/meter", "store"),
        ] {
            let faults =
                found(&format!("{who}/Cargo.toml"), &format!("[dependencies]\n{whom}.workspace = true"));
            assert_eq!(faults, Vec::<String>::new(), "{who} → {whom}");
        }
        let faults = found("services/gateway/Cargo.toml", "[dev-dependencies]\nstandins.workspace = true");
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn a_client_library_outside_of_its_door_is_found() {
        let with = |path, section: &str, name: &str| {
            found(path, &format!("[{section}]\n{name}.workspace = true")).len()
        };
        for name in ["async-nats", "sqlx", "vaultrs", "reqwest", "hyper", "tokio-rustls"] {
            assert_eq!(with("services/meter/Cargo.toml", "dependencies", name), 1, "{name}");
            assert_eq!(with("services/meter/Cargo.toml", "dev-dependencies", name), 0, "{name}");
            assert_eq!(with("tests/e2e/Cargo.toml", "dependencies", name), 0, "{name}");
        }
        assert_eq!(
            found(
                "services/meter/Cargo.toml",
                "[dependencies]\ndb = { package = \"sqlx\", workspace = true }"
            )
            .len(),
            1
        );
    }

    #[test]
    fn a_version_outside_of_the_root_is_found() {
        for value in ["\"1\"", "{ version = \"1\", workspace = true }", "{ path = \"../x\" }"] {
            assert_eq!(
                found("services/meter/Cargo.toml", &format!("[dependencies]\nserde = {value}")).len(),
                1,
                "{value}"
            );
        }
        let bare = "[package]\nname = \"meter\"\nversion = \"1.0.0\"";
        assert_eq!(check(&[File::new("services/meter/Cargo.toml", bare)]).len(), 6);
        assert_eq!(
            check(&[File::new("services/lib/metre/Cargo.toml", bare)]).len(),
            7,
            "another folder's name"
        );
        for value in ["\"*\"", "{ git = \"https://example.com/x\" }", "{ features = [] }"] {
            assert_eq!(check_root(&format!("[workspace.dependencies]\nserde = {value}")).len(), 1, "{value}");
        }
    }
}
