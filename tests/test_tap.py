#!/usr/bin/python3
"""loom tap: streams of a running pipeline, read from outside in every form, without a bit of the result changing.

    tests/test_tap.py FOLDER_OF_PROGRAMS [unittest arguments]"""

import json
import os
import pty
import re
import subprocess
import threading
import unittest

import h5py
import msgpack
import numpy
import zmq

from loom_case import Case, PATIENCE, PIPELINE, program

TAP = program("loom-tap")
SLOW = ("--set", "window.rate=400", "--set", "window.block=50")  # 7.5 s: so long that a tap finds the run


class TapCase(Case):
    def start_run(self, run, *arguments, **values):
        """A run that has begun."""
        child = self.start(program("loom"), "run", self.write(values.pop("text", PIPELINE), **values), "--dir", run, *arguments)
        self.until(lambda: os.path.isdir(self.path(run, "sockets")), "the run began", child)
        return child

    def tap(self, *arguments, code=0):
        """Run loom-tap to its end; what it wrote, and what it said."""
        done = subprocess.run([TAP, *arguments], cwd=self.folder, capture_output=True, timeout=PATIENCE, check=False)
        said = done.stderr.decode()
        self.assertEqual(done.returncode, code, said)
        return done.stdout, said

    def wait_for_pass(self, run, stage, number):
        """Until the stage has ended this pass."""
        def has_ended():
            try:
                with open(self.path(run, "metrics.jsonl"), encoding="utf-8") as file:
                    lines = [json.loads(line) for line in file if line.endswith("\n")]
            except FileNotFoundError:
                return False
            return any(line.get("stage") == stage and line.get("pass", 0) >= number for line in lines)

        self.until(has_ended, f"{stage} had ended pass {number}")

    def tape(self, run):
        return h5py.File(self.path(run, "recordings", "tape.h5"), "r")


