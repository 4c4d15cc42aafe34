//! The first start: an admin user with a one-time password, and an admin token; each shown once.

use model::audit::Verb;
use model::config::Kind;
use model::id::Slug;
use model::token::{Actor, Bounds, Priority, Role, Token};
use model::{Secret, Timestamp, TokenId};
use store::Write;

use crate::access::{Caller, password, token};
use crate::change::{Decision, Deed};
use crate::config::User;
use crate::state::Api;

/// Shortest token that an operator may give, in characters.
pub const GIVEN_CHARS_MIN: usize = 32;

/// What was made at the first start; shown once, to the terminal only.
pub struct First {
    /// The password of the user `admin`.
    pub password: Secret,
    /// The admin token; absent when the operator gave one.
    pub token: Option<Secret>,
}

/// Makes the admin user and a token when there is no user yet, and stores a given token. Idempotent.
pub async fn first_start(api: &Api, given: Option<&Secret>) -> anyhow::Result<Option<First>> {
    if let Some(given) = given {
        anyhow::ensure!(
            given.expose().chars().count() >= GIVEN_CHARS_MIN,
            "SIGNALBOX_ADMIN_TOKEN must have at least {GIVEN_CHARS_MIN} characters"
        );
        keep_given(api, given).await?;
    }
    let config =
        api.config().await.map_err(|problem| anyhow::anyhow!("read the configuration: {problem}"))?;
    if !config.users.is_empty() {
        return Ok(None);
    }
    let first =
        First { password: one_time_password(), token: given.is_none().then(|| token::make(&first_id())) };
    let user = User {
        id: Slug::of("admin"),
        role: Role::Admin,
        password_hash: password::hash_now(&first.password)?,
        one_time_password: true,
    };
    let user = serde_json::to_value(user)?;
    let kept =
        first.token.as_ref().map(|text| row(first_id(), text)).map(serde_json::to_value).transpose()?;
    let made = api
        .change(&Caller::system("first-start"), |config, _| {
            if !config.users.is_empty() {
                return Err(runtime::Problem::conflict("another replica made the first start"));
            }
            let deed = Deed::to(Kind::User, "admin", "user.create", Verb::Create);
            let write = Write::Create { kind: Kind::User, id: "admin".to_owned(), body: user.clone() };
            let mut decision = Decision::write(write, deed, ());
            if let Some(body) = &kept {
                decision.writes.push(Write::Create {
                    kind: Kind::Token,
                    id: first_id().to_string(),
                    body: body.clone(),
                });
            }
            Ok(decision)
        })
        .await;
    match made {
        Ok(_) => Ok(Some(first)),
        Err(problem) if problem.status == 409 => Ok(None),
        Err(problem) => Err(anyhow::anyhow!("make the first user: {problem}")),
    }
}

fn first_id() -> TokenId {
    TokenId::new("first-admin").expect("a slug by construction")
}

fn row(id: TokenId, text: &Secret) -> Token {
    Token {
        id,
        actor: Actor::parse("user:admin").expect("an actor by construction"),
        role: Role::Admin,
        hash: token::hash(text.expose()),
        created_at: Timestamp::now(),
        expires_at: None,
        revoked_at: None,
        bounds: Bounds::default(),
        priority: Priority::default(),
    }
}

/// Twenty characters without look-alikes: 100 random bits.
fn one_time_password() -> Secret {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bits = crate::state::random();
    let letter = |i: u32| char::from(ALPHABET[(bits >> (5 * i)) as usize & 31]);
    let groups: Vec<String> = (0..4).map(|group| (0..5).map(|i| letter(group * 5 + i)).collect()).collect();
    Secret::new(groups.join("-"))
}

async fn keep_given(api: &Api, given: &Secret) -> anyhow::Result<()> {
    let id = TokenId::new(token::GIVEN).expect("a slug by construction");
    let hash = token::hash(given.expose());
    let body = serde_json::to_value(row(id.clone(), given))?;
    let config =
        api.config().await.map_err(|problem| anyhow::anyhow!("read the configuration: {problem}"))?;
    if config.tokens.get(&id).is_some_and(|kept| kept.body.hash == hash && kept.body.revoked_at.is_none()) {
        return Ok(());
    }
    api.change(&Caller::system("first-start"), |config, _| {
        let deed = Deed::to(Kind::Token, &id, "token.create", Verb::Create);
        let write = match config.tokens.contains_key(&id) {
            true => {
                Write::Update { kind: Kind::Token, id: id.to_string(), body: body.clone(), expected: None }
            }
            false => Write::Create { kind: Kind::Token, id: id.to_string(), body: body.clone() },
        };
        Ok(Decision::write(write, deed, ()))
    })
    .await
    .map(drop)
    .map_err(|problem| anyhow::anyhow!("store the given admin token: {problem}"))
}
