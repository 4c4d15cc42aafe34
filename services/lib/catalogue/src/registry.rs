//! The catalogue: all providers, found by id or alias.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use include_dir::{Dir, include_dir};
use model::ProviderId;
use model::integration::CUSTOM_PROVIDER;

use crate::check::Step;
use crate::near::{distance, normal};
use crate::read::{place, wrong};
use crate::{Error, FILE_BYTES_MAX, FILES_MAX, Provider, parse};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/providers");

/// How many words [`Catalogue::near`] gives at most.
const NEAR_MAX: usize = 3;

/// All providers.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    providers: BTreeMap<String, Provider>,
    /// From any id or alias, as it is looked up, to an id.
    names: BTreeMap<String, String>,
    own: Vec<Own>,
}

/// A provider that an operator's own file brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// Its id.
    pub id: ProviderId,
    /// The file, as the directory was named.
    pub file: String,
    /// Whether it stands in the place of one that is part of the program.
    pub replaces: bool,
}

/// One file and what it says.
struct Source {
    file: String,
    text: String,
    provider: Provider,
}

impl Catalogue {
    /// The catalogue that is part of the program. Read once.
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| {
            let sources: Result<Vec<_>, _> = builtin_files().map(|(file, text)| source(file, text)).collect();
            sources
                .and_then(Catalogue::collect)
                .expect("the program's own provider files are right: a test reads every one of them")
        });
        &BUILTIN
    }

    /// The program's catalogue together with the `*.toml` files of a directory and its direct subdirectories. A file
    /// with the id of a known provider replaces that one whole. Fails at the first wrong file and changes nothing.
    pub fn parse_dir(directory: &Path) -> Result<Self, Error> {
        let own: Vec<Source> = toml_files(directory)?.into_iter().map(read_file).collect::<Result<_, _>>()?;
        let kept = builtin_files().map(|(file, text)| source(file, text)).filter(|builtin| {
            let replaced = |b: &Source| own.iter().any(|o| o.provider.id == b.provider.id);
            !builtin.as_ref().is_ok_and(replaced)
        });
        let mut sources: Vec<Source> = kept.collect::<Result<_, _>>()?;
        let known = |id: &ProviderId| Self::builtin().providers.contains_key(id.as_str());
        let named = own
            .iter()
            .map(|Source { file, provider, .. }| Own {
                id: provider.id.clone(),
                file: file.clone(),
                replaces: known(&provider.id),
            })
            .collect();
        sources.extend(own);
        Ok(Self { own: named, ..Self::collect(sources)? })
    }

    /// What [`Catalogue::parse_dir`] took from the operator's files, by file; empty for the program's own catalogue.
    pub fn own(&self) -> &[Own] {
        &self.own
    }

    /// A provider by its id or an alias; case is ignored, and `-` and `_` are equal. `custom` is [`Provider::custom`].
    pub fn get(&self, id_or_alias: &str) -> Option<&Provider> {
        let name = normal(id_or_alias);
        if name == CUSTOM_PROVIDER {
            return Some(Provider::custom());
        }
        self.names.get(&name).and_then(|id| self.providers.get(id))
    }

    /// A provider that can be called, by its id or an alias; else why not, as a sentence for an operator: processes may be
    /// started with different files, so what one of them was told of another may not know.
    pub fn callable(&self, id_or_alias: &str) -> Result<&Provider, String> {
        match self.get(id_or_alias) {
            Some(provider) if provider.is_defunct() => Err(format!("{} is gone", provider.name)),
            Some(provider) => Ok(provider),
            None => Err(format!(
                "this process knows no provider `{id_or_alias}`; start it with the --providers-dir that has it"
            )),
        }
    }

    /// What may have been meant by a word that names no provider: ids or aliases, best first, at most three, one a provider.
    pub fn near(&self, wrong: &str) -> Vec<&str> {
        let wrong = normal(wrong);
        let best_of = |provider: &'_ Provider| {
            let words =
                std::iter::once(provider.id.as_str()).chain(provider.aliases.iter().map(String::as_str));
            words.filter_map(|word| Some((distance(&wrong, &normal(word))?, word.to_owned()))).min()
        };
        let mut found: Vec<(usize, &str)> = Vec::new();
        for provider in self.providers.values() {
            if let Some((distance, word)) = best_of(provider) {
                let alias = provider.aliases.iter().find(|alias| **alias == word);
                found.push((distance, alias.map_or(provider.id.as_str(), String::as_str)));
            }
        }
        found.sort_unstable();
        found.into_iter().take(NEAR_MAX).map(|(_, word)| word).collect()
    }

    /// All providers, by id, defunct ones included; without `custom`.
    pub fn all(&self) -> impl Iterator<Item = &Provider> {
        self.providers.values()
    }

    /// Puts providers together, and checks what concerns more than one.
    fn collect(sources: Vec<Source>) -> Result<Self, Error> {
        let mut catalogue = Self::default();
        let mut files: BTreeMap<&str, &str> = BTreeMap::new();
        for Source { file, text, provider } in &sources {
            let id = provider.id.as_str();
            let aliases = provider.aliases.iter().enumerate();
            let places =
                aliases.map(|(i, a)| (a.as_str(), vec![Step::Key("aliases".to_owned()), Step::Index(i)]));
            for (word, at) in std::iter::once((id, vec![Step::Key("id".to_owned())])).chain(places) {
                let name = normal(word);
                if name == CUSTOM_PROVIDER || name.is_empty() {
                    return Err(wrong(
                        file,
                        text,
                        place(text, &at),
                        &format!("`{word}` is no name for a provider"),
                    ));
                }
                if let Some(other) = catalogue.names.insert(name, id.to_owned()) {
                    let of = files.get(other.as_str()).map(|file| format!(" ({file})")).unwrap_or_default();
                    let reason = format!("`{word}` already names `{other}`{of}");
                    return Err(wrong(file, text, place(text, &at), &reason));
                }
            }
            files.insert(id, file);
        }
        let known = |name: &str| catalogue.names.contains_key(&normal(name));
        for Source { file, text, provider } in &sources {
            if let Some(i) = provider.lifecycle.alternatives.iter().position(|a| !known(a.as_str())) {
                let at = ["lifecycle", "alternatives"].map(|key| Step::Key(key.to_owned()));
                let at = [at.as_slice(), &[Step::Index(i)]].concat();
                return Err(wrong(file, text, place(text, &at), "there is no such provider"));
            }
        }
        catalogue.providers =
            sources.into_iter().map(|s| (s.provider.id.as_str().to_owned(), s.provider)).collect();
        Ok(catalogue)
    }
}

