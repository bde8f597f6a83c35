"""Loom from Python: read live streams and files as arrays, feed a pipeline, start runs and follow them.

One file, for Python 3.9 and later with NumPy, pyzmq, msgpack and h5py. Copy it, or add its folder to
``sys.path``.

    for seq, code in loom.stream("ipc://runs/topo/sockets/sparse"):          every frame, in order, none lost
    for topic, seq, value, about in loom.tap("ipc://runs/topo/sockets/topo.tap"):        what passes just now
    loom.serve(function_of_frame_number, (20, 20), "ipc:///tmp/mine", frames=1000, passes=20)
    layer, tape = loom.Layer("runs/topo/layers/sparse.h5"), loom.Recording("runs/topo/recordings/tape.h5")
    run = loom.run("pipelines/topo.yaml", dir="runs/weak", set={"topo.strength": 0.1})

What is read is float32 in the model's own units: frames from 0 to 1, codes with one number a unit; ``raw``
gives it as it is stored. Images are (height, width), as pictures are; grids are (columns, rows), as
everywhere in Loom. Shape letters: T frames, N sparse units, M invariant units, P pixels of a frame.

Streams are read and served as common/PROTOCOL.md says. Limits: no CURVE, so a tcp:// endpoint of another
machine needs ``ssh -L``; a stream belongs to the thread that opened it.
"""

from __future__ import annotations

import atexit
import collections
import hashlib
import inspect
import json
import operator
import os
import re
import signal
import socket as sockets
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple, Sequence

import h5py
import msgpack
import numpy as np
import zmq
from zmq.utils.monitor import recv_monitor_message

USAGE, DATA, PEER, INTERNAL, IO = 64, 65, 69, 70, 74  # the exit codes of README
STOPPED = 130

REQUEST_BYTES_MAX = 4096
REPLY_BYTES_MAX = 256 << 20
UNITS_MAX = 1 << 24  # units of a grid, or pixels of a frame
BLOCK_MAX = 1 << 20
KEPT_BYTES = 64 << 20  # of frames that are served
PARKED_MAX = 1024  # fetches that wait for frames; one that finds no place is forgotten, and comes again
FAREWELL_S = 2.5  # during which readers are told that a generator has failed
GREY = (np.arange(256) / 255.0).astype("f4")  # values of a frame's bytes, to the bit as the stages have them


class Error(Exception):
    """One sentence that says what was wrong, where, and what to do.

    Attributes
    ----------
    code : int
        The exit code with which a program of Loom would have ended (or has); README lists them.
    """

    def __init__(self, message: str, code: int = DATA):
        super().__init__(message)
        self.code = code


# ---- arrays ----


def dense(index: np.ndarray, value: np.ndarray, units: int) -> np.ndarray:
    """Codes with a number for every unit.

    Parameters
    ----------
    index, value : (..., k) arrays
        The winners and their values.
    units : int
        N, the units of the layer.

    Returns
    -------
    (..., N) float32 array, 0 where a unit has not won.
    """
    array = np.zeros(index.shape[:-1] + (units,), "f4")
    np.put_along_axis(array, index.astype(np.intp), np.asarray(value, "f4"), axis=-1)
    return array


def maps(weights: np.ndarray, input_shape: Sequence[int]) -> np.ndarray:
    """Every unit's weights as an image: (units, height, width) for an ``input_shape`` of (width, height)."""
    width, height = input_shape
    return weights.reshape(len(weights), height, width)


def mosaic(images: np.ndarray, grid: Sequence[int], gap: int = 1) -> np.ndarray:
    """One picture of all units, where they sit on their grid.

    Parameters
    ----------
    images : (units, height, width) array
    grid : (columns, rows)
    gap : int
        Pixels between two images; they are NaN, which Matplotlib leaves blank.
    """
    (columns, rows), (units, height, width) = grid, images.shape
    if units != columns * rows:
        raise Error(f"{units} images do not fill a grid of {columns}x{rows}", USAGE)
    picture = np.full((rows * (height + gap), columns * (width + gap)), np.nan, "f4")
    for unit, image in enumerate(images):
        y, x = unit // columns * (height + gap), unit % columns * (width + gap)
        picture[y : y + height, x : x + width] = image
    return picture[: rows * (height + gap) - gap, : columns * (width + gap) - gap]


def _as_array(kind: str, fields: Mapping[str, np.ndarray], units: int, raw: bool) -> Any:
    """Rows of a stream's fields (one, or many) as the array that people want."""
    if kind == "codes":
        pair = fields["index"], fields["value"]
        return pair if raw else dense(*pair, units)
    data = fields["data"]
    return GREY[data] if data.dtype == np.uint8 and not raw else data


def _room(seq: int, step: int, per_pass: int, total: int | None) -> int:
    """Frames from `seq` to where a block of `step` ends: blocks are counted from the start of a pass."""
    in_pass = seq % per_pass if per_pass else seq
    room = step - in_pass % step
    room = min(room, per_pass - in_pass) if per_pass else room
    return room if total is None else min(room, total - seq)


# ---- messages ----


def _decode(data: bytes, *more: bytes) -> dict[str, Any]:
    """A message of the protocol; ValueError if it is none."""
    if more:
        raise ValueError("a message has one part")
    try:
        message = msgpack.unpackb(data)
    except (ValueError, msgpack.UnpackException) as error:
        raise ValueError(f"not a MessagePack map ({error})") from None
    if not isinstance(message, dict) or message.get("v") != 1 or not isinstance(message.get("t"), str):
        raise ValueError("not a map with 'v': 1 and a text 't'")
    return message


def _whole(value: Any, low: int = 0, high: int = 1 << 63) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value < high


def _socket(kind: int, most: int, hwm: int = 0) -> zmq.Socket:
    """A socket that does not linger, nor takes messages of more than `most` bytes."""
    socket = zmq.Context.instance().socket(kind)
    socket.linger = 0
    socket.maxmsgsize = most
    socket.set_hwm(hwm)
    socket.reconnect_ivl, socket.reconnect_ivl_max = 20, 500  # ms: a restarted peer is found again quickly
    return socket


def _attach(socket: zmq.Socket, endpoint: str, how: str) -> None:
    """Connect or bind (`how`) the socket to `endpoint`."""
    if not isinstance(endpoint, str):
        raise Error(f"an endpoint is a text like ipc:///tmp/mine, not {endpoint!r}", USAGE)
    try:
        getattr(socket, how)(endpoint)
    except zmq.ZMQError as error:
        raise Error(f"endpoint '{endpoint}' cannot be {'bound' if how == 'bind' else 'connected'}: {error}",
                    PEER if error.errno == zmq.EADDRINUSE else USAGE) from None


def _open(kind: int, endpoint: str, how: str, most: int) -> zmq.Socket:
    """A socket that is connected or bound (`how`) to `endpoint`."""
    socket = _socket(kind, most)
    try:
        _attach(socket, endpoint, how)
    except Error:
        socket.close()
        raise
    return socket


class _Description(NamedTuple):
    """What a stream says of itself, checked."""

    id: str
    kind: str
    shape: tuple[int, ...]
    grid: tuple[int, int] | None
    per_pass: int
    total: int | None
    block: int
    fields: dict[str, tuple[str, tuple[int, ...]]]  # name of a field: type and shape of a row
    about: dict[str, Any]


