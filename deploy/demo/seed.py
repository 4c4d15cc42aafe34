#!/usr/bin/env python3
"""Fills an empty Signalbox with sample configuration for the stand-ins, through its REST API, and makes a little traffic.

    seed.py --api URL --gateway URL --token-file FILE              creates what is missing, switches stand-ins, looks
    seed.py --api URL --gateway URL --token-file FILE --traffic    calls providers through the gateway until it is ended

What exists is left as it is, so it may be run again. Needs nothing but Python 3. Prints no token and no key.
"""

import argparse
import itertools
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

WORLD = "http://127.0.0.1:8410"
ANSWER_SECS = 10
# How long the demo may take until every integration has a health.
LOOK_SECS = 45
# One call of the traffic in so many seconds: 80 a minute, spread over all that is called.
CALL_EVERY_SECS = 0.75

KEYS: dict[str, tuple[str, dict[str, str]]] = {
    "alpha-vantage-demo": ("alpha_vantage", {"api_key": "DEMOALPHA0000001"}),
    "polygon-demo": ("polygon", {"api_key": "demo_polygon_key_000000000000001"}),
    "polygon-backup-demo": ("polygon", {"api_key": "demo_polygon_key_000000000000002"}),
    "fred-demo": ("fred", {"api_key": "demofredkey000000000000000000001"}),
    "openai-demo": ("openai", {"api_key": "sk-proj-demo-openai-0001"}),
    "anthropic-demo": ("anthropic", {"api_key": "sk-ant-api03-demo-anthropic-0001"}),
    "binance-demo": ("binance", {"api_key": "demo-binance-key", "api_secret": "demo-binance-secret"}),
    "kraken-demo": ("kraken", {"api_key": "demo-kraken-key", "api_secret": "ZGVtby1rcmFrZW4tc2VjcmV0"}),
    "coingecko-demo": ("coingecko", {"api_key": "CG-demo-coingecko-0001"}),
    "finnhub-demo": ("finnhub", {"api_key": "demofinnhub000000001"}),
    "twelve-data-demo": ("twelve_data", {"api_key": "00000000000000000000000000000001"}),
    "gemini-demo": ("google_gemini", {"api_key": "AQ.demo-gemini-0001"}),
    "mistral-demo": ("mistral", {"api_key": "demomistral000000000000000000001"}),
}


def integration(id: str, provider: str, key: str, port: int, path: str = "", every: int = 5, **more: Any) -> dict[str, Any]:
    probe = {"every_secs": every, "timeout_ms": 2000, "slow_ms": 500}
    base = f"http://127.0.0.1:{port}{path}"
    return {"id": id, "provider": provider, "key": key, "base_url": base, "probe": probe, "timeout_ms": 3000, **more}


def quota(name: str, requests: int, per: str, zone: str = "UTC") -> dict[str, Any]:
    return {"name": name, "requests": requests, "per": per, "timezone": zone}


INTEGRATIONS = [
    # Its stand-in allows 500 calls a day, so it is asked every five minutes only.
    integration("alpha-vantage", "alpha_vantage", "alpha-vantage-demo", 8420, every=300,
                quotas=[quota("day", 500, "day", "America/New_York")]),
    integration("polygon-main", "polygon", "polygon-demo", 8421,
                quotas=[quota("minute", 300, "minute"), quota("month", 50_000, "month")]),
    integration("polygon-backup", "polygon", "polygon-backup-demo", 8432, quotas=[quota("minute", 300, "minute")]),
    integration("fred", "fred", "fred-demo", 8422, "/fred", quotas=[quota("minute", 120, "minute")]),
    integration("openai", "openai", "openai-demo", 8423, "/v1", cost={"per_request_micros": 2000}),
    integration("anthropic", "anthropic", "anthropic-demo", 8424, cost={"per_request_micros": 3000}),
    integration("binance", "binance", "binance-demo", 8425),
    integration("kraken", "kraken", "kraken-demo", 8426),
    integration("coingecko", "coingecko", "coingecko-demo", 8427, "/api/v3", quotas=[quota("month", 10_000, "month")]),
    integration("finnhub", "finnhub", "finnhub-demo", 8428, "/api/v1", quotas=[quota("minute", 60, "minute")]),
    integration("twelve-data", "twelve_data", "twelve-data-demo", 8429, every=15, quotas=[quota("minute", 60, "minute")]),
    integration("gemini", "google_gemini", "gemini-demo", 8430),
    integration("mistral", "mistral", "mistral-demo", 8431, cost={"per_request_micros": 1000}),
]

ROUTES = [
    {"id": "quotes", "failover": True, "integrations": ["polygon-main", "polygon-backup"]},
    # A chat answer may be asked for twice; that costs money, and is what a fallback is for.
    {"id": "chat", "failover": True, "integrations": ["openai", "mistral"], "repeatable_methods": ["POST"]},
]

WEBHOOKS = [
    {"id": "ops-slack", "kind": "slack", "url": "http://127.0.0.1:8412/services/T0DEMO001/B0DEMO001/demoDemoDemoDemoDemoDemo"},
    {"id": "ops-discord", "kind": "discord",
     "url": "http://127.0.0.1:8413/api/v10/webhooks/100000000000000001/demo-demo-demo-demo-demo-demo-demo-demo-demo-demo-demo-demo-demo-demo"},
    {"id": "on-call", "kind": "pagerduty", "url": "http://127.0.0.1:8414/v2/enqueue",
     "routing_key": "demo0000000000000000000000000001", "filter": {"severities": ["error", "critical"]}},
    {"id": "orders-service", "kind": "http", "url": "http://127.0.0.1:8415/hooks/demo",
     "secret": "whsec_c2lnbmFsYm94LWRlbW8taG9vay1zZWNyZXQtMDE="},
]

