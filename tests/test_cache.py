#!/usr/bin/python3
"""The codes of a frozen sparse layer are computed once, as real processes: the same bits and metrics whether computed or read,
whoever is killed and whatever is damaged.

    tests/test_cache.py FOLDER_OF_PROGRAMS [unittest arguments]"""

import glob
import os
import shutil
import threading
import unittest

import h5py
import msgpack
import numpy
import zmq

from loom_case import PIPELINE, program
from test_replay import Base, damage, passes, said

SLOW = ("--set", "window.rate=800", "--set", "window.block=50")


class Stranger:
    """A generator from outside that notes which frames it was asked for."""

    PASS, TOTAL = 500, 2000

    def __init__(self, endpoint):
        self.endpoint, self.asked, self.ack = endpoint, set(), 0
        self.frames = (numpy.random.default_rng(1).random((self.PASS, 20, 20)) ** 4 * 255).astype("u1")
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
            router.linger = 0
            router.bind(self.endpoint)
            while not self.over.is_set():
                if router.poll(20):
                    peer, request = router.recv_multipart()
                    router.send_multipart([peer, msgpack.packb(self.answer(msgpack.unpackb(request)))])

    def answer(self, request):
        if request["t"] == "describe":
            return {"v": 1, "t": "stream", "id": "a-stranger", "kind": "frames", "shape": [20, 20], "dtype": "u1", "pass": self.PASS,
                    "total": self.TOTAL, "repeats": True, "block": 50}
        first, n = request["from"], min(request["n"], self.TOTAL - request["from"], 50 - request["from"] % 50)
        self.asked.update(range(first, first + n))
        self.ack = max(self.ack, request.get("ack") or 0)
        data = self.frames[numpy.arange(first, first + n) % self.PASS].tobytes()
        return {"v": 1, "t": "data", "id": "a-stranger", "seq": first, "n": n, "eos": first + n == self.TOTAL, "data": data}

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


