"""How fast, and for how much processor time: side by side with nginx, HAProxy and Envoy."""

import contextlib
import time
from typing import Any

import load
from house import House, signalbox
from load import Turns
from plan import Bench
from report import COLUMNS, Rounds, spread
from stage import Proxy, Stage, status
from world import until

SIZES = {"0.5 KiB": "/b512", "1 KiB": "/b1k", "64 KiB": "/b64k"}
WARM_SECS = 1
SCALE_INTEGRATIONS, SCALE_ROUTES = 1_000, 10_000
SCALE_SECS = 120
# A proxy is quiet when it uses less than this share of its core, so many seconds in a row.
QUIET_SHARE, QUIET_SECS, QUIET_SECS_MAX = 0.03, 3, 120


def peers(stage: Stage, stack: contextlib.ExitStack, origin: int) -> list[Proxy]:
    return [stack.enter_context(one) for one in (stage.nginx(origin), stage.haproxy(origin), stage.envoy(origin))]


def prove(origin: int, jobs: list[Proxy]) -> None:
    """That everybody does the job: brings the key, and that "everything" is a miss of the cache each time."""
    path = "/checked/b1k"
    if status(f"http://127.0.0.1:{origin}{path}", {}) != 401:
        raise SystemExit("error: the origin answers without the key")
    for job in jobs:
        if (found := status(job.base + path, job.headers)) != 200:
            raise SystemExit(f"error: {job.name} does not bring the key: the origin's answer is {found}")
        if job.name == "signalbox everything":
            caller = load.Caller(job.base, f"{path}?n=never-before", job.headers)
            word = caller.call()[1].get("x-signalbox-cache")
            caller.close()
            if word != "miss":
                raise SystemExit(f"error: {job.name} is no miss of the cache but {word}")


def everybody(bench: Bench, stack: contextlib.ExitStack) -> tuple[int, list[Proxy]]:
    """The peers and both jobs of Signalbox, proven, before one origin: its port, and all of them."""
    origin = stack.enter_context(bench.stage.origin())
    others = peers(bench.stage, stack, origin.port)
    house = stack.enter_context(signalbox(bench.stage))
    house.everything(origin.port)
    jobs = others + house.jobs()
    prove(origin.port, jobs)
    return origin.port, jobs


def quiet(bench: Bench, part: str, job: Proxy) -> None:
    """Waits until what a change of configuration brought is done."""
    calm, deadline = 0, time.monotonic() + QUIET_SECS_MAX
    while calm < QUIET_SECS:
        before = load.cpu_secs(job.pids)
        time.sleep(1)
        calm = calm + 1 if load.cpu_secs(job.pids) - before <= QUIET_SHARE else 0
        if time.monotonic() > deadline:
            bench.report.note(part, f"{job.name} was not quiet after {QUIET_SECS_MAX} s")
            return


def by_turns(bench: Bench, rounds: Rounds, jobs: list[tuple[Proxy, str, dict[str, Any]]], connections: int) -> None:
    """Each job once to warm up, then all of them by turns: A B C, A B C, A B C."""
    for proxy, path, more in jobs:
        load.wrk(proxy.base + path, proxy.headers, connections, WARM_SECS, proxy.pids, **more)
    for _ in range(bench.rounds):
        for proxy, path, more in jobs:
            rounds.take(proxy.name, load.wrk(proxy.base + path, proxy.headers, connections, bench.secs, proxy.pids, **more))


def throughput(bench: Bench) -> None:
    """The same job for everybody, and Signalbox's with everything on."""
    sizes = {"1 KiB": SIZES["1 KiB"]} if bench.quick else SIZES
    with contextlib.ExitStack() as stack:
        _, jobs = everybody(bench, stack)
        quiet(bench, "throughput", jobs[-1])
        started = {job.name: job.rss_kib() for job in jobs}
        for size, path in sizes.items():
            for connections in (1, 64) if bench.quick else (1, 64, 512):
                rounds = Rounds(bench.report, "throughput")
                by_turns(bench, rounds, [(job, path, {}) for job in jobs], connections)
                fixed = {"body": size, "connections": connections}
                bench.report.table("throughput", [*fixed, *COLUMNS], rounds.rows(fixed))
        rows = [{"job": job.name, "RSS at start MiB": started[job.name] / 1024, "RSS after MiB": job.rss_kib() / 1024}
                for job in jobs if job.name != "signalbox everything"]
        bench.report.table("throughput", list(rows[0]), rows)


def paced(bench: Bench) -> None:
    """The same number of calls a second for everybody, well below what each can do: tails without anybody's queue."""
    with contextlib.ExitStack() as stack:
        _, jobs = everybody(bench, stack)
        quiet(bench, "paced", jobs[-1])
        for pause_ms in (16, 8, 4):
            rounds = Rounds(bench.report, "paced")
            by_turns(bench, rounds, [(job, SIZES["1 KiB"], {"pause_ms": pause_ms}) for job in jobs], 64)
            fixed = {"pause ms": pause_ms}
            bench.report.table("paced", [*fixed, *COLUMNS], rounds.rows(fixed))


def latency(bench: Bench) -> None:
    """What each adds to a call at one connection: pairs of a direct call and one through it, by turns."""
    with contextlib.ExitStack() as stack:
        origin, jobs = everybody(bench, stack)
        for cores, keep in bench.cores():
            with keep:
                rows = added_to_a_call(bench, cores, origin, jobs)
            bench.report.table("latency", list(rows[0]), rows)


