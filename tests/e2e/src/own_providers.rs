//! An operator's own provider files: called like any other, and a wrong one stops the start.

use std::fs;
use std::path::Path;

use harness::{Program, key_of, outside, until};
use reqwest::Method;
use serde_json::json;

/// An own provider, which speaks as the stand-in of FRED does.
const ACME: &str = r#"
id = "acme"
name = "Acme Data"
aliases = ["acme_data"]
category = "other"
docs_url = "https://docs.acme.example"
auth = { scheme = "query", name = "api_key", field = "token" }
query = { file_type = "json" }

[[environments]]
name = "production"
base_url = "https://api.acme.example/v1"

[[fields]]
name = "token"
label = "Token"

[probe]
path = "/series"
query = { series_id = "GNPCA" }
needs_key = true
every_secs = 1
"#;
/// In the place of the program's own.
const KRAKEN: &str = r#"
id = "kraken"
name = "Kraken by our rules"
category = "trading"
docs_url = "https://docs.acme.example/kraken"
[[environments]]
name = "production"
base_url = "https://kraken.acme.example"
"#;

/// A data directory that is not there yet, beside a directory with these files.
fn laid_out(at: &Path, files: &[(&str, &str)]) -> (std::path::PathBuf, String) {
    let own = at.join("providers");
    fs::create_dir_all(&own).expect("a folder");
    for (name, text) in files {
        fs::write(own.join(name), text).expect("a file");
    }
    (at.join("data"), own.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_of_an_own_file_is_keyed_probed_and_called() {
    let outside = outside(&[("fred", "fred")]).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (data, own) = laid_out(directory.path(), &[("acme.toml", ACME), ("kraken.toml", KRAKEN)]);
    let program = Program::start_with(&data, &[("SIGNALBOX_PROVIDERS_DIR", &own)]).await;
    let admin = &program.admin;

    assert_eq!(admin.get("/providers/acme").await.1["name"], "Acme Data");
    assert_eq!(admin.get("/providers/kraken").await.1["name"], "Kraken by our rules");
    let (status, problem) = admin.get("/providers/acne").await;
    assert!(status == 404 && problem["detail"].as_str().is_some_and(|d| d.contains("`acme`")), "{problem}");
    for (path, sent) in [
        ("/keys", json!({"id": "x", "provider": "acne", "fields": {"token": "x"}})),
        ("/integrations", json!({"id": "x", "provider": "acne"})),
    ] {
        let (status, problem) = admin.post(path, sent).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/provider")), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains("did you mean acme?")), "{problem}");
    }

    let key = json!({"id": "acme", "provider": "acme", "fields": {"token": key_of("fred")}});
    admin.make("/keys", key).await;
    let base_url = outside.instance("fred").base_url();
    let integration =
        json!({"id": "acme-main", "provider": "acme-data", "key": "acme", "base_url": base_url});
    admin.make("/integrations", integration).await;
    until("the own probe finds it up", || async {
        (admin.get("/integrations/acme-main").await.1["health"] == "up").then_some(())
    })
    .await;
    let path = "/p/acme-main/series?series_id=GNPCA";
    let answer = admin.call(Method::GET, path).send().await.expect("the gateway answers");
    let (status, body) = harness::client::body(answer).await;
    assert_eq!((status, body["seriess"][0]["id"].as_str()), (200, Some("GNPCA")), "{body}");
    assert_eq!(program.interrupt().await, Some(0), "it ends in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_provider_file_stops_the_start_with_file_line_and_reason() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let wrong = ACME.replace("\"api_key\", field", "\"api_key\", feild");
    let undeclared = ACME.replace("field = \"token\"", "field = \"tokn\"");
    for (text, line, reason) in [
        (wrong.as_str(), 7, "unknown field `feild`"),
        (undeclared.as_str(), 7, "`tokn`"),
        ("id = \"acme\"\nname = 3\n", 2, "expected a string"),
        ("id = \n", 1, "expected"),
    ] {
        let (data, own) = laid_out(directory.path(), &[("acme.toml", text)]);
        let (code, said) = Program::refused(&data, &[("SIGNALBOX_PROVIDERS_DIR", &own)]).await;
        assert_eq!((code, said.trim().lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains(&format!("acme.toml:{line}:")) && said.contains(reason), "{line}: {said}");
        assert!(!data.exists(), "nothing was begun");
    }
    let (data, _) = laid_out(directory.path(), &[]);
    let (code, said) = Program::refused(&data, &[("SIGNALBOX_PROVIDERS_DIR", "/nowhere/providers")]).await;
    assert!(code == Some(2) && said.trim().lines().count() == 1, "{said}");
    assert!(said.contains("--providers-dir") && said.contains("/nowhere/providers"), "{said}");
}