def _described(about: dict[str, Any], endpoint: str) -> _Description:
    """Check a description. Error (65) if it is not one."""
    kind, shape, grid = about.get("kind"), about.get("shape"), about.get("grid")
    dtype, per_pass, total = about.get("dtype", "f4"), about.get("pass") or 0, about.get("total")
    block = about.get("block") or 256
    ranks = {"frames": 2, "codes": 1, "activations": 1}
    ok = isinstance(about.get("id"), str) and kind in ranks and isinstance(shape, list)
    ok = ok and len(shape) == ranks[kind] and all(_whole(n, 1, UNITS_MAX) for n in shape)
    ok = ok and np.prod(shape, dtype=float) <= UNITS_MAX and dtype in ("u1", "f4") and _whole(per_pass)
    ok = ok and _whole(block, 1, BLOCK_MAX + 1) and (total is None or _whole(total))
    if ok and (grid is not None or kind == "codes"):
        ok = isinstance(grid, list) and len(grid) == 2 and all(_whole(n, 1, UNITS_MAX) for n in grid)
        ok = ok and grid[0] * grid[1] <= UNITS_MAX
        ok = ok and (kind != "activations" or grid[0] * grid[1] == shape[0])
    if not ok:
        raise Error(f"{endpoint} describes no stream that can be read: {str(about)[:300]}; "
                    "see common/PROTOCOL.md on 'describe'")
    row = tuple(shape)
    fields = {"data": ("u1" if kind == "frames" and dtype == "u1" else "<f4", row)}
    if kind == "codes":
        fields = {"index": ("<u4", row), "value": ("<f4", row)}
    if kind == "frames" and about.get("at") is True:
        fields["at"] = ("<i4", (2,))
    if kind == "activations" and grid is None:
        grid = [shape[0], 1]
    grid = tuple(grid) if grid else None
    return _Description(about["id"], kind, row, grid, per_pass, total, block, fields, about)


def _rows(message: dict[str, Any], description: _Description, endpoint: str) -> dict[str, np.ndarray]:
    """The fields of a data message as arrays of n rows. Error (65) if they are not what was described."""
    n, rows = message["n"], {}
    for name, (dtype, row) in description.fields.items():
        data = message.get(name)
        size = n * int(np.prod(row)) * np.dtype(dtype).itemsize
        if not isinstance(data, bytes) or len(data) != size:
            raise Error(f"{endpoint}: frames {message['seq']} on: field '{name}' is missing or is not {n} "
                        f"rows of {size // n} bytes")
        rows[name] = np.frombuffer(bytearray(data), dtype).reshape((n,) + row)  # bytearray: may be written to
    if description.kind == "codes" and rows["index"].max() >= description.grid[0] * description.grid[1]:
        raise Error(f"{endpoint}: frames {message['seq']} on: unit {rows['index'].max()} is not on the grid "
                    f"of {description.grid[0]}x{description.grid[1]}")
    return rows


# ---- reading live streams ----


