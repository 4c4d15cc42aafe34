"""The programs under measurement: starts and stops them, asks them over HTTP, reads what they use. Measures nothing itself."""

import contextlib
import ctypes
import json
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

READY_SECS = 60
STOP_SECS = 20
ANSWER_SECS = 30
HEAD_BYTES_MAX = 64 * 1024
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def dies_with_parent() -> None:
    """In a child before its program runs: SIGTERM when this process dies, whatever it dies of."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Program:
    """A child that says `ready` on its standard output."""

    def __init__(self, name: str, command: list[str], directory: pathlib.Path, env: dict[str, str]) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        begun = time.perf_counter()
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
                env={**os.environ, **env}, preexec_fn=dies_with_parent,  # noqa: PLW1509 (no threads run yet)
            )
        self.lines: list[str] = []
        timer = threading.Timer(READY_SECS, self.child.kill)
        timer.start()
        try:
            assert self.child.stdout
            for line in self.child.stdout:
                self.lines.append(line.rstrip("\n"))
                if line.startswith("ready"):
                    self.ready_secs = time.perf_counter() - begun
                    return
        finally:
            timer.cancel()
        tail = self.log.read_text(errors="replace")[-2000:]
        raise SystemExit(f"error: {name} ended with {self.child.wait()} before it was ready:\n{tail}")

    @property
    def pid(self) -> int:
        return self.child.pid

    def stop(self) -> None:
        """In order; by force when that takes too long."""
        if self.child.poll() is not None:
            return
        self.child.send_signal(signal.SIGINT)
        try:
            self.child.wait(STOP_SECS)
        except subprocess.TimeoutExpired:
            print(f"   {self.name} did not stop within {STOP_SECS} s, and is killed")
            self.child.kill()
            self.child.wait()


class Bench:
    """Where the binaries are, and a temporary directory for everything."""

    def __init__(self, binaries: pathlib.Path, nats_server: str, directory: pathlib.Path) -> None:
        self.binaries, self.nats_server, self.directory = binaries, nats_server, directory
        self.token = "bench-" + secrets.token_urlsafe(32)
        self.count = 0

    def fresh(self) -> pathlib.Path:
        self.count += 1
        return self.directory / f"data-{self.count}"

    @contextlib.contextmanager
    def house(self, data: pathlib.Path) -> Iterator["House"]:
        """`signalbox up` on a data directory, with every switch at its default but addresses and the open loopback."""
        any_port = "127.0.0.1:0"
        command = [str(self.binaries / "signalbox"), "up", "--data-dir", str(data), "--nats-port", "0",
                   "--api-addr", any_port, "--gateway-addr", any_port, "--admin-addr", any_port,
                   "--nats-server", self.nats_server]
        env = {"SIGNALBOX_ADMIN_TOKEN": self.token, "SIGNALBOX_EGRESS_ALLOW": "127.0.0.0/8", "SIGNALBOX_LOG": "warn"}
        program = Program("signalbox", command, self.directory, env)
        try:
            yield House(program, self.token)
        finally:
            program.stop()

    @contextlib.contextmanager
    def outside(self, instances: list[tuple[str, str, str]]) -> Iterator["Outside"]:
        """Stand-ins without limits: `(name, provider, key)`."""
        config = {"instances": [{"name": name, "provider": provider, "limit": "none", "key": {"api_key": key}}
                                for name, provider, key in instances]}
        file = self.directory / "standins.json"
        file.write_text(json.dumps(config))
        command = [str(self.binaries / "standins"), "--config", str(file)]
        program = Program("standins", command, self.directory, {"RUST_LOG": "warn"})
        try:
            yield Outside(program)
        finally:
            program.stop()


def ask(method: str, url: str, body: Any = None, token: str | None = None) -> Any:
    """JSON in and out; an answer that is not 2xx ends the run with what it says."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECS) as answer:
            text = answer.read()
            return json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        raise SystemExit(f"error: {method} {url}: {error.code} {error.read(2000).decode(errors='replace')}") from None


