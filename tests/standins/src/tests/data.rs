//! The data providers: keys, shapes, limits.

use serde_json::json;

use super::{World, header, open, told};
use crate::InstanceConfig;

#[tokio::test]
async fn alpha_vantage_says_everything_with_a_200() {
    let world =
        World::with(InstanceConfig::new("av", "alpha_vantage").key("api_key", "RIGHT").limit(2, 86_400))
            .await;
    let quote = "/query?function=GLOBAL_QUOTE&symbol=IBM&apikey=";
    let (status, wrong) = told(world.get("av", &format!("{quote}WRONG"))).await;
    assert_eq!(status, 200);
    assert!(wrong["Error Message"].as_str().unwrap().contains("apikey is invalid or missing"));
    let (_, right) = told(world.get("av", &format!("{quote}RIGHT"))).await;
    assert_eq!(right["Global Quote"]["01. symbol"], "IBM");
    assert!(right["Global Quote"]["05. price"].as_str().unwrap().parse::<f64>().unwrap() > 100.0);
    let (_, unknown) = told(world.get("av", "/query?function=GLOBAL_QUOTE&symbol=NOPE&apikey=RIGHT")).await;
    assert_eq!(unknown, json!({ "Global Quote": {} }));
    let (status, over) = told(world.get("av", &format!("{quote}RIGHT"))).await;
    assert_eq!(status, 200);
    assert!(over["Information"].as_str().unwrap().starts_with("We have detected your API key as RIGHT"));
}

#[tokio::test]
async fn alpha_vantage_asks_for_one_request_a_second() {
    let world = World::with(InstanceConfig::new("av", "alpha_vantage")).await;
    told(world.get("av", "/query?function=MARKET_STATUS&apikey=K")).await;
    let (_, burst) = told(world.get("av", "/query?function=MARKET_STATUS&apikey=K")).await;
    assert!(burst["Information"].as_str().unwrap().contains("1 request per second"));
}

#[tokio::test]
async fn massive_takes_a_bearer_or_a_query_key_and_counts_five_a_minute() {
    let world = World::with(InstanceConfig::new("polygon", "polygon").key("api_key", "k")).await;
    let (status, refused) = told(world.get("polygon", "/v1/marketstatus/now").bearer_auth("other")).await;
    assert_eq!((status, refused["error"].as_str()), (401, Some("Unknown API Key")));
    for path in ["/v1/marketstatus/now", "/v2/aggs/ticker/AAPL/prev", "/v2/last/trade/AAPL"] {
        assert_eq!(told(world.get("polygon", path).bearer_auth("k")).await.0, 200);
    }
    let (_, bars) =
        told(world.get("polygon", "/v2/aggs/ticker/AAPL/range/1/day/2026-01-05/2026-01-09?apiKey=k")).await;
    assert_eq!(bars["resultsCount"], 5);
    assert_eq!(bars["results"][0]["t"], 1_767_571_200_000_i64);
    told(world.get("polygon", "/v1/conversion/AUD/USD?amount=100&apiKey=k")).await;
    let (status, over) = told(world.get("polygon", "/v1/marketstatus/now").bearer_auth("k")).await;
    assert_eq!((status, over["status"].as_str()), (429, Some("ERROR")));
}

#[tokio::test]
async fn fred_answers_a_bad_key_with_400_and_defaults_to_xml() {
    let world = World::with(open("fred").key("api_key", "right")).await;
    let (status, refused) =
        told(world.get("fred", "/series?series_id=GNPCA&file_type=json&api_key=wrong")).await;
    assert_eq!((status, refused["error_code"].as_u64()), (400, Some(400)));
    assert!(refused["error_message"].as_str().unwrap().contains("api_key is not registered"));
    let (_, series) = told(world.get("fred", "/series?series_id=GNPCA&file_type=json&api_key=right")).await;
    assert_eq!(series["seriess"][0]["id"], "GNPCA");
    let (_, rows) =
        told(world.get("fred", "/series/observations?series_id=UNRATE&file_type=json&api_key=right")).await;
    let values: Vec<&str> =
        rows["observations"].as_array().unwrap().iter().map(|row| row["value"].as_str().unwrap()).collect();
    assert!(values.contains(&".") && values.len() == 240);
    let mut dates: Vec<&str> =
        rows["observations"].as_array().unwrap().iter().map(|row| row["date"].as_str().unwrap()).collect();
    dates.dedup();
    assert_eq!(dates.len(), 240, "each month once");
    let xml = world.get("fred", "/series?series_id=GNPCA&api_key=right").send().await.unwrap();
    assert!(header(&xml, "content-type").starts_with("text/xml"));
    let (status, second) = told(world.get("fred", "/v2/series?series_id=GNPCA").bearer_auth("wrong")).await;
    assert_eq!((status, second["code"].as_u64()), (400, Some(400)));
}

