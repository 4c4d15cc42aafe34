//! The map, `services/README.md`: it names every crate and every service's `run`, and nothing that is not there.
//!
//! A path in backticks is one below `services/`, `services/lib/`, or, with `../`, the root. What the map says of a file is people's part.

use std::collections::BTreeSet;

use regex::Regex;

use crate::fault::{Fault, line_of};
use crate::rust::Rust;
use crate::tree::File;

const MAP: &str = "services/README.md";
/// What a path in the map ends with.
const ENDINGS: &[&str] = &[".rs", ".toml", ".sql", ".md", ".json", ".yaml", ".yml", "/"];

/// What the map leaves out, and what it names that is not there.
pub fn check(map: &str, files: &[File], sources: &[Rust]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for folder in crates(files) {
        let name = folder.rsplit('/').next().unwrap_or_default();
        if !map.contains(&format!("`{name}`")) && !map.contains(&format!("`{name}/`")) {
            faults.push(Fault::of(MAP, format!("does not name the crate `{name}`")));
        }
        let has_run = sources.iter().any(|source| {
            source.path == format!("{folder}/src/lib.rs") && source.work.contains("pub async fn run(")
        });
        if has_run && !map.contains(&format!("`{name}::run`")) {
            faults.push(Fault::of(MAP, format!("does not name `{name}::run`")));
        }
        if !has_run && map.contains(&format!("`{name}::run`")) {
            faults.push(Fault::of(MAP, format!("names `{name}::run`, which is not there")));
        }
    }
    let span = Regex::new(r"`([\w.][\w./<>-]*)`").expect("a pattern of ours");
    for hit in span.captures_iter(map) {
        let (path, at) = (&hit[1], hit.get(0).map_or(0, |whole| whole.start()));
        let is_path = path.contains('/') && ENDINGS.iter().any(|ending| path.ends_with(ending));
        if is_path && !is_there(path, files) {
            faults.push(Fault::at(MAP, line_of(map, at), format!("names `{path}`, which is not there")));
        }
    }
    faults
}

/// The folders of the crates below `services/`.
fn crates(files: &[File]) -> BTreeSet<&str> {
    let manifests = files.iter().filter(|file| file.path.starts_with("services/"));
    manifests.filter_map(|file| file.path.strip_suffix("/Cargo.toml")).collect()
}

/// Whether a file or folder is there. `<name>` in it stands for any one name.
fn is_there(path: &str, files: &[File]) -> bool {
    let path = path.strip_prefix("../").unwrap_or(path);
    let any = Regex::new("<[a-z]+>").expect("a pattern of ours");
    let pattern: Vec<String> = any.split(path).map(regex::escape).collect();
    let pattern = pattern.join("[^/]+");
    let end = if path.ends_with('/') { "" } else { "$" };
    let pattern = Regex::new(&format!("^(?:services/(?:lib/)?)?{pattern}{end}")).expect("an escaped pattern");
    files.iter().any(|file| pattern.is_match(&file.path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::none;
    use crate::{rust, tree};

    fn found(map: &str) -> Vec<String> {
        let files = [
            File::new("services/lib/bus/Cargo.toml", ""),
            File::new("services/lib/bus/src/lib.rs", "pub fn f() {}"),
            File::new("services/meter/Cargo.toml", ""),
            File::new("services/meter/src/lib.rs", "pub async fn run() {}"),
            File::new("services/lib/catalogue/providers/llm/a.toml", ""),
        ];
        check(map, &files, &rust::read(&files)).into_iter().map(|fault| fault.what).collect()
    }

    #[test]
    fn the_map_shows_the_house_as_it_is() {
        let files = tree::files();
        none(check(&tree::text(MAP), &files, &rust::read(&files)));
    }

    #[test]
    fn a_crate_or_a_run_that_is_left_out_is_found() {
        assert_eq!(found("`bus`, `meter/`, `meter::run`"), Vec::<String>::new());
        assert_eq!(found("`bus`, `meter`"), ["does not name `meter::run`"]);
        assert_eq!(found("bus, `meter`, `meter::run`"), ["does not name the crate `bus`"]);
        assert_eq!(
            found("`bus`, `meter`, `meter::run`, `bus::run`"),
            ["names `bus::run`, which is not there"]
        );
    }

    #[test]
    fn a_path_that_is_not_there_is_found() {
        let whole = "`bus`, `meter`, `meter::run`, ";
        let good = "`meter/src/lib.rs` `lib/bus/src/` `bus/src/lib.rs` `catalogue/providers/<category>/<provider>.toml` `a/b`";
        assert_eq!(found(&format!("{whole}{good}")), Vec::<String>::new());
        for path in [
            "meter/src/gone.rs",
            "meter/srcs/",
            "services/meter/src/li.rs",
            "catalogue/<category>/<provider>.toml",
        ] {
            assert_eq!(found(&format!("{whole}`{path}`")).len(), 1, "{path}");
        }
    }
}
