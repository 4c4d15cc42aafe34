#!/usr/bin/env python3
"""Prints Signalbox's events as they happen, with nothing but Python's standard library: NATS is a text protocol.

    listen.py [--nats nats://127.0.0.1:4222] [SUBJECT…]        default: sb.v1.>

For real use take a NATS client (nats-py, nats.go, async-nats, …) or the tool `nats sub`. Ends on Ctrl-C.
"""

import argparse
import json
import socket
import urllib.parse
from typing import BinaryIO


def shown(subject: str, headers: bytes, body: bytes) -> str:
    fields = dict(line.split(": ", 1) for line in headers.decode().split("\r\n")[1:] if ": " in line)
    time, kind = fields.get("ce-time", "-"), fields.get("ce-type", "-")
    try:
        text = json.dumps(json.loads(body), ensure_ascii=False)
    except ValueError:
        text = f"({len(body)} bytes)"
    return f"{time}  {subject}\n    {kind}\n    {text}"


def listen(server: socket.socket, lines: BinaryIO, subjects: list[str]) -> None:
    json.loads(lines.readline().removeprefix(b"INFO "))
    server.sendall(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"lang":"python","version":"1","protocol":1}\r\n')
    for number, subject in enumerate(subjects, 1):
        server.sendall(f"SUB {subject} {number}\r\n".encode())
    while line := lines.readline():
        verb, *words = line.decode().split()
        if verb == "PING":
            server.sendall(b"PONG\r\n")
        elif verb in ("MSG", "HMSG"):
            total = int(words[-1])
            head = int(words[-2]) if verb == "HMSG" else 0
            payload = lines.read(total + 2)[:total]
            print(shown(words[0], payload[:head], payload[head:]), flush=True)
        elif verb == "-ERR":
            raise SystemExit(f"error: the server said {' '.join(words)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nats", default="nats://127.0.0.1:4222")
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT")
    args = parser.parse_args()
    address = urllib.parse.urlparse(args.nats)
    try:
        with socket.create_connection((address.hostname or "127.0.0.1", address.port or 4222)) as server:
            listen(server, server.makefile("rb"), args.subjects or ["sb.v1.>"])
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise SystemExit(f"error: {args.nats}: {error}") from None


if __name__ == "__main__":
    main()