def added_to_a_call(bench: Bench, cores: str, origin: int, jobs: list[Proxy]) -> list[dict[str, Any]]:
    turns, warm = (200, 50) if bench.quick else (5_000, 500)
    path = SIZES["1 KiB"]
    direct = Turns(f"http://127.0.0.1:{origin}{path}", {})
    through = {job.name: Turns(job.base + path, job.headers) for job in jobs}
    for _ in range(warm):
        direct.timed()
        for one in through.values():
            one.timed()
    alone: list[float] = []
    added: dict[str, list[float]] = {name: [] for name in through}
    for _ in range(turns):
        for name, one in through.items():
            before = direct.timed()
            alone.append(before)
            added[name].append(one.timed() - before)
    for caller in (direct, *through.values()):
        caller.close()
    rows = [{"cores": cores, "job": "direct", **spread(alone)}]
    return rows + [{"cores": cores, "job": f"added by {name}", **spread(values)} for name, values in added.items()]


def cache(bench: Bench) -> None:
    """Answers from the gateway's cache beside nginx's proxied ones: 1 KiB, 64 connections, the same request always."""
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(bench.stage.origin())
        nginx = stack.enter_context(bench.stage.nginx(origin.port))
        house = stack.enter_context(signalbox(bench.stage))
        house.integrate("kept", f"http://127.0.0.1:{origin.port}")
        house.route("kept", ["kept"], cache={"ttl_secs": 3600})
        house.answers("/r/kept/b1k")
        hits = house.proxy("signalbox cache hit", "/r/kept")
        caller = load.Caller(hits.base, SIZES["1 KiB"], hits.headers)
        until("the answer is kept", 10, lambda: caller.call()[1].get("x-signalbox-cache") == "hit")
        caller.close()
        rounds = Rounds(bench.report, "cache")
        by_turns(bench, rounds, [(nginx, SIZES["1 KiB"], {"same": True}), (hits, SIZES["1 KiB"], {"same": True})], 64)
        bench.report.table("cache", COLUMNS, rounds.rows({}))


def scale(bench: Bench) -> None:
    """One integration and one route, then thousands: the same call's processor time, each time beside nginx."""
    integrations, routes = (50, 500) if bench.quick else (SCALE_INTEGRATIONS, SCALE_ROUTES)
    path = SIZES["1 KiB"]
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(bench.stage.origin())
        nginx = stack.enter_context(bench.stage.nginx(origin.port))
        house = stack.enter_context(signalbox(bench.stage))
        house.everything(origin.port)
        found: dict[str, list[dict[str, Any]]] = {}
        few = "few: 3 integrations, 1 route"
        many = f"many: {integrations} integrations, {routes} routes"
        for when in (few, many):
            route = "all"
            if when == many:
                multiply(house, integrations, routes)
                route = f"r-{routes // 2}"
                wait_for(house, f"/r/{route}{path}")
            jobs = [nginx, house.proxy("signalbox bare", "/p/bare"), house.proxy("signalbox everything", f"/r/{route}")]
            quiet(bench, "scale", jobs[1])
            rounds = Rounds(bench.report, "scale")
            by_turns(bench, rounds, [(job, path, {}) for job in jobs], 64)
            found[when] = rounds.rows({"configuration": when})
            bench.report.table("scale", ["configuration", *COLUMNS], found[when])
        rows = []
        for before, after in zip(found[few], found[many], strict=True):
            cpu, drift = after["CPU µs/request"], before["CPU µs/request"]
            if cpu and drift:
                rows.append({"job": before["job"], "CPU many to few": cpu / drift,
                             "the same, relative to nginx": after["CPU to nginx"] / before["CPU to nginx"]
                             if before["CPU to nginx"] and after["CPU to nginx"] else None})
        bench.report.table("scale", ["job", "CPU many to few", "the same, relative to nginx"], rows)


def multiply(house: House, integrations: int, routes: int) -> None:
    """Copies an integration and a route in the database: thousands of calls of the API would take many minutes."""
    house.sql(f"""
        BEGIN;
        UPDATE meta SET revision = revision + 1;
        INSERT INTO documents (kind, id, body, revision, created_at, updated_at)
            SELECT kind, 'i-' || n, (body::jsonb || jsonb_build_object('id', 'i-' || n))::text,
                (SELECT revision FROM meta), created_at, updated_at
            FROM documents, generate_series(1, {integrations}) n WHERE kind = 'integration' AND id = 'one';
        INSERT INTO documents (kind, id, body, revision, created_at, updated_at)
            SELECT kind, 'r-' || n, (body::jsonb || jsonb_build_object('id', 'r-' || n, 'integrations',
                jsonb_build_array('i-' || 1 + n % {integrations}, 'i-' || 1 + (n + 1) % {integrations})))::text,
                (SELECT revision FROM meta), created_at, updated_at
            FROM documents, generate_series(1, {routes}) n WHERE kind = 'route' AND id = 'all';
        COMMIT;
    """)


def wait_for(house: House, path: str) -> None:
    url = house.proxy("", path).base
    until("the gateway has the large configuration", SCALE_SECS, lambda: status(url, house.headers) == 200)
