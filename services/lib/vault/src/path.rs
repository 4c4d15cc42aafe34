//! Where a credential lives: a folder and an id.
//!
//! Both parts follow a fixed alphabet, so that no id can climb out of its folder, whatever store is behind. What
//! the key store keeps for itself lies in a folder that only this crate can name.

use std::fmt;

use model::{KeyId, WebhookId};

use crate::Error;

/// The longest id of a trial, in characters.
const TRIAL_CHARS_MAX: usize = 64;
/// The folder of what the key store keeps for itself. It is no [`Folder`], so that nobody can list it.
pub(crate) const OWN: &str = "own";

/// What a credential is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Folder {
    /// Providers' keys.
    Keys,
    /// Webhooks' secrets: addresses, routing keys, signing secrets.
    Webhooks,
    /// Credentials that are tried before they are saved; removed after the trial.
    Trials,
}

impl Folder {
    /// The folder's name in a path: `keys`, `webhooks`, `trials`.
    pub fn as_str(self) -> &'static str {
        match self {
            Folder::Keys => "keys",
            Folder::Webhooks => "webhooks",
            Folder::Trials => "trials",
        }
    }
}

/// Where a credential lives: `keys/<key-id>`, `webhooks/<webhook-id>`, `trials/<ulid>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    folder: &'static str,
    id: String,
}

impl Path {
    /// The place of a provider's key.
    pub fn key(id: &KeyId) -> Self {
        Self { folder: Folder::Keys.as_str(), id: id.as_str().to_owned() }
    }

    /// The place of a webhook's secrets.
    pub fn webhook(id: &WebhookId) -> Self {
        Self { folder: Folder::Webhooks.as_str(), id: id.as_str().to_owned() }
    }

    /// The place of a credential on trial. The id is 1 to 64 of `A-Z a-z 0-9 _ -`, else [`Error::Path`].
    pub fn trial(id: &str) -> Result<Self, Error> {
        let ok = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.is_empty() || id.len() > TRIAL_CHARS_MAX || !id.chars().all(ok) {
            return Err(Error::Path);
        }
        Ok(Self { folder: Folder::Trials.as_str(), id: id.to_owned() })
    }

    /// The place of something that the key store keeps for itself.
    pub(crate) fn own(id: &str) -> Self {
        Self { folder: OWN, id: id.to_owned() }
    }

    /// The folder's name.
    pub(crate) fn folder(&self) -> &'static str {
        self.folder
    }

    /// The credential's id in its folder.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.folder, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_cannot_climb_out_of_its_folder() {
        for bad in ["", "..", "../keys/a", "a/b", "a b", "ä", "a\n", &"a".repeat(65)] {
            assert!(matches!(Path::trial(bad), Err(Error::Path)), "{bad:?}");
        }
        let path = Path::trial("01JD0000000000000000000000").unwrap();
        assert_eq!(path.to_string(), "trials/01JD0000000000000000000000");
        assert_eq!((path.folder(), path.id()), ("trials", "01JD0000000000000000000000"));
    }

    #[test]
    fn keys_and_webhooks_have_their_own_folders() {
        assert_eq!(Path::key(&KeyId::new("polygon-prod").unwrap()).to_string(), "keys/polygon-prod");
        assert_eq!(Path::webhook(&WebhookId::new("ops-slack").unwrap()).to_string(), "webhooks/ops-slack");
    }
}
