#!/usr/bin/python3
"""Small stages that keep the stream protocol but for one mistake each, for the tests of `loom check-stage`:

    wrong_stage.py MISTAKE ENDPOINT            a generator of noise
    wrong_stage.py MISTAKE ENDPOINT INPUT RUN  the mean of all frames so far

MISTAKE is one of those named below; "none" makes none."""

import hashlib
import os
import sys
import time

import msgpack
import numpy
import zmq

MISTAKE, ENDPOINT = sys.argv[1:3]
BLOCK, PASS, TOTAL = 32, 150, 300
CODES = MISTAKE in ("codes", "codes-unsorted", "codes-beyond")


def frame(k):
    """Frame k: a function of k and, in a pass, of nothing else."""
    chance = numpy.random.default_rng([7, k % PASS])
    if MISTAKE == "other-after-restart":
        chance = numpy.random.default_rng([os.getpid(), k % PASS])
    if MISTAKE == "other-when-asked-again":
        chance = numpy.random.default_rng()
    return chance.random((6, 5), "f4")


def fields(seq, n):
    if CODES:
        chance = numpy.random.default_rng(3)
        index = numpy.sort(numpy.stack([chance.permutation(12)[:3] for _ in range(TOTAL)]), 1)[seq:seq + n].astype("<u4")
        if MISTAKE == "codes-unsorted":
            index = index[:, ::-1]
        if MISTAKE == "codes-beyond":
            index = index + 4
        return {"index": index.astype("<u4").tobytes(), "value": numpy.ones((n, 3), "<f4").tobytes()}
    data = numpy.array([frame(k) for k in range(seq, seq + n)], "<f4").reshape(n, 6, 5)
    if MISTAKE == "values-to-255":
        data = data * 255
    if MISTAKE == "float64":
        data = data.astype("f8")
    return {"data": data.tolist() if MISTAKE == "lists" else data.tobytes()}


ABOUT = {"v": 1, "t": "stream", "id": "noise-7", "kind": "frames", "shape": [6, 5], "dtype": "f4", "pass": PASS, "total": TOTAL,
         "block": BLOCK, "name": "noise"}
if CODES:
    ABOUT.update(kind="codes", shape=[3], grid=[4, 3])
ABOUT.update({
    "no-shape": {"shape": None},
    "float-shape": {"shape": [6.0, 5.0]},
    "unknown-kind": {"kind": "video"},
    "numpy-dtype": {"dtype": "float32"},
    "long-id": {"id": "x" * 40},
    "huge-blocks": {"shape": [4000, 4000], "block": 256},
    "other-id-after-restart": {"id": f"noise-{os.getpid()}"},
    "no-version": {"v": "1"},
}.get(MISTAKE, {}))
ERR = {"v": 1, "t": "err", "id": ABOUT["id"]}


def answer(ask):
    if ask["t"] == "describe":
        if MISTAKE == "other-id-each-time":
            return {**ABOUT, "id": f"noise-{time.time_ns()}"}
        return ABOUT
    if ask["t"] != "fetch" or (ask["id"] != ABOUT["id"] and MISTAKE != "any-id"):
        return {**ERR, "why": "this is another stream, or no fetch"}
    if MISTAKE == "sleeps":
        time.sleep(0.4)
    if MISTAKE == "dies-at-the-end" and ask.get("ack") == TOTAL:
        sys.exit(3)
    seq, n = ask["from"], ask["n"]
    if MISTAKE != "negative-beyond-the-end":
        seq = min(seq, TOTAL)
    if MISTAKE == "ignores-n":
        n = BLOCK
    if MISTAKE != "crosses-blocks":
        n = min(n, BLOCK - seq % PASS % BLOCK, PASS - seq % PASS)
    n = min(n, TOTAL - seq)
    if MISTAKE == "drops":  # as a camera does: what is older than a second is gone
        BEGAN.append(time.time())
        oldest = int(100 * (BEGAN[-1] - BEGAN[0] - 1))
        if seq < oldest and n > 0:
            return {"v": 1, "t": "gone", "id": ABOUT["id"], "base": oldest}
    reply = {"v": 1, "t": "data", "id": ABOUT["id"], "seq": seq, "n": n, "eos": seq + n == TOTAL, **fields(seq, max(n, 0))}
    wrong = {"never-eos": {"eos": False}, "eos-too-early": {"eos": seq + n >= 96}, "eos-a-number": {"eos": int(reply["eos"])},
             "no-id": {"id": ""}, "seq-from-0": {"seq": 0}, "no-type": {"t": "frames"}}
    return {**reply, **wrong.get(MISTAKE, {})}


def understand(request):
    """The answer to a request, whatever it is."""
    if MISTAKE == "dies-of-garbage":
        return answer(msgpack.unpackb(request))
    try:
        ask = msgpack.unpackb(request)
        if ask["v"] != 1 and MISTAKE != "any-version":
            return {**ERR, "why": "version 1 is spoken here"}
        if ask["t"] == "fetch":
            if not (0 <= ask["from"] and 0 <= ask["n"]):
                return {**ERR, "why": "from and n are from 0 up"}
        return answer(ask)
    except (ValueError, KeyError, TypeError, msgpack.exceptions.UnpackException) as why:
        return {**ERR, "why": str(why)[:200]}


