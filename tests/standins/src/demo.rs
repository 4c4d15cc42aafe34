//! The built-in set for the demo: fixed ports, fixed keys, limits that last an afternoon.
//!
//! The keys are made up; they open nothing but these stand-ins.

use std::net::{Ipv4Addr, SocketAddr};

use crate::config::{Config, InstanceConfig};

/// Where the demo's control API listens.
pub const CONTROL_PORT: u16 = 8410;
/// Where the demo's targets listen: all kinds here, then Slack, Discord, PagerDuty, HTTP.
pub const TARGETS_PORT: u16 = 8411;
/// Where the demo's first instance listens; the others follow.
pub const INSTANCES_PORT: u16 = 8420;
/// The secret of the demo's HTTP receiver, for all its hooks.
pub const HOOK_SECRET: &str = "whsec_c2lnbmFsYm94LWRlbW8taG9vay1zZWNyZXQtMDE=";

/// The demo's configuration.
pub fn demo() -> Config {
    let new = InstanceConfig::new;
    let instances = [
        new("alpha_vantage", "alpha_vantage").key("api_key", "DEMOALPHA0000001").limit(500, 86_400),
        new("polygon", "massive").key("api_key", "demo_polygon_key_000000000000001").limit(60, 60),
        new("fred", "fred").key("api_key", "demofredkey000000000000000000001"),
        new("openai", "openai").key("api_key", "sk-proj-demo-openai-0001"),
        new("anthropic", "anthropic").key("api_key", "sk-ant-api03-demo-anthropic-0001"),
        new("binance", "binance").key("api_key", "demo-binance-key").key("api_secret", "demo-binance-secret"),
        new("kraken", "kraken")
            .key("api_key", "demo-kraken-key")
            .key("api_secret", "ZGVtby1rcmFrZW4tc2VjcmV0"),
        new("coingecko", "coingecko").key("api_key", "CG-demo-coingecko-0001"),
        new("finnhub", "finnhub").key("api_key", "demofinnhub000000001"),
        new("twelve_data", "twelve_data").key("api_key", "00000000000000000000000000000001").limit(60, 60),
        new("google_gemini", "google_gemini").key("api_key", "AQ.demo-gemini-0001"),
        new("mistral", "mistral").key("api_key", "demomistral000000000000000000001"),
    ];
    let mut config = Config {
        control_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, CONTROL_PORT)),
        targets_port: TARGETS_PORT,
        ..Config::default()
    };
    for (offset, mut instance) in (0_u16..).zip(instances) {
        instance.port = INSTANCES_PORT + offset;
        instance.chunk_ms = 25;
        config = config.with(instance);
    }
    config.hook_secret("*", HOOK_SECRET)
}
