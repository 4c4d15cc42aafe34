//! The exchanges whose requests are signed: keys, calls that read, write and cancel, and what is said of a wrong secret.
//!
//! The keys are the throw-away ones of the published vectors.

use serde_json::{Value, json};

const VECTORS: &str = include_str!("../../../../services/lib/egress/src/sign/tests/vectors.json");
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// One call, and a place in its answer with what must stand there.
pub(super) struct Call {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// Media type and text.
    pub(super) body: Option<(&'static str, &'static str)>,
    pub(super) pointer: &'static str,
    pub(super) wanted: Value,
}

/// An exchange with one kind of key.
pub(super) struct Exchange {
    /// Of the stand-in, the key and the integration.
    pub(super) name: &'static str,
    pub(super) provider: &'static str,
    /// What Signalbox is given.
    pub(super) key: Value,
    /// The secret among it, and one that is not it.
    pub(super) wrong: (&'static str, String),
    /// What the exchange knows the caller by.
    pub(super) known: Value,
    /// The first one reads and may be repeated, unless none may; the second one writes.
    pub(super) calls: Vec<Call>,
    /// What it says of a wrong secret: status, and a place in the answer with what stands there.
    pub(super) refusal: (u16, &'static str, Value),
}

/// Fields of a published key.
struct Keys(Value);

impl Keys {
    fn of(&self, vector: &str, field: &str) -> String {
        let vectors = self.0["vectors"].as_array().expect("a list");
        let found = vectors.iter().find(|one| one["id"] == vector).expect("a vector of that name");
        found["inputs"][field].as_str().expect("a text").to_owned()
    }
}

fn get(path: &'static str, pointer: &'static str, wanted: Value) -> Call {
    Call { method: "GET", path, body: None, pointer, wanted }
}

fn post(
    path: &'static str,
    media: &'static str,
    text: &'static str,
    pointer: &'static str,
    wanted: Value,
) -> Call {
    Call { method: "POST", path, body: Some((media, text)), pointer, wanted }
}

fn delete(path: &'static str, pointer: &'static str, wanted: Value) -> Call {
    Call { method: "DELETE", path, body: None, pointer, wanted }
}

/// All of them.
pub(super) fn all() -> Vec<Exchange> {
    let keys = Keys(serde_json::from_str(VECTORS).expect("JSON"));
    let mut all = binance(&keys);
    all.extend(coinbase_advanced(&keys));
    all.push(coinbase_exchange(&keys));
    all.push(kraken(&keys));
    all.extend(kucoin(&keys));
    all.extend(bybit(&keys));
    all
}

fn binance(keys: &Keys) -> Vec<Exchange> {
    let calls = || {
        vec![
            get("/api/v3/account?omitZeroBalances=true", "/accountType", json!("SPOT")),
            post(
                "/api/v3/order",
                FORM,
                "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=35000.5&newClientOrderId=%C3%A9+1",
                "/clientOrderId",
                json!("é 1"),
            ),
            post("/api/v3/order/test?symbol=BTCUSDT", FORM, "side=SELL&type=MARKET", "", json!({})),
            delete("/api/v3/order?symbol=BTCUSDT&orderId=42", "/status", json!("CANCELED")),
        ]
    };
    let other = keys.of("pub-coinbase-advanced-official-eddsa-pem", "private_key");
    let kinds = [
        ("binance-hmac", "pub-binance-hmac-get-account", "api_secret", "not-the-secret".to_owned()),
        ("binance-ed25519", "pub-binance-ed25519", "public_key_pem", other.clone()),
        ("binance-rsa", "pub-binance-rsa", "public_key_pem", other),
    ];
    let exchanges = kinds.into_iter().map(|(name, vector, known, wrong)| Exchange {
        name,
        provider: "binance",
        key: json!({ "api_key": keys.of(vector, "api_key"), "api_secret": keys.of(vector, "api_secret") }),
        wrong: ("api_secret", wrong),
        known: json!({ "api_key": keys.of(vector, "api_key"), known: keys.of(vector, known) }),
        calls: calls(),
        refusal: (400, "/code", json!(-1022)),
    });
    exchanges.collect()
}

fn coinbase_advanced(keys: &Keys) -> Vec<Exchange> {
    let (es256, eddsa) = ("pub-coinbase-advanced-es256-1", "pub-coinbase-advanced-eddsa-1");
    let exchanges = [("coinbase-es256", es256, eddsa), ("coinbase-eddsa", eddsa, es256)];
    let exchanges = exchanges.into_iter().map(|(name, vector, other)| Exchange {
        name,
        provider: "coinbase_advanced",
        key: json!({ "key_name": keys.of(vector, "key_name"), "private_key": keys.of(vector, "private_key") }),
        wrong: ("private_key", keys.of(other, "private_key")),
        known: json!({ "key_name": keys.of(vector, "key_name"), "public_key_pem": keys.of(vector, "public_key_pem") }),
        calls: vec![
            get("/api/v3/brokerage/accounts?limit=1", "/accounts/0/currency", json!("BTC")),
            post("/api/v3/brokerage/orders", JSON, r#"{"client_order_id":"a", "side":"BUY"}"#, "/success", json!(true)),
        ],
        refusal: (401, "", Value::Null),
    });
    exchanges.collect()
}

fn coinbase_exchange(keys: &Keys) -> Exchange {
    let vector = "pub-coinbase-exchange-1-get-accounts";
    let key = json!({ "api_key": keys.of(vector, "api_key"), "api_secret": keys.of(vector, "api_secret_base64"),
        "passphrase": keys.of(vector, "passphrase") });
    Exchange {
        name: "coinbase-exchange",
        provider: "coinbase_exchange",
        known: key.clone(),
        key,
        wrong: ("api_secret", "bm90IHRoZSBzZWNyZXQ=".to_owned()),
        calls: vec![
            get("/orders?status=open&product_id=BTC-USD", "", json!([])),
            post("/orders", JSON, r#"{"size": "0.01", "product_id":"BTC-USD"}"#, "/status", json!("pending")),
            delete("/orders/d0c5340b?product_id=BTC-USD", "", json!("d0c5340b")),
        ],
        refusal: (401, "/message", json!("invalid signature")),
    }
}

fn kraken(keys: &Keys) -> Exchange {
    let vector = "pub-kraken-1-Balance";
    let key =
        json!({ "api_key": keys.of(vector, "api_key"), "api_secret": keys.of(vector, "api_secret_base64") });
    let order = "buy 1.25 XBTUSD @ 37500";
    Exchange {
        name: "kraken",
        provider: "kraken",
        known: key.clone(),
        key,
        wrong: ("api_secret", "bm90IHRoZSBzZWNyZXQ=".to_owned()),
        calls: vec![
            post("/0/private/Balance", FORM, "", "/result/ZUSD", json!("10000.0000")),
            post(
                "/0/private/AddOrder",
                FORM,
                "ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25",
                "/result/descr/order",
                json!(order),
            ),
            post("/0/private/AddOrder", JSON, r#"{"pair": "XBTUSD", "volume": "1.25"}"#, "/error", json!([])),
            post("/0/private/CancelOrder", FORM, "txid=OAAAA-BBBBB-CCCCCC", "/result/count", json!(1)),
        ],
        refusal: (200, "/error/0", json!("EAPI:Invalid signature")),
    }
}

fn kucoin(keys: &Keys) -> Vec<Exchange> {
    let versions = [("kucoin-2", "pub-kucoin-1-get-accounts"), ("kucoin-3", "pub-kucoin-v3-post")];
    let exchanges = versions.into_iter().map(|(name, vector)| {
        let of = |field| keys.of(vector, field);
        let known = json!({ "api_key": of("api_key"), "api_secret": of("api_secret"), "passphrase": of("passphrase") });
        let mut key = known.clone();
        key["key_version"] = json!(of("key_version"));
        Exchange {
            name,
            provider: "kucoin",
            key,
            wrong: ("api_secret", "00000000-0000-4000-8000-000000000000".to_owned()),
            known,
            calls: vec![
                get("/api/v1/accounts?currency=USDT&type=trade", "/data/0/currency", json!("USDT")),
                post("/api/v1/hf/orders", JSON, r#"{"clientOid": "a", "symbol":"BTC-USDT"}"#, "/data/clientOid", json!("a")),
                get("/api/v1/sub/api-key?subName=a+b&passphrase=abc%21%40%2311", "/data", json!([])),
                delete("/api/v1/hf/orders/671124f9?symbol=BTC-USDT", "/data/orderId", json!("671124f9")),
            ],
            // The passphrase is signed too, and looked at first.
            refusal: (400, "/code", json!("400004")),
        }
    });
    exchanges.collect()
}

fn bybit(keys: &Keys) -> Vec<Exchange> {
    let (hmac, rsa) = ("pub-bybit-1-get", "pub-binance-rsa");
    let wrong = keys.of(hmac, "api_secret").to_lowercase();
    let kinds = [("bybit-hmac", hmac, "api_secret"), ("bybit-rsa", rsa, "public_key_pem")];
    let exchanges = kinds.into_iter().map(|(name, vector, known)| Exchange {
        name,
        provider: "bybit",
        key: json!({ "api_key": keys.of(vector, "api_key"), "api_secret": keys.of(vector, "api_secret") }),
        wrong: ("api_secret", wrong.clone()),
        known: json!({ "api_key": keys.of(vector, "api_key"), known: keys.of(vector, known) }),
        calls: vec![
            get(
                "/v5/account/wallet-balance?accountType=UNIFIED&coin=BTC",
                "/result/list/0/accountType",
                json!("UNIFIED"),
            ),
            post(
                "/v5/order/create",
                JSON,
                r#"{"category":"spot", "symbol":"BTCUSDT"}"#,
                "/retMsg",
                json!("OK"),
            ),
            post("/v5/order/cancel", JSON, r#"{"orderId":"7"}"#, "/result/orderId", json!("7")),
        ],
        refusal: (200, "/retCode", json!(10_004)),
    });
    exchanges.collect()
}
