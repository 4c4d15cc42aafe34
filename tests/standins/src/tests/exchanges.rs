//! The exchanges: public data without a key, private calls only with a right signature.
//!
//! Requests carry signatures published with their keys; the stand-ins' clocks are set to their time.

use serde_json::json;

use super::{World, header, open, told};
use crate::InstanceConfig;

const KUCOIN_KEY: &str = "e33bce0fa387a461d6bfc924";

#[tokio::test]
async fn binance_weighs_public_calls_by_address() {
    let world = World::with(InstanceConfig::new("b", "binance").limit(5, 60)).await;
    let answer = world.get("b", "/api/v3/ticker/price?symbol=BTCUSDT").send().await.unwrap();
    assert_eq!(header(&answer, "x-mbx-used-weight-1m"), "2");
    let price: serde_json::Value = answer.json().await.unwrap();
    assert!(price["price"].as_str().unwrap().parse::<f64>().unwrap() > 10_000.0);
    let (_, bars) = told(world.get("b", "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=3")).await;
    assert_eq!((bars.as_array().unwrap().len(), bars[0].as_array().unwrap().len()), (3, 12));
    let over = world
        .get("b", "/api/v3/ticker/price?symbol=BTCUSDT")
        .header("x-mbx-apikey", "another")
        .send()
        .await
        .unwrap();
    assert_eq!(over.status(), 429);
    assert!(!header(&over, "retry-after").is_empty());
}

#[tokio::test]
async fn binance_takes_a_published_order_and_refuses_a_changed_one() {
    let (key, secret) = (
        "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
        "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
    );
    let world = World::with(
        open("binance").key("api_key", key).key("api_secret", secret).clock_ms(1_499_827_320_000),
    )
    .await;
    let order = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559";
    let signature = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71";
    let post = |text: &str| {
        world
            .post("binance", &format!("/api/v3/order?{text}&signature={signature}"))
            .header("x-mbx-apikey", key)
    };
    let (status, taken) = told(post(order)).await;
    assert_eq!((status, taken["status"].as_str()), (200, Some("NEW")));
    let (_, changed) = told(post(&order.replace("quantity=1", "quantity=2"))).await;
    assert_eq!(changed["code"], -1022);
    let (_, late) = told(post(&order.replace("1499827319559", "1499827309559"))).await;
    assert_eq!(late["code"], -1021);
    let (_, other) =
        told(world.get("binance", "/api/v3/account?timestamp=1&signature=x").header("x-mbx-apikey", "other"))
            .await;
    assert_eq!(other["code"], -2015);
}

#[tokio::test]
async fn binance_cancels_an_order_by_its_signed_query() {
    let (key, secret) = ("k", "s");
    let world = World::with(
        open("binance").key("api_key", key).key("api_secret", secret).clock_ms(1_499_827_320_000),
    )
    .await;
    let cancel = |more: &str| {
        let query = format!("symbol=LTCBTC{more}&timestamp=1499827319559");
        let signature = crate::signing::binance_hmac(secret, &query);
        let url =
            format!("{}/api/v3/order?{query}&signature={signature}", world.standins.provider_base("binance"));
        world.http.delete(url).header("x-mbx-apikey", key)
    };
    let (status, done) = told(cancel("&orderId=42")).await;
    assert_eq!((status, &done["orderId"], &done["status"]), (200, &json!(42), &json!("CANCELED")));
    assert_eq!(told(cancel("")).await.1["code"], -1102);
}

