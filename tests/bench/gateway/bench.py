#!/usr/bin/env python3
"""Measures the gateway side by side with nginx, HAProxy and Envoy. Prints tables; no figure is asserted.

    bench.py --signalbox FILE --nginx FILE … [--quick] [--out FILE] [PART…]
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import resource
import signal
import sys
from collections.abc import Callable

# What starts and asks programs is shared with the benchmarks of the whole.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import behaviour
import speed
from plan import Bench
from report import Report
from stage import Stage, Tools, missing
from world import temporary

FILES_MAX = 65_536


def parts() -> dict[str, Callable[[Bench], None]]:
    all_parts = [speed.throughput, speed.paced, speed.latency, speed.cache, speed.scale, behaviour.sse, behaviour.coalesce,
                 behaviour.memory, behaviour.changes, behaviour.retries, behaviour.outage]
    return {part.__name__: part for part in all_parts}


def machine() -> dict[str, object]:
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    model = next((line.partition(":")[2].strip() for line in cpu.splitlines() if line.startswith("model name")), "")
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "load before": os.getloadavg()[0]}


def arguments(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for tool in dataclasses.fields(Tools):
        parser.add_argument(f"--{tool.name.replace('_', '-')}", required=tool.name != "haproxy_libraries", default="",
                            type={"signalbox": pathlib.Path, "core": int}.get(tool.name, str), help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds; its figures say nothing")
    parser.add_argument("--secs", type=float, help="seconds of one run of wrk (5; quick: 1)")
    parser.add_argument("--rounds", type=int, help="rounds of each job (3; quick: 1)")
    parser.add_argument("--settle", type=float, help="seconds from the large bodies to the last look at memory (120; quick: 3)")
    parser.add_argument("--out", type=pathlib.Path, help="a file for the figures as JSON")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(names))
    args = parser.parse_args()
    if unknown := set(args.parts) - set(names):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    return args


def either(given: float | None, quick: bool, short: float, usual: float) -> float:
    return given if given is not None else short if quick else usual


def main() -> None:
    known = parts()
    args = arguments(list(known))
    tools = Tools(**{one.name: getattr(args, one.name) for one in dataclasses.fields(Tools)})
    if gone := missing(tools):
        raise SystemExit(f"error: not found: {', '.join(gone)}")
    # Both end with everything stopped, also where the shell that started this lets its children ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    # What the caller's shell sets for Signalbox is not for the one that is measured.
    for name in [name for name in os.environ if name.startswith(("SIGNALBOX_", "NATS_", "VAULT_", "DATABASE_"))]:
        del os.environ[name]
    about = {"machine": machine(), "versions": tools.versions(), "quick": args.quick, "proxies on core": tools.core,
             "all else on cores": sorted(os.sched_getaffinity(0))}
    print("\n".join(f"* {name}: {value if isinstance(value, str) else json.dumps(value)}" for name, value in about.items()))
    report, failed = Report(), []
    with temporary() as directory:
        bench = Bench(Stage(tools, directory), report, args.quick, either(args.secs, args.quick, 1.0, 5.0),
                      int(either(args.rounds, args.quick, 1, 3)), either(args.settle, args.quick, 3.0, 120.0))
        about |= {"seconds of a run": bench.secs, "rounds": bench.rounds}
        for name in args.parts or known:
            report.begin(name)
            try:
                known[name](bench)
            except (SystemExit, OSError, ValueError, AssertionError, TimeoutError) as error:
                # The other parts can still be measured.
                failed.append(name)
                report.note(name, f"this part could not be measured: {error}")
            if args.out:
                report.write(args.out, about)
    print(f"\nload of the machine: {about['machine']['load before']:.1f} before, {os.getloadavg()[0]:.1f} after")
    if failed:
        raise SystemExit(f"error: not measured: {', '.join(failed)}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
