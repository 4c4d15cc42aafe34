"""How it behaves under load: streams, equal misses, memory, changes, failing providers."""

import asyncio
import contextlib
import signal
import time
from typing import Any

import load
import many
from house import signalbox
from load import Turns
from many import Crowd
from plan import Bench
from report import late, middle, spread
from world import rss_kib

RETRY_RUNS = 3


def sse(bench: Bench) -> None:
    """Server-sent events: what is added to the first one, and many streams at a time without a lost one."""
    turns, warm = (50, 10) if bench.quick else (1_000, 50)
    number, events, every_ms = (200, 5, 100) if bench.quick else (2_000, 20, 500)
    with contextlib.ExitStack() as stack:
        teller = stack.enter_context(bench.stage.teller())
        nginx = stack.enter_context(bench.stage.nginx(teller.port, teller.port))
        house = stack.enter_context(signalbox(bench.stage))
        house.integrate("teller", teller.base)
        house.route("teller", ["teller"])
        house.answers("/r/teller/ok/x")
        bases = {"direct": (teller.base, {}), "nginx": (nginx.base, {}),
                 "signalbox": (house.proxy("", "/r/teller").base, house.headers)}
        for cores, keep in bench.cores():
            with keep:
                rows = added_to_first_event(cores, bases, turns, warm)
            bench.report.table("sse", list(rows[0]), rows)
        rows = []
        for name, (base, headers) in bases.items():
            found = asyncio.run(many.streams(f"{base}/events", headers, number, events, every_ms))
            rows.append({"through": name, "streams": number, "events each": events, "every ms": every_ms, "whole": found.whole,
                         "broken": found.broken, "lost events": found.lost,
                         "delay p50 ms": middle(found.delays) * 1e3, "delay p99 ms": late(found.delays) * 1e3})
        bench.report.table("sse", list(rows[0]), rows)


def added_to_first_event(cores: str, bases: dict[str, tuple[str, dict[str, str]]], turns: int, warm: int) -> list[dict[str, Any]]:
    callers = {name: Turns(f"{base}/events?n=3&every_ms=1", headers) for name, (base, headers) in bases.items()}
    firsts: dict[str, list[float]] = {name: [] for name in callers}
    for turn in range(warm + turns):
        for name, caller in callers.items():
            took = caller.first_event()
            if turn >= warm:
                firsts[name].append(took)
    for caller in callers.values():
        caller.close()
    alone = firsts.pop("direct")
    rows = [{"cores": cores, "stream": "direct, first event", **spread(alone)}]
    for name, through in firsts.items():
        added = [took - before for before, took in zip(alone, through, strict=True)]
        rows.append({"cores": cores, "stream": f"added by {name}", **spread(added)})
    return rows


def coalesce(bench: Bench) -> None:
    """Equal misses at the same time: how many calls the provider sees."""
    number = 100 if bench.quick else 1_000
    rows = []
    with bench.stage.teller() as teller, signalbox(bench.stage) as house:
        house.integrate("slow", teller.base)
        house.route("slow", ["slow"], cache={"ttl_secs": 60})
        house.answers("/r/slow/ok/x")
        for turn in range(bench.rounds):
            teller.forget()
            url = house.proxy("", "/r/slow").base + f"/slow/{turn}"
            answers = asyncio.run(many.at_once(url, house.headers, number))
            words = sorted({word for _, word in answers})
            rows.append({"calls at once": number, "calls to the provider": teller.counts("/slow/"),
                         "answered 200": sum(status == 200 for status, _ in answers),
                         "cache": ", ".join(f"{word or 'none'} {sum(one == word for _, one in answers)}" for word in words)})
    bench.report.table("coalesce", list(rows[0]), rows)


