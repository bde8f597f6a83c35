#!/usr/bin/python3
"""The Python companion (tools/python/loom.py) and the examples beside it, against the real stages: what is
read live is what is recorded, what is served is what is learned from, and one clear error for all rubbish.

    tests/test_companion.py FOLDER_OF_PROGRAMS [unittest arguments]"""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import unittest

import h5py
import msgpack
import numpy
import zmq

from loom_case import BIN, Case, DIGITS, PATIENCE, PIPELINE, SOURCE, program

PYTHON = os.path.join(SOURCE, "tools", "python")
sys.path.insert(0, PYTHON)
os.environ["LOOM_BIN"] = BIN
os.environ["PYTHONPATH"] = PYTHON  # of examples, and of the notebook's kernel

import loom  # noqa: E402  (the module under test)

LOOK = PIPELINE + "  maps: {{stage: render, tap: [sparse, topo]}}\n"
SLOW = {"window.rate": 400, "window.block": 50}


def noise(t):
    """Frame t of a stream that is all chance and yet always the same."""
    return numpy.random.default_rng((5, t)).random((20, 20), dtype="f4")


class Companion(Case):
    """With what the companion's tests share: endpoints, servers in threads, runs."""

    def endpoint(self, name):
        return f"ipc://{self.folder}/{name}"

    def serve(self, *arguments, **settings):
        """loom.serve in a thread, stopped at the end of the test. Returns a list to which its Error comes."""
        stop, errors = threading.Event(), []

        def go():
            try:
                loom.serve(*arguments, stop=stop, **settings)
            except loom.Error as error:
                errors.append(error)

        thread = threading.Thread(target=go)
        thread.start()
        self.addCleanup(lambda: (stop.set(), thread.join()))
        return errors

    def first(self, errors):
        """The Error of a server that is about to end."""
        return self.until(lambda: errors, "the server ended with an Error")[0]

    def router(self, name, answer):
        """A producer of any behaviour: answer(request) gives a reply's parts or None. Gives its endpoint."""
        socket, stop = zmq.Context.instance().socket(zmq.ROUTER), threading.Event()
        socket.linger = 0
        socket.bind(self.endpoint(name))

        def go():
            while not stop.is_set():
                if socket.poll(20):
                    peer, *parts = socket.recv_multipart()
                    reply = answer(parts[0])
                    if reply is not None:
                        socket.send_multipart([peer, *reply])
            socket.close()

        thread = threading.Thread(target=go)
        thread.start()
        self.addCleanup(lambda: (stop.set(), thread.join()))
        return self.endpoint(name)

    def run_loom(self, dir, text=PIPELINE, set=None, **values):
        run = loom.run(self.write(text, **values), dir=self.path(dir), set=set)
        self.addCleanup(lambda: run.poll() is None and (run.process.kill(), run.process.wait()))
        self.addCleanup(run.process.wait)
        return run

    def assertFails(self, code, words, function, *arguments, **settings):
        """It raises loom.Error with that code and all of those words. Returns the message."""
        with self.assertRaises(loom.Error) as caught:
            function(*arguments, **settings)
        self.assertEqual(caught.exception.code, code, caught.exception)
        for word in words:
            self.assertIn(word, str(caught.exception))
        return str(caught.exception)


