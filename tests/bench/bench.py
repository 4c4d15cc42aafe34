#!/usr/bin/env python3
"""Measures Signalbox as it is run: starting, idling, failing over, telling people, carrying calls. Prints a table.

    bench.py --binaries DIR --nats-server FILE [PART…]        parts: start memory failover webhook overhead; default: all
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from world import Bench, Caller, House, Outside, ask, temporary, until

STARTS = 5
IDLE_SECS = 30
FAILOVERS = 3
CALLERS = 4
CALL_EVERY_SECS = 0.005
CALM_SECS = 3
AFTER_SWITCH_SECS = 45
ALERTS = 100
ALERT_EVERY_SECS = 0.05
CALLS = 2000
WARM_CALLS = 300
LOAD_SECS = 10
CONNECTIONS = 16
PATH = "/v2/aggs/ticker/IBM/prev"
# A demo's worth: eight integrations of eight providers.
EIGHT = ["polygon", "fred", "openai", "anthropic", "coingecko", "finnhub", "twelve_data", "mistral"]
SWITCHES: dict[str, dict[str, Any]] = {
    "refuse": {"mode": "refuse"},
    "503": {"mode": "status", "status": 503},
    "hang": {"mode": "hang"},
}


def key(name: str) -> str:
    return f"secret-key-of-{name}-0123456789"


def row(what: str, measured: str) -> None:
    print(f"| {what} | {measured} |", flush=True)


def spread(values: list[float], unit: str, scale: float = 1.0) -> str:
    """Median, and the least and the most where there are few; p95 where there are many."""
    values = sorted(value * scale for value in values)
    middle = statistics.median(values)
    if len(values) < 20:
        return f"{middle:.2f} {unit} ({values[0]:.2f} to {values[-1]:.2f})"
    return f"{middle:.2f} {unit}, p95 {values[int(len(values) * 0.95)]:.2f} {unit}"


def eight() -> list[tuple[str, str, str]]:
    return [(name.replace("_", "-"), name, key(name)) for name in EIGHT]


def furnish(house: House, outside: Outside, instances: list[tuple[str, str, str]]) -> None:
    for name, provider, secret in instances:
        house.integrate(outside, name, provider, secret)
    until("every integration is up", 60, lambda: all(house.health().get(name) == "up" for name, _, _ in instances))


def start(bench: Bench) -> None:
    fresh = []
    for _ in range(STARTS):
        with bench.house(bench.fresh()) as house:
            fresh.append(house.program.ready_secs)
    row("start to `ready`, fresh data directory", spread(fresh, "s"))
    data, again = bench.fresh(), []
    with bench.outside(eight()) as outside:
        with bench.house(data) as house:
            furnish(house, outside, eight())
        for _ in range(STARTS):
            with bench.house(data) as house:
                again.append(house.program.ready_secs)
    row("start to `ready`, existing data, 8 integrations", spread(again, "s"))


def memory(bench: Bench) -> None:
    with bench.outside(eight()) as outside, bench.house(bench.fresh()) as house:
        furnish(house, outside, eight())
        time.sleep(IDLE_SECS)
        own, children = house.rss_kib()
    row(f"resident after {IDLE_SECS} s idle, 8 integrations", f"{own / 1024:.1f} MiB ({own * 1024 / 1e6:.1f} MB)")
    row("beside it, nats-server", f"{children / 1024:.1f} MiB")


class Crowd:
    """Callers of one route, each with a connection of its own and a call every few milliseconds."""

    def __init__(self, house: House, route: str) -> None:
        self.calls: list[tuple[float, float, int, str, str]] = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(house, route), daemon=True) for _ in range(CALLERS)]
        for thread in self.threads:
            thread.start()

    def run(self, house: House, route: str) -> None:
        caller = house.caller(f"/r/{route}{PATH}")
        while not self.over.is_set():
            begun = time.perf_counter()
            try:
                status, headers = caller.call()
            except (OSError, ValueError):
                status, headers = 0, {}
            ended = time.perf_counter()
            by = headers.get("x-signalbox-integration", "")
            self.calls.append((begun, ended, status, by, headers.get("x-signalbox-attempts", "")))
            time.sleep(max(0.0, CALL_EVERY_SECS - (ended - begun)))
        caller.close()

    def stop(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


def fail(house: House, outside: Outside, pair: tuple[str, str, str], switch: dict[str, Any]) -> dict[str, float]:
    route, main, backup = pair
    crowd = Crowd(house, route)
    try:
        time.sleep(CALM_SECS)
        before = len(crowd.calls)
        if before == 0 or any((status, by) != (200, main) for _, _, status, by, _ in crowd.calls[:before]):
            raise SystemExit(f"error: {route}: calls before the failure went wrong: {crowd.calls[:1]}")
        failed = time.perf_counter()
        outside.switch(main, switch)

        def moved() -> bool:
            return any(by == backup and attempts == "1" for _, _, _, by, attempts in crowd.calls[before:])

        until(f"{route} goes straight to its backup", AFTER_SWITCH_SECS, moved)
        # Calls that hung when the route moved end by their deadline.
        time.sleep(CALM_SECS + 1)
    finally:
        crowd.stop()
    after = [one for one in crowd.calls if one[1] > failed]
    return {
        "backup": min(ended for _, ended, status, by, _ in after if by == backup and status == 200) - failed,
        "moved": min(ended for _, ended, _, by, attempts in after if by == backup and attempts == "1") - failed,
        "longest": max(ended - begun for begun, ended, _, _, _ in after),
        "errors": sum(status != 200 for _, _, status, _, _ in after),
        "calls": len(after),
    }


def failover(bench: Bench) -> None:
    pairs = {f"{name}-{turn}": (f"r-{name}-{turn}", f"m-{name}-{turn}", f"b-{name}-{turn}")
             for name in SWITCHES for turn in range(FAILOVERS)}
    instances = [(one, "polygon", key(one)) for pair in pairs.values() for one in pair[1:]]
    with bench.outside(instances) as outside, bench.house(bench.fresh()) as house:
        furnish(house, outside, instances)
        for route, main, backup in pairs.values():
            house.api("POST", "/routes", {"id": route, "failover": True, "integrations": [main, backup]})
        routes = [house.caller(f"/r/{route}{PATH}") for route, _, _ in pairs.values()]
        until("every route answers", 30, lambda: all(caller.call()[0] == 200 for caller in routes))
        for name, switch in SWITCHES.items():
            runs = [fail(house, outside, pairs[f"{name}-{turn}"], switch) for turn in range(FAILOVERS)]
            row(f"`{name}`: failure to the first call that the backup answered",
                spread([one["backup"] for one in runs], "ms", 1000))
            row(f"`{name}`: failure to the first call straight to the backup",
                spread([one["moved"] for one in runs], "ms", 1000))
            row(f"`{name}`: longest single call", spread([one["longest"] for one in runs], "ms", 1000))
            row(f"`{name}`: callers' errors of calls after the failure",
                f"{sum(one['errors'] for one in runs):.0f} of {sum(one['calls'] for one in runs):.0f}")


def webhook(bench: Bench) -> None:
    with bench.outside([]) as outside, bench.house(bench.fresh()) as house:
        made = house.api("POST", "/webhooks", {"id": "bench", "kind": "http", "url": f"{outside.hooks}/hooks/bench"})
        ask("PUT", f"{outside.control}/targets/http/secrets/bench", {"secret": made["secret"]})
        sent: dict[int, float] = {}
        answered: list[float] = []
        # The first is not counted: it may find the worker reading its configuration.
        for number in range(-1, ALERTS):
            sent[number] = time.time()
            house.api("POST", "/alerts", {"severity": "error", "alert_type": "price", "title": f"alert number {number}",
                                          "source": "bench", "data": {"number": number}})
            answered.append(time.time() - sent[number])
            time.sleep(ALERT_EVERY_SECS if number >= 0 else CALM_SECS)

        def arrived() -> dict[int, float]:
            items = ask("GET", f"{outside.control}/targets/http/messages")["items"]
            numbers = [(one["json"]["data"]["data"].get("number"), one["at_ms"] / 1000) for one in reversed(items)]
            return {number: at for number, at in numbers if number is not None}

        until("every alert arrives", 60, lambda: len(arrived()) == ALERTS + 1)
        got = arrived()
    # The stand-in notes whole milliseconds, rounded down: half of one is added.
    took = [got[number] + 0.0005 - sent[number] for number in range(ALERTS)]
    row(f"`POST /alerts` to its arrival at the target, {ALERTS} times", spread(took, "ms", 1000))
    row("of it, until the API answered 201", spread(answered[1:], "ms", 1000))


def timed(caller: Caller) -> float:
    begun = time.perf_counter()
    status, _ = caller.call()
    took = time.perf_counter() - begun
    if status != 200:
        raise SystemExit(f"error: a call was answered with {status}")
    return took


def overhead(bench: Bench) -> None:
    one = ("poly", "polygon", key("poly"))
    with bench.outside([one]) as outside, bench.house(bench.fresh()) as house:
        furnish(house, outside, [one])
        direct = Caller(outside.base["poly"], PATH, {"authorization": f"Bearer {key('poly')}"})
        through = house.caller(f"/p/poly{PATH}")
        until("the gateway knows the integration", 30, lambda: through.call()[0] == 200)
        for _ in range(WARM_CALLS):
            timed(direct), timed(through)
        # By turns, so that whatever else the machine does meets both alike.
        pairs = [(timed(direct), timed(through)) for _ in range(CALLS)]
        row(f"direct to the stand-in, one connection, {CALLS} calls", spread([a for a, _ in pairs], "ms", 1000))
        row("through the gateway", spread([b for _, b in pairs], "ms", 1000))
        row("overhead per request (each pair's difference)", spread([b - a for a, b in pairs], "ms", 1000))
        load(house, outside)


def load(house: House, outside: Outside) -> None:
    for what, url, header in [
        ("the stand-in alone", outside.base["poly"] + PATH, f"authorization: Bearer {key('poly')}"),
        ("through the gateway", f"{house.address['gateway']}/p/poly{PATH}", f"x-signalbox-token: {house.token}"),
    ]:
        before = house.cpu_secs()
        command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{LOAD_SECS}s", "--latency", "-H", header, url]
        said = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_SECS * 3, check=True).stdout
        cpu = house.cpu_secs() - before
        requests = int(found(r"(\d+) requests in", said))
        wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
        rate = found(r"Requests/sec: +([0-9.]+)", said)
        middle, late = found(r"50% +(\S+)", said), found(r"99% +(\S+)", said)
        text = f"{rate} requests/s, p50 {middle}, p99 {late}"
        if what == "through the gateway":
            text += f", {cpu / requests * 1e6:.0f} µs of processor time per request"
        text += f", {wrong[1]} not 2xx" if wrong else ""
        row(f"{CONNECTIONS} connections, {LOAD_SECS} s, {what}", text)


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if not match:
        raise SystemExit(f"error: wrk said something else than expected:\n{text}")
    return match[1]


PARTS: dict[str, Callable[[Bench], None]] = {
    "start": start, "memory": memory, "failover": failover, "webhook": webhook, "overhead": overhead,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--binaries", type=pathlib.Path, required=True)
    parser.add_argument("--nats-server", required=True)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    if not shutil.which("wrk"):
        parser.error("wrk is not on the PATH")
    # As Ctrl-C, so that everything is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    load_before = os.getloadavg()[0]
    row("what", "measured")
    row("---", "---")
    with temporary() as directory:
        bench = Bench(args.binaries.absolute(), args.nats_server, directory)
        for name in args.parts or PARTS:
            PARTS[name](bench)
    print(f"\n{os.cpu_count()} cores; load of the machine before: {load_before:.1f}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