def memory(bench: Bench) -> None:
    """Resident memory of a fresh gateway: idle, after large bodies, and some time later."""
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(bench.stage.origin())
        peers = [stack.enter_context(one) for one in (bench.stage.nginx(origin.port), bench.stage.haproxy(origin.port),
                                                      bench.stage.envoy(origin.port))]
        house = stack.enter_context(signalbox(bench.stage))
        house.everything(origin.port)
        time.sleep(1 if bench.quick else 30)
        # Without the cache, which keeps what it is there to keep.
        jobs = [*peers, house.proxy("signalbox gateway", "/p/bare")]
        idle = [job.rss_kib() / 1024 for job in jobs]
        rows: list[dict[str, Any]] = [{"process": job.name, "idle MiB": mib} for job, mib in zip(jobs, idle, strict=True)]
        for job, row in zip(jobs, rows, strict=True):
            # Answers of 64 KiB and of 1 MiB, and bodies of 1 MiB upwards.
            for path, connections, body_bytes in (("/b64k", 512, 0), ("/b1m", 64, 0), ("/sink", 64, 1024 * 1024)):
                run = load.wrk(job.base + path, job.headers, connections, bench.secs, job.pids, body_bytes=body_bytes)
                if not run.valid:
                    bench.report.note("memory", f"{job.name} under {path}, {connections} connections: {run.faults}")
            row["most ever MiB"] = job.peak_kib() / 1024
        time.sleep(bench.settle_secs)
        for job, row, mib in zip(jobs, rows, idle, strict=True):
            row[f"{bench.settle_secs:.0f} s later MiB"] = job.rss_kib() / 1024
            row["to idle"] = job.rss_kib() / 1024 / mib
        bench.report.table("memory", list(rows[0]), rows)
        others = rss_kib(house.api_program.pid) / 1024
        bench.report.note("memory", f"all other roles of Signalbox, in one process beside it: {others:.1f} MiB")
        bench.report.note("memory", "a sum over processes counts what they share more than once (nginx: master and worker)")


def changes(bench: Bench) -> None:
    """Changes of an integration under load. The provider answers 401 to a call without the right key."""
    number = 50 if bench.quick else 1_000
    with bench.stage.origin() as origin, signalbox(bench.stage) as house:
        house.integrate("bare", f"http://127.0.0.1:{origin.port}/checked")
        house.route("all", ["bare"])
        for path in ("/p/bare/b1k", "/r/all/b1k"):
            house.answers(path)
        proxy = house.proxy("", "/r/all")
        running = load.start_wrk(proxy.base + "/b1k", proxy.headers, 64, 3600)
        refused, begun = 0, time.monotonic()
        try:
            for turn in range(number):
                body: dict[str, Any] = {"headers": {"x-turn": str(turn)}, "labels": {"turn": str(turn)}}
                refused += house.patch("/integrations/bare", body) != 200
            took = time.monotonic() - begun
            # The last change must be seen by calls too.
            time.sleep(1)
        finally:
            # As Ctrl-C: wrk ends its run and says what it counted.
            running.send_signal(signal.SIGINT)
            said = load.end_wrk(running, 0)
    row = {"changes": number, "not accepted": refused, "changes/s": number / took, "calls": said["requests"]}
    row |= {name: said[name] for name in ("not_2xx", "refused", "broken", "late")}
    row |= {"p50 µs": said["p50_us"], "p99 µs": said["p99_us"]}
    bench.report.table("changes", list(row), [row])