#[tokio::test]
async fn kraken_says_errors_with_a_200_and_takes_a_nonce_once() {
    let secret = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==";
    let world = World::with(open("kraken").key("api_key", "k").key("api_secret", secret)).await;
    let (_, ticker) = told(world.get("kraken", "/0/public/Ticker?pair=XBTUSD")).await;
    assert!(ticker["result"]["XXBTZUSD"]["c"][0].as_str().unwrap().parse::<f64>().unwrap() > 10_000.0);
    let order = || {
        world
            .post("kraken", "/0/private/AddOrder")
            .header("api-key", "k")
            .header("content-type", "application/x-www-form-urlencoded")
            .header(
                "api-sign",
                "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ==",
            )
    };
    let body = "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25";
    assert_eq!(told(order().body(body)).await.1["error"], json!([]));
    assert_eq!(told(order().body(body)).await, (200, json!({ "error": ["EAPI:Invalid nonce"] })));
    assert_eq!(
        told(order().body(body.replace("1.25", "2.25"))).await.1["error"][0],
        "EAPI:Invalid signature"
    );
    assert_eq!(told(order().header("api-key", "other").body(body)).await.0, 200);
}

#[tokio::test]
async fn kucoin_signs_the_unencoded_address_and_hashes_the_passphrase() {
    let instance =
        open("kucoin").key("api_key", KUCOIN_KEY).key("api_secret", "eb1af840-38bf-41b4-a6aa-236fbf700a7e");
    let world = World::with(instance.key("passphrase", "correct horse").clock_ms(1_700_000_009_200)).await;
    let signed = |sign: &str, passphrase: &str| {
        world
            .get("kucoin", "/api/v1/sub/api-key?apiKey=67b3&subName=test&passphrase=abc%21%40%2311")
            .header("kc-api-key", KUCOIN_KEY)
            .header("kc-api-timestamp", "1700000009123")
            .header("kc-api-key-version", "3")
            .header("kc-api-sign", sign)
            .header("kc-api-passphrase", passphrase)
    };
    let (sign, passphrase) =
        ("T9moQCeip/9jlYPpNc5o5atSzTrh6DssfdvS4xDjDl8=", "sGqza53g9D4Me57FhjhkdnaDLfKbTOAuRAQsC8hVXz4=");
    assert_eq!(told(signed(sign, passphrase)).await.1["code"], "200000");
    assert_eq!(told(signed("x", passphrase)).await.1["code"], "400005");
    assert_eq!(told(signed(sign, "correct horse")).await.1["code"], "400004");
    assert_eq!(told(world.get("kucoin", "/api/v1/accounts")).await.1["code"], "400001");
    let candles = told(world.get("kucoin", "/api/v1/market/candles?symbol=BTC-USDT&type=1min")).await.1;
    assert!(candles["data"].as_array().unwrap().len() >= 99);
}

#[tokio::test]
async fn kucoin_tells_its_pool() {
    let world = World::with(InstanceConfig::new("k", "kucoin")).await;
    let answer = world.get("k", "/api/v1/market/orderbook/level1?symbol=BTC-USDT").send().await.unwrap();
    assert_eq!(
        (header(&answer, "gw-ratelimit-limit"), header(&answer, "gw-ratelimit-remaining")),
        ("2000".into(), "1998".into())
    );
}

#[tokio::test]
async fn coinbase_exchange_checks_signature_then_passphrase() {
    let key = "5dc7b1b2b5a87511fb75ffd2d7ceff75";
    let secret = "6ZlZyii1c1YhS142vixe5jg0/NhZhrCq++LWQOvD7JKrdE38JxcXHDh2YQicGrVI41sr7dgKQVtup9okYCwpwg==";
    let instance = open("coinbase_exchange")
        .key("api_key", key)
        .key("api_secret", secret)
        .key("passphrase", "opensesame1");
    let world = World::with(instance.clock_ms(1_700_000_002_500)).await;
    let orders = |sign: &str, passphrase: &str| {
        world
            .get("coinbase_exchange", "/orders?status=open&limit=10")
            .header("cb-access-key", key)
            .header("cb-access-timestamp", "1700000002")
            .header("cb-access-sign", sign)
            .header("cb-access-passphrase", passphrase)
    };
    let sign = "JMoUi62HT5v8tP84O+MCPrLLKZEgDPEjAFsRoxpFFks=";
    assert_eq!(told(orders(sign, "opensesame1")).await, (200, json!([])));
    assert_eq!(told(orders("x", "opensesame1")).await, (401, json!({ "message": "invalid signature" })));
    assert_eq!(told(orders(sign, "x")).await, (401, json!({ "message": "Invalid Passphrase" })));
    let rows = told(world.get("coinbase_exchange", "/products/BTC-USD/candles?granularity=60")).await.1;
    assert!(rows[0][1].as_f64() <= rows[0][2].as_f64() && rows[0][0].as_i64() > rows[1][0].as_i64());
}

