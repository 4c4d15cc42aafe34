//! Tests of the whole catalogue: the program's own files, names, an operator's directory.

use std::fs;

use model::auth::Auth;

use super::*;
use crate::{CostModel, LifecycleState, SCHEMA_ID, schema};

fn get(name: &str) -> &'static Provider {
    Catalogue::builtin().get(name).unwrap_or_else(|| panic!("`{name}` is in the catalogue"))
}

#[test]
fn every_file_is_right_and_lies_where_its_category_says() {
    let mut count = 0;
    for (file, text) in builtin_files() {
        let provider = parse(&file, &text).unwrap_or_else(|error| panic!("{error}"));
        let category = serde_json::to_value(provider.category).expect("a word");
        assert_eq!(file, format!("{}/{}.toml", category.as_str().expect("a word"), provider.id));
        count += 1;
    }
    assert_eq!(count, Catalogue::builtin().all().count());
    assert!(count >= 22, "only {count} files");
}

#[test]
fn every_usable_provider_can_be_probed_and_explains_how_to_get_a_key() {
    for provider in Catalogue::builtin().all().filter(|p| !p.is_defunct()) {
        assert!(provider.probe.is_some(), "{}", provider.id);
        assert!(!provider.key_steps.is_empty(), "{}", provider.id);
        assert!(provider.base_url("production").is_some(), "{}", provider.id);
        assert!(!provider.operations.is_empty() && !provider.endpoints.is_empty(), "{}", provider.id);
        let needs_key = provider.probe.as_ref().is_some_and(|p| p.needs_key);
        let optional = provider.fields.iter().all(|f| !f.required);
        assert!(
            needs_key || optional || provider.key_probe.is_some(),
            "{}: nothing tries a key",
            provider.id
        );
        assert_ne!(provider.cost.model, CostModel::Unknown, "{}", provider.id);
    }
}

#[test]
fn a_provider_survives_being_sent_and_fits_its_schema() {
    let schema = schema();
    assert_eq!(schema["$id"], SCHEMA_ID);
    let validator = jsonschema::draft202012::new(&schema).expect("the schema is one");
    for provider in Catalogue::builtin().all().chain([Provider::custom()]) {
        let sent = serde_json::to_value(provider).expect("serialises");
        let errors: Vec<_> = validator.iter_errors(&sent).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", provider.id);
        assert_eq!(&serde_json::from_value::<Provider>(sent).expect("is read again"), provider);
    }
}

#[test]
fn a_provider_is_found_by_id_and_alias_in_any_spelling() {
    for name in ["massive", "polygon", "Polygon-IO", "POLYGON_IO", " massive "] {
        assert_eq!(get(name).id.as_str(), "massive", "{name}");
    }
    assert_eq!(get("gemini").id, get("google").id);
    assert_eq!(get("alpha-vantage").id.as_str(), "alpha_vantage");
    assert!(Catalogue::builtin().get("").is_none());
    assert!(Catalogue::builtin().get("polygn").is_none());
}

#[test]
fn custom_is_no_file_but_has_the_same_path() {
    let custom = get("custom");
    assert!(custom.error_rules.is_empty() && custom.auth == Auth::None {});
    assert!(Catalogue::builtin().all().all(|p| p.id != custom.id));
}

#[test]
fn a_slip_of_the_keyboard_is_understood() {
    let near = |wrong: &str| Catalogue::builtin().near(wrong);
    assert_eq!(near("polygn"), ["polygon"]);
    assert_eq!(near("opena")[0], "openai");
    assert_eq!(near("Krakn"), ["kraken"]);
    assert_eq!(near("alpha")[0], "alpha_vantage");
    assert_eq!(near("coinbas").len(), 2);
    assert!(near("coin").len() <= NEAR_MAX);
    assert!(near("zzzzzzzz").is_empty());
    assert!(near("").is_empty());
    assert!(near(&"x".repeat(100_000)).is_empty());
}

#[test]
fn ftx_is_gone_and_nothing_of_it_can_be_called() {
    let ftx = get("ftx");
    assert_eq!(ftx.lifecycle.state, LifecycleState::Defunct);
    assert_eq!(ftx.lifecycle.since.as_deref(), Some("2022-11-11"));
    assert!(ftx.base_url("production").is_none() && ftx.probe.is_none() && ftx.operations.is_empty());
    assert!(ftx.lifecycle.alternatives.iter().any(|a| a.as_str() == "kraken"));
    let sent = serde_json::to_string(ftx).expect("serialises");
    assert!(!sent.contains("://"), "{sent}");
}

#[test]
fn an_environment_may_have_its_own_way_with_keys() {
    let gecko = get("coingecko");
    assert!(matches!(gecko.auth_in("pro"), Auth::Header { name, .. } if name == "x-cg-pro-api-key"));
    assert!(matches!(gecko.auth_in("production"), Auth::Header { name, .. } if name == "x-cg-demo-api-key"));
    assert!(gecko.probe_in("PRO").is_some_and(|p| p.needs_key));
    assert!(matches!(get("fred").auth_in("v2"), Auth::Bearer { .. }));
}