def serve_noise():
    pending = []
    while True:
        if MISTAKE == "backwards" and not ROUTER.poll(20):
            for peer, request in reversed(pending):
                ROUTER.send_multipart([peer, msgpack.packb(understand(request))])
            pending = []
            continue
        parts = ROUTER.recv_multipart()
        if MISTAKE == "silent":
            continue
        if MISTAKE == "backwards":
            pending.append((parts[0], parts[-1]))
            continue
        reply = msgpack.packb(understand(parts[-1]))
        if MISTAKE == "byte-keys":
            reply = reply.replace(b"\xa2id", b"\xc4\x02id", 1)
        ROUTER.send_multipart([parts[0], b"", reply] if MISTAKE == "empty-part" else [parts[0], reply])


class Mean:
    """The mean of all frames of a stream so far. It begins at frame 0 whenever it is started, and keeps all it has made."""

    def __init__(self, endpoint):
        self.source = CONTEXT.socket(zmq.DEALER)
        self.source.connect(endpoint)
        self.about = self.input = None
        self.made, self.parked, self.done = [], [], False
        self.mean = numpy.float32(0)

    def ask(self, **request):
        self.source.send(msgpack.packb({"v": 1, **request}))

    def fetch(self):
        request = {"from": len(self.made), "n": 64}
        if self.done:
            request = {"from": self.input["total"], "n": 0, "ack": self.input["total"]}
        if MISTAKE == "never-acknowledges":
            self.ask(t="fetch", id=self.input["id"], **{**request, "ack": None})
        else:
            self.ask(t="fetch", id=self.input["id"], who="mean", **{"ack": 0, **request})

    def describe(self, message):
        self.input = message
        made_of = "" if MISTAKE == "same-id" else message["id"]
        name = hashlib.sha256(("mean" + made_of).encode()).hexdigest()[:32]
        self.about = {"v": 1, "t": "stream", "id": name, "kind": "frames", "shape": message["shape"], "dtype": "f4",
                      "pass": message["pass"], "total": message["total"], "block": 50}
        self.fetch()

    def take(self, message):
        if message["t"] == "stream" and not self.input:
            self.describe(message)
        elif message["t"] == "data" and message["n"] and message["seq"] == len(self.made):
            frames = numpy.frombuffer(message["data"], "u1").reshape(-1, *self.input["shape"]) / numpy.float32(255)
            for picture in frames - frames.mean() / 100 if MISTAKE == "by-block" else frames:
                self.mean = self.mean + (picture - self.mean) / numpy.float32(len(self.made) + 2)
                self.made.append(numpy.clip(self.mean, 0, 1).astype("<f4"))
            self.fetch()

    def answer(self, peer, ask):
        """The reply to a request, or None if it must wait."""
        if not self.about:
            return {"v": 1, "t": "wait"}
        if ask["t"] == "describe":
            return self.about
        if ask["t"] != "fetch" or ask["id"] != self.about["id"]:
            return {"v": 1, "t": "err", "id": self.about["id"], "why": "this is another stream, or no fetch"}
        total, seq, n = self.about["total"], ask["from"], ask["n"]
        if seq < 0 or n < 0:
            raise ValueError("from and n are from 0 up")
        if ask.get("ack") == total and not self.done:
            self.done = True
            self.fetch()
        if seq >= total or n == 0:
            return self.data(min(seq, total), 0)
        n = min(n, 50 - seq % self.about["pass"] % 50, self.about["pass"] - seq % self.about["pass"])
        if seq + n <= len(self.made):
            return self.data(seq, n)
        if MISTAKE == "invents":
            self.made += [numpy.zeros(self.about["shape"], "<f4")] * (seq + n - len(self.made))
            return self.data(seq, n)
        self.parked.append((peer, ask))
        return None

    def data(self, seq, n):
        rows = numpy.array(self.made[seq:seq + n], "<f4")
        return {"v": 1, "t": "data", "id": self.about["id"], "seq": seq, "n": n, "eos": seq + n == self.about["total"],
                "data": rows.tobytes()}

    def serve(self, peer, request):
        try:
            ask = msgpack.unpackb(request)
            reply = self.answer(peer, ask) if ask["v"] == 1 else {"v": 1, "t": "err", "why": "version 1 is spoken here"}
        except (ValueError, KeyError, TypeError, msgpack.exceptions.UnpackException) as why:
            reply = {"v": 1, "t": "err", "why": str(why)[:200]}
        if reply:
            ROUTER.send_multipart([peer, msgpack.packb(reply)])

    def run(self):
        poller = zmq.Poller()
        poller.register(ROUTER, zmq.POLLIN)
        poller.register(self.source, zmq.POLLIN)
        asked = 0
        while True:
            if not self.input and time.time() - asked > 0.1:
                self.ask(t="describe")
                asked = time.time()
            ready = dict(poller.poll(100))
            if self.source in ready:
                self.take(msgpack.unpackb(self.source.recv()))
                if MISTAKE == "waits-within" and self.input:
                    while len(self.made) < 50:  # for its first frames, deaf to its readers
                        self.take(msgpack.unpackb(self.source.recv()))
                parked, self.parked = self.parked, []
                for peer, ask in parked:
                    self.serve(peer, msgpack.packb(ask))
            if ROUTER in ready:
                parts = ROUTER.recv_multipart()
                self.serve(parts[0], parts[-1])


BEGAN = []
CONTEXT = zmq.Context()
ROUTER = CONTEXT.socket(zmq.ROUTER)
ROUTER.bind(ENDPOINT)
if len(sys.argv) > 3:
    mean = Mean(sys.argv[3])
    if MISTAKE == "forgets":  # what it knew when it was killed
        begun = os.path.join(sys.argv[4], "begun")
        mean.mean = numpy.float32(os.path.exists(begun))
        with open(begun, "w", encoding="utf-8"):
            pass
    mean.run()
else:
    serve_noise()
