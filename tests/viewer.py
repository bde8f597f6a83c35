"""A viewer of the live page for tests and measurements: a WebSocket client made of a bare socket, so that it can also be slow, stop
reading, and send what no browser would. Only what Loom's server needs: no extensions, no fragmented messages of its own."""

import base64
import json
import os
import socket
import struct
import time

import numpy

TYPES = {"u1": "u1", "u4": "<u4", "i4": "<i4", "f4": "<f4"}


def http(port, path="/", method="GET", headers=(), host=None, timeout=60.0):
    """(status, headers by lower-case name, body) of one request; raises ConnectionError if there is no answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as peer:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}", "Connection: close", *headers]
        peer.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        head, body = b"", b""
        while b"\r\n\r\n" not in head:
            got = peer.recv(65536)
            if not got:
                raise ConnectionError(f"no answer: {head!r}")
            head += got
        head, body = head.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        length = int(fields.get("content-length", 0)) if method != "HEAD" else 0
        while len(body) < length:
            got = peer.recv(65536)
            if not got:
                raise ConnectionError("the answer ends early")
            body += got
    return int(lines[0].split()[1]), fields, body


class Refused(Exception):
    """The server did not open the WebSocket; args[0] is the status of its answer, None: it hung up."""


class Message:
    """One message: its JSON (`head`), its arrays by name, and how many bytes it had."""

    def __init__(self, data):
        length = struct.unpack("<I", data[:4])[0]
        self.head, self.bytes, self.arrays, at = json.loads(data[4:4 + length]), len(data), {}, 4 + length
        assert at % 8 == 0
        for array in self.head["arrays"]:
            dtype = numpy.dtype(TYPES[array["dtype"]])
            n = int(numpy.prod(array["shape"]))
            self.arrays[array["name"]] = numpy.frombuffer(data, dtype, n, at).reshape(array["shape"])
            at += (n * dtype.itemsize + 7) // 8 * 8
        assert at == len(data), "the arrays fill the message"

    def __getitem__(self, key):
        return self.head[key]


class Viewer:
    """A page that looks. receive() gives one message after the other; closed: why the server closed it, (code, text)."""

    def __init__(self, port, origin="same", host=None, path="/ws", protocol="loom-1", buffer=None, timeout=60.0):
        self.peer = socket.socket()
        if buffer:
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.peer.settimeout(timeout)
        try:
            self.peer.connect(("127.0.0.1", port))
        except OSError:
            self.peer.close()
            raise
        self.pending, self.parts, self.closed = b"", b"", None
        host = host or f"127.0.0.1:{port}"
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode(), "Sec-WebSocket-Version: 13"]
        lines += [f"Origin: http://{host}" if origin == "same" else f"Origin: {origin}"] if origin else []
        lines += [f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []
        try:
            self.peer.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
            while b"\r\n\r\n" not in self.pending:
                self.more()
        except ConnectionError as error:
            self.peer.close()
            raise Refused(None) from error
        head, self.pending = self.pending.split(b"\r\n\r\n", 1)
        status = int(head.split()[1])
        if status != 101:
            self.peer.close()
            raise Refused(status)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.peer.close()

    def more(self):
        got = self.peer.recv(1 << 20)
        if not got:
            raise ConnectionError("closed without a word")
        self.pending += got

    def take(self, n):
        while len(self.pending) < n:
            self.more()
        taken, self.pending = self.pending[:n], self.pending[n:]
        return taken

    def receive(self):
        """The next message; None once the server has closed."""
        while self.closed is None:
            first, second = self.take(2)
            assert second < 128, "a server does not mask"
            length = second
            if length == 126:
                length = struct.unpack(">H", self.take(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", self.take(8))[0]
            payload = self.take(length)
            kind = first & 15
            if kind == 8:
                self.closed = (struct.unpack(">H", payload[:2])[0], payload[2:].decode()) if payload else (1005, "")
            elif kind == 9:
                self.frame(10, payload)
            elif kind in (0, 2):
                self.parts += payload
                if first & 128:
                    whole, self.parts = self.parts, b""
                    return Message(whole)
        return None

    def frame(self, kind, payload, final=True, mask=True, length=None):
        """Send one frame; length: what it claims to have."""
        length = len(payload) if length is None else length
        head = bytes([(128 if final else 0) | kind])
        bit = 128 if mask else 0
        head += bytes([bit | length]) if length < 126 else bytes([bit | 126]) + struct.pack(">H", length) \
            if length < 65536 else bytes([bit | 127]) + struct.pack(">Q", length)
        key = os.urandom(4) if mask else b""
        masked = bytes(b ^ key[i % 4] for i, b in enumerate(payload)) if mask else payload
        self.peer.sendall(head + key + masked)

    def ask(self, **message):
        self.frame(1, json.dumps(message).encode())

    def until(self, wanted, seconds=120.0):
        """The next message of this type, or for which wanted(message) is true; AssertionError if it does not come."""
        test = wanted if callable(wanted) else lambda message: message["t"] == wanted
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = self.receive()
            if message is None:
                raise AssertionError(f"closed instead: {self.closed}")
            if test(message):
                return message
        raise AssertionError(f"no {wanted} within {seconds} s")