# What makes the first picture interesting: two yellow, one red, the rest green.
SWITCHES: dict[str, dict[str, Any]] = {
    "finnhub": {"mode": "slow", "ms": 900},
    "fred": {"mode": "bad_key"},
    "kraken": {"mode": "status", "status": 503},
}

CHAT = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Say hello."}]}
CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/r/quotes/v2/aggs/ticker/AAPL/prev", None),
    ("GET", "/r/quotes/v2/aggs/ticker/IBM/prev", None),
    ("POST", "/r/chat/v1/chat/completions", CHAT),
    ("GET", "/p/binance/api/v3/ticker/price?symbol=BTCUSDT", None),
    ("GET", "/r/quotes/v2/aggs/ticker/MSFT/prev", None),
    ("GET", "/p/coingecko/simple/price?ids=bitcoin&vs_currencies=usd", None),
    ("GET", "/p/twelve-data/price?symbol=AAPL", None),
]


class Answered(Exception):
    """An answer that is not 2xx."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


def call(method: str, url: str, token: str | None = None, body: Any = None) -> Any:
    headers = {"accept": "application/json"}
    data = None
    if token:
        headers["authorization"] = f"Bearer {token}"
    if body is not None:
        headers["content-type"] = "application/json"
        data = json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECS) as answer:
            text = answer.read()
            return json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        raise Answered(error.code, error.read(2000).decode(errors="replace")) from None


def create(api: str, token: str, kind: str, things: list[dict[str, Any]]) -> None:
    """Creates those that are not there. 409 means it is there, also when somebody else was faster."""
    made = 0
    for thing in things:
        try:
            call("POST", f"{api}/api/v1/{kind}", token, thing)
            made += 1
        except Answered as answer:
            if answer.status != 409:
                raise SystemExit(f"error: {kind}/{thing['id']} was refused: {answer}") from None
    print(f"   {kind}: {made} made, {len(things) - made} were there")


def everything(api: str, token: str, kind: str) -> Iterator[dict[str, Any]]:
    path: str | None = f"/api/v1/{kind}?page_size=100"
    while path:
        page = call("GET", api + path, token)
        yield from page["items"]
        path = page.get("next")


def look(api: str, token: str) -> None:
    """Asks each integration that was never asked, waits until all have a health, and shows them."""
    deadline = time.monotonic() + LOOK_SECS
    for known in everything(api, token, "integrations"):
        if known["enabled"] and known["health"] == "unknown" and known["probe"].get("every_secs") != 5:
            for _ in range(3):
                call("GET", f"{api}/api/v1/integrations/{known['id']}/ping", token)
    while True:
        items = [item for item in everything(api, token, "integrations") if item["enabled"]]
        colours = {item["colour"] for item in items}
        if "grey" not in colours and {"green", "yellow", "red"} <= colours:
            break
        if time.monotonic() > deadline:
            print("   some integrations have no health yet; see /api/v1/integrations")
            break
        time.sleep(0.5)
    for item in sorted(items, key=lambda item: item["colour"]):
        latency = f"{item['latency_ms']} ms" if item["latency_ms"] is not None else "-"
        print(f"   {item['colour']:<7}{item['id']:<16}{latency:>8}  {item['reason'] or ''}".rstrip())


def key(id: str, provider: str, fields: dict[str, str]) -> dict[str, Any]:
    made = {"id": id, "provider": provider, "environment": "demo", "fields": fields, "labels": {"owner": "demo"}}
    if id == "openai-demo":
        made["expires_at"] = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() + 20 * 86_400))
    return made


def seed(api: str, token: str) -> None:
    keys = [key(id, provider, fields) for id, (provider, fields) in KEYS.items()]
    create(api, token, "keys", keys)
    # The world first: what is asked is as it should be from the first probe on.
    for name, switch in SWITCHES.items():
        call("POST", f"{WORLD}/control/instances/{name}", None, switch)
    create(api, token, "webhooks", WEBHOOKS)
    create(api, token, "integrations", INTEGRATIONS)
    create(api, token, "routes", ROUTES)
    look(api, token)


def traffic(gateway: str, token: str) -> None:
    """Calls one after the other at a steady pace. A failure is written down and nothing more: it is part of the show."""
    for method, path, body in itertools.cycle(CALLS):
        began = time.monotonic()
        try:
            call(method, gateway + path, token, body)
        except (Answered, OSError, ValueError) as error:
            print(f"{time.strftime('%H:%M:%S')} {method} {path}: {error}", file=sys.stderr, flush=True)
        time.sleep(max(0.0, CALL_EVERY_SECS - (time.monotonic() - began)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--api", required=True)
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--token-file", required=True)
    parser.add_argument("--traffic", action="store_true")
    args = parser.parse_args()
    with open(args.token_file, encoding="utf-8") as file:
        token = file.read().strip()
    if args.traffic:
        traffic(args.gateway, token)
        return
    try:
        seed(args.api, token)
    except (Answered, OSError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