class Streams(Companion):
    """Live streams, read without loss."""

    def stages_by_hand(self, passes=3):
        """Generator, sparse and invariant layer and recorder, which also wait for a reader called python."""
        g, s, t = map(self.endpoint, "gst")
        common = ("--run", self.path("run"), "--block=64", "--checkpoint=0.2")
        generate = (f"--tapestry={DIGITS}", "--frames=1000", f"--passes={passes}")
        return [
            self.start(program("loom-generate"), "--name=window", *generate, "--bind", g, "--required=sparse,tape",
                       *common),
            self.start(program("loom-sparse"), "--name=sparse", "--in", g, "--grid=12x10", "--winners=3",
                       "--bind", s, "--required=topo,tape,python", *common),
            self.start(program("loom-invariant"), "--name=topo", "--in", s, "--grid=5x4",
                       "--bind", t, "--required=tape,python", *common),
            self.start(program("loom-record"), "--name=tape", "--in", g, "--in", s, "--in", t, *common[:2])]

    def test_what_is_read_is_what_is_recorded(self):
        children, read = self.stages_by_hand(), {}

        def collect(name, **settings):
            read[name] = list(loom.stream(self.endpoint(name), who="python", **settings))

        threads = [threading.Thread(target=collect, args=("g",)),
                   threading.Thread(target=collect, args=("s",), kwargs={"block": 300}),
                   threading.Thread(target=collect, args=("t",), kwargs={"block": 1000})]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        for child in children:
            self.finish(child)
        with loom.Recording(self.path("run", "recordings", "tape.h5")) as tape:
            self.assertEqual([seq for seq, _ in read["g"]], list(range(3000)))
            numpy.testing.assert_array_equal(numpy.stack([frame for _, frame in read["g"]]), tape.frames)
            begins = [first + row for first in (0, 1000, 2000) for row in (0, 300, 600, 900)]
            self.assertEqual([seq for seq, _ in read["s"]], begins)
            numpy.testing.assert_array_equal(numpy.concatenate([codes for _, codes in read["s"]]), tape.codes)
            self.assertEqual([(seq, values.shape) for seq, values in read["t"]],
                             [(first, (1000, 20)) for first in (0, 1000, 2000)])
            numpy.testing.assert_array_equal(numpy.concatenate([values for _, values in read["t"]]),
                                             tape.activations)
            self.assertGreater(numpy.asarray(tape.codes).max(), 0)

    def test_as_it_is_sent(self):
        children = self.stages_by_hand(passes=1)
        frames = loom.stream(self.endpoint("g"), raw=True, who="python", start=17)
        self.assertEqual((frames.kind, frames.shape, frames.total, frames.pass_frames),
                         ("frames", (20, 20), 1000, 1000))
        seq, frame = next(frames)
        self.assertEqual((seq, frame.dtype, frame.shape, frames.at.shape), (17, numpy.uint8, (20, 20), (2,)))
        codes = loom.stream(self.endpoint("s"), raw=True, who="python")
        self.assertEqual((codes.kind, codes.shape, codes.winners, codes.grid, len(codes)),
                         ("codes", (120,), 3, (12, 10), 1000))
        _, (index, value) = next(codes)
        self.assertEqual((index.shape, value.shape, len(codes)), ((3,), (3,), 1000))
        for stream in (frames, codes, loom.stream(self.endpoint("t"), who="python")):
            self.assertIn(999, [seq for seq, _ in stream])
        self.assertIn("dead_units", codes.metrics)
        for child in children:
            self.finish(child)
        with loom.Recording(self.path("run", "recordings", "tape.h5")) as tape:
            numpy.testing.assert_array_equal(frame, tape.frames.raw(17))
            numpy.testing.assert_array_equal(loom.dense(index, value, 120), tape.codes[0])

    def test_killed_reader_goes_on(self):
        children = self.stages_by_hand()
        script = self.path("reader.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write("import loom, os, sys, time\n"
                       "with open(sys.argv[2], 'ab') as out:\n"
                       "    start = out.tell() // 480\n"  # 120 units of 4 bytes
                       "    for seq, code in loom.stream(sys.argv[1], start=start, who='python'):\n"
                       "        out.write(code.tobytes())\n"
                       "        out.flush()\n"
                       "        time.sleep(0.0003)\n")
        kills, codes = 0, self.path("codes.raw")
        while True:
            reader = self.start("/usr/bin/python3", script, self.endpoint("s"), codes)
            try:
                reader.wait(random.uniform(0.3, 0.9) if kills < 3 else PATIENCE)
                break
            except subprocess.TimeoutExpired:
                reader.kill()
                reader.wait()
                kills += 1
                if os.path.exists(codes):  # a row that was being written
                    os.truncate(codes, os.path.getsize(codes) // 480 * 480)
        self.finish(reader)
        self.assertGreater(kills, 0)
        for name in "gt":  # the others wait for a reader of that name, too
            for _ in loom.stream(self.endpoint(name), who="python", block=500):
                pass
        for child in children:
            self.finish(child)
        with loom.Recording(self.path("run", "recordings", "tape.h5")) as tape:
            numpy.testing.assert_array_equal(numpy.fromfile(codes, "<f4").reshape(-1, 120), tape.codes)

    def test_stalled_reader_holds_nobody_up(self):
        self.run_pipeline("calm", passes=20)
        run = self.run_loom("run", passes=20, set={"topo.ring": 1, "window.rate": 3000})  # 13,000 fill it
        stalled = loom.stream(run.endpoint("topo"), patience=5, timeout=0.2)
        self.assertEqual(next(stalled)[0], 0)
        self.assertEqual(run.wait(PATIENCE), 0)
        self.assertEqual(self.result("run"), self.result("calm"))
        with self.assertRaises(loom.Error) as caught:
            list(stalled)
        self.assertIn(caught.exception.code, (loom.DATA, loom.PEER))  # no longer held, or gone for good

    def test_late_reader(self):
        self.serve((noise(t) for t in range(3000)), (20, 20), self.endpoint("mine"), hold=300, block=100)
        list(loom.stream(self.endpoint("mine"), who="first", block=100))
        self.assertFails(65, ["no longer holds frame 0", "join"], next, loom.stream(self.endpoint("mine")))
        seq, frame = next(loom.stream(self.endpoint("mine"), join="oldest"))
        self.assertGreaterEqual(seq, 2600)
        numpy.testing.assert_array_equal(frame, noise(seq))


class Taps(Companion):
    """Looking at what passes."""

    def test_taps_of_a_run(self):
        self.run_pipeline("calm", passes=3)
        run = self.run_loom("run", passes=3, set=SLOW)
        seen = {"data": [], "weights": [], "metrics": []}
        for topic, seq, value, about in loom.tap(run.endpoint("sparse", tap=True)):
            seen[topic].append((seq, value, about))
        self.assertEqual(run.wait(PATIENCE), 0)
        self.assertEqual(self.result("run"), self.result("calm"))
        with run.recording() as tape:
            for seq, codes, _ in seen["data"]:
                numpy.testing.assert_array_equal(codes, tape.codes[seq : seq + len(codes)])
        self.assertGreater(len(seen["data"]), 3)
        _, weights, about = seen["weights"][-1]
        self.assertEqual(loom.maps(weights, about["input"]).shape, (120, 20, 20))
        rows = {about["pass"]: value for _, value, about in seen["metrics"]}
        self.assertGreater(len(rows), 0)
        for number, metrics in rows.items():
            told = loom.read_metrics(run.folder)["sparse"]["reconstruction_error"][number - 1]
            self.assertAlmostEqual(metrics["reconstruction_error"], told, 6)

    def test_what_is_no_tap(self):
        nobody = loom.tap(self.endpoint("nobody"), ["weights"], patience=0.5)
        self.assertFails(69, ["no tap", "nobody"], next, nobody)
        self.assertFails(64, ["stream="], next, loom.tap("tcp://127.0.0.1:1"))
        self.assertFails(64, ["topics"], next, loom.tap(self.endpoint("x.tap"), ["pictures"]))
        silent = self.router("stream", lambda request: None)
        self.assertFails(69, ["no tap"], next, loom.tap(silent, ["metrics"], patience=0.5))
        socket = zmq.Context.instance().socket(zmq.XPUB)
        socket.linger = 0
        socket.bind(self.endpoint("odd"))
        empty = {"v": 1, "t": "weights", "seq": 1}
        for odd in ([], [b"junk"], [msgpack.packb(empty)],
                    [msgpack.packb(dict(empty, rows=9, cols=9, data=b"1234"))]):
            parts = [b"weights", *odd]
            looking = loom.tap(self.endpoint("odd"), ["weights"])
            sender = threading.Thread(target=lambda: (socket.recv(), socket.send_multipart(parts)))
            sender.start()
            self.assertFails(65, ["what no tap sends"], next, looking)
            sender.join()
            socket.recv()  # the end of the subscription
        socket.close()


class Serving(Companion):
    """Generators in Python feed the pipeline."""

    def test_function_twice_and_iterable_give_the_same_bits(self):
        self.serve(noise, (20, 20), self.endpoint("function"), frames=1000, passes=3)
        self.serve((noise(t % 1000) for t in range(3000)), (20, 20), self.endpoint("iterable"),
                   readers=("sparse", "tape"), hold=700, name="noise")
        results = []
        for name, source in (("one", "function"), ("two", "function"), ("three", "iterable")):
            self.run_pipeline(name, "--set", f"window.from={self.endpoint(source)}", "--set",
                              "topo.normalize_every=0", checkpoint=0.1)  # acknowledges often: little is held
            with loom.Recording(self.path(name, "recordings", "tape.h5")) as tape:
                results.append([numpy.asarray(rows) for rows in (tape.frames, tape.codes)])
            if source == "function":
                results[-1].append(loom.Layer(self.path(name, "layers", "topo.h5")).weights)
        self.assertEqual(results[0][0].shape, (3000, 20, 20))
        numpy.testing.assert_array_equal(results[0][0][2500], noise(500))
        for other in results[1:]:
            for a, b in zip(results[0], other):
                numpy.testing.assert_array_equal(a, b)

    def test_examples_feed_the_pipeline(self):
        with open(os.path.join(PYTHON, "generator.py"), encoding="utf-8") as file:
            code = file.read().split('"""')[2].splitlines()
        self.assertLessEqual(sum(1 for line in code if line.strip() and not line.strip().startswith("#")), 15)
        for name in ("generator", "generator_companion"):
            command = ("/usr/bin/python3", os.path.join(PYTHON, name + ".py"))
            self.loom("check-stage", "--", *command, "{bind}")
            self.start(*command, self.endpoint(name))
            for run in (name + "-1", name + "-2"):
                self.run_pipeline(run, "--set", f"window.from={self.endpoint(name)}")
            self.assertEqual(self.result(name + "-1"), self.result(name + "-2"))
            with loom.Recording(self.path(name + "-1", "recordings", "tape.h5")) as tape:
                self.assertEqual(tape.frames.shape, (5000, 20, 20))
                numpy.testing.assert_array_equal(tape.frames[:1000], tape.frames[4000:])
                self.assertGreater(numpy.ptp(tape.frames[0]), 0.5)

    def test_the_id_tells_streams_apart(self):
        settings = [(noise, {}), (noise, {"passes": 3}), (noise, {"parameters": 7}),
                    (noise, {"name": "other"}), (lambda t: noise(t + 1), {"name": "noise"}),
                    (noise, {"id": "mine"}), (noise, {})]
        ids = []
        for number, (function, options) in enumerate(settings):
            self.serve(function, (20, 20), self.endpoint(f"g{number}"), frames=100, **options)
            ids.append(loom.stream(self.endpoint(f"g{number}")).id)
        self.assertEqual(len(set(ids)), len(ids) - 1)
        self.assertEqual((ids[0], ids[5]), (ids[-1], "mine"))

    def test_any_frame_at_any_time(self):
        self.serve(noise, (20, 20), self.endpoint("g"), frames=300, passes=4, block=64)
        for start in (0, 299, 300, 777, 1199):
            seq, frame = next(loom.stream(self.endpoint("g"), start=start))
            self.assertEqual(seq, start)
            numpy.testing.assert_array_equal(frame, noise(start % 300))
        self.assertEqual(list(loom.stream(self.endpoint("g"), start=1200)), [])
        self.serve(noise, (20, 20), self.endpoint("endless"))
        frames = numpy.stack([noise(t) for t in range(30)])
        self.serve(frames, (20, 20), self.endpoint("array"), passes=2)
        shown = numpy.stack([frame for _, frame in loom.stream(self.endpoint("array"))])
        numpy.testing.assert_array_equal(shown, numpy.concatenate([frames, frames]))
        endless = loom.stream(self.endpoint("endless"), start=10**12)
        self.assertEqual((endless.total, next(endless)[0]), (None, 10**12))
        self.assertRaises(TypeError, len, endless)

    def test_nothing_a_reader_says_ends_it(self):
        self.serve(noise, (20, 20), self.endpoint("g"), frames=300, block=64)
        about = loom.stream(self.endpoint("g"))
        socket = zmq.Context.instance().socket(zmq.DEALER)
        socket.linger = 0
        socket.connect(self.endpoint("g"))
        fetch = {"v": 1, "t": "fetch", "id": about.id, "from": 0, "n": 10}
        cases = [(b"", "err"), (b"\xc1", "err"), (b"\x80", "err"), (dict(fetch, t="dance"), "err"),
                 (dict(fetch, n=-1), "err"), (dict(fetch, n="x"), "err"), (dict(fetch, id="other"), "err"),
                 (dict(fetch, ack=5, who="me"), "err"), (dict(fetch, n=10**12), 64), (dict(fetch, n=0), 0),
                 (dict(fetch, **{"from": 60}), 4), (dict(fetch, **{"from": 10**15}), 0), (fetch, 10)]
        for request, expected in cases:
            socket.send(request if isinstance(request, bytes) else msgpack.packb(request))
            self.assertTrue(socket.poll(1000 * PATIENCE), request)
            reply = msgpack.unpackb(socket.recv())
            self.assertEqual(reply["t" if isinstance(expected, str) else "n"], expected, (request, reply))
        socket.close()

    def test_function_that_fails_is_named_to_everybody(self):
        def fails(t):
            if t == 700:
                raise ValueError("out of paint")
            return noise(t)

        errors = self.serve(fails, (20, 20), self.endpoint("g"), frames=1000, id="fails")
        said = self.run_pipeline("run", "--set", f"window.from={self.endpoint('g')}", code=65)
        self.assertIn("frame 700 could not be made: ValueError: out of paint", said)
        self.assertIn("frame 700", str(self.first(errors)))

    def test_what_is_no_frame(self):
        odd = [(lambda t: noise(t)[:19], ["frame 0", "(19, 20)", "(20, 20)"]),
               (lambda t: noise(t) * numpy.nan, ["frame 0", "nan"]),
               (lambda t: noise(t) + 1, ["frame 0", "from 0 to 1"]),
               (lambda t: (noise(t) * 255).astype(int), ["int64", "uint8"]), (lambda t: None, ["frame 0"]),
               (lambda t: numpy.random.rand(20, 20), ["frame 0", "default_rng"]),
               (lambda t: noise(t) if t < 33 else noise(t) - 1, ["frame 33", "from -0.9"])]
        for function, words in odd:
            self.assertFails(65, words, loom.serve, function, (20, 20), self.endpoint("g"), frames=100)
        self.assertFails(65, ["frame 2", "(3, 3)"], self.drain, iter([noise(0), noise(1), noise(2)[:3, :3]]))
        self.assertFails(65, ["frames end at 2", "3 were announced"], self.drain, iter([noise(0), noise(1)]),
                         frames=3)
        once = iter([noise(0)])
        self.assertFails(64, ["passes=1"], loom.serve, once, (20, 20), self.endpoint("g"), passes=2)
        self.assertFails(64, ["shape"], loom.serve, noise, (20,), self.endpoint("g"))
        self.assertFails(64, ["endpoint"], loom.serve, noise, (20, 20), "nonsense", frames=5)
        self.serve(noise, (20, 20), self.endpoint("taken"), frames=100)
        loom.stream(self.endpoint("taken"))
        self.assertFails(69, ["in use"], loom.serve, noise, (20, 20), self.endpoint("taken"), frames=100)

    def drain(self, iterable, **settings):
        """Serve an iterable to a reader that wants all of it, and raise what the server ends with."""
        errors = self.serve(iterable, (20, 20), self.endpoint("drained"), **settings)
        self.assertFails(65, [], list, loom.stream(self.endpoint("drained")))
        raise self.first(errors)


class Rubbish(Companion):
    """Peers that are not there, or no producers."""

    def test_nobody_there(self):
        self.assertFails(69, ["nobody has answered", self.endpoint("x")], loom.stream, self.endpoint("x"),
                         patience=0.5, timeout=0.1)
        self.assertFails(64, ["endpoint"], loom.stream, "nonsense")
        self.assertFails(64, ["start"], loom.stream, self.endpoint("x"), start=-1)

    def test_what_describes_no_stream(self):
        about = {"v": 1, "t": "stream", "id": "x", "kind": "frames", "shape": [20, 20]}
        twists = [{"kind": "sounds"}, {"shape": [20]}, {"shape": [2**20, 2**20]}, {"block": -1},
                  {"total": "many"}, {"dtype": "f8"}, {"kind": "codes", "shape": [3]}, {"id": 7}, {"v": 2},
                  {"t": "data"}]
        maps = [{"v": 1, "t": "err", "why": "no"}, {1: 2}, [1], *(dict(about, **twist) for twist in twists)]
        odd = [b"junk", b"", b"\xc1", b"\xdf\xff\xff\xff\xff", *map(msgpack.packb, maps)]
        for number, reply in enumerate(odd):
            endpoint = self.router(f"odd{number}", lambda request, reply=reply: [reply])
            self.assertFails(65, [endpoint], loom.stream, endpoint)
        endpoint = self.router("parts", lambda request: [msgpack.packb(about)] * 2)
        self.assertFails(65, ["parts"], loom.stream, endpoint)

    def test_what_brings_no_frames(self):
        about = {"v": 1, "t": "stream", "id": "x", "kind": "frames", "shape": [2, 2], "dtype": "u1",
                 "total": 100}
        data = {"v": 1, "t": "data", "id": "x", "seq": 0, "n": 1, "eos": False, "data": b"1234"}
        odd = [(b"junk", "answers, but"), (dict(data, seq=5), "answers, but"),
               (dict(data, n=0, data=b""), "answers, but"), (dict(data, n=-3), "answers, but"),
               (dict(data, data=b"123"), "'data'"), (dict(data, id="y"), "stream y"),
               (dict(data, n=300, data=b"1234" * 300), "at most 256"),
               (dict(data, eos=True), "ends its stream"),
               ({"v": 1, "t": "gone", "id": "x", "base": 9}, "no longer holds"),
               ({"v": 1, "t": "err", "why": "no"}, "refuses")]
        for number, (reply, words) in enumerate(odd):
            endpoint = self.describer(f"odd{number}", about, reply)
            stream = loom.stream(endpoint, patience=1, timeout=0.1)
            self.assertFails(65, [words], list, stream)
            self.assertFails(64, ["start=0"], next, stream)  # it has not ended

    def describer(self, name, about, reply):
        """A producer that describes its stream as `about`, and answers everything else with `reply`."""
        reply = reply if isinstance(reply, bytes) else msgpack.packb(reply)
        return self.router(name, lambda request: [
            msgpack.packb(about) if msgpack.unpackb(request)["t"] == "describe" else reply])

    def test_units_off_the_grid(self):
        about = {"v": 1, "t": "stream", "id": "x", "kind": "codes", "shape": [1], "grid": [2, 2], "total": 1}
        data = {"v": 1, "t": "data", "id": "x", "seq": 0, "n": 1, "eos": True, "index": b"\4\0\0\0",
                "value": b"\0" * 4}
        self.assertFails(65, ["unit 4"], next, loom.stream(self.describer("g", about, data)))

    def test_losses_are_made_good(self):
        about = {"v": 1, "t": "stream", "id": "x", "kind": "activations", "shape": [1], "total": 500,
                 "block": 10}
        chance, asked = random.Random(1), []

        def answer(request):
            ask = msgpack.unpackb(request)
            asked.append(ask)
            if chance.random() < 0.3:
                return None
            if ask["t"] == "describe":
                return [msgpack.packb(about)]
            n = min(ask["n"], chance.choice((1, 7, 10)), 500 - ask["from"])  # fewer are allowed
            values = numpy.arange(ask["from"], ask["from"] + n, dtype="<f4")
            return [msgpack.packb({"v": 1, "t": "data", "id": "x", "seq": ask["from"], "n": n,
                                   "eos": ask["from"] + n == 500, "data": values.tobytes()})]

        endpoint = self.router("lossy", answer)
        values = [(seq, int(value[0])) for seq, value in loom.stream(endpoint, timeout=0.02)]
        self.assertEqual(values, [(t, t) for t in range(500)])
        self.assertTrue(all("ack" not in ask or ask["ack"] is None for ask in asked),
                        "a reader without a name acknowledges nothing")


class Files(Companion):
    """Layers and recordings as arrays, and back."""

    def test_layer_from_an_array_is_taken_up(self):
        weights = numpy.random.default_rng(1).random((120, 400)).astype("f4")
        path = self.path("mine.h5")
        number = loom.write_layer(path, weights, grid=(12, 10))
        self.assertEqual(number, loom.write_layer(self.path("again.h5"), weights, grid=(12, 10)))
        with open(path, "rb") as one, open(self.path("again.h5"), "rb") as two:
            self.assertEqual(one.read(), two.read(), "same content, same file")
        with h5py.File(path, "r") as file:
            self.assertTrue(file["weights"].fletcher32)
        self.run_pipeline("run", "--set", f"sparse.layer={path}", "--set", "sparse.frozen=true")
        kept = loom.Layer(self.path("run", "layers", "sparse.h5"))
        numpy.testing.assert_array_equal(kept.weights, weights)
        self.assertEqual((kept.attrs["parent"], kept.grid, kept.input_shape), (number, (12, 10), (20, 20)))
        self.assertEqual(kept.maps().shape, (120, 20, 20))
        above = self.path("above.h5")
        loom.write_layer(above, numpy.full((20, 120), 0.05), (5, 4), (12, 10), kind="invariant",
                         below=loom.Layer(path))
        self.run_pipeline("both", "--set", f"sparse.layer={path}", "--set", "sparse.frozen=true", "--set",
                          f"topo.layer={above}", "--set", "topo.frozen=true")
        numpy.testing.assert_array_equal(loom.Layer(self.path("both", "layers", "topo.h5")).weights,
                                         numpy.float32(0.05))
        said = self.run_pipeline("wrong", "--set", f"sparse.layer={path}", "--set", "sparse.grid=10x12",
                                 code=65)
        self.assertIn("12x10", said)

    def test_layer_above_a_trained_one(self):
        self.run_pipeline("first")
        sparse = loom.Layer(self.path("first", "layers", "sparse.h5"))
        above = self.path("above.h5")
        loom.write_layer(above, numpy.full((20, 120), 0.05), (5, 4), (12, 10), kind="invariant", below=sparse)
        self.run_pipeline("second", "--set", f"sparse.layer={sparse.path}", "--set", "sparse.frozen=true",
                          "--set", f"topo.layer={above}")

    def test_what_is_no_layer(self):
        path = self.path("x.h5")
        good = numpy.ones((4, 9))
        for weights, words in ((good[0], ["(9,)"]), (good * numpy.nan, ["nan"]), (-good, ["-1"]),
                               (numpy.ones((0, 9)), ["(0, 9)"]), (good * 1e38, ["1e+38"])):
            self.assertFails(65, words, loom.write_layer, path, weights)
        self.assertFails(64, ["grid", "4 places"], loom.write_layer, path, good, grid=(3, 1))
        self.assertFails(64, ["input_shape", "8 places"], loom.write_layer, path, numpy.ones((4, 8)))
        self.assertFails(64, ["kind"], loom.write_layer, path, good, kind="odd")
        self.assertFails(74, ["cannot be written"], loom.write_layer, self.path("nowhere", "x.h5"), good)
        self.assertFails(74, ["no layer"], loom.Layer, path)
        with open(path, "wb") as file:
            file.write(b"rubbish")
        self.assertFails(65, [path], loom.Layer, path)
        loom.write_layer(path, numpy.full((4, 9), 0.7))
        with open(path, "r+b") as file:
            file.seek(file.read().index(numpy.full(36, 0.7, "<f4").tobytes()))
            file.write(b"\1")
        self.assertFails(65, [path, "damaged at /weights"], loom.Layer, path)
        with h5py.File(path, "w") as file:
            file["weights"] = good
        self.assertFails(65, [path, "grid"], loom.Layer, path)
        self.assertFails(65, [path, "streams"], loom.Recording, path)
        self.assertFails(74, ["no recording"], loom.Recording, self.path("none.h5"))
        loom.write_layer(path, good)
        self.assertEqual(sorted(os.listdir(self.folder)), ["x.h5"], "nothing half-written stays behind")

    def test_rows_are_indexed_like_arrays(self):
        self.run_pipeline("run", passes=2)
        path = self.path("run", "recordings", "tape.h5")
        with loom.Recording(path) as tape, h5py.File(path, "r") as file:
            frames = (file["frames/data"][()] / 255.0).astype("f4")
            codes = loom.dense(file["codes/index"][()], file["codes/value"][()], 120)
            mask = numpy.arange(2000) % 7 == 3
            for key in (5, -1, slice(10, 20), slice(None, None, 50), slice(20, 10, -1), slice(0, 0),
                        [3, 1, 3], mask, (slice(3, 9), 4), (7, 5)):
                numpy.testing.assert_array_equal(tape.frames[key], frames[key])
                numpy.testing.assert_array_equal(tape.codes[key], codes[key])
            self.assertRaises(IndexError, lambda: tape.codes[2000])
            self.assertEqual((tape.frames.shape, tape.codes.shape, tape.activations.shape),
                             ((2000, 20, 20), (2000, 120), (2000, 20)))
            self.assertEqual(tape.codes.raw(slice(3))[0].shape, (3, 3))
            self.assertEqual(tape.codes.attrs["stage"], "sparse")
            self.assertEqual(tape.metrics["topo"]["homogeneity"].shape, (2,))
            history = loom.read_metrics(self.path("run"))
            for stage, metrics in tape.metrics.items():
                for name, values in metrics.items():
                    numpy.testing.assert_allclose(values, history[stage][name], rtol=1e-6)

    def test_recording_that_is_being_written(self):
        run = self.run_loom("run", passes=3, set={**SLOW, "tape.checkpoint": 0.1})

        def recording():
            with contextlib.suppress(loom.Error):
                return run.recording()

        tape = self.until(recording, "there was a recording", run.process)
        lengths, newest = [], []
        while run.poll() is None:
            lengths.append(len(tape.codes))
            for name, rows in tape.streams.items():
                if n := len(rows):
                    newest.append((name, n - 1, rows[n - 1]))
            time.sleep(0.05)
        tape.close()
        run.wait()
        self.assertGreater(len(set(lengths)), 3)
        self.assertEqual(sorted(lengths), lengths)
        with run.recording() as tape:
            self.assertEqual(len(tape.codes), 3000)
            for name, n, row in newest:
                numpy.testing.assert_array_equal(row, tape.streams[name][n], f"row {n} of {name} was whole at once")


class Runs(Companion):
    """Runs started, followed, stopped and continued from Python."""

    def test_run_and_follow(self):
        run = self.run_loom("run", set={"topo.strength": 0.3, "sparse.grid": (12, 10)})
        rows = run.metrics("topo")
        self.assertEqual(len(rows), 3)
        rows = list(rows)
        self.assertEqual([row["pass"] for row in rows], [1, 2, 3])
        self.assertEqual(run.wait(), 0)
        self.assertEqual(len(list(run.metrics())), 6)
        layer = run.layer("topo")
        self.assertEqual((layer.attrs["strength"], layer.grid), (0.3, (5, 4)))
        self.assertAlmostEqual(loom.homogeneity(layer.weights), rows[-1]["homogeneity"], 4)
        self.assertAlmostEqual(loom.coverage(layer.weights).max(), rows[-1]["coverage_max"], 4)
        again = self.run_loom("run", set={"topo.strength": 0.3, "sparse.grid": (12, 10)})
        self.assertEqual([row for row in again.metrics("topo")], rows, "a finished run is only looked at")

    def test_default_folder(self):
        before = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)
        run = loom.run(self.write(PIPELINE), set={"window.passes": 0})
        self.assertEqual(run.wait(), 0)
        self.assertTrue(os.path.exists(self.path("runs", "test", "layers", "topo.h5")))

    def test_stop_and_go_on(self):
        self.run_pipeline("calm")
        for _ in range(2):
            since = self.frames_done("run")
            run = self.run_loom("run", set=SLOW)
            self.until_further("run", ("sparse", "topo"), run.process, since)
            with self.assertRaises(subprocess.TimeoutExpired):
                run.wait(0.1)
            self.assertEqual(run.stop(PATIENCE), 130)
        self.assertEqual(self.run_loom("run", set=SLOW).stop(PATIENCE), 130)  # at once
        run = self.run_loom("run", set=SLOW)
        self.assertEqual(sorted((row["stage"], row["pass"]) for row in run.metrics()),
                         [(stage, number) for stage in ("sparse", "topo") for number in (1, 2, 3)])
        self.assertEqual(run.wait(), 0)
        self.assertEqual(self.result("run"), self.result("calm"))

    def test_interrupted_python(self):
        """Ctrl-C in a cell or script does not stop the run; the end of Python does, with everything saved."""
        script, pipeline, folder = self.path("script.py"), self.write(PIPELINE), self.path("run")
        with open(script, "w", encoding="utf-8") as file:
            file.write(f"import loom, time\nrun = loom.run({pipeline!r}, dir={folder!r}, set={SLOW!r})\n"
                       "try:\n"
                       "    print(len(run.stages), flush=True)\n"
                       "    time.sleep(60)\n"
                       "except KeyboardInterrupt:\n"
                       "    time.sleep(0.5)\n"
                       "print(run.poll(), run.process.pid)\n")
        child = self.start("/usr/bin/python3", script, start_new_session=True)
        self.assertEqual(child.stdout.readline(), "4\n")
        self.until_further("run", ("sparse", "topo"), child)
        os.killpg(child.pid, signal.SIGINT)
        code, pid = self.finish(child).split()
        self.assertEqual(code, "None", "it was running after Ctrl-C")
        self.assertRaises(ProcessLookupError, os.kill, int(pid), 0)
        self.assertTrue(os.path.exists(self.path("run", "layers", "sparse.h5")), "everything is saved")

    def test_another_run_in_the_folder(self):
        """Its metrics are not taken for ours."""
        self.run_pipeline("run", passes=5)
        run = self.run_loom("run", passes=2)
        self.assertEqual([row["pass"] for row in run.metrics("sparse")], [1, 2])
        self.assertTrue(os.path.exists(self.path("run.1", "metrics.jsonl")))

    def test_errors(self):
        self.assertFails(64, ["missing.yaml"], loom.run(self.path("missing.yaml"), dir=self.path("run")).wait)
        self.assertFails(64, ["missing.yaml"], loom.run, self.path("missing.yaml"))
        run = self.run_loom("run", set={"topo.nonsense": 3})
        self.assertFails(64, ["nonsense"], list, run.metrics())
        self.assertFails(64, ["nonsense"], run.endpoint, "topo")
        run = self.run_loom("run", set={"sparse.layer": self.write("rubbish", "rubbish.h5")})
        self.assertFails(65, ["rubbish.h5 is not an HDF5 file"], list, run.metrics())
        self.assertNotIn("\n", self.assertFails(65, [], run.wait))
        run = self.run_loom("slow", set=SLOW)
        self.assertFails(64, ["no stage 'toppo'", "topo"], run.endpoint, "toppo")
        self.assertFails(74, ["layer", "yet"], run.layer, "topo")
        run.stop()
        self.assertFails(74, ["no layer"], run.layer, "toppo")
        self.assertFails(74, ["metrics"], loom.read_metrics, self.path("nowhere"))
        os.environ["LOOM_BIN"], path = "", os.environ["PATH"]
        os.environ["PATH"] = ""
        try:
            if not os.path.exists(os.path.join(SOURCE, "build", "release", "bin", "loom")):
                self.assertFails(64, ["LOOM_BIN"], loom.run, self.path("test.yaml"))
        finally:
            os.environ["LOOM_BIN"], os.environ["PATH"] = BIN, path