/// The program's own files, by name.
pub(crate) fn builtin_files() -> impl Iterator<Item = (String, String)> {
    FILES.dirs().flat_map(Dir::files).map(|file| {
        let text =
            file.contents_utf8().expect("the program's own provider files are UTF-8: a test reads them");
        (file.path().display().to_string(), text.to_owned())
    })
}

fn source(file: String, text: String) -> Result<Source, Error> {
    let provider = parse(&file, &text)?;
    Ok(Source { file, text, provider })
}

fn read_file(path: PathBuf) -> Result<Source, Error> {
    let size = fs::metadata(&path).map_err(|source| Error::Read { path: path.clone(), source })?.len();
    if size > FILE_BYTES_MAX as u64 {
        return Err(Error::TooLarge { path, max: FILE_BYTES_MAX });
    }
    let text = fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    source(path.display().to_string(), text)
}

/// The `*.toml` files of a directory and its direct subdirectories, by name.
fn toml_files(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for path in entries(directory)? {
        let inside = if path.is_dir() { entries(&path)? } else { vec![path] };
        found
            .extend(inside.into_iter().filter(|p| p.extension().is_some_and(|e| e == "toml") && p.is_file()));
        if found.len() > FILES_MAX {
            return Err(Error::TooMany { path: directory.to_owned(), max: FILES_MAX });
        }
    }
    Ok(found)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read { path: directory.to_owned(), source };
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .map_err(failed)?
        .map(|e| Ok(e.map_err(failed)?.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
