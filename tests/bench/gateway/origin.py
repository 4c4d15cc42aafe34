#!/usr/bin/env python3
"""A provider that counts: what a path answers says its first part. For what nginx as an origin cannot tell.

    origin.py PORT

    /ok/…       200, a small JSON, cacheable
    /slow/…     the same after a wait, so that calls at the same time meet
    /fail/…     503
    /events?n=N&every_ms=T    N numbered server-sent events; each carries its time
    /-/counts   how often each path was called; not counted itself. DELETE forgets
"""

import asyncio
import collections
import json
import sys
import time
import urllib.parse

SLOW_SECS = 2.0
HEAD_BYTES_MAX = 64 * 1024
BACKLOG = 4096
EVENTS_MAX = 100_000

counts: collections.Counter[str] = collections.Counter()


def whole(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def chunk(text: str) -> bytes:
    data = text.encode()
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def events(writer: asyncio.StreamWriter, query: str) -> None:
    asked = urllib.parse.parse_qs(query)
    number = min(int(asked.get("n", ["1"])[0]), EVENTS_MAX)
    pause = int(asked.get("every_ms", ["0"])[0]) / 1000
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n"
    for one in range(number):
        event = chunk(f"id: {one}\ndata: {one} {time.monotonic_ns()}\n\n")
        writer.write(head + event if one == 0 else event)
        await writer.drain()
        if pause and one + 1 < number:
            await asyncio.sleep(pause)
    writer.write((head if number == 0 else b"") + b"0\r\n\r\n")


async def answer(method: str, target: str, writer: asyncio.StreamWriter) -> None:
    path, _, query = target.partition("?")
    if path == "/-/counts":
        if method == "DELETE":
            counts.clear()
        writer.write(whole("200 OK", json.dumps(counts).encode()))
        return
    counts[path] += 1
    first = path.split("/", 2)[1]
    if first == "events":
        await events(writer, query)
    elif first == "fail":
        writer.write(whole("503 Service Unavailable", b'{"error":"always"}'))
    else:
        if first == "slow":
            await asyncio.sleep(SLOW_SECS)
        writer.write(whole("200 OK", b'{"ok":true}'))


async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *rest = head.split("\r\n")
            method, target, _ = first.split(" ", 2)
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
            await reader.readexactly(int(fields.get("content-length", "0")))
            await answer(method, target, writer)
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(connection, "127.0.0.1", int(sys.argv[1]), limit=HEAD_BYTES_MAX, backlog=BACKLOG)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