class Forms(TapCase):
    """What is written is what the stage made: compared with the recording of the same run."""

    @staticmethod
    def begin(said):
        return int(re.search(r"begins at frame (\d+)", said).group(1))

    def test_arrays(self):
        child = self.start_run("run", *SLOW)
        self.tap("run", "window", "--from", "0", "--npy", "700", "-o", "frames.npy")
        self.tap("run", "sparse", "--from", "oldest", "--npy", "700", "-o", "codes.npy")
        self.tap("run/sockets/topo", "--from", "10", "--npy", "300", "-o", "activations.npy")
        _, said = self.tap("ipc://run/sockets/topo", "--npy", "64", "-o", "newest.npy")
        self.tap("run", "sparse", "--topic", "weights", "--npy", "2", "-o", "weights.npy")
        self.finish(child)
        first = self.begin(said)
        with self.tape("run") as tape:
            numpy.testing.assert_array_equal(numpy.load(self.path("frames.npy")), tape["frames/data"][:700])
            codes = numpy.load(self.path("codes.npy"))
            numpy.testing.assert_array_equal(codes["index"], tape["codes/index"][:700])
            numpy.testing.assert_array_equal(codes["value"], tape["codes/value"][:700])
            numpy.testing.assert_array_equal(numpy.load(self.path("activations.npy")), tape["activations/data"][10:310])
            numpy.testing.assert_array_equal(numpy.load(self.path("newest.npy")), tape["activations/data"][first:first + 64])
        self.assertGreater(first, 0)
        weights = numpy.load(self.path("weights.npy"))
        self.assertEqual((weights.shape, weights.dtype), ((2, 120, 400), numpy.dtype("<f4")))
        self.assertFalse((weights[0] == weights[1]).all(), "it learns")

    def test_raw_bytes_and_messages(self):
        child = self.start_run("run", *SLOW)
        frames, _ = self.tap("run", "window", "--from", "0", "--frames", "500", "--raw")
        dense, _ = self.tap("run", "sparse", "--from", "0", "--frames", "500", "--raw")
        messages, _ = self.tap("run", "sparse", "--from", "0")  # to the end of the stream
        self.finish(child)
        with self.tape("run") as tape:
            index, value = tape["codes/index"][()], tape["codes/value"][()]
            self.assertEqual(frames, tape["frames/data"][:500].tobytes())
            expected = numpy.zeros((500, 120), "f4")
            numpy.put_along_axis(expected, index[:500].astype("i8"), value[:500], 1)
            numpy.testing.assert_array_equal(numpy.frombuffer(dense, "<f4").reshape(500, 120), expected)
            blocks = list(msgpack.Unpacker(_Bytes(messages), max_buffer_size=1 << 28))
            self.assertEqual(sum(block["n"] for block in blocks), 3000)
            for block in blocks:
                self.assertEqual((block["v"], block["t"], block["kind"], block["shape"], block["grid"], block["pass"],
                                  block["total"], block["name"]), (1, "data", "codes", [3], [12, 10], 1000, 3000, "sparse"))
                rows = slice(block["seq"], block["seq"] + block["n"])
                self.assertEqual(block["index"], index[rows].tobytes())
                self.assertEqual(block["value"], value[rows].tobytes())
                self.assertEqual(block["eos"], rows.stop == 3000)
            ends = [block for block in blocks if "metrics" in block]
            numpy.testing.assert_array_equal([end["metrics"]["reconstruction_error"] for end in ends],
                                             tape["metrics/sparse/values"][:, 0])

    def test_video(self):
        child = self.start_run("run", *SLOW)
        frames, _ = self.tap("run", "window", "--from", "0", "--frames", "40", "--y4m", "--scale", "3", "--fps", "12.5")
        codes, _ = self.tap("run", "sparse", "--from", "0", "--frames", "40", "--y4m", "--white", "0.5")
        weights, _ = self.tap("run", "sparse", "--topic", "weights", "--frames", "1", "--y4m")
        self.finish(child)
        head, _, rest = frames.partition(b"\n")
        self.assertEqual(head, b"YUV4MPEG2 W60 H60 F12500:1000 Ip A1:1 Cmono XCOLORRANGE=FULL")
        self.assertEqual(len(rest), 40 * (6 + 3600))
        self.assertEqual(weights.partition(b"\n")[0].split()[1:3], [b"W240", b"H200"], "12 x 10 tiles of 20 x 20")
        with self.tape("run") as tape:
            large = numpy.repeat(numpy.repeat(tape["frames/data"][:40], 3, 1), 3, 2)
            index, value = tape["codes/index"][:40], tape["codes/value"][:40]
        decoded = subprocess.run(["ffmpeg", "-v", "error", "-f", "yuv4mpegpipe", "-i", "-", "-f", "rawvideo", "-pix_fmt", "gray",
                                  "-"], input=frames, capture_output=True, check=True).stdout
        numpy.testing.assert_array_equal(numpy.frombuffer(decoded, "u1").reshape(40, 60, 60), large)
        pictures = numpy.frombuffer(codes.partition(b"\n")[2], "u1").reshape(40, 6 + 120)[:, 6:]
        expected = numpy.zeros((40, 120))
        numpy.put_along_axis(expected, index.astype("i8"), numpy.minimum(value / 0.5, 1).astype("f8"), 1)
        numpy.testing.assert_allclose(pictures, 255 * expected, atol=0.51)

    def test_a_tap_shows_what_is_made_just_now(self):
        child = self.start_run("run", *SLOW)
        messages, _ = self.tap("run", "sparse.tap", "--frames", "500")
        metrics, _ = self.tap("ipc://run/sockets/sparse", "--topic", "metrics", "--frames", "1")
        self.finish(child)
        blocks = list(msgpack.Unpacker(_Bytes(messages)))
        self.assertEqual(sum(block["n"] for block in blocks), 500)
        with self.tape("run") as tape:
            for block in blocks:
                rows = slice(block["seq"], block["seq"] + block["n"])
                self.assertEqual(block["index"], tape["codes/index"][rows].tobytes())
        self.assertGreater(msgpack.unpackb(metrics)["metrics"]["reconstruction_error"], 0)

    def test_a_tap_describes_its_stream_and_greets_everybody(self):
        """Who knows only the tap learns what the stream is; and a second one who looks is shown weights at once, too."""
        self.start_run("run", "--set", "window.rate=400", "--set", "window.frames=1000000")  # a pass does not end
        context, sockets = zmq.Context(), []
        self.addCleanup(lambda: [*(socket.close(0) for socket in sockets), context.term()])
        for _ in range(3):
            socket = context.socket(zmq.SUB)
            sockets.append(socket)  # the others look on
            socket.connect("ipc://" + self.path("run", "sockets", "sparse.tap"))
            socket.subscribe("stream")
            topic, payload = self.receive(socket)
            message = msgpack.unpackb(payload)
            self.assertEqual((topic, message["t"], message["name"], message["kind"], message["shape"], message["grid"], message["pass"]),
                             (b"stream", "stream", "sparse", "codes", [3], [12, 10], 1000000))
            self.assertEqual(message["serves"], "ipc://sockets/sparse")
            socket.unsubscribe("stream")
            socket.subscribe("weights")
            self.assertEqual(self.receive(socket)[0], b"weights")

    def receive(self, socket):
        self.assertTrue(socket.poll(1000 * PATIENCE), "nothing came")
        return socket.recv_multipart()

    def test_a_stage_that_starts_again_shows_nothing_twice(self):
        child = self.start_run("run", *SLOW)
        tap = subprocess.Popen([TAP, "run", "sparse.tap", "-o", "tapped"], cwd=self.folder, stderr=subprocess.PIPE)
        self.children += [tap]
        self.wait_for_pass("run", "sparse", 1)
        self.assertTrue(self.kill_stages(child, ["sparse"], 0))
        self.finish(child)
        said = tap.communicate(timeout=PATIENCE)[1]
        self.assertIn(tap.returncode, (0, 69), said)  # stages do not wait for taps: it may miss the end, and says so
        with open(self.path("tapped"), "rb") as file:
            blocks = list(msgpack.Unpacker(file))
        ends = [block["seq"] + block["n"] for block in blocks]
        self.assertTrue(all(block["seq"] >= end for block, end in zip(blocks[1:], ends)))
        self.assertEqual(tap.returncode == 0, ends[-1] == 3000)

    def test_run_in_a_deep_folder(self):
        deep = os.path.join("a" * 60, "b" * 60)
        os.makedirs(self.path(deep))
        child = self.start_run(os.path.join(deep, "run"), *SLOW)
        out, _ = self.tap(os.path.join(deep, "run"), "sparse", "--from", "0", "--frames", "100", "--raw")
        self.finish(child)
        self.assertEqual(len(out), 100 * 120 * 4)