class Measures(Companion):
    """The measures of the model, on what is known."""

    def test_interpolation_error(self):
        white = numpy.random.default_rng(1).normal(size=(100000, 5))
        error, ratio = loom.interpolation_error(white)
        self.assertAlmostEqual(error, 1.5, 1)
        self.assertAlmostEqual(ratio, 5, 1)
        line = numpy.outer(numpy.arange(100), [1, 2, 0])
        error, ratio = loom.interpolation_error(line)
        self.assertAlmostEqual(error, 0)
        self.assertAlmostEqual(ratio, 1)
        self.assertFails(65, ["unit that changes"], loom.interpolation_error, numpy.ones((10, 3)))

    def test_homogeneity(self):
        self.assertAlmostEqual(loom.homogeneity(numpy.ones((4, 3))), 1)
        self.assertAlmostEqual(loom.homogeneity(numpy.eye(4)), 0)
        rows = numpy.random.default_rng(1).random((5, 8))
        unit = rows / numpy.linalg.norm(rows, axis=1)[:, None]
        self.assertAlmostEqual(loom.homogeneity(rows),
                               numpy.mean([unit[i] @ unit[j] for i in range(5) for j in range(i)]))

    def test_reconstruction(self):
        self.run_pipeline("first")
        layer = self.path("first", "layers", "sparse.h5")
        self.run_pipeline("run", "--set", f"sparse.layer={layer}", "--set", "sparse.frozen=true", passes=1)
        with loom.Recording(self.path("run", "recordings", "tape.h5")) as tape:
            made = loom.reconstruct(tape.codes[:], loom.Layer(layer).weights)
            error = loom.reconstruction_error(tape.frames[:], made)
            self.assertAlmostEqual(error, tape.metrics["sparse"]["reconstruction_error"][0], 5)

    def test_pictures(self):
        images = numpy.arange(6 * 2 * 3).reshape(6, 2, 3)
        picture = loom.mosaic(images, (3, 2))
        self.assertEqual(picture.shape, (5, 11))
        numpy.testing.assert_array_equal(picture[3:5, 4:7], images[4])
        self.assertTrue(numpy.isnan(picture[2]).all())
        numpy.testing.assert_array_equal(loom.prototypes([[1, 2]], [[3, 4, 5], [6, 7, 8]]), [[15, 18, 21]])