#[tokio::test]
async fn the_other_data_providers_check_keys_where_they_are_documented() {
    let config = crate::Config::default()
        .with(open("fmp").key("api_key", "k"))
        .with(open("taapi").key("secret", "k"))
        .with(open("finnhub").key("api_key", "k"))
        .with(open("twelve_data").key("api_key", "k"))
        .with(open("tiingo").key("api_token", "k"))
        .with(open("coingecko").key("api_key", "k"))
        .with(open("alpaca").key("key_id", "k").key("secret_key", "s"));
    let world = World::of(config).await;
    let both = |name: &'static str,
                path: &'static str,
                header: &'static str,
                right: &'static str,
                wrong: &'static str| {
        let request = |value: &'static str| world.get(name, path).header(header, value);
        let (right, wrong) = (request(right), request(wrong));
        async move { (told(right).await, told(wrong).await) }
    };
    let (right, wrong) = both("fmp", "/quote?symbol=AAPL", "apikey", "k", "x").await;
    assert!(right.1[0]["price"].is_number());
    assert_eq!(wrong.0, 401);
    let (right, wrong) = both("finnhub", "/quote?symbol=AAPL", "x-finnhub-token", "k", "x").await;
    assert!(right.1["c"].as_f64().unwrap() > 0.0);
    assert_eq!(wrong.0, 401);
    let (right, wrong) =
        both("twelve_data", "/price?symbol=AAPL", "authorization", "apikey k", "apikey x").await;
    assert!(right.1["price"].is_string());
    assert_eq!((wrong.0, wrong.1["status"].as_str()), (401, Some("error")));
    let (right, wrong) = both("tiingo", "/iex/?tickers=aapl", "authorization", "Token k", "Token x").await;
    assert_eq!(right.1[0]["ticker"], "AAPL");
    assert_eq!(wrong.0, 401);
    let coin = "/simple/price?ids=bitcoin&vs_currencies=usd&include_last_updated_at=true";
    let (right, wrong) = both("coingecko", coin, "x-cg-demo-api-key", "k", "x").await;
    assert!(right.1["bitcoin"]["usd"].as_f64().unwrap() > 10_000.0);
    assert_eq!(wrong.0, 401);
    let (_, mixed) = told(world.get("coingecko", "/ping").header("x-cg-pro-api-key", "k")).await;
    assert_eq!(mixed["status"]["error_code"], 10_010);
    let (status, rsi) =
        told(world.get("taapi", "/rsi?exchange=binance&symbol=BTC/USDT&interval=1h&secret=k")).await;
    assert!(status == 200 && rsi["value"].is_number());
    let alpaca = world.get("alpaca", "/v2/clock").header("apca-api-key-id", "k");
    assert_eq!(told(alpaca.try_clone().unwrap().header("apca-api-secret-key", "s")).await.0, 200);
    assert_eq!(told(alpaca.header("apca-api-secret-key", "x")).await.0, 401);
}

#[tokio::test]
async fn twelve_data_counts_credits_by_symbol() {
    let world = World::with(InstanceConfig::new("td", "twelve_data").limit(8, 60)).await;
    let answer = world.get("td", "/price?symbol=A,B,C&apikey=k").send().await.unwrap();
    assert_eq!(
        (header(&answer, "api-credits-used"), header(&answer, "api-credits-left")),
        ("3".into(), "5".into())
    );
    let (status, over) = told(world.get("td", "/price?symbol=A,B,C,D,E,F&apikey=k")).await;
    assert_eq!(status, 429);
    assert!(
        over["message"].as_str().unwrap().contains("9 API credits were used, with the current limit being 8")
    );
}