#[test]
fn public_paths_end_where_words_end() {
    let binance = get("binance");
    assert!(binance.is_public("/api/v3/ticker/price?symbol=BTCUSDT"));
    assert!(!binance.is_public("/api/v3/tickers") && !binance.is_public("/api/v3/account"));
    assert!(get("kraken").is_public("/0/public/Ticker") && !get("kraken").is_public("/0/private/Balance"));
}

#[test]
fn a_model_is_priced_by_its_name_without_a_date_and_never_by_guess() {
    let openai = get("openai");
    let input = |model: &str| openai.price_of(model).map(|p| p.input);
    assert_eq!(input("gpt-4o"), Some(2_500_000));
    assert_eq!(input("gpt-4o-2024-08-06"), Some(2_500_000));
    assert_eq!(input("gpt-4o-mini-2024-07-18"), Some(150_000));
    assert_eq!(input("gpt-4o-audio-preview"), None);
    assert_eq!(input("gpt-4"), None);
    assert_eq!(get("gemini").price_of("models/gemini-2.5-pro").and_then(|p| p.long_output), Some(15_000_000));
    assert_eq!(
        get("claude").price_of("claude-haiku-4-5-20251001").and_then(|p| p.cache_write_1h),
        Some(2_000_000)
    );
}

#[test]
fn a_new_account_starts_with_the_free_plans_limits() {
    let quotas = get("polygon").preset_quotas();
    assert_eq!(quotas.iter().map(|q| (q.name.as_str(), q.requests)).collect::<Vec<_>>(), [("minute", 5)]);
    let kucoin = get("kucoin").limits.iter().find(|l| l.name == "public").expect("the pool");
    assert_eq!(kucoin.units("/api/v1/market/stats?symbol=BTC-USDT"), 15);
    assert_eq!(kucoin.units("/api/v1/orders"), 0);
    assert_eq!(get("tiingo").preset_quotas()[1].zone(), "America/New_York");
}

#[test]
fn a_keys_hint_warns_and_does_not_repeat_it() {
    let field = get("fred").field("api_key").expect("declared");
    assert_eq!(field.warn(&"a1".repeat(16)), None);
    let warning = field.warn("NOT-A-KEY").expect("a warning");
    assert!(!warning.contains("NOT-A-KEY"), "{warning}");
}

#[test]
fn an_operators_file_adds_or_replaces() {
    let directory = tempfile::tempdir().expect("a directory");
    let own = |id: &str, url: &str| {
        format!(
            "id = \"{id}\"\nname = \"Own\"\ncategory = \"other\"\ndocs_url = \"{url}\"\n[[environments]]\nname = \"production\"\nbase_url = \"{url}\"\n"
        )
    };
    fs::create_dir(directory.path().join("other")).expect("a directory");
    fs::write(directory.path().join("other/mine.toml"), own("mine", "https://api.example.com"))
        .expect("written");
    fs::write(directory.path().join("fred.toml"), own("fred", "https://fred.example.com")).expect("written");
    fs::write(directory.path().join("notes.txt"), "not a provider").expect("written");
    let catalogue = Catalogue::parse_dir(directory.path()).expect("right files");
    let base = |id: &str| catalogue.get(id).and_then(|p| p.base_url("production")).map(str::to_owned);
    assert_eq!(base("mine").as_deref(), Some("https://api.example.com"));
    assert_eq!(base("fred").as_deref(), Some("https://fred.example.com"));
    assert_eq!(base("kraken").as_deref(), Some("https://api.kraken.com"));
    assert_eq!(catalogue.all().count(), Catalogue::builtin().all().count() + 1);
    let told: Vec<_> = catalogue.own().iter().map(|own| (own.id.as_str(), own.replaces)).collect();
    assert_eq!(told, [("fred", true), ("mine", false)]);
    assert!(Catalogue::builtin().own().is_empty());
    assert_eq!((catalogue.near("mina"), catalogue.near("polygn")), (vec!["mine"], vec!["polygon"]));

    fs::write(directory.path().join("b.toml"), own("polygon", "https://b.example.com")).expect("written");
    let error = Catalogue::parse_dir(directory.path()).expect_err("a name of another").to_string();
    assert!(error.contains("b.toml:1:") && error.contains("`polygon` already names `massive`"), "{error}");

    fs::write(directory.path().join("b.toml"), own("mine", "https://b.example.com")).expect("written");
    let error = Catalogue::parse_dir(directory.path()).expect_err("a name of another").to_string();
    assert!(error.contains("mine.toml:1:") && error.contains("b.toml)"), "both files are named: {error}");
}

#[test]
fn a_provider_that_cannot_be_called_says_why_not() {
    let why = |id: &str| Catalogue::builtin().callable(id).map(|p| p.id.clone()).expect_err("not callable");
    assert_eq!(Catalogue::builtin().callable("polygon").map(|p| p.id.as_str()), Ok("massive"));
    assert!(why("ftx").contains("is gone") && why("mine").contains("no provider `mine`"), "{}", why("mine"));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = Catalogue::parse_dir(&directory.path().join("none")).expect_err("is missing");
    assert!(missing.to_string().contains("none") && !missing.is_transient());
    fs::write(directory.path().join("big.toml"), "#".repeat(FILE_BYTES_MAX + 1)).expect("written");
    assert!(matches!(Catalogue::parse_dir(directory.path()), Err(Error::TooLarge { .. })));
}