class Documents(Companion):
    """The notebook, and what README says in Python, are true."""

    def test_notebook(self):
        try:
            import nbclient
            import nbformat
        except ImportError:
            self.skipTest("needs python3-nbclient, python3-ipykernel, python3-matplotlib and python3-tqdm")
        notebook = nbformat.read(os.path.join(PYTHON, "experiment-b.ipynb"), as_version=4)
        for cell in notebook.cells:
            self.assertFalse(cell.get("outputs"), "kept without outputs")
        os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # the kernel's debugger complains otherwise
        os.environ["LOOM_NOTEBOOK_DIR"] = self.path("run")
        os.environ["LOOM_NOTEBOOK_SET"] = "window.frames=1000 window.passes=3"
        nbclient.NotebookClient(notebook, timeout=10 * PATIENCE, kernel_name="python3",
                                resources={"metadata": {"path": PYTHON}}).execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
        self.assertGreaterEqual(sum("image/png" in output.get("data", {}) for output in outputs), 6)
        said = "".join(output.get("text", "") for output in outputs)
        self.assertNotIn("Traceback", said)
        self.assertNotIn("Warning", said)

    def test_python_in_readme(self):
        """Every block about files or with the companion runs as it stands, in a folder with a pipeline of
        that name; one that serves, with somebody who reads."""
        with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
            blocks = re.findall(r"^```python\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL)
        blocks = [block for block in blocks if "import h5py" in block or "import loom" in block]
        self.assertGreaterEqual(len(blocks), 5)
        self.assertTrue(all(len(block.splitlines()) == 4 for block in blocks if "import h5py" in block),
                        "h5py, four lines")
        os.mkdir(self.path("pipelines"))
        self.write(PIPELINE, os.path.join("pipelines", "topo.yaml"))
        self.loom("run", "pipelines/topo.yaml", "--dir", "runs/topo", "--set", "topo.strength=0.1")
        for block in blocks:
            if "loom.serve" in block:
                block = block.replace("/tmp/mine", self.path("mine"))
                self.read_from(self.start("/usr/bin/python3", "-c", block))
                continue
            live = "sockets/" in block and self.start(
                program("loom"), "run", "pipelines/topo.yaml", "--dir", "runs/topo", "--again",
                "--set", "window.rate=300", "--set", "window.block=50")
            if live:
                self.until_further(os.path.join("runs", "topo"), ("sparse",), live)
            said = self.finish(self.start("/usr/bin/python3", "-c", block))
            self.assertTrue(said, "it shows something")
            if live:
                self.finish(live)

    def read_from(self, server):
        """A pipeline learns from what the block serves at `mine`."""
        self.loom("run", "pipelines/topo.yaml", "--dir", "served", "--set",
                  "window.from=" + self.endpoint("mine"))
        with loom.Recording(self.path("served", "recordings", "tape.h5")) as tape:
            self.assertEqual(len(tape.frames), 3000)
        server.send_signal(signal.SIGINT)
        self.finish(server)


if __name__ == "__main__":
    random.seed(os.environ.get("LOOM_SEED"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    unittest.main(verbosity=2, warnings="ignore")  # of readers that are abandoned, on purpose
