//! The documented answers of exchanges and brokers.

use super::*;

#[test]
fn binance() {
    let error = |code: i32| format!(r#"{{"code":{code},"msg":"m"}}"#);
    check("binance", 429, &error(-1003), ThrottledBurst);
    check_wait("binance", 418, &[("Retry-After", "7200")], &error(-1003), Banned, Some(7200), true);
    check("binance", 403, "<html>WAF</html>", Banned);
    check("binance", 451, r#"{"code":0,"msg":"Service unavailable from a restricted location"}"#, Forbidden);
    check("binance", 400, &error(-1021), ClockSkew);
    for code in [-1022, -2014, -2015] {
        check("binance", 401, &error(code), BadCredentials);
    }
    check("binance", 400, &error(-1015), ThrottledBurst);
    check("binance", 400, &error(-1121), BadRequest);
    check("binance", 503, &error(-1008), UpstreamError);
    probe("binance", 200, "{}", None);
    probe("binance", 200, r#"{"maintenance":true}"#, UpstreamError);
}

#[test]
fn coinbase() {
    check("coinbase_advanced", 401, "Unauthorized", BadCredentials);
    check(
        "coinbase_advanced",
        403,
        r#"{"error":"PERMISSION_DENIED","error_details":"Missing required scopes"}"#,
        Forbidden,
    );
    check("coinbase_advanced", 429, r#"{"errors":[{"id":"rate_limit_exceeded"}]}"#, ThrottledBurst);
    probe(
        "coinbase_advanced",
        200,
        r#"{"iso":"…","epochSeconds":"1709005034","epochMillis":"1709005034333"}"#,
        None,
    );

    for text in ["invalid signature", "Invalid API Key", "Invalid Passphrase"] {
        check("coinbase_exchange", 401, &format!(r#"{{"message":"{text}"}}"#), BadCredentials);
    }
    check("coinbase_exchange", 400, r#"{"message":"request timestamp expired"}"#, ClockSkew);
    check("coinbase_exchange", 429, r#"{"message":"Private rate limit exceeded"}"#, ThrottledBurst);
    probe("coinbase_exchange", 200, r#"{"id":"BTC-USD","status":"online"}"#, None);
    probe("coinbase_exchange", 200, r#"{"id":"BTC-USD","status":"delisted"}"#, Restricted);
}

#[test]
fn kraken_lists_errors_in_a_200() {
    let error = |text: &str| format!(r#"{{"error":["{text}"]}}"#);
    for text in ["EAPI:Rate limit exceeded", "EGeneral:Too many requests", "EOrder:Rate limit exceeded"] {
        check("kraken", 200, &error(text), ThrottledBurst);
    }
    check("kraken", 200, &error("EGeneral:Temporary lockout"), Banned);
    check("kraken", 200, &error("EAPI:Invalid key"), BadCredentials);
    check("kraken", 200, &error("EAPI:Invalid signature"), BadCredentials);
    check("kraken", 200, &error("EAPI:Invalid nonce"), ClockSkew);
    check("kraken", 200, &error("EGeneral:Permission denied"), Forbidden);
    check("kraken", 200, &error("EService:Unavailable"), UpstreamError);
    check("kraken", 200, &error("EService:Market in post_only mode"), Maintenance);
    check("kraken", 200, &error("EQuery:Unknown asset pair"), BadRequest);
    check("kraken", 520, "", UpstreamError);
}

#[test]
fn kraken_warnings_are_no_errors() {
    check("kraken", 200, r#"{"error":["WAPI:Old version"],"result":{}}"#, None);
    check("kraken", 200, r#"{"error":["WAPI:Old version","EAPI:Invalid key"]}"#, BadCredentials);
    check("kraken", 200, r#"{"error":[],"result":{}}"#, None);
}

#[test]
fn an_exchange_says_how_it_is() {
    let kraken = |status: &str| format!(r#"{{"error":[],"result":{{"status":"{status}"}}}}"#);
    probe("kraken", 200, &kraken("online"), None);
    probe("kraken", 200, &kraken("post_only"), Restricted);
    probe("kraken", 200, &kraken("cancel_only"), Restricted);
    probe("kraken", 200, &kraken("maintenance"), Maintenance);
    probe("kraken", 200, &kraken("on fire"), UpstreamError);
    probe("kraken", 200, r#"{"error":["EService:Busy"]}"#, UpstreamError);

    let kucoin = |status: &str| format!(r#"{{"code":"200000","data":{{"status":"{status}","msg":""}}}}"#);
    probe("kucoin", 200, &kucoin("open"), None);
    probe("kucoin", 200, &kucoin("cancelonly"), Restricted);
    probe("kucoin", 200, &kucoin("close"), Maintenance);
}

#[test]
fn kucoin_has_a_code_in_a_200() {
    let error = |code: &str| format!(r#"{{"code":"{code}","msg":"m"}}"#);
    check("kucoin", 200, &error("200000"), None);
    check("kucoin", 429, &error("429000"), ThrottledBurst);
    check("kucoin", 200, &error("429000"), ThrottledBurst);
    check("kucoin", 429, "error code: 1015", Banned);
    for code in ["400001", "400003", "400004", "400005", "400006", "400401"] {
        check("kucoin", 200, &error(code), BadCredentials);
    }
    check("kucoin", 200, &error("400002"), ClockSkew);
    check("kucoin", 200, &error("400007"), Forbidden);
    check("kucoin", 200, &error("411100"), Forbidden);
    check("kucoin", 200, &error("400100"), BadRequest);
    check("kucoin", 500, &error("500000"), UpstreamError);
    check("kucoin", 503, "", UpstreamError);
}

#[test]
fn bybit_has_a_ret_code_in_a_200() {
    let error = |code: i32| format!(r#"{{"retCode":{code},"retMsg":"m","result":{{}}}}"#);
    check("bybit", 200, &error(0), None);
    check("bybit", 200, &error(10006), ThrottledBurst);
    check("bybit", 429, &error(10429), ThrottledBurst);
    for code in [10003, 10004, 10007, -2015, 33004] {
        check("bybit", 200, &error(code), BadCredentials);
    }
    for code in [10005, 10009, 10010, 10024] {
        check("bybit", 200, &error(code), Forbidden);
    }
    check("bybit", 200, &error(10002), ClockSkew);
    check("bybit", 200, &error(10016), UpstreamError);
    check("bybit", 200, &error(10001), BadRequest);
    check_wait(
        "bybit",
        403,
        &[],
        "access too frequent, please try again in 5 minutes.",
        Banned,
        Some(600),
        true,
    );
    check(
        "bybit",
        403,
        "<html>The CloudFront distribution is configured to block your country</html>",
        Forbidden,
    );
    probe("bybit", 200, r#"{"retCode":0,"retMsg":"OK","result":{"timeSecond":"1"},"time":1}"#, None);
}

#[test]
fn alpaca() {
    check("alpaca", 401, r#"{"message":"unauthorized."}"#, BadCredentials);
    check("alpaca", 403, r#"{"message":"forbidden."}"#, BadCredentials);
    check(
        "alpaca",
        403,
        r#"{"code":42210000,"message":"subscription does not permit querying recent SIP data"}"#,
        Forbidden,
    );
    check("alpaca", 422, r#"{"message":"m"}"#, BadRequest);
    check("alpaca", 429, "", ThrottledBurst);
    probe("alpaca", 200, r#"{"timestamp":"2026-11-21T00:00:00Z","is_open":false}"#, None);
}