def retries(bench: Bench) -> None:
    """Every provider fails: calls that providers see for each call of a caller."""
    rows = []
    for connections in (1, 16):
        with bench.stage.teller() as teller, signalbox(bench.stage) as house:
            for name in ("a", "b", "c"):
                house.integrate(name, f"{teller.base}/fail/{name}", retry={"attempts": 3, "backoff_ms": 10},
                                probe={"path": "/probe", "every_secs": 5})
            house.route("failing", ["a", "b"])
            # One that fails alone, called without a route.
            for what, path, prefixes in (("route with two members", "/r/failing/x", ("/fail/a/x", "/fail/b/x")),
                                         ("integration, 3 attempts", "/p/c/x", ("/fail/c/x",))):
                house.answers(path, (502, 503, 504))
                teller.forget()
                proxy = house.proxy("", path)
                # Long enough that what a budget of retries begins with is used up.
                secs = RETRY_RUNS * bench.secs
                said = load.end_wrk(load.start_wrk(proxy.base, proxy.headers, connections, secs), secs)
                outgoing = [teller.counts(prefix) for prefix in prefixes]
                calls = max(1, said["requests"])
                rows.append({"what": what, "connections": connections, "calls": said["requests"],
                             "calls/s": said["requests"] / said["secs"], "to providers": sum(outgoing),
                             "to all per call": sum(outgoing) / calls, "to the most asked per call": max(outgoing) / calls})
    bench.report.table("retries", list(rows[0]), rows)
    bench.report.note("retries", "a call under way when wrk ends is seen by the provider and not counted by wrk")


def outage(bench: Bench) -> None:
    """A provider is away while callers call its route through two gateways: what they see."""
    secs = 4 if bench.quick else 20
    rows = []
    for kind in ("refuses", "hangs"):
        with contextlib.ExitStack() as stack:
            first, second = stack.enter_context(bench.stage.origin()), stack.enter_context(bench.stage.origin())
            house = stack.enter_context(signalbox(bench.stage, gateways=2))
            for name, origin in (("main", first), ("backup", second)):
                house.integrate(name, f"http://127.0.0.1:{origin.port}", timeout_ms=3000,
                                probe={"path": "/probe", "every_secs": 5, "timeout_ms": 2000})
            house.route("watched", ["main", "backup"])
            house.answers("/r/watched/b1k")
            crowds = [Crowd(house.proxy("", "/r/watched/b1k", turn).base, house.headers, 8, 0.002) for turn in range(2)]
            away = asyncio.run(fail(crowds, first, kind, secs))
        rows += [seen(kind, turn, crowd, away) for turn, crowd in enumerate(crowds)]
        moved = [row["first call straight to the backup ms"] for row in rows[-2:]]
        if None not in moved:
            bench.report.note("outage", f"{kind}: the gateways left the provider {abs(moved[0] - moved[1]):.0f} ms apart")
    bench.report.table("outage", list(rows[0]), rows)


async def fail(crowds: list[Crowd], origin: Any, kind: str, secs: float) -> tuple[float, float]:
    """When the provider went away, and when it was looked at last."""
    async with contextlib.AsyncExitStack() as stack:
        for crowd in crowds:
            await stack.enter_async_context(crowd.calling())
        await asyncio.sleep(2)
        begun = time.perf_counter()
        if kind == "refuses":
            origin.kill()
        else:
            origin.send(signal.SIGSTOP)
        await asyncio.sleep(secs)
        return begun, time.perf_counter()


def seen(kind: str, turn: int, crowd: Crowd, away: tuple[float, float]) -> dict[str, Any]:
    calls = [one for one in crowd.calls if one.ended > away[0] and one.begun < away[1]]
    wrong = sum(one.status != 200 for one in calls)
    backup = [one for one in calls if one.by == "backup" and one.status == 200]
    straight = [one.ended for one in backup if one.attempts == "1"]
    early = sum(one.status != 200 for one in crowd.calls if one.ended <= away[0])
    return {"provider": kind, "gateway": turn + 1, "calls": len(calls), "errors": wrong,
            "errors %": 100 * wrong / max(1, len(calls)), "errors before": early,
            "first answer of the backup ms": (min(one.ended for one in backup) - away[0]) * 1e3 if backup else None,
            "first call straight to the backup ms": (min(straight) - away[0]) * 1e3 if straight else None,
            "longest call ms": max((one.ended - one.begun for one in calls), default=0.0) * 1e3}