#[tokio::test]
async fn coinbase_advanced_verifies_the_token() {
    let token = "eyJhbGciOiJFZERTQSIsImtpZCI6IjkxMjYyYzJlLTFlOWItNDA0OC1hNTVmLWJlOGJjODQ1ODYzZCIsIm5vbmNlIjoiZTY3YTkxMjAxZjI3MTMwMzQzMzVlOWM0ZjU0MzAxY2MiLCJ0eXAiOiJKV1QifQ.eyJzdWIiOiI5MTI2MmMyZS0xZTliLTQwNDgtYTU1Zi1iZThiYzg0NTg2M2QiLCJpc3MiOiJjZHAiLCJuYmYiOjE3MDAwMDAwNjIsImV4cCI6MTcwMDAwMDE4MiwidXJpIjoiR0VUIGFwaS5jb2luYmFzZS5jb20vYXBpL3YzL2Jyb2tlcmFnZS9hY2NvdW50cyJ9.4w8m7pM0V5-WdRdNTb7Tt-5E8b18XP_FSupIw6mAjNO_7FY_JhLc1n2cjQELU-A63oZWSI1VEaWUvng_GiPmCw";
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAzJiVnGUxvzU3f0IXLkHxhMTr9MSrNhH2RpUvwYAdV84=\n-----END PUBLIC KEY-----\n";
    let instance = open("coinbase_advanced")
        .key("key_name", "91262c2e-1e9b-4048-a55f-be8bc845863d")
        .key("public_key_pem", pem);
    let world = World::with(instance.clock_ms(1_700_000_070_000)).await;
    let accounts = |token: &str| {
        world.get("coinbase_advanced", "/api/v3/brokerage/accounts?limit=1").bearer_auth(token).send()
    };
    assert_eq!(accounts(token).await.unwrap().status(), 200);
    assert_eq!(accounts(&token.replace("PmCw", "PmCx")).await.unwrap().status(), 401);
    let elsewhere =
        world.post("coinbase_advanced", "/api/v3/brokerage/orders").bearer_auth(token).send().await.unwrap();
    assert_eq!(elsewhere.status(), 401);
    let (_, product) =
        told(world.get("coinbase_advanced", "/api/v3/brokerage/market/products/ETH-USD")).await;
    assert_eq!(product["quote_currency_id"], "USD");
}

#[tokio::test]
async fn bybit_refuses_with_a_code_inside_a_200() {
    let key = "kfA6rNhKGSfAHEWA3P";
    let instance =
        open("bybit").key("api_key", key).key("api_secret", "ZUtS9jVZJQaSo4Sfoi8U1rYUUXlAhENzZhLZ");
    let world = World::with(instance.clock_ms(1_700_000_003_500)).await;
    let wallet = |sign: &str| {
        world
            .get("bybit", "/v5/account/wallet-balance?accountType=UNIFIED&coin=BTC")
            .header("x-bapi-api-key", key)
            .header("x-bapi-timestamp", "1700000003000")
            .header("x-bapi-recv-window", "5000")
            .header("x-bapi-sign", sign)
    };
    let (_, taken) = told(wallet("6e94bf008ca51f98f6889be768452192e19e5ff87ff1c100dfccfc72a0a64b81")).await;
    assert_eq!(taken["retCode"], 0);
    let (status, refused) = told(wallet("00")).await;
    assert_eq!((status, refused["retCode"].as_u64()), (200, Some(10_004)));
    let (_, ticker) = told(world.get("bybit", "/v5/market/tickers?category=spot&symbol=BTCUSDT")).await;
    assert!(ticker["result"]["list"][0]["lastPrice"].is_string());
}