class Cache(Base):
    """What a frozen layer has computed once is not computed again, and nothing else changes."""

    def setUp(self):
        super().setUp()
        self.run_pipeline("first")
        self.layer = self.path("first", "layers", "sparse.h5")

    def frozen(self, run, *arguments, code=0, **values):
        return self.run_pipeline(run, "--set", f"sparse.layer={self.layer}", "--set", "sparse.frozen=true", *arguments, code=code,
                                 **{"passes": 4, **values})

    def files(self, folder="loom-cache"):
        return sorted(glob.glob(self.path(folder, "*")))

    def part(self):
        """The file that is being written; None before it is there under its name."""
        return next((name for name in self.files() if name.endswith(".part")), None)

    def assert_same(self, run, other="computed"):
        self.assertEqual(self.result(run), self.result(other))
        for stage in ("sparse", "topo"):
            self.assertEqual(passes(self.path(run), stage), passes(self.path(other), stage))

    def test_same_bits_and_metrics_whether_computed_or_read(self):
        self.frozen("computed", "--set", "sparse.cache=off")
        self.assertEqual(self.files(), [])
        self.frozen("kept")
        self.assertIn("codes of 1000 frames are recorded into cache", said(self.path("kept"), "sparse"))
        self.assertEqual(len(self.files()), 1)
        self.assertIn("ok: recording, frames 0..999 of sparse", self.loom("check", *self.files()))
        self.frozen("read")
        self.assertIn("codes of 1000 frames are read from cache", said(self.path("read"), "sparse"))
        self.assertNotIn("are recorded into", said(self.path("read"), "sparse"))
        self.assert_same("kept")
        self.assert_same("read")
        self.assertEqual(len(self.files()), 1)

    def test_frames_that_nobody_needs_are_not_asked_for(self):
        """Also of a generator from outside that says that its passes are the same; and it is told when all is done."""
        text = PIPELINE[:PIPELINE.index("  tape:")] + "  tape:   {{stage: record, in: [sparse, topo]}}\n"
        asked = {}
        for run, more in (("computed", ("--set", "sparse.cache=off")), ("kept", ()), ("read", ())):
            with Stranger(f"ipc://{self.folder}/{run}.sock") as stranger:
                self.loom("run", self.write(text), "--dir", run, "--set", f"window.from={stranger.endpoint}", "--set",
                          f"sparse.layer={self.layer}", "--set", "sparse.frozen=true", *more)
            asked[run] = stranger.asked
            self.assertEqual(stranger.ack, Stranger.TOTAL)
            self.assertEqual(self.result(run), self.result("computed"))
        self.assertEqual(asked["computed"], set(range(Stranger.TOTAL)))
        self.assertEqual(asked["kept"], set(range(Stranger.PASS)))
        self.assertEqual(asked["read"], set())

    def test_another_layer_or_input_is_another_stream(self):
        self.frozen("one")
        self.frozen("two", "--set", "window.seed=9")
        self.assertEqual(len(self.files()), 2)
        self.run_pipeline("other", "--set", "sparse.seed=7")
        self.layer = self.path("other", "layers", "sparse.h5")
        self.frozen("three")
        self.assertEqual(len(self.files()), 3)
        for run in ("two", "three"):
            self.assertNotIn("read from cache", said(self.path(run)))
        one, three = self.files()[0], self.files()[1]
        shutil.copy(one, three)  # codes of another stream under a wrong name
        for number, run in enumerate(("two", "three")):
            arguments = ("--set", "window.seed=9") if run == "two" else ()
            if run == "two":
                self.layer = self.path("first", "layers", "sparse.h5")
            else:
                self.layer = self.path("other", "layers", "sparse.h5")
            self.frozen(run + "-again", *arguments)
            self.assertEqual(self.result(run + "-again"), self.result(run), number)

    def test_damaged_files_are_noticed_and_replaced(self):
        self.frozen("computed", "--set", "sparse.cache=off")
        self.frozen("kept")
        path = self.files()[0]
        with h5py.File(path, "r") as file:
            offset = file["codes/value"].id.get_chunk_info(0).byte_offset

        def rubbish():
            with open(path, "wb") as file:
                file.write(b"rubbish")

        for number, hurt in enumerate((lambda: damage(path, offset + 5000), lambda: os.truncate(path, os.path.getsize(path) // 2),
                                       rubbish)):
            hurt()
            self.frozen(f"mended-{number}")
            text = said(self.path(f"mended-{number}"), "sparse")
            self.assertIn("it is deleted, and the codes are computed", text)
            self.assertIn("are recorded into cache", text)
            self.assert_same(f"mended-{number}")
            self.assertEqual(self.files(), [path])
            self.loom("check", path)

    def test_killed_while_it_writes_and_while_it_reads(self):
        self.frozen("computed", "--set", "sparse.cache=off")
        for number, moment in enumerate((0, 0.3, 0.6, 0.3)):  # of the 1.25 s that a pass takes at least
            if number == 3:
                self.assertEqual(len(self.files()), 1)
            else:
                shutil.rmtree(self.path("loom-cache"), ignore_errors=True)
            run = f"hit-{number}"
            child = self.start(program("loom"), "run", self.write(PIPELINE, passes=4, checkpoint=0.1), "--dir", run, *SLOW, "--set",
                               f"sparse.layer={self.layer}", "--set", "sparse.frozen=true")
            if number == 3:
                log = self.path(run, "log.jsonl")
                self.until(lambda: os.path.exists(log) and "are read from cache" in said(self.path(run)), "it read", child)
            else:
                self.until(self.part, "it was begun to be written", child)
            self.assertTrue(self.kill_stages(child, ["sparse"], moment))
            self.finish(child)
            self.assertEqual(self.result(run), self.result("computed"), f"killed after {moment} s")
            self.assertTrue(all(name.endswith(".h5") for name in self.files()), self.files())

    def test_killed_between_the_last_frame_and_the_name(self):
        """Then the file to be holds all rows; it becomes the file."""
        self.frozen("computed")
        whole = self.files()[0]
        shutil.move(whole, self.path("whole.h5"))
        child = self.start(program("loom"), "run", self.write(PIPELINE, passes=4, checkpoint=0.1), "--dir", "hit", "--set",
                           "window.rate=50", "--set", f"sparse.layer={self.layer}", "--set", "sparse.frozen=true")
        part = self.until(self.part, "it was begun to be written", child)  # the last frame of the pass is 20 s away
        child.kill()
        child.wait()
        self.until(lambda: "still being written" not in self.loom("check", part), "the stage was gone")
        self.assertEqual(self.files(), [part])
        shutil.copy(self.path("whole.h5"), part)
        self.frozen("hit")
        self.assertIn("are recorded into cache", said(self.path("hit"), "sparse"))
        self.assertEqual(self.files(), [whole])
        self.assert_same("hit")

    def test_several_runs_at_once(self):
        self.frozen("computed", "--set", "sparse.cache=off")
        path = self.write(PIPELINE, passes=4)
        children = [self.start(program("loom"), "run", path, "--dir", f"beside-{number}", "--set", f"sparse.layer={self.layer}",
                               "--set", "sparse.frozen=true") for number in range(3)]
        for number, child in enumerate(children):
            self.finish(child)
            self.assert_same(f"beside-{number}")
        self.assertEqual(len(self.files()), 1)
        self.loom("check", *self.files())

    def test_the_folder_is_bounded_and_needs_not_be_there(self):
        self.frozen("computed", "--set", "sparse.cache=off")
        for number in range(4):
            self.frozen(f"many-{number}", "--set", f"topo.seed={number + 1}", "--set", f"window.seed={number + 1}", "--set",
                        "sparse.cache_folder=elsewhere", "--set", "sparse.cache_size=2", passes=2)
        self.assertIn("is deleted to make room", said(self.path("many-3")))
        self.assertLessEqual(sum(os.path.getsize(name) for name in self.files("elsewhere")), 2 << 20)
        with open(self.path("file"), "w", encoding="utf-8"):
            pass
        self.frozen("nowhere", "--set", f"sparse.cache_folder={self.path('file', 'folder')}")
        self.assertIn("the codes are not kept", said(self.path("nowhere")))
        self.assert_same("nowhere")


if __name__ == "__main__":
    unittest.main(verbosity=2)
