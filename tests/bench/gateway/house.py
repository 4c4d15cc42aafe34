"""A Signalbox whose gateways are processes of their own, with the servers it needs. Measures nothing.

The other roles run in one process on the cores of the load, with PostgreSQL, OpenBao and a NATS server.
"""

import contextlib
import json
import os
import secrets
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from stage import KEY, KEY_HEADER, READY_SECS, Child, Proxy, Stage, free_port, status
from world import Program, ask, until

KV_MOUNT = "secret"


@contextlib.contextmanager
def signalbox(stage: Stage, gateways: int = 1) -> Iterator["House"]:
    """A running one, with nothing configured."""
    with contextlib.ExitStack() as stack:
        yield House(stage, stack, gateways)


class House:
    """A running Signalbox whose gateways are processes of their own."""

    def __init__(self, stage: Stage, stack: contextlib.ExitStack, gateways: int) -> None:
        self.stage, self.tools = stage, stage.tools
        self.directory = stage.fresh("house")
        self.token = "bench-" + secrets.token_urlsafe(32)
        self.headers = {"x-signalbox-token": self.token}
        self.database = f"bench_{os.getpid()}_{stage.count}"
        self.sql(f"CREATE DATABASE {self.database}", "postgres")
        # With what was opened last closed first, the database goes when nobody uses it any more.
        stack.callback(self.sql, f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)", "postgres")
        nats, bao, root = self.nats(stack), free_port(), secrets.token_urlsafe(24)
        vault = Child("bao", [self.tools.bao, "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={root}",
                              f"-dev-listen-address=127.0.0.1:{bao}"], self.directory, bao, {"HOME": str(self.directory)})
        stack.callback(vault.stop)
        until("the key store is unsealed and has its mount", READY_SECS, lambda: mounted(bao, root))
        self.env = {
            "NATS_URL": f"nats://127.0.0.1:{nats}", "VAULT_ADDR": f"http://127.0.0.1:{bao}", "VAULT_TOKEN": root,
            "SIGNALBOX_EGRESS_ALLOW": "127.0.0.0/8", "SIGNALBOX_LOG": "error", "DATABASE_URL": "",
        }
        url = self.tools.postgres.rsplit("/", 1)[0] + f"/{self.database}"
        self.api_program = self.program(stack, "api", ["api", "prober", "failover", "meter", "webhooks", "audit"],
                                        {"DATABASE_URL": url, "SIGNALBOX_ADMIN_TOKEN": self.token}, alone=False)
        self.api_base = address(self.api_program, "api")
        self.gateways = [self.program(stack, f"gateway-{turn}", ["gateway"], {}, alone=True) for turn in range(gateways)]

    def nats(self, stack: contextlib.ExitStack) -> int:
        port, config = free_port(), self.directory / "nats.conf"
        store = self.directory / "nats"
        config.write_text(f'listen: "127.0.0.1:{port}"\nmax_payload: 8MB\njetstream {{ store_dir: "{store}" }}\n')
        child = Child("nats-server", [self.tools.nats_server, "-c", str(config)], self.directory, port)
        stack.callback(child.stop)
        return port

    def program(self, stack: contextlib.ExitStack, name: str, roles: list[str], env: dict[str, str], alone: bool) -> Program:
        any_port = "127.0.0.1:0"
        command = [str(self.tools.signalbox), "run", *roles, "--data-dir", str(self.directory / name), "--api-addr", any_port,
                   "--gateway-addr", any_port, "--admin-addr", any_port]
        env = {**self.env, "SIGNALBOX_INSTANCE": name, **env}
        program = Program(name, self.stage.alone(command) if alone else command, self.directory, env)
        stack.callback(program.stop)
        return program

    def sql(self, text: str, database: str | None = None) -> None:
        url = self.tools.postgres.rsplit("/", 1)[0] + f"/{database or self.database}"
        run = subprocess.run([self.tools.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", url], input=text, text=True,
                             capture_output=True, check=False)
        if run.returncode:
            raise SystemExit(f"error: psql: {run.stderr[-2000:]}")

    def api(self, method: str, path: str, body: Any = None) -> Any:
        return ask(method, f"{self.api_base}/api/v1{path}", body, self.token)

    def patch(self, path: str, body: Any) -> int:
        """A merge patch on whatever is there: the status."""
        headers = {"content-type": "application/merge-patch+json", "if-match": "*", "authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(f"{self.api_base}/api/v1{path}", json.dumps(body).encode(), headers, method="PATCH")
        try:
            with urllib.request.urlopen(request, timeout=READY_SECS) as answer:
                answer.read()
                return answer.status
        except urllib.error.HTTPError as error:
            error.read()
            return error.code

    def proxy(self, name: str, path: str, turn: int = 0, headers: dict[str, str] | None = None) -> Proxy:
        """A gateway as a proxy, on an integration (`/p/…`) or a route (`/r/…`)."""
        program = self.gateways[turn]
        return Proxy(name, address(program, "gateway") + path, {**self.headers, **(headers or {})}, program)

    def integrate(self, name: str, base_url: str, **more: Any) -> None:
        """An integration of a provider of our own, which wants its key in a header. Probes are rare, and of a quick path."""
        if not getattr(self, "has_key", False):
            self.api("POST", "/keys", {"id": "bench", "provider": "custom", "fields": {"api_key": KEY}})
            self.has_key = True
        body = {"id": name, "provider": "custom", "key": "bench", "base_url": base_url,
                "auth": {"scheme": "header", "name": KEY_HEADER}, "probe": {"path": "/probe", "every_secs": 300}}
        self.api("POST", "/integrations", {**body, **more})

    def route(self, name: str, members: list[str], **more: Any) -> None:
        self.api("POST", "/routes", {"id": name, "failover": True, "integrations": members, **more})

    def answers(self, path: str, statuses: tuple[int, ...] = (200,)) -> None:
        """Waits until every gateway answers."""
        for turn in range(len(self.gateways)):
            self.gateway_answers(self.proxy("", path, turn).base, statuses)

    def gateway_answers(self, url: str, statuses: tuple[int, ...]) -> None:
        until(f"{url} answers", READY_SECS, lambda: status(url, self.headers) in statuses)

    def everything(self, origin: int) -> None:
        """The two jobs: `/p/bare`, and `/r/all` with two members, quotas that are never reached, cost and a cache."""
        base = f"http://127.0.0.1:{origin}"
        self.integrate("bare", base)
        # None of minutes: nothing is spent for half a second around the end of a calendar's window, and a round would meet one or not.
        zones = {name: {"timezone": "UTC"} for name in ("day", "week", "month")}
        quotas = [{"name": name, "requests": 4 * 10**9, "per": name} | zone for name, zone in zones.items()]
        for name in ("one", "two"):
            self.integrate(name, base, quotas=quotas, cost={"per_request_micros": 7}, labels={"team": "bench"})
        self.route("all", ["one", "two"], cache={"ttl_secs": 60, "stale_if_error_secs": 60})
        for path in ("/p/bare/b1k", "/r/all/b1k"):
            self.answers(path)

    def jobs(self) -> list[Proxy]:
        return [self.proxy("signalbox bare", "/p/bare"), self.proxy("signalbox everything", "/r/all")]


def address(program: Program, name: str) -> str:
    return dict(word.split("=", 1) for word in program.lines[-1].split(" ") if "=" in word)[name]


def mounted(port: int, root: str) -> bool:
    return status(f"http://127.0.0.1:{port}/v1/{KV_MOUNT}/config", {"x-vault-token": root}) == 200
