//! The documented answers of data providers.

use super::*;

#[test]
fn alpha_vantage_names_the_daily_limit_in_its_burst_text_too() {
    check(
        "alpha_vantage",
        200,
        r#"{"Information":"Thank you for using Alpha Vantage! Please consider spreading out your free API requests more sparingly (1 request per second). You may subscribe to any of the premium plans to lift the free key rate limit (25 requests per day)"}"#,
        ThrottledBurst,
    );
    check(
        "alpha_vantage",
        200,
        r#"{"Information":"Burst pattern detected. 25 requests per day …"}"#,
        ThrottledBurst,
    );
    check(
        "alpha_vantage",
        200,
        r#"{"Information":"We have detected your API key as ABC and our standard API rate limit is 25 requests per day. Please subscribe to any of the premium plans"}"#,
        QuotaExhausted,
    );
    check(
        "alpha_vantage",
        200,
        r#"{"Note":"Thank you for using Alpha Vantage! Our standard API rate limit is 25 requests per day."}"#,
        QuotaExhausted,
    );
    check(
        "alpha_vantage",
        200,
        r#"{"Note":"Our standard API call frequency is 5 calls per minute"}"#,
        ThrottledBurst,
    );
}

#[test]
fn alpha_vantage_refuses_with_200() {
    check("alpha_vantage", 200, r#"{"Information":"This is a premium endpoint."}"#, Forbidden);
    check(
        "alpha_vantage",
        200,
        r#"{"Error Message":"the parameter apikey is invalid or missing."}"#,
        BadCredentials,
    );
    check("alpha_vantage", 200, r#"{"Error Message":"Invalid API call."}"#, BadRequest);
    check("alpha_vantage", 200, r#"{"Global Quote":{}}"#, BadRequest);
    check("alpha_vantage", 200, r#"{"Global Quote":{"05. price":"234.32"}}"#, None);
    probe("alpha_vantage", 200, r#"{"Global Quote":{"05. price":"234.32"}}"#, None);
    probe("alpha_vantage", 200, "[]", UpstreamError);
}

#[test]
fn massive() {
    check("polygon", 401, r#"{"status":"ERROR","request_id":"1","error":"Unknown API Key"}"#, BadCredentials);
    check(
        "polygon",
        403,
        r#"{"status":"NOT_AUTHORIZED","message":"You are not entitled to this data."}"#,
        Forbidden,
    );
    check_wait("polygon", 429, &[], "", ThrottledBurst, Some(60), true);
    check("polygon", 200, r#"{"status":"OK","results":[]}"#, None);
    probe("polygon", 200, r#"{"market":"closed","serverTime":"2020-11-10T17:37:37-05:00"}"#, None);
}

#[test]
fn fred_answers_a_wrong_key_with_400() {
    let body = r#"{"error_code":400,"error_message":"Bad Request.  The value for variable api_key is not registered."}"#;
    check("fred", 400, body, BadCredentials);
    check("fred", 400, r#"{"code":400,"message":"Bad Request. The api_key is missing"}"#, BadCredentials);
    check(
        "fred",
        400,
        r#"{"error_code":400,"error_message":"Bad Request. The series does not exist."}"#,
        BadRequest,
    );
    check("fred", 423, "", Banned);
    check("fred", 429, r#"{"error_code":429}"#, ThrottledBurst);
    probe("fred", 200, r#"{"seriess":[{"id":"GNPCA"}]}"#, None);
    probe("fred", 200, r#"{"seriess":[]}"#, UpstreamError);
}

#[test]
fn fmp_wraps_errors_in_an_object() {
    for status in [200, 401] {
        check(
            "fmp",
            status,
            r#"{"Error Message":"Invalid API KEY. Feel free to create one"}"#,
            BadCredentials,
        );
    }
    for status in [200, 429] {
        check("fmp", status, r#"{"Error Message":"Limit Reach . Please upgrade your plan"}"#, QuotaExhausted);
        check("fmp", status, r#"{"Error Message":"Bandwidth Limit Reach . Please upgrade"}"#, QuotaExhausted);
    }
    check("fmp", 402, "Restricted Endpoint", Forbidden);
    check("fmp", 403, r#"{"Error Message":"Legacy Endpoint"}"#, Forbidden);
    check("fmp", 200, r#"{"Error Message":"something else"}"#, BadRequest);
    probe("fmp", 200, r#"[{"symbol":"AAPL","price":268.47}]"#, None);
    probe("fmp", 200, "[]", UpstreamError);
}

#[test]
fn taapi_and_finnhub() {
    let body = r#"{"error":"429: You have exceeded your request limit (TAAPI.IO rate-limit)!"}"#;
    check_wait("taapi", 429, &[], body, ThrottledBurst, Some(15), true);
    probe("taapi", 200, r#"{"value":69.82}"#, None);
    check("finnhub", 401, r#"{"error":"Invalid API key"}"#, BadCredentials);
    check("finnhub", 403, r#"{"error":"You don't have access to this resource."}"#, Forbidden);
    check("finnhub", 429, "", ThrottledBurst);
    probe("finnhub", 200, r#"{"exchange":"US","isOpen":false,"t":1}"#, None);
}

#[test]
fn twelve_data_says_its_status_in_the_body() {
    let error =
        |code: u16, message: &str| format!(r#"{{"code":{code},"message":"{message}","status":"error"}}"#);
    for status in [200, 429] {
        let minute =
            error(429, "You have run out of API credits for the current minute. 9 API credits were used");
        check("twelve_data", status, &minute, ThrottledBurst);
        check(
            "twelve_data",
            status,
            &error(429, "You have run out of API credits for the day."),
            QuotaExhausted,
        );
    }
    check("twelve_data", 200, &error(401, "**apikey** parameter is incorrect"), BadCredentials);
    check("twelve_data", 200, &error(404, "available starting with the Pro plan"), Forbidden);
    check("twelve_data", 200, &error(400, "symbol not found"), BadRequest);
    check("twelve_data", 200, &error(500, "oops"), UpstreamError);
    check("twelve_data", 200, r#"{"values":[],"status":"ok"}"#, None);
    probe("twelve_data", 200, r#"{"current_usage":2,"plan_limit":8}"#, None);
}

#[test]
fn tiingo_answers_in_json_or_plain_text() {
    check(
        "tiingo",
        429,
        r#"{"detail":"Error: You have run over your hourly request allocation."}"#,
        QuotaExhausted,
    );
    check("tiingo", 429, "You have run over your monthly unique symbol request allocation.", QuotaExhausted);
    check("tiingo", 401, r#"{"detail":"Invalid token."}"#, BadCredentials);
    check("tiingo", 404, r#"{"detail":"Not found."}"#, BadRequest);
}

#[test]
fn coingecko_notices_the_wrong_host() {
    let error = |code: u32| format!(r#"{{"status":{{"error_code":{code},"error_message":"…"}}}}"#);
    check("coingecko", 400, &error(10010), BadCredentials);
    check("coingecko", 400, r#"{"error_code":10011}"#, BadCredentials);
    check("coingecko", 401, &error(10002), BadCredentials);
    check("coingecko", 401, &error(10005), Forbidden);
    check("coingecko", 403, "error code: 1020", Banned);
    check("coingecko", 429, "", ThrottledBurst);
    probe("coingecko", 200, r#"{"gecko_says":"(V3) To the Moon!"}"#, None);
}
