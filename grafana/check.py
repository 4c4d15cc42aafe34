#!/usr/bin/env python3
"""Checks dashboards against a running Prometheus: every query of every panel must return data, and be well-formed.

    check.py http://127.0.0.1:9090 [FILE…]        default: every file below dashboards/

Puts what Grafana would put for the variables: everything for `$job`, `$instance` and the others, 5m for `$__rate_interval`.
Prints one line per query that fails; ends with 1 when there is one. Needs nothing but Python 3.
"""

import json
import math
import pathlib
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

ANSWER_SECS = 10
TEXTS = ("title", "description", "type")


def flat(panels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in panels:
        if panel["type"] != "row":
            yield panel
        yield from flat(panel.get("panels", []))


def asked(expr: str) -> str:
    return re.sub(r"\$\{?\w+\}?", ".+", expr.replace("$__rate_interval", "5m"))


def ask(prometheus: str, expr: str) -> str | None:
    """What is wrong with a query's answer; nothing when it has data."""
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECS) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error).get("error", str(error))
    if found.get("warnings"):
        return f"warns: {found['warnings']}"
    values = [float(series["value"][1]) for series in found["data"]["result"]]
    if not values:
        return "no data"
    return "only NaN" if all(math.isnan(value) for value in values) else None


def faults(board: dict[str, Any], prometheus: str) -> Iterator[str]:
    seen: set[int] = set()
    for panel in flat(board["panels"]):
        name = f"{board['uid']} / {panel.get('title', '?')}"
        if panel["id"] in seen:
            yield f"{name}: the id {panel['id']} is used twice"
        seen.add(panel["id"])
        yield from (f"{name}: no {text}" for text in TEXTS if not panel.get(text))
        if not panel["fieldConfig"]["defaults"].get("unit"):
            yield f"{name}: no unit"
        if not panel.get("targets"):
            yield f"{name}: no query"
        for target in panel.get("targets", []):
            if target["datasource"]["uid"] != "$datasource":
                yield f"{name}: a query without $datasource"
            if 'job=~"$job", instance=~"$instance"' not in target["expr"]:
                yield f"{name}: a query without $job and $instance"
            if wrong := ask(prometheus, asked(target["expr"])):
                yield f"{name}: {wrong}: {asked(target['expr'])}"


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    here = pathlib.Path(__file__).parent
    files = [pathlib.Path(name) for name in sys.argv[2:]] or sorted((here / "dashboards").rglob("*.json"))
    wrong = [fault for file in files for fault in faults(json.loads(file.read_text()), sys.argv[1].rstrip("/"))]
    print(*wrong, sep="\n") if wrong else print(f"{len(files)} dashboard(s): every query returns data")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