class _Bytes:
    """A file to read from, for msgpack.Unpacker."""

    def __init__(self, data):
        self.data = data

    def read(self, n):
        part, self.data = self.data[:n], self.data[n:]
        return part


class Guests(TapCase):
    """Nobody waits for a tap."""

    def test_same_bits_with_three_taps_one_of_which_stalls(self):
        self.run_pipeline("calm", passes=6)
        child = self.start_run("run", "--set", "window.rate=600", passes=6)  # so that it lasts until all are there
        stalled = subprocess.Popen([TAP, "run", "window", "--from", "oldest", "--raw"], cwd=self.folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # whose output nobody reads
        others = [self.start(TAP, "run", "sparse", "--from", "0", "--npy", "3000", "-o", "codes.npy"),
                  self.start(TAP, "run", "topo.tap", "--topic", "weights", "-o", "weights.msgpack")]
        self.children += [stalled]
        self.finish(child)
        self.assertIsNone(stalled.poll(), "it still waits for its reader")
        self.finish(others[0])
        self.assertEqual(self.result("run"), self.result("calm"))
        with self.tape("run") as tape:
            numpy.testing.assert_array_equal(numpy.load(self.path("codes.npy"))["value"], tape["codes/value"][:3000])

    def test_slow_reader_is_told_what_it_missed(self):
        text = PIPELINE[:PIPELINE.index("  sparse:")] + """
  stretch: {{stage: skeleton, in: window, ring: 1, block: 50, checkpoint: 0.1}}
  tape:    {{stage: record, in: stretch, checkpoint: 0.1}}
"""  # 1600 bytes a frame: 655 frames are held
        child = self.start_run("run", "--set", "window.rate=1000", "--set", "window.block=50", text=text, passes=8)
        slow = subprocess.Popen([TAP, "run", "stretch", "--from", "0"], cwd=self.folder, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)
        self.children += [slow]
        self.wait_for_pass("run", "stretch", 5)
        out, said = slow.communicate(timeout=PATIENCE)
        self.finish(child)
        self.assertEqual(slow.returncode, 0, said)
        missed = int(re.findall(rb"(\d+) frames missed", said)[-1])
        blocks = list(msgpack.Unpacker(_Bytes(out), max_buffer_size=1 << 28))
        self.assertGreater(missed, 1000)
        taken = sum(block["n"] for block in blocks)
        self.assertEqual(blocks[0]["seq"] + taken + missed, 8000, "it says exactly how many, from where it began")
        with self.tape("run") as tape:
            for block in blocks:
                self.assertEqual(block["data"], tape["frames/data"][block["seq"]:block["seq"] + block["n"]].tobytes())

    def test_closed_pipe_ends_it_quietly(self):
        child = self.start_run("run", *SLOW)
        tap = subprocess.Popen([TAP, "run", "sparse", "--raw"], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.children += [tap]
        self.assertEqual(len(tap.stdout.read(100)), 100)
        tap.stdout.close()
        self.assertEqual(tap.wait(timeout=PATIENCE), 0)
        self.assertNotIn(b"error", tap.stderr.read())
        self.finish(child)

    def test_interrupted_it_keeps_what_came(self):
        child = self.start_run("run", *SLOW)
        tap = self.start(TAP, "run", "sparse", "--npy", "1000000", "--from", "0", "-o", "some.npy")
        self.wait_for_pass("run", "sparse", 1)
        tap.terminate()
        self.assertIn("of the 1000000 asked for", self.finish(tap, 130))
        self.finish(child)
        codes = numpy.load(self.path("some.npy"))
        with self.tape("run") as tape:
            numpy.testing.assert_array_equal(codes["value"], tape["codes/value"][:len(codes)])
        self.assertGreater(len(codes), 0)


class Rubbish(TapCase):
    """One clear sentence and the right exit code."""

    def test_command_lines(self):
        for run in ("run", "finished"):
            os.makedirs(self.path(run, "sockets"))
            os.mkdir(self.path(run, "checkpoints"))
            self.write('stages:\n  "sparse":\n', os.path.join(run, "pipeline.yaml"))
        self.write("", os.path.join("run", "sockets", "sparse"))
        self.write("", os.path.join("finished", "checkpoints", "finished"))
        self.write("mine", "there")
        for code, words, arguments in (
                (64, "which stream", ["--raw"]),
                (64, "give --force", ["ipc://x", "-o", "there"]),
                (64, "has no stage 'spase'; its streams are: sparse", ["run", "spase"]),
                (64, "has no stage 'spase'", ["run", "spase.tap"]),
                (69, "has finished", ["finished", "sparse"]),
                (64, "is not a run's folder", ["nowhere", "sparse"]),
                (64, "name it too", ["."]),
                (64, "not valid", ["http://there"]),
                (64, "one of", ["ipc://x", "--raw", "--y4m"]),
                (64, "-o FILE.npy", ["ipc://x", "--npy", "5"]),
                (64, "belong to --y4m", ["ipc://x", "--fps", "5"]),
                (64, "metrics are written as msgpack", ["ipc://x", "--topic", "metrics", "--raw"]),
                (64, "leave out --from", ["ipc://x", "--lossy", "--from", "oldest", "--topic", "data"]),
                (64, "not '-3'", ["ipc://x", "--from=-3"]),
                (64, "not 'many'", ["ipc://x", "--npy", "many", "-o", "x.npy"]),
                (64, "too many", ["a", "b", "c"]),
                (74, "no-such-folder", ["ipc://x", "-o", "no-such-folder/x"]),
                (69, "nobody has answered", ["ipc://nobody", "--patience", "0.3", "--timeout", "0.1"]),
                (64, "--curve_key", ["tcp://192.0.2.1:5555"]),
        ):
            _, said = self.tap(*arguments, code=code)
            self.assertIn(words, " ".join(said.split()), arguments)
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("x")], [])

    def test_a_terminal_is_spared(self):
        master, slave = pty.openpty()
        done = subprocess.run([TAP, "ipc://x"], cwd=self.folder, stdout=slave, stderr=subprocess.PIPE, timeout=PATIENCE,
                              check=False)
        os.close(slave)
        os.close(master)
        self.assertEqual(done.returncode, 64)
        self.assertIn(b"terminal", done.stderr)

    def serve(self, reply):
        """A ROUTER that answers everything with reply(request)."""
        socket = zmq.Context.instance().socket(zmq.ROUTER)
        socket.bind("ipc://" + self.path("bad"))
        stop = threading.Event()

        def answer():
            while not stop.is_set():
                if socket.poll(50):
                    peer, request = socket.recv_multipart()
                    socket.send_multipart([peer, reply(msgpack.unpackb(request))])
            socket.close(0)

        thread = threading.Thread(target=answer)
        thread.start()
        self.addCleanup(lambda: (stop.set(), thread.join()))

    def test_peers_that_answer_nonsense(self):
        self.serve(lambda request: b"\xc1\xc1\xc1")
        _, said = self.tap("bad", code=65)
        self.assertIn("describes no stream", said)

    def test_a_stream_that_ends_early(self):
        about = {"v": 1, "t": "stream", "id": "x", "kind": "codes", "shape": [1], "grid": [2, 2], "total": 1, "block": 1,
                 "base": 0, "head": 1}
        data = {"v": 1, "t": "data", "id": "x", "seq": 0, "n": 1, "eos": True, "index": numpy.array([3], "<u4").tobytes(),
                "value": numpy.ones(1, "<f4").tobytes()}
        self.serve(lambda request: msgpack.packb(data if request["t"] == "fetch" else about))
        _, said = self.tap("bad", "--from", "0", "--npy", "5", "-o", "x.npy", code=69)
        self.assertIn("x.npy has 1 frames of the 5 asked for", said)
        self.assertEqual(len(numpy.load(self.path("x.npy"))), 1)
        self.tap("bad", "--from", "0", "--npy", "1", "-o", "x.npy", "--force")

    def test_winner_beyond_the_grid(self):
        about = {"v": 1, "t": "stream", "id": "x", "kind": "codes", "shape": [1], "grid": [2, 2], "total": 1, "block": 1}
        data = {"v": 1, "t": "data", "id": "x", "seq": 0, "n": 1, "eos": True, "index": numpy.array([7], "<u4").tobytes(),
                "value": numpy.ones(1, "<f4").tobytes()}
        self.serve(lambda request: msgpack.packb(data if request["t"] == "fetch" else about))
        for form in (["--raw"], ["--y4m"]):
            _, said = self.tap("bad", *form, code=65)
            self.assertIn("unit 7 has won, but there are 4 units", said)
        _, said = self.tap("bad", "--from", "9", "--raw", code=64)
        self.assertIn("has only 1 frames", said)

    def test_full_disk(self):
        child = self.start_run("run", *SLOW)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([TAP, "run", "window", "--raw"], cwd=self.folder, stdout=full, stderr=subprocess.PIPE,
                                  timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 74)
        self.assertIn(b"No space left", done.stderr)
        self.finish(child)


if __name__ == "__main__":
    unittest.main(verbosity=2)
