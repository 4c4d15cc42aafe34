"""Many callers at a time: equal calls at once, streams of events, a crowd that goes on. Starts no server."""

import asyncio
import contextlib
import dataclasses
import time
import urllib.parse
from typing import Any

# An answer that takes longer counts as none.
CALL_SECS = 60
LINE_BYTES_MAX = 1024 * 1024


def request(url: str, headers: dict[str, str]) -> tuple[str, int, bytes]:
    parts = urllib.parse.urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {target} HTTP/1.1", f"host: {parts.netloc}"] + [f"{name}: {value}" for name, value in headers.items()]
    return parts.hostname or "", parts.port or 80, ("\r\n".join(lines) + "\r\n\r\n").encode()


async def head_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = text.split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    return int(first.split(" ")[1]), fields


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    status, fields = await head_of(reader)
    if fields.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        await reader.readexactly(int(fields.get("content-length", "0")))
    return status, fields


async def at_once(url: str, headers: dict[str, str], number: int) -> list[tuple[int, str]]:
    """Equal calls, each on a connection of its own, sent when all are connected: status and what the cache did."""
    host, port, asked = request(url, headers)
    pairs = [await asyncio.open_connection(host, port, limit=LINE_BYTES_MAX) for _ in range(number)]
    try:
        for _, writer in pairs:
            writer.write(asked)

        async def one(reader: asyncio.StreamReader) -> tuple[int, str]:
            try:
                status, fields = await asyncio.wait_for(answer_of(reader), CALL_SECS)
                return status, fields.get("x-signalbox-cache", "")
            except (OSError, ValueError, asyncio.IncompleteReadError):
                return 0, "broken"

        return await asyncio.gather(*[one(reader) for reader, _ in pairs])
    finally:
        for _, writer in pairs:
            writer.close()


@dataclasses.dataclass
class Streams:
    """What many streams at a time brought."""

    whole: int
    lost: int
    broken: int
    delays: list[float]


async def streams(url: str, headers: dict[str, str], number: int, events: int, every_ms: int) -> Streams:
    """Streams of numbered events at the same time; counts those that did not come, or not in their turn."""
    host, port, asked = request(f"{url}?n={events}&every_ms={every_ms}", headers)
    found = Streams(0, 0, 0, [])

    async def one() -> None:
        expected, ended = 0, False
        try:
            reader, writer = await asyncio.open_connection(host, port, limit=LINE_BYTES_MAX)
        except OSError:
            found.broken += 1
            found.lost += events
            return
        try:
            writer.write(asked)
            status, _ = await head_of(reader)
            if status != 200:
                raise ValueError(status)
            rest = b""
            while size := int((await reader.readline()).split(b";")[0], 16):
                part = await reader.readexactly(size + 2)
                now = time.monotonic_ns()
                *lines, rest = (rest + part[:-2]).split(b"\n")
                for line in lines:
                    if line.startswith(b"data: "):
                        turn, at = line[6:].split()
                        if int(turn) == expected:
                            expected += 1
                        found.delays.append((now - int(at)) / 1e9)
            ended = True
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
        found.lost += events - expected
        found.broken += not ended
        found.whole += ended and expected == events

    deadline = CALL_SECS + 2 * events * every_ms / 1000
    await asyncio.wait_for(asyncio.gather(*[one() for _ in range(number)]), deadline)
    return found


@dataclasses.dataclass
class Call:
    begun: float
    ended: float
    status: int
    by: str
    attempts: str


class Crowd:
    """Callers of one address, each with a kept connection and a pause after each call, as long as the block lasts."""

    def __init__(self, url: str, headers: dict[str, str], callers: int, pause_secs: float) -> None:
        self.host, self.port, self.asked = request(url, headers)
        self.callers, self.pause = callers, pause_secs
        self.calls: list[Call] = []
        self.over = False

    async def one(self) -> None:
        pair: Any = None
        while not self.over:
            begun = time.perf_counter()
            status = 0
            fields: dict[str, str] = {}
            try:
                pair = pair or await asyncio.open_connection(self.host, self.port, limit=LINE_BYTES_MAX)
                pair[1].write(self.asked)
                status, fields = await asyncio.wait_for(answer_of(pair[0]), CALL_SECS)
            except (OSError, ValueError, asyncio.IncompleteReadError):
                if pair:
                    pair[1].close()
                pair = None
            by, attempts = fields.get("x-signalbox-integration", ""), fields.get("x-signalbox-attempts", "")
            self.calls.append(Call(begun, time.perf_counter(), status, by, attempts))
            await asyncio.sleep(self.pause)
        if pair:
            pair[1].close()

    @contextlib.asynccontextmanager
    async def calling(self) -> Any:
        tasks = [asyncio.create_task(self.one()) for _ in range(self.callers)]
        try:
            yield self
        finally:
            self.over = True
            await asyncio.gather(*tasks)
