"""Load and what it costs: wrk, one caller by turns, processor time. Starts no server."""

import dataclasses
import itertools
import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.parse
from typing import Any

from world import Caller, stat

HERE = pathlib.Path(__file__).parent
SCRIPT = HERE / "conf" / "load.lua"
# wrk counts an answer as late after this time.
LATE_SECS = 10
CONNECT_SECS = 10


@dataclasses.dataclass
class Load:
    """One run of wrk, and the processor time that some processes used meanwhile."""

    requests: int
    secs: float
    p50_us: float
    p99_us: float
    wrong: dict[str, int]
    cpu_secs: float

    @property
    def rate(self) -> float:
        return self.requests / self.secs

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time per request."""
        return self.cpu_secs / self.requests * 1e6 if self.requests else 0.0

    @property
    def busy(self) -> float:
        """Share of one core."""
        return self.cpu_secs / self.secs

    @property
    def faults(self) -> str:
        """What went wrong, in words; nothing when nothing did."""
        if not self.requests:
            return "no call was answered"
        return ", ".join(f"{count} {word}" for word, count in self.wrong.items() if count)

    @property
    def valid(self) -> bool:
        return not self.faults


def cpu_secs(pids: list[int]) -> float:
    """User and system time of processes with all their threads, in steps of 10 ms."""
    fields = [stat(pid) for pid in pids]
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")


_numbers = 0


def start_wrk(url: str, headers: dict[str, str], connections: int, secs: float, same: bool = False,
              body_bytes: int = 0, pause_ms: int = 0) -> subprocess.Popen[str]:
    """Starts wrk. Each request has a query of its own, but for `same`. Where there is a pause, each connection makes one before
    each of its requests: about that long."""
    global _numbers
    _numbers += 1
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{max(1, round(secs))}s", "--timeout", f"{LATE_SECS}s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    # Ten million numbers for each run; none is used twice.
    command += ["-s", str(SCRIPT), url, "--", "-" if same else str(_numbers * 10_000_000), str(pause_ms)]
    command += ["POST", str(body_bytes)] if body_bytes else []
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end_wrk(wrk: subprocess.Popen[str], secs: float) -> dict[str, Any]:
    try:
        said, _ = wrk.communicate(timeout=secs + 3 * LATE_SECS)
    except BaseException:
        wrk.kill()
        wrk.wait()
        raise
    for line in said.splitlines():
        if line.startswith("said "):
            return json.loads(line.removeprefix("said "))
    raise SystemExit(f"error: wrk said something else than expected:\n{said}")


def wrk(url: str, headers: dict[str, str], connections: int, secs: float, pids: list[int], same: bool = False,
        body_bytes: int = 0, pause_ms: int = 0) -> Load:
    before = cpu_secs(pids)
    said = end_wrk(start_wrk(url, headers, connections, secs, same, body_bytes, pause_ms), secs)
    used = cpu_secs(pids) - before
    wrong = {name: said[name] for name in ("refused", "broken", "late", "not_2xx")}
    return Load(said["requests"], said["secs"], said["p50_us"], said["p99_us"], wrong, used)


# Of all callers by turns: none of their queries is asked twice, or a cache would have the answer.
_turns = itertools.count()


class Turns(Caller):
    """One kept connection whose GET has another query each time."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        parts = urllib.parse.urlsplit(url)
        query = f"?{parts.query}&turn=@" if parts.query else "?turn=@"
        super().__init__(f"{parts.scheme}://{parts.netloc}", parts.path + query, headers)
        self.head, self.tail = self.request.split(b"@", 1)

    def timed(self) -> float:
        """Seconds of one call; an answer that is not 200 ends the run."""
        self.request = self.head + str(next(_turns)).encode() + self.tail
        begun = time.perf_counter()
        status, _ = self.call()
        took = time.perf_counter() - begun
        if status != 200:
            raise SystemExit(f"error: a call was answered with {status}")
        return took

    def first_event(self) -> float:
        """Seconds until the first event of a stream, which is then read to its end."""
        if self.socket is None:
            self.connect()
        assert self.socket
        begun = time.perf_counter()
        self.socket.sendall(self.request)
        text, first = b"", 0.0
        while not text.endswith(b"0\r\n\r\n"):
            part = self.socket.recv(65536)
            if not part:
                raise SystemExit("error: a stream broke off")
            text += part
            if not first and b"data: 0 " in text:
                first = time.perf_counter() - begun
        if not text.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"error: a stream was answered with {text[:60]!r}")
        return first

    def connect(self) -> None:
        # As `Caller` does at its first call.
        self.socket = socket.create_connection(self.peer, CONNECT_SECS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
