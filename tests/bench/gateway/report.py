"""What was measured: tables on standard output, all of it as JSON in a file. Judges nothing."""

import json
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

from load import Load


def middle(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


def late(values: Sequence[float]) -> float:
    """p99."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] if ordered else 0.0


def spread(secs: Sequence[float]) -> dict[str, float]:
    """Times as a row has them."""
    return {"p50 µs": middle(secs) * 1e6, "p99 µs": late(secs) * 1e6}


class Report:
    """Tables by part. What makes a figure doubtful stands below its table."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, Any]] = {}

    def begin(self, part: str) -> None:
        self.parts[part] = {"tables": [], "notes": []}
        print(f"\n## {part}\n", flush=True)

    def table(self, part: str, columns: list[str], rows: list[dict[str, Any]]) -> None:
        """Rows as they go into the JSON; a column is shown under its own name."""
        self.parts[part]["tables"].append(rows)
        print("| " + " | ".join(columns) + " |")
        print("| " + " | ".join("---" for _ in columns) + " |")
        for row in rows:
            print("| " + " | ".join(shown(row.get(column)) for column in columns) + " |")
        print(flush=True)

    def note(self, part: str, text: str) -> None:
        self.parts[part]["notes"].append(text)
        print(f"* {text}\n", flush=True)

    def write(self, file: pathlib.Path, about: dict[str, Any]) -> None:
        file.write_text(json.dumps({**about, "parts": self.parts}, indent=1) + "\n")


def shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return str(value)


class Rounds:
    """Runs of several jobs by turns. A run with an error does not count, and is said."""

    def __init__(self, report: Report, part: str) -> None:
        self.report, self.part = report, part
        self.kept: dict[str, list[Load]] = {}
        self.all: dict[str, list[Load]] = {}

    def take(self, name: str, load: Load) -> None:
        self.all.setdefault(name, []).append(load)
        self.kept.setdefault(name, [])
        if load.valid:
            self.kept[name].append(load)

    def rows(self, fixed: dict[str, Any], against: str = "nginx") -> list[dict[str, Any]]:
        """Medians of the valid rounds, with their ratios to one of the jobs."""
        base = self.kept.get(against, [])
        base_cpu, base_p99 = (middle([one.cpu_us for one in base]), middle([one.p99_us for one in base]))
        rows = []
        for name, loads in self.kept.items():
            for number, one in enumerate(self.all[name]):
                if not one.valid:
                    where = ", ".join(f"{value}" for value in fixed.values())
                    self.report.note(self.part, f"round {number + 1} of {name} ({where}) is invalid: {one.faults}")
            cpu, p99 = middle([one.cpu_us for one in loads]), middle([one.p99_us for one in loads])
            rows.append({
                **fixed, "job": name, "rounds": len(loads), "requests/s": middle([one.rate for one in loads]),
                "CPU µs/request": cpu, f"CPU to {against}": cpu / base_cpu if base_cpu else None,
                "core busy": f"{middle([one.busy for one in loads]) * 100:.0f} %",
                "p50 µs": middle([one.p50_us for one in loads]), "p99 µs": p99,
                f"p99 to {against}": p99 / base_p99 if base_p99 else None,
                "each CPU µs/request": [round(one.cpu_us, 2) for one in loads],
            })
        return rows


COLUMNS = ["job", "rounds", "requests/s", "CPU µs/request", "CPU to nginx", "core busy", "p50 µs", "p99 µs", "p99 to nginx"]
