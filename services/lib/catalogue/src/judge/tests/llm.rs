//! The documented answers of language models' providers.

use super::*;

#[test]
fn openai_has_two_kinds_of_429() {
    let error = |kind: &str, code: &str| {
        format!(r#"{{"error":{{"message":"m","type":"{kind}","param":null,"code":{code}}}}}"#)
    };
    check("openai", 429, &error("insufficient_quota", "\"insufficient_quota\""), QuotaExhausted);
    check("openai", 429, &error("insufficient_quota", "null"), QuotaExhausted);
    check("openai", 429, &error("requests", "\"credit_balance_exhausted\""), QuotaExhausted);
    check("openai", 429, &error("requests", "\"rate_limit_exceeded\""), ThrottledBurst);
    check("openai", 401, &error("invalid_request_error", "\"invalid_api_key\""), BadCredentials);
    check("openai", 403, &error("request_forbidden", "\"unsupported_country_region_territory\""), Forbidden);
    check("openai", 400, &error("invalid_request_error", "null"), BadRequest);
    check("openai", 503, &error("server_error", "\"slow_down\""), UpstreamError);
    probe("openai", 200, r#"{"object":"list","data":[]}"#, None);
}

#[test]
fn anthropic_has_a_429_that_lasts_until_the_month_ends() {
    let error = |kind: &str| {
        format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}},"request_id":"req_1"}}"#)
    };
    let spent = r#"{"type":"error","error":{"type":"rate_limit_error","message":"m","details":{"error_code":"enforced_spend_limit_reached"}}}"#;
    check("anthropic", 429, spent, QuotaExhausted);
    check_wait(
        "anthropic",
        429,
        &[("retry-after", "8")],
        &error("rate_limit_error"),
        ThrottledBurst,
        Some(8),
        true,
    );
    check("anthropic", 401, &error("authentication_error"), BadCredentials);
    check("anthropic", 402, &error("billing_error"), QuotaExhausted);
    check("anthropic", 403, &error("permission_error"), Forbidden);
    check("anthropic", 413, &error("request_too_large"), BadRequest);
    for (status, kind) in [(500, "api_error"), (504, "timeout_error"), (529, "overloaded_error")] {
        check("anthropic", status, &error(kind), UpstreamError);
    }
    probe("anthropic", 200, r#"{"data":[{"type":"model","id":"claude-x"}],"has_more":true}"#, None);
}

#[test]
fn gemini_answers_a_wrong_key_with_400() {
    let error = |code: u16, status: &str, details: &str| {
        format!(r#"{{"error":{{"code":{code},"message":"m","status":"{status}","details":[{details}]}}}}"#)
    };
    check("gemini", 400, &error(400, "INVALID_ARGUMENT", r#"{"reason":"API_KEY_INVALID"}"#), BadCredentials);
    check("gemini", 400, &error(400, "INVALID_ARGUMENT", ""), BadRequest);
    check(
        "gemini",
        401,
        &error(401, "UNAUTHENTICATED", r#"{"reason":"ACCESS_TOKEN_TYPE_UNSUPPORTED"}"#),
        BadCredentials,
    );
    check("gemini", 403, &error(403, "PERMISSION_DENIED", ""), Forbidden);
    let minute = r#"{"violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}"#;
    let day = r#"{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}"#;
    check("gemini", 429, &error(429, "RESOURCE_EXHAUSTED", minute), ThrottledBurst);
    check("gemini", 429, &error(429, "RESOURCE_EXHAUSTED", &format!("{minute},{day}")), QuotaExhausted);
    check(
        "gemini",
        429,
        r#"{"error":{"message":"Quota exceeded for metric: x, limit: 0, model: y","details":[]}}"#,
        Forbidden,
    );
    check("gemini", 503, &error(503, "UNAVAILABLE", ""), UpstreamError);
    probe("gemini", 200, r#"{"models":[{"name":"models/gemini-x"}]}"#, None);
}

#[test]
fn mistral_and_openrouter() {
    check(
        "mistral",
        401,
        r#"{"object":"error","message":"Unauthorized","type":"invalid_request_error"}"#,
        BadCredentials,
    );
    check("mistral", 422, r#"{"object":"error"}"#, BadRequest);
    check("mistral", 429, r#"{"object":"error","type":"rate_limit_error"}"#, ThrottledBurst);
    check("openrouter", 402, r#"{"error":{"code":402,"message":"Insufficient credits"}}"#, QuotaExhausted);
    check("openrouter", 429, "", ThrottledBurst);
    check("openrouter", 200, r#"{"error":{"code":502,"message":"Provider returned error"}}"#, UpstreamError);
    check("openrouter", 200, r#"{"choices":[],"usage":{"cost":0.00014}}"#, None);
    probe("openrouter", 200, r#"{"data":{"label":"sk-or-v1-…","usage":0}}"#, None);
}