class Stream:
    """An iterator over a live stream; made by `stream`.

    Attributes
    ----------
    id, kind, name : str
        Of the stream; ``kind`` is frames, codes or activations.
    shape : tuple of int
        Of what is given for one frame: (height, width), (N,) or (M,).
    grid : (columns, rows) of the units, or None for frames
    pass_frames, total : int or None
        Frames a pass (0: there are no passes) and in all (None: not known).
    winners : int or None
        k, of codes.
    position : int
        The first frame not given yet.
    at : array or None
        The window's x and y of what was given last, where a stream of frames has them.
    metrics : dict
        Of the pass that ended last, where the stream brings them.
    """

    def __init__(self, endpoint: str, start: int, join: str, block: int | None, raw: bool, who: str | None,
                 credit: int, timeout: float, patience: float):
        start, block = operator.index(start), block if block is None else operator.index(block)
        if join not in ("start", "oldest") or not _whole(start) or not (block is None or _whole(block, 1)):
            raise Error("start is a frame's number, join is 'start' or 'oldest', block is None or a number "
                        "of frames", USAGE)
        self.endpoint, self.position, self.at, self.metrics = endpoint, start, None, {}
        self._join, self._block, self._raw, self._who, self._credit = join, block, raw, who, max(1, credit)
        self._timeout, self._patience = timeout, patience
        self._useless, self._useless_since, self._ended = 0, 0.0, False
        self._socket = _open(zmq.DEALER, endpoint, "connect", REPLY_BYTES_MAX)
        try:
            self._description = _described(self._describe(), endpoint)
        except BaseException:
            self.close()
            raise
        self.id, self.kind, self.grid = self._description.id, self._description.kind, self._description.grid
        self.name = str(self._description.about.get("name", "stream"))
        self.pass_frames, self.total = self._description.per_pass, self._description.total
        self.winners = self._description.shape[0] if self.kind == "codes" else None
        self._units = self.grid[0] * self.grid[1] if self.grid else 0
        self.shape = (self._units,) if self.kind == "codes" else self._description.shape
        self._step = self._description.block
        self._expected = self._asked = start
        self._items = self._iterate()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> tuple[int, Any]:
        if self._socket.closed and not self._ended:
            raise Error(f"{self.endpoint} was read to frame {self.position} and then closed, by an error or "
                        f"an interruption; open it anew with start={self.position}", USAGE)
        return next(self._items)

    def __len__(self) -> int:
        """What is still to come, in frames or blocks; TypeError if the stream's end is not known."""
        if self.total is None:
            raise TypeError(f"{self.endpoint} does not say how long its stream is")
        step, per_pass = self._block or 1, self.pass_frames or max(self.total, 1)
        blocks_a_pass = -(-per_pass // step)
        last = self.total // per_pass * blocks_a_pass + -(-(self.total % per_pass) // step)
        return max(0, last - self.position // per_pass * blocks_a_pass - self.position % per_pass // step)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading; harmless when repeated."""
        self._socket.close()

    # -- asking --

    def _send(self, **message: Any) -> None:
        if self._who is not None:
            message["who"] = self._who
        try:
            self._socket.send(msgpack.packb({"v": 1, **message}), zmq.DONTWAIT)
        except zmq.Again:
            pass  # not connected: asked again later

    def _fetch(self, start: int, n: int) -> None:
        ack = None if self._who is None else self.position
        self._send(t="fetch", id=self.id, **{"from": start}, n=n, ack=ack)

    def _receive(self) -> dict[str, Any] | None:
        """The next message; one of type "malformed" if it is none of the protocol's; None: silence."""
        if not self._socket.poll(int(1000 * self._timeout)):
            return None
        try:
            message = _decode(*self._socket.recv_multipart())
            if message["t"] == "data" and not (_whole(message.get("seq")) and _whole(message.get("n"))):
                raise ValueError("data without 'seq' or 'n'")
            return message
        except ValueError as error:
            return {"t": "malformed", "why": str(error)}

    def _check_silence(self, silent_s: float) -> None:
        if self._patience > 0 and silent_s >= self._patience:
            raise Error(f"nobody has answered at {self.endpoint} for {silent_s:.3g} s; start the stage that "
                        "serves it, or correct the endpoint", PEER)

    def _describe(self) -> dict[str, Any]:
        """Ask what is served until the peer says so."""
        silent_s = 0.0
        while True:
            self._send(t="describe")
            message = self._receive()
            if message is None:
                silent_s += self._timeout
                self._check_silence(silent_s)
            elif message["t"] == "wait":
                silent_s = 0.0
                time.sleep(0.05)
            elif message["t"] == "stream":
                return message
            else:
                raise Error(f"{self.endpoint} does not say what stream it serves, but answers 'describe' "
                            f"with {message['t']}: {message.get('why', '')}")

    # -- taking --

    def _replies(self) -> Iterator[dict[str, np.ndarray]]:
        """The rows of one reply after another, each where the last one ended."""
        silent_s = 0.0
        while self.total is None or self._expected < self.total:
            most = self._expected + self._credit * self._step
            while self._asked < most and (self.total is None or self._asked < self.total):
                n = _room(self._asked, self._step, self.pass_frames, self.total)
                self._fetch(self._asked, n)
                self._asked += n
            message = self._receive()
            if message is None:  # lost, or not made yet: whoever lives describes at once
                silent_s += self._timeout
                self._check_silence(silent_s)
                self._send(t="describe")
                self._asked = self._expected
                continue
            silent_s = 0.0
            rows = self._take(message)
            if rows is not None:
                yield rows

    def _take(self, message: dict[str, Any]) -> dict[str, np.ndarray] | None:
        """What a message brings: rows from the expected frame on, or None."""
        kind = message["t"]
        if kind == "err":
            raise Error(f"{self.endpoint} refuses: {message.get('why')}")
        if kind in ("data", "stream", "gone") and message.get("id", self.id) != self.id:
            raise Error(f"{self.endpoint} serves stream {message['id']}, but was read as stream {self.id}; "
                        "open it anew")
        if kind == "gone" and _whole(message.get("base")) and message["base"] > self._expected:
            self._take_gone(message["base"])
        elif kind == "data" and message["seq"] == self._expected:
            return self._take_data(message)
        elif kind in ("data", "malformed"):  # a duplicate, behind a gap, or nonsense
            self._count_useless()
        return None

    def _take_data(self, message: dict[str, Any]) -> dict[str, np.ndarray] | None:
        n, end = message["n"], message["seq"] + message["n"]
        if message.get("eos") is True:
            if self.total is not None and end != self.total:
                raise Error(f"{self.endpoint} ends its stream at frame {end}, but it described {self.total} "
                            "frames")
            self.total = end
        if n == 0:
            self._count_useless()
            return None
        if n > self._description.block:
            raise Error(f"{self.endpoint} sends {n} frames where at most {self._description.block} were "
                        "asked for")
        rows = _rows(message, self._description, self.endpoint)
        if n < _room(self._expected, self._step, self.pass_frames, self.total):
            self._step, self._asked = n, end  # it likes smaller blocks: what was asked behind it is useless
        self._expected, self._asked = end, max(end, self._asked)
        self._useless = 0
        if isinstance(message.get("metrics"), dict):
            self.metrics = message["metrics"]
        return rows

    def _take_gone(self, base: int) -> None:
        if self._join != "oldest" or self._expected != self.position:
            raise Error(f"{self.endpoint} no longer holds frame {self._expected}, only those from {base} on; "
                        "begin there (join='oldest'), or name this reader (who=...) in its --required")
        self.position = self._expected = self._asked = base
        self._join = "start"

    def _count_useless(self) -> None:
        """A peer that answers for ever, but never with what we ask for, is given up."""
        self._useless_since = time.monotonic() if self._useless == 0 else self._useless_since
        self._useless += 1
        for_s = time.monotonic() - self._useless_since
        if self._useless >= 3 and 0 < self._patience < for_s and self.total != self._expected:
            raise Error(f"{self.endpoint} answers, but for {for_s:.3g} s none of its {self._useless} answers "
                        f"has brought frame {self._expected}; see common/PROTOCOL.md on fetch")

    def _iterate(self) -> Iterator[tuple[int, Any]]:
        """Frames one by one, or gathered to blocks that end at multiples of `block` within a pass."""
        parts: list[dict[str, np.ndarray]] = []
        try:
            for rows in self._replies():
                n, row = len(next(iter(rows.values()))), 0
                while row < n:
                    have = sum(map(_rows_in, parts))
                    room = _room(self.position + have, self._block or 1, self.pass_frames, self.total)
                    parts.append({name: data[row : row + room] for name, data in rows.items()})
                    row += room
                    if _rows_in(parts[-1]) == room:
                        yield self._give(parts)
                        self.position += have + room
                        parts = []
            if parts:
                yield self._give(parts)
                self.position = self._expected
            self._ended = True
            self._confirm()
        finally:
            self.close()

    def _give(self, parts: list[dict[str, np.ndarray]]) -> tuple[int, Any]:
        rows = {name: np.concatenate([part[name] for part in parts]) if len(parts) > 1 else parts[0][name]
                for name in parts[0]}
        if self._block is None:
            rows = {name: data[0] for name, data in rows.items()}
        self.at = rows.get("at")
        return self.position, _as_array(self.kind, rows, self._units, self._raw)

    def _confirm(self) -> None:
        """Say that everything has come, if the producer waits for us."""
        for _ in range(5 if self._who is not None else 0):
            self._fetch(self.total, 0)
            message = self._receive()
            while message is not None:
                if message["t"] == "data" and message["seq"] == self.total and message["n"] == 0:
                    return
                message = self._receive()


def _rows_in(part: dict[str, np.ndarray]) -> int:
    return len(next(iter(part.values())))


def stream(endpoint: str, start: int = 0, join: str = "start", block: int | None = None, raw: bool = False,
           who: str | None = None, credit: int = 4, timeout: float = 1.0, patience: float = 30.0) -> Stream:
    """Read a live stream, every frame in order, nothing lost, nothing twice.

    Parameters
    ----------
    endpoint : str
        Where it is served, e.g. ``ipc://runs/topo/sockets/sparse``.
    start : int
        First frame to read: where a reader that was killed goes on.
    join : {"start", "oldest"}
        What to do if frame `start` is no longer held: an error, or begin with the oldest that is.
    block : int, optional
        Give blocks of so many frames (fewer at the end of a pass) instead of single ones.
    raw : bool
        As it is sent: frames perhaps as uint8, codes as a pair (index, value) of (k,) arrays.
    who : str, optional
        This reader's name. With it the producer waits for us, if it waits for anybody of that name: a frame
        counts as done with when the next is asked for. Without it nobody waits, and a reader that is too slow
        ends with an Error.
    credit : int
        Blocks under way at once.
    timeout, patience : float
        Seconds of silence after which is asked again, and after which the peer counts as gone (0: never).

    Returns
    -------
    Stream
        Iterator over ``(seq, array)``: the (first) frame's number, and its values as float32: (height, width)
        from 0 to 1, (N,) or (M,), with one more axis in front if `block` is given. ``len()`` is known where
        the stream's end is.

    Raises
    ------
    Error
        69 if nobody answers, 65 if what comes is not that stream.
    """
    return Stream(endpoint, start, join, block, raw, who, credit, timeout, patience)


class Tapped(NamedTuple):
    """A message of a tap."""

    topic: str  #: data, weights or metrics
    seq: int  #: number of the (first) frame
    value: Any  #: data: array of n frames; weights: (units, inputs) array; metrics: dict of numbers
    about: dict[str, Any]  #: the rest of the message: n, pass, grid, input, stage, name, count...


def tap(endpoint: str, topics: Iterable[str] = ("data", "weights", "metrics"), stream: str | None = None,
        raw: bool = False, patience: float = 5.0) -> Iterator[Tapped]:
    """Look at what passes, without ever holding anybody up: what is not taken in time is lost.

    Parameters
    ----------
    endpoint : str
        A stage's tap, e.g. ``ipc://runs/topo/sockets/topo.tap``.
    topics : iterable of {"data", "weights", "metrics"}
        Data come as they are made; metrics at the end of a pass; weights too, and when one begins to look.
    stream : str, optional
        Where the stream itself is served, which is asked for its shape; needed for data, if it is not
        `endpoint` without ``.tap``.
    raw : bool
        Data as they are sent, as for `stream`.
    patience : float
        Seconds without a connection after which is no more to come (0: wait for ever).

    Yields
    ------
    Tapped
        ``(topic, seq, value, about)``. It ends when the stage has gone.

    Raises
    ------
    Error
        69 if there is no tap, 65 if what comes is none of the protocol's messages.
    """
    topics, description = (topics,) if isinstance(topics, str) else tuple(topics), None
    if not topics or not set(topics) <= {"data", "weights", "metrics"}:
        raise Error(f"topics of a tap are data, weights and metrics, not {topics}", USAGE)
    if "data" in topics:
        if stream is None and not endpoint.endswith(".tap"):
            raise Error(f"the shape of data cannot be seen at {endpoint}: give stream=..., the endpoint of "
                        "the stream itself", USAGE)
        stream = stream or endpoint[: -len(".tap")]
        with Stream(stream, 0, "start", None, raw, None, 1, 0.5, patience) as source:
            description = source._description
    socket = _socket(zmq.SUB, REPLY_BYTES_MAX, hwm=16)
    monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
    try:
        _attach(socket, endpoint, "connect")  # once watched: a quick handshake is not missed
        for topic in topics:
            socket.subscribe(topic)
        for parts in _listen(socket, monitor, endpoint, patience):
            yield _tapped(parts, description, endpoint, raw)
    finally:
        socket.disable_monitor()
        monitor.close()
        socket.close()


def _listen(socket: zmq.Socket, monitor: zmq.Socket, endpoint: str, patience: float) -> Iterator[list[bytes]]:
    """Messages of a SUB socket, until it has been without a peer for too long."""
    poller = zmq.Poller()
    poller.register(socket, zmq.POLLIN)
    poller.register(monitor, zmq.POLLIN)
    connected, heard, since = False, False, time.monotonic()
    while True:
        ready = dict(poller.poll(100))
        if monitor in ready:
            connected = recv_monitor_message(monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
            heard, since = heard or connected, time.monotonic()
        if socket in ready:
            yield socket.recv_multipart()
        elif not connected and 0 < patience < time.monotonic() - since:
            if heard:
                return
            raise Error(f"there is no tap at {endpoint} since {patience:.3g} s; start the stage that has it, "
                        "or correct the endpoint", PEER)


def _tapped(parts: list[bytes], description: _Description | None, endpoint: str, raw: bool) -> Tapped:
    try:
        topic, about = parts[0].decode(), _decode(*parts[1:])
        seq = about.pop("seq")
        if topic == "data":
            units = description.grid[0] * description.grid[1] if description.grid else 0
            rows = _rows(dict(about, seq=seq), description, endpoint)
            about = {key: value for key, value in about.items() if key not in rows}
            return Tapped(topic, seq, _as_array(description.kind, rows, units, raw), about)
        if topic == "weights":
            weights = np.frombuffer(bytearray(about.pop("data")), "<f4").reshape(about["rows"], about["cols"])
            return Tapped(topic, seq, weights, about)
        return Tapped(topic, seq, dict(about.pop("metrics")), about)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise Error(f"{endpoint} sends what no tap sends ({error}); see common/PROTOCOL.md on taps") from None


# ---- serving frames ----


def serve(source: Callable[[int], np.ndarray] | Iterable[np.ndarray], shape: Sequence[int], endpoint: str,
          frames: int | None = None, passes: int = 1, *, name: str | None = None, parameters: Any = None,
          id: str | None = None, block: int = 256, readers: Iterable[str] = (), hold: int | None = None,
          stop: threading.Event | None = None) -> None:
    """Feed a pipeline (``window.from=ENDPOINT``) with frames of your own, until Ctrl-C or `stop`.

    Parameters
    ----------
    source : function, array or iterable
        A function makes frame t, from 0 to `frames` - 1, whenever it is asked, and always the same: that of
        every pass, in any order, and again. If it needs chance, let it draw from
        ``numpy.random.default_rng((seed, t))``. A (frames, height, width) array is as good as a function. Any
        other iterable (a generator, a camera) is gone through once, and its frames are held until all
        `readers` are done with them.
    shape : (height, width)
    endpoint : str
        Where to serve, e.g. ``ipc:///tmp/mine``.
    frames : int, optional
        Of a pass. None: of an array or iterable, what it has; of a function, no end and no passes.
    passes : int
        How often they are shown; an iterable's only once.
    name : str, optional
        By default the function's.
    parameters : anything with a repr, optional
        What else distinguishes this stream from others: it goes into the id, with the name and samples of the
        frames.
    id : str, optional
        The stream's id, at most 32 characters; by default a hash. Same id, same frames: readers rely on it.
        An iterable can never be gone through again, so its default is of this moment.
    block : int
        Frames in a message at most.
    readers : iterable of str
        Of an iterable: names of the stages that are waited for, e.g. ("sparse", "tape"). Without, those that
        have been heard.
    hold : int, optional
        Of an iterable: frames held for them, by default 64 MiB of them; when so many wait, no more are drawn.
    stop : threading.Event, optional
        Ends it, if it runs in a thread of its own.

    Raises
    ------
    Error
        With the number of the frame that could not be made or is not `shape` values from 0 to 1 (or uint8):
        readers are told so, too. 69 if the endpoint is in use.

    Notes
    -----
    A frame must be made within the readers' patience, 30 s.
    """
    shape = tuple(int(n) for n in shape)
    frames, passes = frames if frames is None else operator.index(frames), operator.index(passes)
    if len(shape) != 2 or min(shape) < 1 or not _whole(block, 1, BLOCK_MAX + 1) or not _whole(passes):
        raise Error("serve needs a shape (height, width), and whole numbers of passes and of frames a block",
                    USAGE)
    name = name or getattr(source, "__name__", type(source).__name__).strip("<>")
    name = re.sub(r"\W", "_", name, flags=re.ASCII)[:60]
    if isinstance(source, np.ndarray):
        frames, source = len(source) if frames is None else frames, source.__getitem__
    if callable(source) and not inspect.isgeneratorfunction(source):
        made: _Made | _Drawn = _Made(source, shape, frames, passes)
        id = id or _hash(name, parameters, shape, frames, passes, *made.samples())
    else:
        if passes != 1:
            raise Error("an iterable is gone through once: passes=1; or give an array or a function", USAGE)
        source = source() if callable(source) else source
        hold = KEPT_BYTES // (4 * shape[0] * shape[1]) if hold is None else operator.index(hold)
        made = _Drawn(iter(source), shape, frames, max(hold, block), tuple(readers))
        id = id or _hash(name, parameters, time.time_ns(), os.getpid())
    about = {"v": 1, "t": "stream", "id": id, "kind": "frames", "shape": shape, "dtype": made.dtype or "f4",
             "pass": made.per_pass, "total": made.total, "repeats": made.per_pass > 0, "block": block,
             "stage": "python", "name": name}
    _check_free(endpoint)
    router = _open(zmq.ROUTER, endpoint, "bind", REQUEST_BYTES_MAX)
    try:
        _answer_all(router, made, about, stop)
    except KeyboardInterrupt:
        pass
    except Error as error:
        _tell_all(router, {"v": 1, "t": "err", "id": id, "why": f"{name}: {error}"[:200]})
        raise
    finally:
        router.close()


def _hash(*parts: Any) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part if isinstance(part, bytes) else repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _check_free(endpoint: str) -> None:
    """ZeroMQ would take an ipc:// path away from another process without a word."""
    path = endpoint[len("ipc://") :] if isinstance(endpoint, str) and endpoint.startswith("ipc://") else None
    if path and os.path.exists(path):
        with sockets.socket(sockets.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except OSError:
                return  # left behind by a process that was killed
        raise Error(f"endpoint '{endpoint}' is in use: another process serves it; stop that or choose "
                    "another", PEER)


def _frame_bytes(value: Any, shape: tuple[int, ...], dtype: str | None, t: int) -> tuple[bytes, str]:
    """A frame as it is sent, and its type ("u1" or "f4"), which must be `dtype` unless that is None."""
    array = np.asarray(value)
    if array.shape != shape:
        raise Error(f"frame {t} is an array of shape {array.shape}, but {shape} was announced")
    kind = "u1" if array.dtype == np.uint8 else "f4" if array.dtype.kind in "fb" else ""
    if not kind or dtype not in (None, kind):
        raise Error(f"frame {t} is an array of {array.dtype}; frames are uint8 (0 to 255) or float (0 to 1), "
                    "all the same")
    if kind == "f4" and not (array.min() >= 0 and array.max() <= 1):
        raise Error(f"frame {t} has values from {array.min():.4g} to {array.max():.4g}; they must be from 0 "
                    "to 1, or uint8")
    return np.ascontiguousarray(array, "u1" if kind == "u1" else "<f4").tobytes(), kind


class _Made:
    """Frames of a function, made when they are asked for; those made lately are kept."""

    base = 0

    def head(self) -> int:
        """The first frame that is not there yet."""
        return self.total or 0

    def __init__(self, function: Callable[[int], Any], shape: tuple[int, ...], frames: int | None,
                 passes: int):
        if not (frames is None or _whole(frames, 1)):
            raise Error("frames is a whole number from 1 on, or None for a stream without an end", USAGE)
        self.per_pass, self.total = frames or 0, None if frames is None else frames * passes
        self.dtype = None
        self._function, self._shape, self._kept = function, shape, collections.OrderedDict()
        if self._make(0) != self._make(0):
            raise Error("frame 0 is another one when it is made again; a frame must depend on its number "
                        "alone: let it draw from numpy.random.default_rng((seed, t))")

    def samples(self) -> list[bytes]:
        """Some frames, by which this stream can be told from others."""
        last = self.per_pass - 1 if self.per_pass else 1000
        return [self._frame(t) for t in sorted({0, last // 3, last})]

    def _make(self, t: int) -> bytes:
        try:
            value = self._function(t)
        except Exception as error:
            raise Error(f"frame {t} could not be made: {type(error).__name__}: {error}") from error
        data, self.dtype = _frame_bytes(value, self._shape, self.dtype, t)
        return data

    def _frame(self, t: int) -> bytes:
        if t not in self._kept:
            self._kept[t] = self._make(t)
            if len(self._kept) * len(self._kept[t]) > KEPT_BYTES:
                self._kept.popitem(last=False)
        return self._kept[t]

    def note(self, who: str, ack: int) -> None:
        """Nothing is held, so nobody needs to say what is done with."""

    def rows(self, seq: int, n: int) -> bytes | None:
        """Frames seq to seq + n; None: not there yet."""
        return b"".join(self._frame(t % self.per_pass if self.per_pass else t) for t in range(seq, seq + n))


class _Drawn:
    """Frames of an iterator, held until the readers are done with them."""

    per_pass = 0

    def __init__(self, iterator: Iterator[Any], shape: tuple[int, ...], frames: int | None, hold: int,
                 readers: tuple[str, ...]):
        self.total, self.base = frames, 0
        self.dtype = None
        self._iterator, self._shape, self._hold, self._required = iterator, shape, hold, bool(readers)
        self._held: collections.deque[bytes] = collections.deque()
        self._acks = {who: 0 for who in readers}
        self._draw()

    def head(self) -> int:
        """The first frame that is not there yet."""
        return self.base + len(self._held)

    def _draw(self) -> None:
        """Take the next frame; at the end, know the total."""
        t = self.head()
        if self.total is not None and t >= self.total:
            return
        try:
            value = next(self._iterator)
        except StopIteration:
            if self.total is not None:
                raise Error(f"the frames end at {t}, but {self.total} were announced") from None
            self.total = t
            return
        except Exception as error:
            raise Error(f"frame {t} could not be made: {type(error).__name__}: {error}") from error
        data, self.dtype = _frame_bytes(value, self._shape, self.dtype, t)
        self._held.append(data)

    def note(self, who: str, ack: int) -> None:
        """A reader is done with the frames before `ack`."""
        if who in self._acks or not self._required:
            self._acks[who] = max(ack, self._acks.get(who, 0))

    def _make_room(self) -> bool:
        done = min(self._acks.values(), default=self.head())
        while len(self._held) >= self._hold and self.base < done:
            self._held.popleft()
            self.base += 1
        return len(self._held) < self._hold

    def rows(self, seq: int, n: int) -> bytes | None:
        """Frames seq to seq + n, or fewer at the end or if no more may be held; None: not there yet.

        One frame at most is drawn, so that requests are answered in between."""
        if seq + n > self.head() and self.head() != self.total and self._make_room():
            self._draw()
            return None
        first = seq - self.base
        return b"".join(self._held[i] for i in range(first, min(first + n, len(self._held)))) or None


def _answer_all(router: zmq.Socket, made: _Made | _Drawn, about: dict[str, Any],
                stop: threading.Event | None) -> None:
    """Answer requests, and fetches that had to wait, until stopped."""
    parked: dict[tuple[bytes, int], dict[str, Any]] = {}  # by reader and frame
    wait_ms = 50
    while stop is None or not stop.is_set():
        if router.poll(wait_ms):
            peer, *parts = router.recv_multipart()
            reply, fetch = _answer(made, about, parts)
            if reply is not None:
                router.send_multipart([peer, msgpack.packb(reply)])
            elif len(parked) < PARKED_MAX:
                parked[peer, fetch["from"]] = fetch
        head = made.head()
        for key, fetch in list(parked.items()):
            reply = _data(made, about, fetch)
            if reply is not None:
                router.send_multipart([key[0], msgpack.packb(reply)])
                del parked[key]
        wait_ms = 50 if made.head() == head else 0


def _answer(made: _Made | _Drawn, about: dict[str, Any], parts: list[bytes]) -> tuple[dict | None, dict]:
    """The reply to a request, or None and the fetch that has to wait."""
    err = {"v": 1, "t": "err", "id": about["id"]}
    try:
        ask = _decode(*parts)
    except ValueError as error:
        return dict(err, why=str(error)[:200]), {}
    if ask["t"] == "describe":
        return dict(about, base=made.base, head=made.head(), total=made.total), {}
    if ask["t"] != "fetch":
        return dict(err, why="a producer answers 'describe' and 'fetch' only"), {}
    if not _whole(ask.get("from")) or not _whole(ask.get("n")):
        return dict(err, why="a fetch needs the whole numbers 'from' and 'n'"), {}
    if ask.get("id") != about["id"]:
        return dict(err, why=f"this is stream {about['id']}, not {str(ask.get('id'))[:32]}"), {}
    if ask.get("ack") is not None and isinstance(ask.get("who"), str):
        if not _whole(ask["ack"], 0, ask["from"] + 1):
            return dict(err, why="ack is a whole number, not past 'from'"), {}
        made.note(ask["who"], ask["ack"])
    return _data(made, about, ask), ask


def _data(made: _Made | _Drawn, about: dict[str, Any], fetch: dict[str, Any]) -> dict[str, Any] | None:
    """The data that a fetch asks for; None: they are not there yet."""
    seq, n = fetch["from"], fetch["n"]
    reply = {"v": 1, "t": "data", "id": about["id"], "seq": seq, "n": 0, "eos": False, "data": b""}
    if made.total is not None and seq >= made.total:
        return dict(reply, seq=made.total, eos=True)
    if n == 0:
        return reply
    if seq < made.base:
        return {"v": 1, "t": "gone", "id": about["id"], "base": made.base}
    rows = made.rows(seq, min(n, _room(seq, about["block"], made.per_pass, made.total)))
    if rows is None:
        return None
    n = len(rows) // (about["shape"][0] * about["shape"][1] * np.dtype(about["dtype"]).itemsize)
    return dict(reply, n=n, data=rows, eos=seq + n == made.total)


def _tell_all(router: zmq.Socket, farewell: dict[str, Any]) -> None:
    """Tell whoever asks for a while."""
    end = time.monotonic() + FAREWELL_S
    while time.monotonic() < end:
        if router.poll(50):
            router.send_multipart([router.recv_multipart()[0], msgpack.packb(farewell)])


# ---- layers and recordings ----


def _plain(value: Any) -> Any:
    """An attribute as Python has it: text, numbers, tuples."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray):
        return tuple(_plain(item) for item in value.tolist())
    return value.item() if isinstance(value, np.generic) else value


def _attributes(item: h5py.Group) -> dict[str, Any]:
    return {name: _plain(value) for name, value in item.attrs.items()}


def _open_file(path: str | os.PathLike, what: str, **options: Any) -> h5py.File:
    try:
        return h5py.File(path, "r", **options)
    except FileNotFoundError:
        raise Error(f"there is no {what} {path}", IO) from None
    except OSError as error:
        code = IO if os.path.isdir(path) else DATA
        raise Error(f"{path} cannot be read as a {what}: {error}", code) from None


def _read(item: h5py.Dataset, where: Any = ()) -> np.ndarray:
    """Read from a dataset; Error (65) if it is damaged."""
    try:
        return item[where]
    except OSError as error:
        raise Error(f"{item.file.filename} is damaged at {item.name}: {error}") from None


class Layer:
    """A layer file, or a checkpoint, read as a whole.

    Parameters
    ----------
    path : path
        E.g. ``runs/topo/layers/sparse.h5``.

    Attributes
    ----------
    weights : (units, inputs) float32 array
    grid : (columns, rows)
        Unit i sits at x = i % columns, y = i // columns.
    input_shape : (width, height)
        In which one unit's weights are an image.
    attrs : dict
        Parameters, ids and so on, as README lists them.
    """

    def __init__(self, path: str | os.PathLike):
        with _open_file(path, "layer") as file:
            weights = file.get("weights")
            if not isinstance(weights, h5py.Dataset) or weights.ndim != 2 or "grid" not in file.attrs:
                raise Error(f"{path} is no layer: it has no weights or no grid")
            self.path, self.attrs = Path(path), _attributes(file)
            self.weights: np.ndarray = _read(weights)
        self.grid: tuple[int, int] = self.attrs["grid"]
        self.input_shape: tuple[int, int] = self.attrs.get("input_shape", (self.weights.shape[1], 1))

    def __repr__(self) -> str:
        return f"<Layer {self.path}: {self.attrs.get('stage')}, {self.grid[0]}x{self.grid[1]} units>"

    @property
    def id(self) -> str:
        """By which other layers name it: of the stream that it made while it learned."""
        return (self.attrs.get("lineage") or self.attrs.get("stream", "")).partition(" ")[0]

    def maps(self) -> np.ndarray:
        """The units' weights as images: (units, height, width)."""
        return maps(self.weights, self.input_shape)


def write_layer(path: str | os.PathLike, weights: np.ndarray, grid: Sequence[int] | None = None,
                input_shape: Sequence[int] | None = None, kind: str = "sparse", name: str | None = None,
                below: Layer | str = "", frames: int = 0, **attributes: Any) -> str:
    """Write an array as a layer file, from which a stage may start: ``--set sparse.layer=PATH``.

    A file that is there is replaced, and at every moment the old one or the new one is there as a whole.

    Parameters
    ----------
    path : path
    weights : (units, inputs) array
        Finite, not negative; stored as float32.
    grid : (columns, rows), optional
        Of the units; by default a square.
    input_shape : (width, height), optional
        Of one unit's weights: a frame's, or the grid of the layer below; by default a square.
    kind : {"sparse", "invariant"}
        The stage that it is for.
    name : str, optional
        Of the layer; by default `kind`.
    below : Layer or str
        Of an invariant layer: the sparse layer on whose codes it works, or that layer's id. It is refused
        above any other.
    frames : int
        How many frames it has seen.
    **attributes : str, int, float or sequence of int
        Further attributes, e.g. ``rule="smooth"`` of an invariant layer (default: topo).

    Returns
    -------
    str
        The layer's id (its attribute ``stream``), a hash of its content.
    """
    weights = np.ascontiguousarray(weights, "<f4")
    if weights.ndim != 2 or weights.size == 0 or not (weights.min() >= 0 and weights.max() <= 1e30):
        span = f", from {weights.min():.4g} to {weights.max():.4g}" if weights.size else ""
        raise Error("weights are a (units, inputs) array of finite numbers from 0 on; this one is "
                    f"{weights.shape}{span}")
    if kind not in ("sparse", "invariant"):
        raise Error(f"kind is 'sparse' or 'invariant', not {kind!r}", USAGE)
    grid = _side_by_side("grid", grid, weights.shape[0])
    input_shape = _side_by_side("input_shape", input_shape, weights.shape[1])
    if kind == "invariant":
        below = below.id if isinstance(below, Layer) else below
        attributes = {"rule": "topo", "input_layer": below, **attributes}
    content = {"stage": kind, "name": name or kind, "input": "", "parent": "", "body": "python",
               "version": "python", "frame": 0, "frames": frames, "grid": grid, "input_shape": input_shape,
               **attributes}
    content["stream"] = _hash("layer", weights.tobytes(), sorted(content.items()))
    _write_whole(Path(path), weights, content)
    return content["stream"]


def _side_by_side(what: str, shape: Sequence[int] | None, n: int) -> tuple[int, int]:
    """`shape`, or the square, if it has n places."""
    side = int(round(n**0.5))
    across, down = (side, side) if shape is None else (int(shape[0]), int(shape[1]))
    if across * down != n or across < 1:
        instead = f", not {across}x{down}" if shape else ""
        raise Error(f"give {what}=(columns, rows) with {n} places{instead}", USAGE)
    return across, down


def _write_whole(path: Path, weights: np.ndarray, attributes: Mapping[str, Any]) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with h5py.File(part, "w", libver=("v110", "latest")) as file:
            file.create_dataset("weights", data=weights, chunks=True, fletcher32=True, track_times=False)
            for name, value in attributes.items():
                file.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) and value else value
        descriptor = os.open(part, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        os.replace(part, path)
    except OSError as error:
        raise Error(f"{path} cannot be written: {error}", IO) from None
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


class Rows:
    """The rows of a recorded stream, read when asked for: ``rows[7]``, ``rows[10:20]``, ``np.asarray(rows)``.

    They are float32 in the model's units: frames (T, height, width) from 0 to 1, codes (T, N), activations
    (T, M).

    Attributes
    ----------
    kind : str
    attrs : dict
        id, stage, name, pass, total, grid.
    fields : dict of h5py.Dataset
        As they are stored: data and perhaps at; index and value; data.
    """

    def __init__(self, group: h5py.Group, durable: Callable[[], int]):
        self.attrs = _attributes(group)
        self.kind: str = self.attrs["kind"]
        self.fields = {name: item for name, item in group.items() if isinstance(item, h5py.Dataset)}
        self._durable = durable
        self._units = int(np.prod(self.attrs["grid"])) if "grid" in self.attrs else 0

    def __len__(self) -> int:
        """Rows that are there by now."""
        return self._durable()

    def __repr__(self) -> str:
        return f"<Rows of {self.attrs.get('name')}: {self.kind} {self.shape}>"

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self),) + ((self._units,) if self.kind == "codes" else self.fields["data"].shape[1:])

    def raw(self, key: Any = slice(None)) -> Any:
        """Rows as they are stored: frames perhaps as uint8, codes as a pair (index, value)."""
        return _as_array(self.kind, self._read(key), self._units, True)

    def __getitem__(self, key: Any) -> np.ndarray:
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        array = _as_array(self.kind, self._read(first), self._units, False)
        return array[(slice(None),) * np.ndim(np.arange(len(self))[first]) + rest]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    def _read(self, key: Any) -> dict[str, np.ndarray]:
        """The fields' rows of an index, a slice, a list or a mask."""
        wanted = np.arange(len(self))[key]
        for item in self.fields.values():
            item.refresh()
        if wanted.size == 0 or wanted.ndim == 0:
            where: Any = slice(0, 0) if wanted.ndim else int(wanted)
            return {name: _read(item, where) for name, item in self.fields.items()}
        rows, back = np.unique(wanted, return_inverse=True)
        steps, where = np.unique(np.diff(rows)), rows
        if len(steps) <= 1:  # much quicker than a list
            where = slice(int(rows[0]), int(rows[-1]) + 1, int(steps[0]) if len(steps) else 1)
        back = back.reshape(wanted.shape)
        return {name: _read(item, where)[back] for name, item in self.fields.items()}


class Recording:
    """A recording, also one that is being written, or whose writer was killed.

    Parameters
    ----------
    path : path
        E.g. ``runs/topo/recordings/tape.h5``.

    Attributes
    ----------
    first : int
        Row r is frame ``first + r``, in all streams.
    streams : dict of Rows
        By the name of the stage.
    attrs : dict
        The root's attributes.
    """

    def __init__(self, path: str | os.PathLike):
        self.path, self._file = Path(path), _open_file(path, "recording", swmr=True)
        self.attrs = _attributes(self._file)
        if "streams" not in self.attrs or "durable" not in self._file:
            self._file.close()
            raise Error(f"{path} is no recording: it has no streams")
        self.first: int = self.attrs["first"]
        self.streams: dict[str, Rows] = {}
        for number, group in enumerate(self.attrs["streams"]):
            rows = Rows(self._file[group], lambda number=number: self._durable(number))
            self.streams[rows.attrs["name"]] = rows

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Recording {self.path}: " + ", ".join(map(repr, self.streams.values())) + ">"

    def close(self) -> None:
        """Close the file; its rows can no longer be read."""
        self._file.close()

    def _durable(self, number: int) -> int:
        durable = self._file["durable"]
        durable.refresh()
        return int(durable[number])

    def _only(self, kind: str) -> Rows:
        found = [name for name, rows in self.streams.items() if rows.kind == kind]
        if len(found) != 1:
            raise Error(f"{self.path} holds {len(found)} streams of {kind}; choose from .streams: "
                        + ", ".join(self.streams), USAGE)
        return self.streams[found[0]]

    @property
    def frames(self) -> Rows:
        """The frames, (T, height, width); with several, choose from `streams`."""
        return self._only("frames")

    @property
    def codes(self) -> Rows:
        """The sparse codes, (T, N), dense; ``codes.raw(key)`` gives winners and values."""
        return self._only("codes")

    @property
    def activations(self) -> Rows:
        """The invariant units' activations, (T, M)."""
        return self._only("activations")

    @property
    def metrics(self) -> dict[str, dict[str, np.ndarray]]:
        """Of every stage that has any: metric -> array with a number for each pass."""
        found: dict[str, dict[str, np.ndarray]] = {}
        for stage, group in self._file.get("metrics", {}).items():
            for item in group.values():
                item.refresh()
            columns = {name.decode(): column for column, name in enumerate(group["names"][()]) if name}
            if columns:
                found[stage] = {name: group["values"][:, column] for name, column in columns.items()}
        return found


# ---- runs ----


def _program(name: str) -> str:
    """The path of a program: in $LOOM_BIN, in this tree's build, where this is installed, or on PATH."""
    here = Path(__file__).resolve().parent
    folders = [os.environ.get("LOOM_BIN"), here / "../../build/release/bin", here / "../../../bin",
               *os.environ.get("PATH", "").split(os.pathsep)]
    for folder in folders:
        if folder and os.access(Path(folder) / name, os.X_OK):
            return str(Path(folder) / name)
    raise Error(f"the program '{name}' is nowhere: build it with tools/run --build, or set LOOM_BIN to the "
                "folder of programs", USAGE)


def _setting(value: Any) -> str:
    """A parameter's value as the command line has it."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    if isinstance(value, (tuple, list)):
        return "x".join(map(str, value))
    return str(value)


def _unquoted(text: str) -> str:
    text = text.strip()
    if text[:1] in ("'", '"'):
        return text[1:].partition(text[0])[0]
    return text.partition(" #")[0].strip()


def run(pipeline: str | os.PathLike, dir: str | os.PathLike | None = None,
        set: Mapping[str, Any] | None = None, again: bool = False) -> Run:
    """Start a run, or go on with one that was stopped; one that has finished is only looked at.

    The run ends with this Python process, if not before: stopped as by Ctrl-C, everything saved.

    Parameters
    ----------
    pipeline : path
        E.g. ``pipelines/topo.yaml``.
    dir : path, optional
        The run's folder; by default ``runs/<name of the pipeline>``.
    set : mapping, optional
        Parameters to change: ``{"topo.strength": 0.3, "sparse.grid": (40, 40), "sparse.frozen": True}``.
    again : bool
        Begin anew; the old folder is moved aside.

    Raises
    ------
    Error
        64 if there is no program ``loom``, or no such pipeline. What goes wrong later is raised by ``wait()``
        and ``metrics()``.
    """
    if dir is None:
        try:
            text = Path(pipeline).read_text(encoding="utf-8")
        except OSError as error:
            raise Error(f"{pipeline} cannot be read: {error.strerror}", USAGE) from None
        name = re.search(r"^name:(.*)$", text, re.MULTILINE)
        dir = Path("runs") / (_unquoted(name[1]) if name else Path(pipeline).stem)
    command = [_program("loom"), "run", os.fspath(pipeline), "--dir", os.fspath(dir), "--quiet"]
    command += ["--again"] if again else []
    for parameter, value in (set or {}).items():
        command += ["--set", f"{parameter}={_setting(value)}"]
    return Run(command, Path(dir))


class Run:
    """A run of a pipeline; made by `run`.

    Attributes
    ----------
    folder : Path
    process : subprocess.Popen
    """

    def __init__(self, command: list[str], folder: Path):
        self.folder = folder
        self._errors = tempfile.TemporaryFile()
        self._before = self._stamp()
        self._began_ns = time.time_ns()  # an older status.json is of an earlier run in this folder
        nothing = subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=self._errors,
                                        start_new_session=True)  # an interrupted cell does not stop it
        atexit.register(_end, self.process)

    def __repr__(self) -> str:
        code = self.poll()
        return f"<Run {self.folder}: " + ("running>" if code is None else f"ended with code {code}>")

    def _stamp(self) -> tuple[int, int] | None:
        """Changes when the launcher has taken the folder for this run."""
        try:
            status = (self.folder / "pipeline.yaml").stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _await_folder(self) -> None:
        while self.poll() is None and self._stamp() in (None, self._before):
            time.sleep(0.02)

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self.process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end.

        Returns
        -------
        int
            0 if it has finished, 130 if it was stopped.

        Raises
        ------
        Error
            With what the program said, and its exit code.
        subprocess.TimeoutExpired
        """
        code = self.process.wait(timeout)
        if code == -signal.SIGINT:  # before it had begun
            code = STOPPED
        if code in (0, STOPPED):
            return code
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        said = said or [f"the run in {self.folder} ended with code {code}, and said nothing"]
        final = said[-1].startswith("loom: ")
        raise Error(said[-1][len("loom: ") :] if final else "\n".join(said[-5:]), code)

    def stop(self, timeout: float | None = None) -> int:
        """Stop as Ctrl-C does: all is saved, and the same `run` goes on from there. Returns as `wait`."""
        self._await_folder()
        if self.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.wait(timeout)

    @property
    def stages(self) -> dict[str, dict[str, str]]:
        """The stages and their settings, as text, once the run has begun."""
        self._await_folder()
        found: dict[str, dict[str, str]] = {}
        try:
            lines = (self.folder / "pipeline.yaml").read_text(encoding="utf-8").splitlines()
        except OSError:
            self.wait(0)
            raise Error(f"{self.folder} has no pipeline.yaml", IO) from None
        for line in lines:  # in the one form in which the launcher writes it
            stage, setting = re.match(r'  "?([^" ]+)"?:$', line), re.match(r'    "?([^" ]+?)"?: (.*)$', line)
            if stage:
                found[stage[1]] = {}
            elif setting and found:
                found[list(found)[-1]][setting[1]] = _unquoted(setting[2])
        return found

    @property
    def passes(self) -> int | None:
        """How often the frames are shown, if the pipeline says so."""
        passes = [settings["passes"] for settings in self.stages.values() if "passes" in settings]
        return int(passes[0]) if len(passes) == 1 else None

    def metrics(self, stage: str | None = None) -> Metrics:
        """The metrics of each pass, from the first, as they come, until the run ends.

        Parameters
        ----------
        stage : str, optional
            Only that stage's. Then ``len()`` is the number of passes, and ``tqdm(run.metrics("topo"))`` shows
            a bar.
        """
        return Metrics(self, stage)

    def status(self, timeout: float = 10) -> dict[str, Any]:
        """What the run is doing, as of the last second, or how it ended: the content of its status.json.

        Parameters
        ----------
        timeout : float
            Seconds to wait at most for the first one, once the run has begun. Then Error (74): it cannot be written.

        Returns
        -------
        dict
            ``state`` (running, paused, finished, stopped, failed), ``sentence`` (what limits the run), ``stages`` (a
            list of dicts: ``name``, ``rate``, the shares of its time ``computing``, ``waiting_input`` and
            ``waiting_output``, ``queue``, ``metrics``, ...), and more; README has all keys. None: not known.
        """
        self._await_folder()
        path, end = self.folder / "status.json", time.monotonic() + timeout
        while True:  # it is written a moment after the folder has been taken
            ended = self.poll() is not None
            try:
                before, text = path.stat().st_mtime_ns, path.read_bytes()
            except OSError as error:
                if ended:
                    raise Error(f"{path} cannot be read: {error.strerror}", IO) from None
            else:
                if ended or before >= self._began_ns:
                    return json.loads(text)
            if time.monotonic() > end:
                raise Error(f"{path} has not been written for {timeout:.3g} s; is the disk full? The run goes on, "
                            "and its metrics can be followed", IO)
            time.sleep(0.02)

    def layer(self, name: str) -> Layer:
        """A layer that the run has left."""
        path = self.folder / "layers" / f"{name}.h5"
        if not path.exists() and self.poll() is None:
            raise Error(f"there is no layer {path} yet: it is written when the run ends; stop() it, or look "
                        f"at loom.tap(run.endpoint('{name}', tap=True), ['weights'])", IO)
        return Layer(path)

    def recording(self, name: str = "tape") -> Recording:
        """A recording of the run, finished or not."""
        return Recording(self.folder / "recordings" / f"{name}.h5")

    def endpoint(self, stage: str, tap: bool = False) -> str:
        """Where a stage's stream is served while the run lasts, or its tap."""
        stages = self.stages
        if stage not in stages:
            raise Error(f"{self.folder} has no stage '{stage}', only {', '.join(stages)}", USAGE)
        if "from" in stages[stage] and not tap:
            return stages[stage]["from"]
        path = self.folder.resolve() / "sockets" / (stage + ".tap" if tap else stage)
        return "ipc://" + min(str(path), os.path.relpath(path), key=len)


def _end(process: subprocess.Popen) -> None:
    """At the end of this Python process: stop a run that still goes on."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait()


class Metrics:
    """Rows of a run's metrics, followed until it ends; made by `Run.metrics`.

    A row is a dict of ``stage``, ``pass`` and that pass's metrics.
    """

    def __init__(self, run: Run, stage: str | None):
        self._run, self._stage = run, stage

    def __len__(self) -> int:
        passes = self._run.passes if self._stage else None
        if passes is None:
            raise TypeError("it is not known how many rows there will be")
        return passes

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._run._await_folder()
        at, ended = 0, False
        while not ended:
            ended = self._run.poll() is not None  # asked before reading: nothing comes after it
            try:
                with open(self._run.folder / "metrics.jsonl", "rb") as file:
                    file.seek(at)
                    lines = file.read()
            except FileNotFoundError:
                lines = b""
            whole = lines.rfind(b"\n") + 1  # a line that is being written is read the next time
            at += whole
            rows = map(_metrics_row, lines[:whole].splitlines())
            yield from (row for row in rows if self._stage in (None, row["stage"]))
            if not ended:
                time.sleep(0.1)
        self._run.wait()


def _metrics_row(line: bytes) -> dict[str, Any]:
    event = json.loads(line)
    return {"stage": event["stage"], "pass": event["pass"], **event.get("metrics", {})}


def read_metrics(folder: str | os.PathLike) -> dict[str, dict[str, np.ndarray]]:
    """All metrics of a run's folder: stage -> metric -> array with a number for each pass.

    ``pass`` tells which they are. Where a stage has no number for a pass, it is NaN.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    try:
        lines = (Path(folder) / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise Error(f"{folder} holds no metrics: {error.strerror}", IO) from None
    for row in (_metrics_row(line) for line in lines if line.endswith(b"\n")):
        rows.setdefault(row.pop("stage"), []).append(row)
    return {stage: {name: np.array([row.get(name, np.nan) for row in of_stage], float)
                    for name in dict.fromkeys(name for row in of_stage for name in row)}
            for stage, of_stage in rows.items()}


# ---- measures ----


def interpolation_error(outputs: np.ndarray) -> tuple[float, float]:
    """How slow outputs are, and how many of them are different: always to be given together.

    Parameters
    ----------
    outputs : (T, M) array
        Of successive frames that were not trained on.

    Returns
    -------
    error : float
        E, the mean over units of mean_t (y_t - (y_(t-1) + y_(t+1)) / 2)^2 / var(y): 1.5 for white noise, 0
        for what goes straight. Units that never change are left out.
    participation_ratio : float
        (sum of the eigenvalues of the covariance)^2 / sum of their squares, from 1 to M.
    """
    y = np.asarray(outputs, float)
    variance = y.var(axis=0)
    moves = variance > 0
    if len(y) < 3 or not moves.any():
        raise Error(f"the error of interpolation needs 3 frames and a unit that changes; these are {y.shape}")
    middle = y[1:-1] - (y[:-2] + y[2:]) / 2
    covariance = np.atleast_2d(np.cov(y.T))
    return (float(((middle**2).mean(axis=0)[moves] / variance[moves]).mean()),
            float(np.trace(covariance) ** 2 / (covariance**2).sum()))


def homogeneity(weights: np.ndarray) -> float:
    """Mean cosine of all pairs of rows: 1 if all units are alike."""
    rows = np.asarray(weights, float)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    n = len(rows)
    return float(((rows.sum(axis=0) ** 2).sum() - n) / (n * (n - 1)))


def coverage(invariant_weights: np.ndarray) -> np.ndarray:
    """(N,) array: how much all invariant units together have of each sparse unit, the column sums of U."""
    return np.asarray(invariant_weights, float).sum(axis=0)


def prototypes(invariant_weights: np.ndarray, sparse_weights: np.ndarray) -> np.ndarray:
    """(M, P) array U W: each invariant unit seen in pixels; `maps` makes images of it."""
    return np.asarray(invariant_weights, float) @ np.asarray(sparse_weights, float)


def reconstruct(codes: np.ndarray, sparse_weights: np.ndarray) -> np.ndarray:
    """(T, P) array: the frames that a sparse layer makes of (T, N) codes.

    A code is a winner's drive over its row's sum, s_i = p_i / sum_q W_iq, and the reconstruction is
    sum_i p_i W_i: exact for a frozen layer, and nearly so for one that learns on.
    """
    weights = np.asarray(sparse_weights, float)
    return (np.asarray(codes) * weights.sum(axis=1)) @ weights


def reconstruction_error(given: np.ndarray, reconstruction: np.ndarray) -> float:
    """The sum of |v - r|^2 over the sum of |v|^2, of all frames (or codes) together."""
    v = np.asarray(given, float).reshape(len(given), -1)
    return float(((v - np.asarray(reconstruction).reshape(v.shape)) ** 2).sum() / (v**2).sum())
