#!/usr/bin/python3
"""The pipeline end to end, as real processes on real digits: the same bits however messages are cut, whoever is killed and
when, and one clear error for every kind of rubbish.

    tests/test_pipeline.py FOLDER_OF_PROGRAMS [unittest arguments]

LOOM_KILLS (default 2) is how often each stage is killed, for each transport; the release check uses 20."""

import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import threading
import unittest
import zlib

import h5py
import msgpack
import numpy
import zmq

from loom_case import Case, DIGITS, PATIENCE, PIPELINE, SOURCE, datasets, program

KILLS = int(os.environ.get("LOOM_KILLS", "2"))
SLOW = ("--set", "window.rate=400", "--set", "window.block=50")


class SameBits(Case):
    """Results depend on parameters and data only."""

    def test_whatever_the_message_blocks(self):
        results = []
        for block in (1, 64, 1000):
            self.run_pipeline(f"b{block}", passes=2, block=block)
            results.append(self.result(f"b{block}"))
        self.assertEqual(results[0], results[1])
        self.assertEqual(results[0], results[2])
        self.assertEqual(results[0]["recording"]["frames/data"][1], (2000, 20, 20))

    def kill_at_random(self, transport, names, kills):
        """Kill `names` at random moments of a run that is slowed down enough to be hit; results must not differ."""
        pace = ("--set", "window.rate=800", "--set", "window.block=50", "--transport", transport)
        self.run_pipeline("calm", checkpoint=0.2)
        calm, hit = self.result("calm"), 0
        for attempt in range(kills):
            run = f"run-{'-'.join(names)}-{attempt}"
            child = self.start(program("loom"), "run", self.write(PIPELINE, checkpoint=0.2), "--dir", run, *pace)
            moment = random.uniform(0, 3)  # of the 3.75 s that it lasts at least
            hit += self.kill_stages(child, names, moment)
            self.finish(child)
            self.assertEqual(self.result(run), calm, f"{names} killed after {moment} s, {transport}")
            shutil.rmtree(self.path(run))
        self.assertGreater(hit, 0, "no kill met a running stage")

    def test_killed_generator(self):
        for transport in ("ipc", "tcp"):
            self.kill_at_random(transport, ["window"], KILLS)

    def test_killed_sparse(self):
        for transport in ("ipc", "tcp"):
            self.kill_at_random(transport, ["sparse"], KILLS)

    def test_killed_invariant(self):
        for transport in ("ipc", "tcp"):
            self.kill_at_random(transport, ["topo"], KILLS)

    def test_killed_recorder(self):
        for transport in ("ipc", "tcp"):
            self.kill_at_random(transport, ["tape"], KILLS)

    def test_two_killed_at_once(self):
        for names in (["sparse", "topo"], ["window", "tape"], ["sparse", "tape"]):
            self.kill_at_random("ipc", names, max(1, KILLS // 2))

    def test_interrupted_and_continued(self):
        self.run_pipeline("calm")
        pipeline = self.write(PIPELINE)
        for _ in range(2):
            since = self.frames_done("run")
            child = self.start(program("loom"), "run", pipeline, "--dir", "run", *SLOW)
            self.until_further("run", ("sparse", "topo"), child, since)
            child.send_signal(signal.SIGINT)
            self.finish(child, 130)
            self.assertTrue(os.path.exists(self.path("run", "layers", "sparse.h5")), "the layer is saved at once")
        self.loom("run", pipeline, "--dir", "run")
        self.assertEqual(self.result("run"), self.result("calm"))
        with open(self.path("run", "log.jsonl"), encoding="utf-8") as file:
            said = [json.loads(line) for line in file]
        for stage in ("sparse", "topo"):
            frames = [int(line["message"].split()[-1]) for line in said
                      if line["stage"] == stage and line["message"].startswith("continues at frame")]
            self.assertEqual(len(frames), 2)
            self.assertTrue(0 < frames[0] < frames[1], f"all stages stop at one frame, and go on from there: {frames}")

    def test_stopped_renderer_holds_nobody_up(self):
        text = PIPELINE + "  maps: {{stage: render, tap: [sparse, topo]}}\n"
        child = self.start(program("loom"), "run", self.write(text, passes=30), "--dir", "run", "--set", "window.rate=10000")
        os.kill(self.until(lambda: self.stage_pid(child, "maps"), "the renderer was there", child), signal.SIGSTOP)
        self.finish(child)
        self.run_pipeline("calm", passes=30)
        self.assertEqual(self.result("run"), self.result("calm"))


class Layers(Case):
    """What is trained, frozen, continued and looked at."""

    def test_no_passes_leave_the_initial_weights(self):
        self.run_pipeline("run", passes=0)
        for name, shape, init, seed in (("sparse", (120, 400), 0.2, 2), ("topo", (20, 120), 0.1, 3)):
            expected = init * numpy.random.Generator(numpy.random.Philox(key=seed + (1 << 64))).random(shape)
            with h5py.File(self.path("run", "layers", name + ".h5"), "r") as file:
                numpy.testing.assert_array_equal(file["weights"][()], expected.astype("f4"))
                self.assertEqual(file.attrs["frames"], 0)

    def test_frozen_sparse_layer_is_reused(self):
        self.run_pipeline("first")
        layer = self.path("first", "layers", "sparse.h5")
        self.run_pipeline("second", "--set", f"sparse.layer={layer}", "--set", "sparse.frozen=true", "--set", "topo.strength=0.3")
        with h5py.File(layer, "r") as before, h5py.File(self.path("second", "layers", "sparse.h5"), "r") as after:
            numpy.testing.assert_array_equal(before["weights"][()], after["weights"][()])
            self.assertEqual(after.attrs["parent"], before.attrs["stream"])
            self.assertEqual(after.attrs["frames"], before.attrs["frames"])
        with h5py.File(self.path("first", "layers", "topo.h5"), "r") as before:
            with h5py.File(self.path("second", "layers", "topo.h5"), "r") as after:
                self.assertNotEqual(before.attrs["input"], after.attrs["input"])

    def test_continued_layers_keep_learning(self):
        self.run_pipeline("first", passes=1)
        layers = {name: self.path("first", "layers", name + ".h5") for name in ("sparse", "topo")}
        self.run_pipeline("second", "--set", f"sparse.layer={layers['sparse']}", "--set", f"topo.layer={layers['topo']}", passes=1)
        self.run_pipeline("both", passes=2)
        for name in layers:
            with h5py.File(self.path("second", "layers", name + ".h5"), "r") as second:
                with h5py.File(self.path("both", "layers", name + ".h5"), "r") as both:
                    self.assertEqual(second.attrs["frames"], 2000)
                    error = numpy.abs(second["weights"][()] - both["weights"][()]).max() / both["weights"][()].max()
                    self.assertLess(error, 1e-5, "one pass and one more are two passes, up to the scales' rounding")

    def test_reference_and_float_bodies_agree(self):
        for rule in ("topo", "smooth"):
            settings = ["--set", f"topo.rule={rule}", "--set", "topo.winners=4"]
            self.run_pipeline(f"cpu-{rule}", *settings, passes=1)
            self.run_pipeline(f"reference-{rule}", *settings, "--set", "sparse.backend=reference", "--set",
                              "topo.backend=reference", passes=1)
            for name in ("sparse", "topo"):
                with h5py.File(self.path(f"cpu-{rule}", "layers", name + ".h5"), "r") as cpu:
                    with h5py.File(self.path(f"reference-{rule}", "layers", name + ".h5"), "r") as reference:
                        a, b = cpu["weights"][()].astype("f8"), reference["weights"][()].astype("f8")
                        self.assertLess(numpy.linalg.norm(a - b) / numpy.linalg.norm(b), 1e-3)
                        self.assertNotEqual(cpu.attrs["stream"], reference.attrs["stream"])

    def test_recording_is_aligned_and_true(self):
        self.run_pipeline("run", passes=2)
        with h5py.File(self.path("run", "recordings", "tape.h5"), "r") as tape:
            frames, at = tape["frames/data"][()], tape["frames/at"][()]
            index, value = tape["codes/index"][()], tape["codes/value"][()]
            self.assertEqual(frames.shape[0], index.shape[0])
            self.assertEqual(frames.shape[0], tape["activations/data"].shape[0])
            numpy.testing.assert_array_equal(frames[:1000], frames[1000:])
            self.assertTrue((numpy.diff(index.astype("i8"), axis=1) > 0).all())
            self.assertTrue((value >= 0).all() and (at >= 0).all())
            names = [name.decode() for name in tape["metrics/sparse/names"][()]]
            errors = tape["metrics/sparse/values"][:, names.index("reconstruction_error")]
            self.assertEqual(errors.shape, (2,))
            self.assertLess(errors[1], errors[0])
        from PIL import Image

        tapestry = numpy.asarray(Image.open(DIGITS))
        for t in (0, 1, 500, 999):
            x, y = at[t]
            numpy.testing.assert_array_equal(frames[t], tapestry[y : y + 20, x : x + 20])

    def test_pictures_are_drawn(self):
        text = PIPELINE + "  maps: {{stage: render, tap: [sparse, topo]}}\n"
        self.loom("run", self.write(text), "--dir", "run")
        names = sorted(os.listdir(self.path("run", "pictures")))
        for name in ("sparse", "sparse-plain", "topo", "topo-plain", "topo-prototypes", "topo-coverage", "topo-least-covered",
                     "topo-most-covered"):
            self.assertIn(name + ".png", names)

    def test_pictures_of_a_running_pipeline(self):
        text = PIPELINE + "  maps: {{stage: render, tap: [sparse, topo]}}\n"
        child = self.start(program("loom"), "run", self.write(text, passes=1000), "--dir", "run", "--set", "window.rate=2000")
        self.until(lambda: all(os.path.exists(self.path("run", "pictures", name + ".png")) for name in ("sparse", "topo")),
                   "the layers were drawn while they learn", child)
        child.send_signal(signal.SIGINT)
        self.finish(child, 130)

    def render(self, *arguments, code=0):
        return self.finish(self.start(program("loom"), "render", "--run", "seen", *arguments), code)

    def test_pictures_of_layer_files(self):
        self.run_pipeline("run", passes=0)
        layers = self.path("run", "layers")
        with open(os.path.join(layers, "bad.h5"), "wb") as file:
            file.write(b"no layer")
        said = self.render("--layers", layers)
        self.assertIn("bad.h5", said)
        self.assertIn("pictures are in", said)
        self.assertIn("topo-prototypes.png", os.listdir(self.path("seen", "pictures")))

    def test_nothing_to_draw(self):
        os.mkdir(self.path("empty"))
        os.mkdir(self.path("rubbish"))
        with open(self.path("rubbish", "bad.h5"), "wb") as file:
            file.write(b"no layer")
        cases = (("missing", 74, "missing"), ("empty", 65, "empty"), ("rubbish", 65, "rubbish"))
        for folder, code, word in cases:
            said = self.render("--layers", self.path(folder), code=code)
            self.assertIn(word, said)
            self.assertNotIn("pictures are in", said)
        self.assertIn("--layers", self.render(code=64))
        child = self.start(program("loom"), "render", "--run", "seen", "--tap", f"ipc://{self.folder}/nobody")
        self.until(lambda: self.catches(child, signal.SIGINT), "it was ready for a signal", child)
        child.send_signal(signal.SIGINT)
        self.assertNotIn("pictures are in", self.finish(child))

    def test_skeleton_takes_part(self):
        text = PIPELINE.replace("  sparse: {{stage: sparse, in: window,",
                                "  gain: {{stage: skeleton, in: window}}\n  sparse: {{stage: sparse, in: gain,")
        self.loom("run", self.write(text), "--dir", "run")
        with h5py.File(self.path("run", "layers", "gain.h5"), "r") as file:
            self.assertGreater(file["state/gain"][0], 1.0)


class Generator(threading.Thread):
    """A stranger's generator of `frames` 20 x 20 frames that behaves as told: `twist` may change each answer."""

    def __init__(self, endpoint, frames, total, per_pass=0, twist=lambda ask, reply: reply):
        super().__init__(daemon=True)
        self.frames, self.total, self.per_pass, self.twist = frames, total, per_pass, twist
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(endpoint)
        self.data = numpy.random.default_rng(1).random((frames, 20, 20), dtype="f4")
        self.going = True
        self.start()

    def run(self):
        about = {"v": 1, "t": "stream", "id": "g", "kind": "frames", "shape": [20, 20], "dtype": "f4", "pass": self.per_pass,
                 "total": self.total}
        while self.going:
            if not self.socket.poll(50):
                continue
            peer, request = self.socket.recv_multipart()
            ask, reply = msgpack.unpackb(request), about
            if ask["t"] == "fetch":
                first = min(ask["from"], self.frames)
                end = min(first + ask["n"], self.frames)
                reply = {"v": 1, "t": "data", "id": "g", "seq": first, "n": end - first, "eos": end == self.frames,
                         "data": self.data[first:end].tobytes()}
            reply = self.twist(ask, reply)
            if reply is not None:
                self.socket.send_multipart([peer, msgpack.packb(reply)])
        self.socket.close()

    def stop(self):
        self.going = False
        self.join()


class Strangers(Case):
    """Programs that are not ours, and sources that are slow."""

    def test_slow_source_does_not_fall_silent(self):
        """Its messages hold fewer frames than --block allows, of which it makes one in 5 s, so that it answers while it waits for the
        next."""
        endpoint = f"ipc://{self.folder}/slow"
        self.start(program("loom-generate"), f"--tapestry={DIGITS}", "--frames=24", "--passes=1", "--rate=4", "--block=20",
                   "--bind", endpoint)
        self.until(lambda: os.path.exists(self.path("slow")), "it served")
        self.finish(self.start(program("loom-sparse"), "--in", endpoint, "--run", self.path("run"), "--patience=3", "--timeout=0.2"))

    def test_stream_without_a_known_end(self):
        for frames, per_pass in ((1000, 0), (1024, 0), (1030, 500)):
            endpoint = f"ipc://{self.folder}/nil"
            generator = Generator(endpoint, frames, None, per_pass)
            run = f"run-{frames}-{per_pass}"
            self.run_pipeline(run, "--set", f"window.from={endpoint}")
            generator.stop()
            known = Generator(endpoint, frames, frames, per_pass)
            self.run_pipeline(run + "-known", "--set", f"window.from={endpoint}")
            known.stop()
            with h5py.File(self.path(run, "recordings", "tape.h5"), "r") as tape:
                self.assertEqual(tape["frames/data"].shape[0], frames)
                self.assertEqual(tape["activations/data"].shape[0], frames)
                with h5py.File(self.path(run + "-known", "recordings", "tape.h5"), "r") as other:
                    numpy.testing.assert_array_equal(tape["activations/data"][()], other["activations/data"][()])

    def test_generator_that_answers_without_giving_frames(self):
        twists = {
            "wrong seq": lambda ask, reply: dict(reply, seq=reply["seq"] + 1) if ask["t"] == "fetch" else reply,
            "never any": lambda ask, reply: dict(reply, n=0, data=b"", eos=False) if ask["t"] == "fetch" else reply,
            "malformed": lambda ask, reply: dict(reply, seq="x") if ask["t"] == "fetch" else reply,
            "no stream": lambda ask, reply: {"v": 1, "t": "gone", "id": "g", "base": 7},
        }
        for name, twist in twists.items():
            endpoint = f"ipc://{self.folder}/odd"
            generator = Generator(endpoint, 1000, 1000, twist=twist)
            said = self.finish(self.start(program("loom-sparse"), "--in", endpoint, "--run", self.path(name), "--patience=4",
                                          "--timeout=0.2"), 65)
            generator.stop()
            self.assertIn("error:", said, name)

    def test_flood_of_fetches_ends_nobody(self):
        self.run_pipeline("calm", passes=6)
        child = self.start(program("loom"), "run", self.write(PIPELINE, passes=6), "--dir", "run", "--set", "window.rate=800")
        self.until(lambda: os.path.exists(self.path("run", "sockets", "sparse")), "the sparse stage served", child)
        context, strangers = zmq.Context(), []
        for _ in range(40):
            stranger = context.socket(zmq.DEALER)
            stranger.linger = 0
            stranger.connect(f"ipc://{self.folder}/run/sockets/sparse")
            strangers.append(stranger)
        strangers[0].send(msgpack.packb({"v": 1, "t": "describe"}))
        about = {"t": "wait"}
        while about["t"] == "wait":
            if not strangers[0].poll(PATIENCE * 1000):
                self.fail("nobody describes the stream")
            about = msgpack.unpackb(strangers[0].recv())
            strangers[0].send(msgpack.packb({"v": 1, "t": "describe"}))
        for stranger in strangers:
            for i in range(100):
                stranger.send(msgpack.packb({"v": 1, "t": "fetch", "id": about["id"], "from": about["total"] - 1 - i, "n": 1}))
        self.assertIsNone(child.poll(), "the run went on meanwhile")
        self.finish(child)
        context.destroy(0)
        self.assertEqual(self.result("run"), self.result("calm"))

    def test_python_generator_feeds_the_pipeline(self):
        endpoint = f"ipc://{self.folder}/mine"
        self.start("/usr/bin/python3", os.path.join(SOURCE, "tools", "python", "generator.py"), endpoint)
        self.run_pipeline("run", "--set", f"window.from={endpoint}")
        with h5py.File(self.path("run", "recordings", "tape.h5"), "r") as tape:
            frames = numpy.random.default_rng(1).random((1000, 20, 20), dtype="f4")
            self.assertEqual(tape["frames/data"].shape, (5000, 20, 20))
            numpy.testing.assert_array_equal(tape["frames/data"][4000:], frames)

    def test_nonsense_on_every_socket_harms_nobody(self):
        self.run_pipeline("calm", passes=6)
        child = self.start(program("loom"), "run", self.write(PIPELINE, passes=6), "--dir", "run", "--set", "window.rate=500")
        sockets = ("window", "sparse", "topo")
        self.until(lambda: all(os.path.exists(self.path("run", "sockets", name)) for name in sockets), "all stages served", child)
        context, noise = zmq.Context(), random.Random(1)
        honest = msgpack.packb({"v": 1, "t": "fetch", "id": "x" * 32, "from": 0, "n": 10, "who": "nobody"})
        for name in sockets:
            for kind, end_of_path in ((zmq.DEALER, ""), (zmq.SUB, ".tap")):
                stranger = context.socket(kind)
                stranger.linger = 0
                stranger.connect(f"ipc://{self.folder}/run/sockets/{name}{end_of_path}")
                for i in range(10000 if kind == zmq.DEALER else 100):
                    junk = bytearray(noise.choice((honest, noise.randbytes(noise.randrange(60)))))
                    if junk:
                        junk[noise.randrange(len(junk))] = noise.randrange(256)
                    if kind == zmq.SUB:
                        stranger.setsockopt(zmq.SUBSCRIBE, bytes(junk))
                    else:
                        stranger.send(bytes(junk), 0 if i % 50 else zmq.SNDMORE)
                stranger.close()
            raw = socket.socket(socket.AF_UNIX)  # not even ZeroMQ
            raw.connect(self.path("run", "sockets", name))
            raw.sendall(noise.randbytes(5000))
            raw.close()
        self.assertIsNone(child.poll(), "the run went on meanwhile")
        context.destroy(0)
        self.finish(child)
        self.assertEqual(self.result("run"), self.result("calm"))

    def test_stream_of_another_kind_is_refused(self):
        endpoint = f"ipc://{self.folder}/mine"
        self.start("/usr/bin/python3", os.path.join(SOURCE, "tools", "python", "generator.py"), endpoint)
        said = self.finish(self.start(program("loom-invariant"), "--in", endpoint), 65)
        self.assertIn("carries frames", said)


class Rubbish(Case):
    """One clear error, the right exit code, and nothing learned is lost."""

    def stage(self, name, *arguments, code):
        said = self.finish(self.start(program("loom-" + name), *arguments), code)
        self.assertEqual(said.count("error:") + said.count(f"loom-{name}:"), 1 if code != 64 else said.count("error:") + said.count(
            f"loom-{name}:"), said)
        return said

    def test_tapestries(self):
        with open(DIGITS, "rb") as file:
            whole = file.read()
        header = struct.pack(">IIBBBBB", 0xFFFFFFF, 0xFFFFFFF, 8, 0, 0, 0, 0)
        chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
        bad = {"empty": b"", "cut": whole[: len(whole) // 2], "noise": os.urandom(3000), "huge": whole[:8] + chunk,
               "idx-cut": b"\0\0\x08\x03" + struct.pack(">III", 60000, 28, 28) + b"x" * 1000,
               "idx-huge": b"\0\0\x08\x03" + struct.pack(">III", 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)}
        for name, content in bad.items():
            with open(self.path(name), "wb") as file:
                file.write(content)
            said = self.stage("generate", f"--tapestry={self.path(name)}", "--bind", f"ipc://{self.folder}/g", code=65)
            self.assertIn(name, said)
        self.stage("generate", f"--tapestry={self.path('missing')}", "--bind", f"ipc://{self.folder}/g", code=74)

    def test_layers(self):
        self.run_pipeline("run", passes=1)
        good = self.path("run", "layers", "sparse.h5")
        with open(good, "rb") as file:
            whole = file.read()
        bad = {"empty": b"", "cut": whole[: len(whole) // 2], "noise": os.urandom(3000)}
        for name, content in bad.items():
            with open(self.path(name), "wb") as file:
                file.write(content)
            said = self.run_pipeline("bad-" + name, "--set", f"sparse.layer={self.path(name)}", code=65)
            self.assertIn(name, said)
        said = self.run_pipeline("bad-shape", "--set", f"sparse.layer={good}", "--set", "sparse.grid=3x3", code=65)
        self.assertIn("12x10", said)
        said = self.run_pipeline("bad-kind", "--set", f"sparse.layer={self.path('run', 'layers', 'topo.h5')}", code=65)
        self.assertIn("invariant", said)

    def test_layers_that_do_not_fit(self):
        """Weights of the right shape, but of units in another order, or learned by another rule."""
        self.run_pipeline("run", passes=0)
        for name, turned in (("sparse", "10x12"), ("topo", "4x5")):
            good, bare = self.path("run", "layers", name + ".h5"), self.path("bare-" + name + ".h5")
            said = self.run_pipeline("turned-" + name, "--set", f"{name}.layer={good}", "--set", f"{name}.grid={turned}",
                                     code=65)
            self.assertIn(turned, said)
            self.assertIn({"10x12": "12x10", "4x5": "5x4"}[turned], said)
            shutil.copy(good, bare)
            with h5py.File(bare, "r+") as file:
                del file.attrs["grid"]
            self.assertIn("grid", self.run_pipeline("bare-" + name, "--set", f"{name}.layer={bare}", code=65))
        topo = "topo.layer=" + self.path("run", "layers", "topo.h5")
        said = self.run_pipeline("other-rule", "--set", topo, "--set", "topo.rule=smooth", code=65)
        self.assertIn("rule topo", said)
        self.assertIn("smooth", said)

    def serve_codes(self, value, refusal=None):
        """A stranger that serves one pass of ten codes of three units, the largest of that value, or refuses to, with these
        words. Returns the endpoint."""
        endpoint, router = f"ipc://{self.folder}/codes", zmq.Context.instance().socket(zmq.ROUTER)
        router.linger = 0
        router.bind(endpoint)
        about = {"v": 1, "t": "stream", "id": "codes-1", "kind": "codes", "shape": [3], "grid": [12, 10], "dtype": "f4",
                 "pass": 10, "total": 10}
        index = numpy.tile(numpy.array([1, 5, 9], "u4"), (10, 1))
        data = {"v": 1, "t": "data", "id": "codes-1", "seq": 0, "n": 10, "eos": True, "index": index.tobytes(),
                "value": numpy.tile(numpy.array([0.5, 1, value], "f4"), (10, 1)).tobytes()}
        if refusal:
            data = {"v": 1, "t": "err", "why": refusal}

        def answer():
            while not done.is_set():
                if router.poll(50):
                    peer, request = router.recv_multipart()
                    router.send_multipart([peer, msgpack.packb(about if msgpack.unpackb(request)["t"] == "describe" else data)])
            router.close()

        done = threading.Event()
        thread = threading.Thread(target=answer)
        thread.start()
        self.addCleanup(lambda: (done.set(), thread.join()))
        return endpoint

    def test_huge_codes(self):
        said = self.stage("invariant", "--in", self.serve_codes(1e10), "--run=huge", code=65)
        self.assertIn("frame 0: unit 9 with value 1e+10", said)
        self.assertNotIn("stream stream", said)

    def test_pipelines(self):
        for text in ("", "{", "name: x\nstages: {a: {stage: nothing}}", "\0\1\2", "a: &a [*a]", "name: [1]\nstages: 3",
                     "stages:\n" + "  - x\n" * 1000):
            self.loom("run", self.write(text, "bad.yaml"), code=64)
        self.loom("run", self.path("missing.yaml"), code=64)

    def test_endpoint_that_nobody_serves(self):
        said = self.stage("sparse", "--in", f"ipc://{self.folder}/nobody", "--patience=1", code=69)
        self.assertIn("nobody has answered", said)

    def test_missing_generator_is_named(self):
        nobody = f"ipc://{self.folder}/nobody"
        said = self.run_pipeline("run", "--set", f"window.from={nobody}", "--set", "sparse.patience=3", "--set",
                                 "tape.patience=60", "--set", "topo.patience=12", code=69)
        self.assertIn(nobody, said.strip().splitlines()[-1])
        self.assertEqual(said.count("starting it again"), 0, said)

    def test_port_in_use(self):
        taken = socket.socket()
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = self.stage("generate", f"--tapestry={DIGITS}", "--bind", "tcp://127.0.0.1:%d" % taken.getsockname()[1], code=69)
        taken.close()
        self.assertIn("in use", said)

    def interrupted_run(self):
        """Leave the folder `run` behind with a checkpoint of `sparse` in it. Returns the checkpoints' folder."""
        folder = self.path("run", "checkpoints")
        child = self.start(program("loom"), "run", self.write(PIPELINE), "--dir", "run", *SLOW)
        self.until(lambda: os.path.exists(os.path.join(folder, "sparse-0.h5")), "there was a checkpoint", child)
        child.send_signal(signal.SIGINT)
        self.finish(child, 130)
        return folder

    def test_checkpoint_of_another_stream(self):
        self.interrupted_run()
        server = self.start(program("loom-generate"), f"--tapestry={DIGITS}", "--bind", f"ipc://{self.folder}/g", "--seed=9")
        said = self.stage("sparse", "--in", f"ipc://{self.folder}/g", "--run", self.path("run"), "--grid=12x10", "--winners=3",
                          "--radius=1", "--seed=2", code=65)
        self.assertIn("checkpoint", said)
        server.terminate()

    def test_damaged_checkpoint(self):
        folder = self.interrupted_run()
        for name in os.listdir(folder):
            if name.startswith("sparse-"):
                with open(os.path.join(folder, name), "r+b") as file:
                    file.truncate(1000)
        said = self.run_pipeline("run", code=65)
        self.assertIn(f"checkpoint '{folder}/sparse-", said, "the whole path")
        self.assertIn("--again", said)
        self.run_pipeline("run", "--again")

    def test_escape_sequences_of_peers(self):
        endpoint = self.serve_codes(1, refusal="\x1b[2J\nloom: all is well")
        said = self.stage("invariant", "--in", endpoint, "--run=escape", code=65)
        self.assertIn("\\x1b[2J\\nloom: all is well", said)
        self.assertNotIn("\nloom: all", said)
        text = "name: evil\nstages:\n  top: {stage: invariant, in: '" + endpoint + "'}\n"
        said = self.loom("run", self.write(text), code=65)
        self.assertNotIn("\x1b", said)
        self.assertNotIn("\nloom: all", said)

    def test_options(self):
        for arguments in (["--grid=0x4"], ["--winners=65"], ["--nonsense=1"], ["stray"], ["--in"], []):
            self.stage("sparse", *arguments, code=64)

    def test_full_disk(self):
        disk = self.path("disk")
        os.mkdir(disk)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "loom-test", disk], capture_output=True).returncode:
            self.skipTest("needs the right to mount a small tmpfs")
        try:
            pipeline = self.write(PIPELINE, passes=50, checkpoint=0.1)
            said = self.loom("run", pipeline, "--dir", os.path.join(disk, "run"), code=74)
            self.assertIn("No space left", said)
            for name in os.listdir(os.path.join(disk, "run", "checkpoints")):
                if name.endswith(".h5"):
                    datasets(os.path.join(disk, "run", "checkpoints", name))  # whole, not torn
        finally:
            subprocess.run(["umount", "-l", disk], check=True)


if __name__ == "__main__":
    random.seed(os.environ.get("LOOM_SEED"))
    unittest.main(verbosity=2)