class House:
    """A running Signalbox."""

    def __init__(self, program: Program, token: str) -> None:
        self.program, self.token = program, token
        words = program.lines[-1].split(" ")
        self.address = dict(word.split("=", 1) for word in words if "=" in word)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        return ask(method, f"{self.address['api']}/api/v1{path}", body, self.token)

    def integrate(self, outside: "Outside", name: str, provider: str, key: str) -> None:
        """A key and an integration as in the demo: asked every 5 s, given up after 3 s."""
        self.api("POST", "/keys", {"id": name, "provider": provider, "fields": {"api_key": key}})
        self.api("POST", "/integrations", {
            "id": name, "provider": provider, "key": name, "base_url": outside.base[name], "timeout_ms": 3000,
            "probe": {"every_secs": 5, "timeout_ms": 2000, "slow_ms": 500}})

    def health(self) -> dict[str, str]:
        found: dict[str, str] = {}
        path: str | None = "/integrations?page_size=100"
        while path:
            page = self.api("GET", path)
            found |= {item["id"]: item["health"] for item in page["items"]}
            path = page.get("next")
            path = path.removeprefix("/api/v1") if path else None
        return found

    def caller(self, path: str) -> "Caller":
        return Caller(self.address["gateway"], path, {"x-signalbox-token": self.token})

    def rss_kib(self) -> tuple[int, int]:
        """Resident memory of the program, and of its children (the nats-server)."""
        children = [int(entry.name) for entry in pathlib.Path("/proc").iterdir()
                    if entry.name.isdigit() and parent(int(entry.name)) == self.program.pid]
        return rss_kib(self.program.pid), sum(rss_kib(pid) for pid in children)

    def cpu_secs(self) -> float:
        """Processor time of the program so far, without its children."""
        fields = stat(self.program.pid)
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Outside:
    """Running stand-ins."""

    def __init__(self, program: Program) -> None:
        told = [json.loads(line) for line in program.lines[:-1]]
        self.base = {one["instance"]: one["url"] for one in told if "instance" in one}
        self.listener = {one["listener"]: one["url"] for one in told if "listener" in one}
        self.control = self.listener["control"] + "/control"
        self.hooks = ask("GET", self.control + "/targets/http")["base_url"]

    def switch(self, name: str, switch: dict[str, Any]) -> None:
        ask("POST", f"{self.control}/instances/{name}", switch)


class Caller:
    """One kept connection that repeats one GET; reconnects when the connection was closed."""

    def __init__(self, base: str, path: str, headers: dict[str, str]) -> None:
        host, _, rest = base.removeprefix("http://").partition("/")
        name, _, port = host.partition(":")
        self.peer = (name, int(port))
        lines = [f"GET {'/' + rest if rest else ''}{path} HTTP/1.1", f"host: {host}", "accept: application/json"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self.socket: socket.socket | None = None

    def call(self) -> tuple[int, dict[str, str]]:
        """Status and headers (lower case) of an answer that was read to its end."""
        if self.socket is None:
            self.socket = socket.create_connection(self.peer, ANSWER_SECS)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket.sendall(self.request)
            return self.read(self.socket)
        except OSError:
            self.close()
            raise

    def read(self, connection: socket.socket) -> tuple[int, dict[str, str]]:
        text = b""
        while b"\r\n\r\n" not in text:
            part = connection.recv(65536)
            if not part or len(text) > HEAD_BYTES_MAX:
                raise ConnectionError("the answer has no end")
            text += part
        head, _, body = text.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        chunked = headers.get("transfer-encoding") == "chunked"
        length = int(headers.get("content-length", "0"))
        while (not body.endswith(b"0\r\n\r\n")) if chunked else (len(body) < length):
            part = connection.recv(65536)
            if not part:
                raise ConnectionError("the body has no end")
            body += part
        return int(first.split(" ")[1]), headers

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def parent(pid: int) -> int:
    try:
        return int(stat(pid)[1])
    except OSError:
        return 0


def rss_kib(pid: int) -> int:
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def until(what: str, secs: float, look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + secs
    while not look():
        if time.monotonic() > deadline:
            raise SystemExit(f"error: waited {secs:.0f} s for: {what}")
        time.sleep(0.05)


@contextlib.contextmanager
def temporary() -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix="signalbox-bench.") as name:
        yield pathlib.Path(name)
