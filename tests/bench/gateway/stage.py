"""The programs around the measurement: origins, nginx, HAProxy, Envoy. Starts and stops them, measures nothing.

Everything runs on the cores that this process runs on, but for the proxies: each has one process (nginx: one worker) on the
one core that is theirs alone.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import socket
import string
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from world import STOP_SECS, ask, dies_with_parent, parent, rss_kib, until

HERE = pathlib.Path(__file__).parent
KEY_HEADER, KEY = "x-api-key", "bench-key-0123456789abcdef"
# Paths of the origin's files, and their bytes.
FILES = {"/b512": 512, "/b1k": 1024, "/b64k": 64 * 1024, "/b1m": 1024 * 1024}
READY_SECS = 30
# Runs on one core for as long as nobody else wants it.
IDLER = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while True: pass
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


class Child:
    """A program that is ready when its port takes connections."""

    def __init__(self, name: str, command: list[str], directory: pathlib.Path, port: int,
                 env: dict[str, str] | None = None) -> None:
        self.name, self.log, self.port = name, directory / f"{name}.log", port
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env={**os.environ, **(env or {})},
                                          preexec_fn=dies_with_parent)  # noqa: PLW1509 (no threads run)
        try:
            until(f"{name} listens", READY_SECS, self.ready)
        except BaseException:
            self.stop()
            raise

    def ready(self) -> bool:
        if self.child.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise SystemExit(f"error: {self.name} ended with {self.child.returncode}:\n{tail}")
        return listens(self.port)

    @property
    def pid(self) -> int:
        return self.child.pid

    def send(self, number: int) -> None:
        self.child.send_signal(number)

    def stop(self) -> None:
        if self.child.poll() is not None:
            return
        self.child.send_signal(signal.SIGCONT)
        self.child.terminate()
        try:
            self.child.wait(STOP_SECS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()


def children(pid: int) -> list[int]:
    names = [entry.name for entry in pathlib.Path("/proc").iterdir() if entry.name.isdigit()]
    return [int(name) for name in names if parent(int(name)) == pid]


@dataclasses.dataclass
class Proxy:
    """Something that carries calls: where it is, what a caller must send, its processes."""

    name: str
    base: str
    headers: dict[str, str]
    program: Any

    @property
    def pids(self) -> list[int]:
        return [self.program.pid, *children(self.program.pid)]

    def rss_kib(self) -> int:
        return sum(rss_kib(pid) for pid in self.pids)

    def peak_kib(self) -> int:
        """The most that was ever resident, of all its processes together."""
        lines = [line for pid in self.pids for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


@dataclasses.dataclass
class Tools:
    """Programs, and the core of the proxies."""

    signalbox: pathlib.Path
    nginx: str
    haproxy: str
    haproxy_libraries: str
    envoy: str
    nats_server: str
    bao: str
    psql: str
    postgres: str
    core: int

    def versions(self) -> dict[str, str]:
        def said(command: list[str], env: dict[str, str] | None = None) -> str:
            run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                                 env={**os.environ, **(env or {})})
            return next((line.strip() for line in run.stdout.splitlines() if line.strip()), "")
        return {"signalbox": said([str(self.signalbox), "--version"]), "nginx": said([self.nginx, "-v"]),
                "haproxy": said([self.haproxy, "-v"], {"LD_LIBRARY_PATH": self.haproxy_libraries}),
                "envoy": said([self.envoy, "--version"]).rpartition("version: ")[2], "wrk": said(["wrk", "-v"]).partition(" Copyright")[0]}


class Stage:
    """A temporary directory, and everything that was started in it."""

    def __init__(self, tools: Tools, directory: pathlib.Path) -> None:
        self.tools, self.directory = tools, directory
        self.count = 0
        self.files = directory / "files"
        self.files.mkdir()
        for path, size in FILES.items():
            frame = '{"data":""}'
            (self.files / path[1:]).write_text(frame[:-2] + "x" * (size - len(frame)) + frame[-2:])

    def fresh(self, name: str) -> pathlib.Path:
        self.count += 1
        directory = self.directory / f"{name}-{self.count}"
        directory.mkdir()
        return directory

    def alone(self, command: list[str]) -> list[str]:
        """On the proxies' core."""
        return ["taskset", "-c", str(self.tools.core), *command]

    def fill(self, template: str, directory: pathlib.Path, **values: Any) -> pathlib.Path:
        given = {"dir": directory, "files": self.files, "key_header": KEY_HEADER, "key": KEY, **values}
        given |= {"http_key": "$http_" + KEY_HEADER.replace("-", "_"), "user": "user root;" if os.geteuid() == 0 else ""}
        text = (HERE / "conf" / template).read_text()
        file = directory / template
        file.write_text(string.Template(text).safe_substitute({name: str(value) for name, value in given.items()}))
        return file

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """No core sleeps: a program on each runs whenever nobody else wants to. On a virtual machine a core that slept takes some
        tenths of a millisecond to wake, which is the machine's and not a proxy's."""
        cores = sorted({*os.sched_getaffinity(0), self.tools.core})
        idlers: list[subprocess.Popen[bytes]] = []
        try:
            for core in cores:
                idlers.append(subprocess.Popen([sys.executable, "-c", IDLER, str(core)], stdin=subprocess.DEVNULL,
                                               preexec_fn=dies_with_parent))  # noqa: PLW1509 (no threads run)
            yield
        finally:
            for one in idlers:
                one.kill()
                one.wait()

    # === origins ===

    @contextlib.contextmanager
    def origin(self, port: int | None = None) -> Iterator[Child]:
        """Files of fixed sizes, and a place that asks for the key."""
        directory, port = self.fresh("origin"), port or free_port()
        config = self.fill("origin.conf", directory, port=port)
        child = Child("origin", [self.tools.nginx, "-p", str(directory), "-c", str(config)], directory, port)
        try:
            yield child
        finally:
            child.stop()

    @contextlib.contextmanager
    def teller(self) -> Iterator["Teller"]:
        """A provider that counts, and tells events."""
        port = free_port()
        child = Child("teller", [sys.executable, str(HERE / "origin.py"), str(port)], self.fresh("teller"), port)
        try:
            yield Teller(child)
        finally:
            child.stop()

    # === peers ===

    @contextlib.contextmanager
    def nginx(self, origin: int, teller: int = 9) -> Iterator[Proxy]:
        directory, port = self.fresh("nginx"), free_port()
        config = self.fill("nginx.conf", directory, port=port, origin_port=origin, teller_port=teller)
        command = self.alone([self.tools.nginx, "-p", str(directory), "-c", str(config)])
        yield from self.peer("nginx", command, directory, port)

    @contextlib.contextmanager
    def haproxy(self, origin: int) -> Iterator[Proxy]:
        directory, port = self.fresh("haproxy"), free_port()
        config = self.fill("haproxy.cfg", directory, port=port, origin_port=origin)
        command = self.alone([self.tools.haproxy, "-db", "-q", "-f", str(config)])
        libraries = {"LD_LIBRARY_PATH": self.tools.haproxy_libraries} if self.tools.haproxy_libraries else {}
        yield from self.peer("haproxy", command, directory, port, libraries)

    @contextlib.contextmanager
    def envoy(self, origin: int) -> Iterator[Proxy]:
        directory, port = self.fresh("envoy"), free_port()
        config = self.fill("envoy.yaml", directory, port=port, admin_port=free_port(), origin_port=origin)
        command = self.alone([self.tools.envoy, "-c", str(config), "--concurrency", "1", "--log-level", "error",
                              "--disable-hot-restart"])
        yield from self.peer("envoy", command, directory, port)

    def peer(self, name: str, command: list[str], directory: pathlib.Path, port: int,
             env: dict[str, str] | None = None) -> Iterator[Proxy]:
        child = Child(name, command, directory, port, env)
        try:
            yield Proxy(name, f"http://127.0.0.1:{port}", {}, child)
        finally:
            child.stop()


class Teller:
    """The provider that counts."""

    def __init__(self, child: Child) -> None:
        self.child, self.port = child, child.port
        self.base = f"http://127.0.0.1:{child.port}"

    def counts(self, prefix: str = "/") -> int:
        found = ask("GET", f"{self.base}/-/counts")
        return sum(number for path, number in found.items() if path.startswith(prefix))

    def forget(self) -> None:
        ask("DELETE", f"{self.base}/-/counts")


def status(url: str, headers: dict[str, str]) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=READY_SECS) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        error.read()
        return error.code
    except OSError:
        return 0


def missing(tools: Tools) -> list[str]:
    given = [str(tools.signalbox), tools.nginx, tools.haproxy, tools.envoy, tools.nats_server, tools.bao, tools.psql]
    return [one for one in [*given, "wrk", "taskset"] if not shutil.which(one)]
