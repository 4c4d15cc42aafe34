//! Who gets in, by tables.

use http::{HeaderName, HeaderValue, Request};
use model::snapshot::Snapshot;
use serde_json::json;

use super::*;
use crate::quota::book::Book;
use crate::snapshot::{Current, Usual};
use crate::tests::house::{TOKEN, integration as add, route as add_route, token};

fn config(change: impl FnOnce(&mut Token)) -> Arc<Config> {
    let mut snapshot = Snapshot { revision: 1, ..Snapshot::default() };
    for id in ["a", "b"] {
        add(&mut snapshot, id, "http://127.0.0.1:1", json!({}));
    }
    add_route(&mut snapshot, "both", &["a", "b"], json!({}));
    let mut token = token("ada", TOKEN, &json!({}));
    change(&mut token);
    snapshot.tokens.push(token);
    let egress = egress::Egress::new(&egress::Settings::default()).expect("a way out");
    let usual = Usual { slow_ms: 2_000, replicas: 4, output: 100 };
    let current = Current::new(catalogue::Catalogue::builtin(), egress, usual, Arc::new(Book::new("g")));
    current.swap(&snapshot);
    current.get().expect("just swapped")
}

fn bounds(bounds: serde_json::Value) -> Arc<Config> {
    config(|token| token.bounds = serde_json::from_value(bounds).expect("bounds"))
}

fn admitted(
    config: &Config,
    path: &str,
    headers: &[(&'static str, &str)],
    peer: &str,
) -> Result<Box<Call>, &'static str> {
    let mut head = Request::get(path).body(()).expect("a request").into_parts().0;
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).expect("a value");
        head.headers.append(HeaderName::from_static(name), value);
    }
    let now = Timestamp::parse("2026-06-01T00:00:00Z").expect("a time");
    admit(config, peer.parse().expect("an address"), now, head).map_err(|problem| problem.code())
}

#[track_caller]
fn check(config: &Config, path: &str, wanted: Result<&str, &str>) {
    let got = admitted(config, path, &[("authorization", &format!("Bearer {TOKEN}"))], "10.1.2.3");
    let got = got.map(|call| match call.to {
        To::Integration(integration) => integration.id.to_string(),
        To::Route(_, members) => {
            members.iter().map(|member| member.id.as_str()).collect::<Vec<_>>().join(" ")
        }
    });
    assert_eq!(got, wanted.map(str::to_owned), "{path}");
}

#[test]
fn a_token_may_come_in_two_headers() {
    let config = config(|_| {});
    let bearer = format!("bearer  {TOKEN} ");
    for (headers, wanted) in [
        (vec![("authorization", bearer.as_str())], None),
        (vec![("x-signalbox-token", TOKEN)], None),
        (vec![("x-signalbox-token", TOKEN), ("authorization", "Bearer of-the-sdk")], None),
        (vec![], Some("unauthorized")),
        (vec![("authorization", "Basic eDp5")], Some("unauthorized")),
        (vec![("authorization", "Bear")], Some("unauthorized")),
        (vec![("x-signalbox-token", "sbt_another")], Some("unauthorized")),
        (vec![("x-api-key", TOKEN)], Some("unauthorized")),
    ] {
        assert_eq!(admitted(&config, "/p/a/x", &headers, "::1").err(), wanted, "{headers:?}");
    }
}

#[test]
fn a_token_ends() {
    let at = |text: &str| Some(Timestamp::parse(text).expect("a time"));
    check(&config(|token| token.expires_at = at("2026-06-01T00:00:00Z")), "/p/a/x", Err("unauthorized"));
    check(&config(|token| token.expires_at = at("2026-06-01T00:00:01Z")), "/p/a/x", Ok("a"));
    check(&config(|token| token.revoked_at = at("2026-01-01T00:00:00Z")), "/p/a/x", Err("unauthorized"));
}

#[test]
fn a_bound_token_stays_in_its_bounds() {
    check(&bounds(json!({})), "/r/both/x", Ok("a b"));
    let one = bounds(json!({ "integrations": ["b"] }));
    check(&one, "/p/b/x", Ok("b"));
    check(&one, "/p/a/x", Err("out_of_bounds"));
    check(&one, "/p/gone/x", Err("out_of_bounds"));
    check(&one, "/r/both/x", Ok("b"));
    let by_route = bounds(json!({ "routes": ["both"] }));
    check(&by_route, "/r/both/x", Ok("a b"));
    check(&by_route, "/r/other/x", Err("out_of_bounds"));
    check(&by_route, "/p/a/x", Err("out_of_bounds"));
    check(&bounds(json!({ "integrations": ["other"] })), "/r/both/x", Err("out_of_bounds"));
    check(&bounds(json!({ "addresses": ["10.0.0.0/8"] })), "/p/a/x", Ok("a"));
    check(&bounds(json!({ "addresses": ["10.1.2.3"] })), "/p/a/x", Ok("a"));
    check(&bounds(json!({ "addresses": ["192.168.0.0/16"] })), "/p/a/x", Err("out_of_bounds"));
    check(&bounds(json!({ "addresses": ["nonsense"] })), "/p/a/x", Err("unauthorized"));
    let mapped = [("x-signalbox-token", TOKEN)];
    let config = bounds(json!({ "addresses": ["10.0.0.0/8"] }));
    assert!(admitted(&config, "/p/a/x", &mapped, "::ffff:10.1.2.3").is_ok());
}

#[test]
fn only_two_ways_lead_somewhere() {
    let config = config(|_| {});
    for (path, wanted) in [
        ("/p/a", Ok("a")),
        ("/p/a/", Ok("a")),
        ("/p//x", Err("not_found")),
        ("/p/", Err("not_found")),
        ("/q/a/x", Err("not_found")),
        ("/p/A/x", Err("not_found")),
        ("/p/%61/x", Err("not_found")),
        ("/p/a/..", Err("bad_path")),
        ("/p/a//evil", Err("bad_path")),
    ] {
        check(&config, path, wanted);
    }
}
