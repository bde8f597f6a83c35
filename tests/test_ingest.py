#!/usr/bin/python3
"""Frames of one's own, as real processes: ingest (pipes, y4m, messages; killed, starved, held up, fed with rubbish) and images
(folders of PNGs, NumPy arrays), and the generator's ways to move.

    tests/test_ingest.py FOLDER_OF_PROGRAMS [unittest arguments]"""

import os
import random
import signal
import subprocess
import threading
import time
import unittest

import h5py
import msgpack
import numpy
import zmq
from PIL import Image

from loom_case import Case, DIGITS, PATIENCE, datasets, program

FRAMES = 600
BYTES = 400  # of a frame, 20 x 20 u1
LAYERS = """
  sparse: {stage: sparse, in: window, grid: [12, 10], winners: 3, rate: 0.02, radius: 1, strength: 0.5, seed: 2, block: 32,
           checkpoint: 0.1}
  tape:   {stage: record, in: [window, sparse], checkpoint: 0.1}
"""


def source(stage, **settings):
    """A pipeline: this source, a sparse layer and a recorder."""
    words = "".join(f", {name}: {value}" for name, value in settings.items())
    return f"name: test\nstages:\n  window: {{stage: {stage}{words}}}{LAYERS}"


def video(frames=FRAMES, form="rawvideo", pixels="gray", size="20x20"):
    """A real video of ffmpeg's, as bytes."""
    picture = f"testsrc=size=160x120:rate=25,scale={size.replace('x', ':')}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture, "-frames:v", str(frames), "-pix_fmt", pixels, "-f", form,
               "-strict", "-1", "-"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL).stdout


class Sender(threading.Thread):
    """Writes bytes into a process's standard input, in uneven pieces; `pause` seconds between them."""

    def __init__(self, pipe, data, piece=7919, pause=0.0):
        super().__init__(daemon=True)
        self.pipe, self.data, self.piece, self.pause, self.sent = pipe, data, piece, pause, 0
        self.start()

    def run(self):
        try:
            while self.sent < len(self.data):
                self.sent += os.write(self.pipe.fileno(), self.data[self.sent : self.sent + self.piece])
                time.sleep(self.pause)
        except OSError:
            pass  # the reader has gone
        finally:
            self.pipe.close()


class Source(Case):
    @classmethod
    def setUpClass(cls):
        cls.video = video()
        cls.frames = numpy.frombuffer(cls.video, "u1").reshape(-1, 20, 20)

    def launch(self, pipeline, run, *arguments, name="test.yaml", **options):
        """`loom run` with a pipe as its standard input."""
        if pipeline:
            self.write(pipeline, name)
        return self.start(program("loom"), "run", self.path(name), "--dir", run, *arguments, stdin=subprocess.PIPE, **options)

    def feed(self, child, data, code=0, **options):
        sender = Sender(child.stdin, data, **options)
        child.stdin = None  # the sender's from now on
        said = self.finish(child, code)
        sender.join(PATIENCE)
        return said

    def by_hand(self, *arguments, **options):
        return self.start(program("loom"), "ingest", "--run", "hand", "--bind", f"ipc://{self.folder}/frames", *arguments,
                          stdin=subprocess.PIPE, **options)

    def tape(self, run, name="frames/data"):
        with h5py.File(self.path(run, "recordings", "tape.h5"), "r") as tape:
            return tape[name][()]

    def accepted(self, run, name="window"):
        """Frames in a spool, as far as files tell."""
        folder, frames = self.path(run, "spool", name), 0
        for file in os.listdir(folder) if os.path.isdir(folder) else []:
            if file.endswith(".frames"):
                frames = max(frames, int(file[:20]) + (os.path.getsize(os.path.join(folder, file)) - 32) // (32 + BYTES))
        return frames


class Pipes(Source):
    def test_raw_video_through_a_pipeline(self):
        child = self.launch(source("ingest", shape="[20, 20]", block=32), "run")
        self.feed(child, self.video)
        numpy.testing.assert_array_equal(self.tape("run"), self.frames)
        # The same frames from an array, and from a y4m with colour: nothing downstream can tell.
        numpy.save(self.path("frames.npy"), self.frames)
        self.loom("run", self.write(source("images", source="frames.npy", block=32)), "--dir", "array")
        for name in ("codes/index", "codes/value"):
            numpy.testing.assert_array_equal(self.tape("run", name), self.tape("array", name))

    def test_y4m(self):
        for pixels in ("gray", "yuv420p", "yuv444p", "yuv411p"):
            data = video(50, "yuv4mpegpipe", pixels, "21x13")
            luma = numpy.frombuffer(video(50, "rawvideo", pixels, "21x13"), "u1").reshape(50, -1)[:, : 21 * 13]
            run = f"run-{pixels}"
            self.feed(self.launch(source("ingest", format="y4m", block=16), run), data)
            numpy.testing.assert_array_equal(self.tape(run).reshape(50, -1), luma)
        child = self.launch(source("ingest", format="y4m"), "deep")
        self.assertIn("8 bits", self.feed(child, video(3, "yuv4mpegpipe", "yuv420p10le"), 65))

    def test_floats_from_a_file_and_a_fifo(self):
        frames = numpy.random.default_rng(1).random((300, 20, 20), dtype="f4")
        frames.tofile(self.path("frames.raw"))
        os.mkfifo(self.path("fifo"))
        for name in ("frames.raw", "fifo"):
            child = self.launch(source("ingest", shape="[20, 20]", dtype="f4", file=name), f"run-{name}")
            if name == "fifo":
                with open(self.path("fifo"), "wb") as fifo:
                    fifo.write(frames.tobytes())
            child.stdin.close()
            child.stdin = None
            self.finish(child)
            numpy.testing.assert_array_equal(self.tape(f"run-{name}"), frames)

    def test_the_label_is_the_stream(self):
        ids = {}
        for run, label in (("a", "video"), ("b", "video"), ("c", ""), ("d", "")):
            settings = {"label": label} if label else {}
            self.feed(self.launch(source("ingest", shape="[20, 20]", **settings), run), self.video[: 50 * BYTES])
            with h5py.File(self.path(run, "recordings", "tape.h5"), "r") as tape:
                ids[run] = tape["frames"].attrs["id"]
        self.assertEqual(ids["a"], ids["b"])
        self.assertEqual(len(set(ids.values())), 3, "spools of their own are streams of their own")


class Kills(Source):
    """Nothing accepted is lost, and nothing comes twice."""

    PIPELINE = source("ingest", shape="[20, 20]", label="video", block=32)

    def calm(self):
        self.feed(self.launch(self.PIPELINE, "calm"), self.video)
        return self.result("calm", layers=("sparse",))

    def test_killed_while_the_sender_goes_on(self):
        calm, hit = self.calm(), 0
        for names in (["window"], ["window", "sparse"], ["tape"]):
            run = "run-" + "-".join(names)
            child = self.launch(self.PIPELINE, run)
            sender = Sender(child.stdin, self.video, piece=997, pause=0.025)  # 6 s
            child.stdin = None
            for _ in range(3 if names == ["window"] else 1):
                time.sleep(random.uniform(0.3, 0.7))
                hit += self.kill_stages(child, names, 0)
            self.finish(child)
            sender.join(PATIENCE)
            self.assertEqual(sender.sent, len(self.video), "the sender has noticed nothing")
            self.assertEqual(self.result(run, layers=("sparse",)), calm, names)
        self.assertGreater(hit, 2, "no kill met a running stage")

    def test_killed_at_full_speed(self):
        """A pipe that is always full, and many kills that meet the moving of bytes out of it; every frame has its number."""
        take, give = os.pipe()
        count = 400000
        frames = numpy.repeat(numpy.arange(count, dtype="u4"), 25).tobytes()  # 100 bytes each
        sender = Sender(os.fdopen(give, "wb"), frames, piece=1 << 16)
        settings = ("--shape", "10x10", "--label", "x", "--required", "", "--name", "window", "--spool", "1")
        command = (program("loom-ingest"), "--run", "hand", "--bind", f"ipc://{self.folder}/frames", *settings)
        kills = 0
        while kills < 40 and sender.sent < 0.9 * len(frames):
            child = self.start(*command, stdin=take)
            before = sender.sent
            end = time.time() + PATIENCE
            while sender.sent == before and time.time() < end:
                time.sleep(0.001)
            time.sleep(random.uniform(0, 0.02))
            child.kill()
            child.wait()
            kills += 1
        self.assertGreater(kills, 5, "the kills came too late to meet anything")
        self.finish(self.start(*command, stdin=take))
        os.close(take)
        folder = self.path("hand", "spool", "window")
        with open(os.path.join(folder, "end"), encoding="ascii") as file:
            self.assertEqual(int(file.read()), count, "frames were lost, or came twice")
        for name in os.listdir(folder):
            if name.endswith(".frames"):
                slots = numpy.fromfile(os.path.join(folder, name), "u1", offset=32).reshape(-1, 132)[:, 32:]
                first = int(name[:20])
                expected = numpy.repeat(numpy.arange(first, first + len(slots), dtype="u4"), 25).reshape(-1, 25)
                numpy.testing.assert_array_equal(numpy.ascontiguousarray(slots).view("u4"), expected)

    def test_all_killed_and_another_sender(self):
        """The pipe is gone with everybody; what was accepted is served again, and what another sender brings is appended."""
        child = self.launch(self.PIPELINE, "run")
        half = 300 * BYTES + 123  # a frame is torn
        Sender(child.stdin, self.video[:half] + bytes(1), pause=0.01)
        self.until(lambda: self.accepted("run") >= 300, "the frames were accepted")
        pids = self.until(lambda: (found := [self.stage_pid(child, name) for name in ("window", "sparse", "tape")]) and all(found) and
                          found, "all stages were there", child)
        child.kill()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        child.stdin.close()
        child.wait()
        child = self.launch(None, "run")
        said = self.feed(child, self.video[300 * BYTES :])
        self.assertEqual(self.result("run", layers=("sparse",)), self.calm())
        with open(self.path("run", "log.jsonl"), encoding="utf-8") as file:
            self.assertIn("broke off within a frame: its last 124 bytes", file.read() + said)

    def test_interrupted_and_continued(self):
        """Ctrl-C reaches the sender as well: that its pipe ends is not the end of the stream."""
        child = self.launch(self.PIPELINE, "run")
        sender = Sender(child.stdin, self.video[: 200 * BYTES], pause=0.005)
        pipe, child.stdin = child.stdin, None
        self.until(lambda: self.accepted("run") >= 200, "the frames were accepted")
        sender.join(PATIENCE)
        pipe.close()
        child.send_signal(signal.SIGINT)
        self.finish(child, 130)
        self.feed(self.launch(None, "run"), self.video[200 * BYTES :])
        self.assertEqual(self.result("run", layers=("sparse",)), self.calm())

    def reads(self, child, name):
        """Whether a process has opened this file of the test's folder."""
        folder = f"/proc/{child.pid}/fd"
        try:
            return any(os.path.realpath(os.path.join(folder, file)) == self.path(name) for file in os.listdir(folder))
        except OSError:  # it has closed one of them meanwhile
            return False

    def test_a_fifo_goes_on_where_it_was_held_open(self):
        os.mkfifo(self.path("fifo"))
        command = ("--shape", "20x20", "--name", "window", "--required", "tape", "--file", self.path("fifo"))

        def write_and_kill(fifo, data, accepted):
            child = self.by_hand(*command)
            self.until(lambda: self.reads(child, "fifo"), "somebody read the FIFO", child)
            fifo = fifo or open(self.path("fifo"), "wb", buffering=0)
            fifo.write(data)
            self.until(lambda: self.accepted("hand") >= accepted, "the frames were accepted")
            child.kill()
            child.wait()
            return fifo

        first = write_and_kill(None, self.video[: 10 * BYTES + 150], 10)
        write_and_kill(first, self.video[10 * BYTES + 150 : 20 * BYTES + 250], 20).close()  # on within the frame
        second = write_and_kill(None, self.video[20 * BYTES : 30 * BYTES], 30)  # another sender: a frame of its own
        child = self.by_hand(*command)
        self.until(lambda: self.reads(child, "fifo"), "somebody read the FIFO", child)
        second.close()
        tape = self.start(program("loom"), "record", "--run", "hand", "--name", "tape", "--in", f"ipc://{self.folder}/frames")
        child.stdin.close()
        child.stdin = None
        self.finish(tape)
        self.finish(child)
        numpy.testing.assert_array_equal(self.tape("hand"), self.frames[:30])

    def test_a_torn_tail_is_cut(self):
        child = self.by_hand("--shape", "20x20", "--name", "window", "--required", "reader")
        os.write(child.stdin.fileno(), self.video[: 100 * BYTES])
        self.until(lambda: self.accepted("hand") >= 100, "the frames were accepted")
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdin = None
        file = self.path("hand", "spool", "window", f"{0:020}.frames")
        with open(file, "r+b") as spool:
            spool.seek(0, 2)
            spool.write(b"half a slot")
        child = self.by_hand("--shape", "20x20", "--name", "window", "--required", "tape")
        sender = Sender(child.stdin, self.video[100 * BYTES : 150 * BYTES])
        pipe, child.stdin = child.stdin, None
        tape = self.start(program("loom"), "record", "--run", "hand", "--name", "tape", "--in", f"ipc://{self.folder}/frames")
        self.finish(tape)
        self.assertIn("11 bytes that were not whole behind frame 100", self.finish(child))
        sender.join(PATIENCE)
        pipe.close()
        numpy.testing.assert_array_equal(self.tape("hand"), self.frames[:150])

    def test_a_segment_that_was_only_begun(self):
        """Killed between a segment's creation and its header: nothing was accepted there, and the spool goes on."""
        arguments = ("--shape", "20x20", "--name", "window", "--required", "", "--spool", "1")
        slots = (1 << 20) // (32 + BYTES) // 16  # of a segment
        self.feed(self.by_hand(*arguments), b"")
        folder = self.path("hand", "spool", "window")
        for before in (0, slots):
            os.remove(os.path.join(folder, "end"))
            file = os.path.join(folder, f"{before:020}.frames")
            for begun in (b"", b"loom"):
                with open(file, "wb") as segment:
                    segment.write(begun)
                child = self.by_hand(*arguments)
                self.until(lambda: not os.path.exists(file) or child.poll() is not None, "it was gone")
                child.send_signal(signal.SIGTERM)
                self.feed(child, b"", 130)
            self.feed(self.by_hand(*arguments), self.video[before * BYTES : (before + slots) * BYTES])
            self.assertEqual(self.accepted("hand"), before + slots)
        # A damaged header before frames is damage, also of the last segment.
        with open(os.path.join(folder, f"{slots:020}.frames"), "r+b") as segment:
            segment.write(b"rubbish")
        self.assertIn("has no valid header", self.feed(self.by_hand(*arguments), b"", 65))

    def test_another_writer_before_the_end_is_believed(self):
        os.mkfifo(self.path("fifo"))
        child = self.by_hand("--shape", "20x20", "--name", "window", "--required", "", "--file", self.path("fifo"))
        for first in (0, 10, 20):
            if first == 0:
                self.until(lambda: self.reads(child, "fifo"), "somebody read the FIFO", child)
            with open(os.open(self.path("fifo"), os.O_WRONLY | os.O_NONBLOCK), "wb", buffering=0) as fifo:  # or fail: nobody reads it
                time.sleep(0.7 if first == 10 else 0)  # longer than it waits after an end
                fifo.write(self.video[first * BYTES : (first + 10) * BYTES])
            time.sleep(0.1)  # the end has been seen, most likely, but is not believed yet
        self.feed(child, b"")
        self.assertEqual(self.accepted("hand"), 30)

    def test_raw_after_y4m(self):
        """Another sender without colour: nothing is skipped behind its frames."""
        command = ("--name", "window", "--required", "")
        data = video(20, "yuv4mpegpipe", "yuv420p", "20x20")
        child = self.by_hand(*command, "--format", "y4m")
        os.write(child.stdin.fileno(), data)
        self.until(lambda: self.accepted("hand") >= 20, "the frames were accepted")
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdin = None
        self.feed(self.by_hand(*command, "--shape", "20x20"), self.video[: 30 * BYTES])
        self.assertEqual(self.accepted("hand"), 50)

    def test_a_damaged_spool_is_not_served(self):
        child = self.by_hand("--shape", "20x20", "--name", "window", "--required", "tape")
        os.write(child.stdin.fileno(), self.video[: 100 * BYTES])
        self.until(lambda: self.accepted("hand") >= 100, "the frames were accepted")
        with open(self.path("hand", "spool", "window", f"{0:020}.frames"), "r+b") as spool:
            spool.seek(32 + 50 * (32 + BYTES) + 100)
            spool.write(b"\xff\x00\xff")
        child.stdin.close()
        child.stdin = None
        tape = self.start(program("loom"), "record", "--run", "hand", "--name", "tape", "--in", f"ipc://{self.folder}/frames",
                          "--patience", "3")
        self.assertIn("does not hold what was written", self.finish(child, 65))
        self.finish(tape, 69)


class Backpressure(Source):
    def test_a_full_spool_lets_the_sender_wait(self):
        data = numpy.random.default_rng(1).integers(0, 256, (20000, BYTES), dtype="u1").tobytes()  # 8 MB, and a spool of 1 MiB
        child = self.by_hand("--shape", "20x20", "--spool", "1", "--name", "window", "--required", "tape", "--block", "64")
        sender = Sender(child.stdin, data, piece=1 << 16)
        pipe, child.stdin = child.stdin, None
        self.until(lambda: self.accepted("hand") > 2000, "something was accepted")
        moved = [sender.sent, time.monotonic()]

        def waits():
            if sender.sent != moved[0]:
                moved[:] = sender.sent, time.monotonic()
            return time.monotonic() > moved[1] + 1

        self.until(waits, "nothing had been taken for a second", child)
        self.assertLess(sender.sent, 5 << 20)
        spool = self.path("hand", "spool", "window")
        size = sum(os.path.getsize(os.path.join(spool, file)) for file in os.listdir(spool) if file.endswith(".frames"))
        self.assertLess(size, (1 << 20) + 4096)
        for moment in (0.2, 0.4):  # a reader that dies frees nothing that it has not made durable
            tape = self.start(program("loom"), "record", "--run", "hand", "--name", "tape", "--in", f"ipc://{self.folder}/frames",
                              "--checkpoint", "0.1")
            time.sleep(moment)
            tape.kill()
            tape.wait()
        tape = self.start(program("loom"), "record", "--run", "hand", "--name", "tape", "--in", f"ipc://{self.folder}/frames",
                          "--checkpoint", "0.1")
        self.finish(tape)
        self.finish(child)
        sender.join(PATIENCE)
        pipe.close()
        self.assertEqual(self.tape("hand").tobytes(), data)


class Messages(Source):
    def setUp(self):
        super().setUp()
        self.context = zmq.Context()

    def tearDown(self):
        self.context.destroy(linger=0)  # closes all sockets
        super().tearDown()

    def connect(self, kind):
        socket = self.context.socket(kind)
        socket.linger = 60000 if kind == zmq.PUSH else 0
        socket.connect(f"ipc://{self.folder}/in")
        return socket

    def pipeline(self, how):
        return source("ingest", shape="[20, 20]", label="video", block=32, **{how: f"ipc://{self.folder}/in"})

    def test_pushed(self):
        child = self.launch(self.pipeline("pull"), "run")
        push = self.connect(zmq.PUSH)
        push.send(b"rubbish")
        push.send(msgpack.packb({"data": b"123"}))
        push.send(msgpack.packb({"data": bytes(BYTES), "shape": [10, 40]}))
        for first in range(0, FRAMES, 50):
            part = self.frames[first : first + 50]
            push.send(msgpack.packb({"data": part.tobytes(), "shape": part.shape, "dtype": "u1", "comment": [1, {"a": "b"}]}))
        push.send(msgpack.packb({"eos": True}))
        child.stdin.close()
        child.stdin = None
        self.finish(child)
        push.close()  # not before: libzmq may drop the tail of a socket that closes while its peer is slow
        numpy.testing.assert_array_equal(self.tape("run"), self.frames)
        with open(self.path("run", "log.jsonl"), encoding="utf-8") as file:
            self.assertIn("messages refused so far", file.read())

    def ask(self, message, kill=None):
        """Send until answered, as a careful sender does; `kill`: (launcher, stage) to kill while the answer is on its way."""
        end = time.time() + PATIENCE
        while time.time() < end:
            request = self.connect(zmq.REQ)
            request.send(msgpack.packb(message))
            if kill:
                self.kill_stages(kill[0], [kill[1]], random.uniform(0, 0.02))
                kill = None
            if request.poll(1500 if "seq" in message else 1000 * PATIENCE):  # sent once more, it is known by its number only
                answer = msgpack.unpackb(request.recv())
                request.close()
                return answer
            request.close()
        self.fail("no answer")

    def test_confirmed_once_and_only_once(self):
        child = self.launch(self.pipeline("confirm"), "run")
        child.stdin.close()
        child.stdin = None
        for number, first in enumerate(range(0, FRAMES, 60)):
            message = {"data": self.frames[first : first + 60].tobytes(), "seq": first}
            answer = self.ask(message, kill=(child, "window") if number % 3 == 1 else None)
            self.assertEqual((answer["t"], answer["frames"]), ("accepted", first + 60))
        self.assertEqual(self.ask({})["frames"], FRAMES)
        self.assertEqual(self.ask({"data": bytes(BYTES), "seq": FRAMES + 1})["t"], "err")
        self.assertIn("due", self.ask({"data": bytes(BYTES), "seq": FRAMES + 1})["why"])
        self.assertEqual(self.ask({"data": self.frames[:60].tobytes(), "seq": 0})["frames"], FRAMES, "known already")
        self.assertEqual(self.ask({"eos": True, "seq": FRAMES})["frames"], FRAMES)
        self.finish(child)
        numpy.testing.assert_array_equal(self.tape("run"), self.frames)

    def test_every_message_is_answered(self):
        children = [self.start(program("loom-ingest"), "--run", f"run-{i}", "--bind", f"ipc://{self.folder}/out-{i}",
                               "--shape", "2x2", "--confirm", f"ipc://{self.folder}/in-{i}", "--required", "reader")
                    for i in range(4)]
        failures = []

        def send(i):
            with zmq.Context.instance().socket(zmq.REQ) as sender:
                sender.setsockopt(zmq.LINGER, 0)
                sender.setsockopt(zmq.RCVTIMEO, 1000 * PATIENCE)
                sender.connect(f"ipc://{self.folder}/in-{i}")
                for n in range(1, 401):
                    sender.send(msgpack.packb({"v": 1, "t": "frames", "data": bytes(4)}))
                    try:
                        self.assertEqual(msgpack.unpackb(sender.recv())["frames"], n)
                    except (zmq.Again, AssertionError) as error:
                        failures.append((i, n, error))
                        return

        threads = [threading.Thread(target=send, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertTrue(all(child.poll() is None for child in children))

    def test_no_number_is_too_large(self):
        child = self.by_hand("--shape", "20x20", "--confirm", f"ipc://{self.folder}/in", "--required", "reader")
        child.stdin.close()
        child.stdin = None
        for end in (False, True):  # while frames come, and behind the end
            self.assertEqual(self.ask({"data": bytes(3 * BYTES), "seq": 0, "eos": end})["frames"], 3)
            self.assertEqual(self.ask({"data": bytes(3 * BYTES), "seq": 2**64 - 2})["t"], "err", f"end: {end}")
        child.send_signal(signal.SIGTERM)
        self.finish(child, 130)

    def test_the_same_question_has_one_answer(self):
        """A block is given out when it is whole, or the stream has ended: never a part now and more of it later."""
        child = self.by_hand("--shape", "20x20", "--confirm", f"ipc://{self.folder}/in", "--block", "32", "--required", "reader")
        child.stdin.close()
        child.stdin = None
        reader = self.context.socket(zmq.DEALER)
        reader.setsockopt(zmq.RCVTIMEO, 1000 * PATIENCE)
        reader.connect(f"ipc://{self.folder}/frames")

        def fetch(first, n, ack=0):
            ask = {"v": 1, "t": "fetch", "id": about["id"], "from": first, "n": n, "ack": ack, "who": "reader"}
            reader.send(msgpack.packb(ask))

        self.ask({"data": self.frames[:40].tobytes()})
        reader.send(msgpack.packb({"v": 1, "t": "describe"}))
        about = msgpack.unpackb(reader.recv())
        self.assertEqual((about["total"], about["base"], about["head"], about["block"]), (None, 0, 32, 32))
        fetch(0, 32)
        self.assertEqual(msgpack.unpackb(reader.recv())["n"], 32)
        fetch(32, 32)
        self.assertFalse(reader.poll(300), "8 frames are no block")
        self.ask({"data": self.frames[40:50].tobytes()})
        self.assertFalse(reader.poll(300), "nor are 18")
        self.ask({"eos": True})
        answer = msgpack.unpackb(reader.recv())
        self.assertEqual((answer["n"], answer["eos"]), (18, True))
        self.assertEqual(answer["data"], self.frames[32:50].tobytes())
        fetch(50, 0, ack=50)
        self.assertTrue(msgpack.unpackb(reader.recv())["eos"])
        self.finish(child)

    def test_readers_without_names_are_warned_of(self):
        for number, (arguments, warned) in enumerate((((), True), (("--required=*",), True), (("--required", "a"), False))):
            name = f"window{number}"
            child = self.by_hand("--shape", "20x20", "--name", name, *arguments)
            self.until(lambda: os.path.exists(self.path("hand", "spool", name, "about")), "there was a spool")
            child.send_signal(signal.SIGTERM)
            self.assertEqual("name the readers" in self.feed(child, b"", 130), warned, arguments)

    def test_no_numbers_are_refused(self):
        child = self.by_hand("--shape", "20x20", "--dtype", "f4", "--confirm", f"ipc://{self.folder}/in")
        child.stdin.close()
        child.stdin = None
        bad = numpy.full((2, 20, 20), 0.5, "f4")
        bad[1, 3, 4] = numpy.nan
        answer = self.ask({"data": bad.tobytes()})
        self.assertEqual((answer["t"], answer["frames"]), ("err", 0))
        self.assertIn("row 3, column 4", answer["why"])
        self.assertEqual(self.ask({"data": bad[:1].tobytes()})["frames"], 1)
        child.send_signal(signal.SIGTERM)
        self.finish(child, 130)


class Rubbish(Source):
    """One clear sentence, the documented exit code, and what was accepted stays."""

    def hand(self, data, code, *words, frames=None, arguments=("--shape", "20x20")):
        child = self.by_hand("--name", "window", "--required", "", *arguments)
        said = self.feed(child, data, code)
        for word in words:
            self.assertIn(word, said)
        if frames is not None:
            self.assertEqual(self.accepted("hand"), frames)
        subprocess.run(["rm", "-rf", self.path("hand")], check=True)

    def test_tails_and_values(self):
        self.hand(self.video[: 57 * BYTES + 123], 0, "within frame 57", "123 bytes", "57 frames", frames=57)
        self.hand(b"x" * 399, 65, "399 bytes", "not one frame of 20x20 u1 (400 bytes)")
        self.hand(b"", 0, "ended without a frame")
        floats = numpy.full((5, 20, 20), 0.5, "f4")
        for value in (numpy.nan, numpy.inf, 1.5, -0.1):
            floats[3, 7, 9] = value
            child = self.by_hand("--name", "window", "--required", "", "--shape", "20x20", "--dtype", "f4")
            said = self.feed(child, floats.tobytes(), 65)
            self.assertIn("frame 3: the pixel in row 7, column 9", said)
            size = os.path.getsize(self.path("hand", "spool", "window", f"{0:020}.frames"))
            self.assertEqual((size - 32) // (32 + 4 * BYTES), 3, "the frames before it are accepted")
            floats[3, 7, 9] = 0.5
            # Mended, the sender goes on: the bad rest is not seen again.
            child = self.by_hand("--name", "window", "--required", "", "--shape", "20x20", "--dtype", "f4")
            self.feed(child, floats[3:].tobytes())
            with open(self.path("hand", "spool", "window", "end"), encoding="ascii") as file:
                self.assertEqual(int(file.read()), 5)
            subprocess.run(["rm", "-rf", self.path("hand")], check=True)

    def test_y4m_headers(self):
        y4m = ("--format", "y4m")
        header = b"YUV4MPEG2 W20 H20 F25:1 Ip A1:1 Cmono\n"
        frame = b"FRAME\n" + self.video[:BYTES]
        self.hand(header + 5 * frame + b"FRAMX\n" + frame, 65, "'FRAME' was expected", "frame 5", frames=5, arguments=y4m)
        self.hand(header + 5 * frame + b"FRAME Xyes\n" + frame[6:], 0, frames=6, arguments=y4m)
        for data, word in ((b"YUV4MPEG2 W20 H20 " + b"X" * (1 << 20), "more than 1024 bytes"),
                           (b"YUV4MPEG2 H20 Cmono\n" + frame, "how large"),
                           (b"YUV4MPEG2 W20 H99999 Cmono\n", "header's H"),
                           (b"YUV4MPEG2 W20 W20 H20\n", "header's W"),
                           (b"YUV4MPEG2 W-20 H20\n", "header's W"),
                           (b"YUV4MPEG2 W65535 H65535\n", "pixels"),
                           (b"YUV4MPEG2 W20 H20 C420p10\n", "8 bits"),
                           (b"RIFF....AVI ", "'YUV4MPEG2' was expected"),
                           (b"YUV4MPEG2 W20", "within the y4m header"),
                           (b"", "within the y4m header")):
            self.hand(data, 65, word, arguments=y4m)
        self.hand(header + frame, 65, "20 x 20, but shape is 30x20", arguments=(*y4m, "--shape", "30x20"))

    def test_files_that_are_no_raw_frames(self):
        for magic, word in ((b"YUV4MPEG2 W20 H20\n", "set format=y4m"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"\x93NUMPY\x01", ".npy"),
                            (b"\0\0\0\x20ftypisom", "mp4")):
            self.hand(magic + bytes(800), 65, word)

    def test_settings(self):
        for arguments, word in ((("--shape", "0x0"), "shape must be given"),
                                (("--shape", "20x0"), "a side of 0"),
                                (("--shape", "20x20", "--pull", "ipc:///tmp/x", "--file", "y"), "one place"),
                                (("--format", "y4m", "--dtype", "f4"), "u1"),
                                (("--shape", "20x20", "--label", " x"), "label"),
                                (("--shape", "1000x1000", "--spool", "1"), "spool"),
                                (("--shape", "20x20", "--pull", "tcp://0.0.0.0:5555"), "protection")):
            self.hand(b"", 64, word, arguments=arguments)
        self.hand(b"", 74, "No such file", arguments=("--shape", "20x20", "--file", self.path("missing")))
        child = self.start(program("loom"), "ingest", "--run", "hand", "--bind", f"ipc://{self.folder}/frames", "--shape", "20x20",
                           stdin=subprocess.DEVNULL)
        self.assertIn("neither a pipe nor a file", self.finish(child, 64))
        text = "name: two\nstages:\n  a: {stage: ingest, shape: [4, 4]}\n  b: {stage: ingest, shape: [4, 4]%s}\n"
        self.assertIn("'a' reads already", self.loom("validate", self.write(text % ""), code=64))
        self.loom("validate", self.write(text % ", pull: 'ipc:///tmp/x'"))

    def test_other_frames_into_a_spool(self):
        child = self.by_hand("--name", "window", "--required", "", "--shape", "20x20", "--label", "a")
        child.stdin.close()
        child.stdin = None
        self.finish(child)
        self.assertIn("are 20 x 20 u1", self.feed(self.by_hand("--name", "window", "--shape", "10x10"), b"", 65))
        self.assertIn("labelled 'a'", self.feed(self.by_hand("--name", "window", "--shape", "20x20", "--label", "b"), b"", 64))

    def test_one_spool_one_process(self):
        child = self.by_hand("--name", "window", "--shape", "20x20")
        self.until(lambda: os.path.exists(self.path("hand", "spool", "window", "about")), "there was a spool")
        other = self.start(program("loom"), "ingest", "--run", "hand", "--name", "window", "--shape", "20x20", "--bind",
                           f"ipc://{self.folder}/other", stdin=subprocess.PIPE)
        self.assertIn("in use", self.feed(other, b"", 69))
        child.send_signal(signal.SIGTERM)
        self.feed(child, b"", 130)


class Images(Source):
    def folder_of(self, name, pictures, pattern="frame{}.png"):
        os.mkdir(self.path(name))
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(self.path(name, pattern.format(number)))

    def show(self, run, code=0, **settings):
        return self.loom("run", self.write(source("images", **settings)), "--dir", run, code=code)

    def test_folder_in_natural_order_and_passes(self):
        self.folder_of("pictures", self.frames[:12:1])
        with open(self.path("pictures", "notes.txt"), "w", encoding="ascii") as file:
            file.write("no picture")
        self.show("run", source="pictures", passes=3, block=5)
        numpy.testing.assert_array_equal(self.tape("run"), numpy.concatenate([self.frames[:12]] * 3))
        # 16 bits do not fit bytes: all become floats.
        deep = numpy.arange(400, dtype="u2").reshape(20, 20) * 100
        Image.fromarray(deep).save(self.path("pictures", "frame12.png"))
        self.show("deep", source="pictures")
        tape = self.tape("deep")
        self.assertEqual((tape.dtype, len(tape)), ("f4", 13))
        numpy.testing.assert_array_equal(tape[12], (deep / 65535).astype("f4"))
        numpy.testing.assert_array_equal(tape[:12], (self.frames[:12] / 255).astype("f4"))

    def test_arrays(self):
        floats = (self.frames[:100] / 255).astype("f4")
        for name, array, settings in (("u1", self.frames[:100], {}), ("f4", floats, {}), ("f8", floats.astype("f8"), {}),
                                      ("flat", floats.reshape(100, 400), {"shape": "[20, 20]"})):
            numpy.save(self.path(name + ".npy"), array)
            self.show(name, source=name + ".npy", passes=2, **settings)
            expected = self.frames[:100] if name == "u1" else floats
            numpy.testing.assert_array_equal(self.tape(name), numpy.concatenate([expected] * 2))

    def test_the_pictures_are_the_stream(self):
        ids = []
        for name, pictures in (("a", self.frames[:5]), ("b", self.frames[:5]), ("c", self.frames[1:6])):
            self.folder_of(name, pictures, pattern=name + "{}.png")
            self.show("run-" + name, source=name)
            with h5py.File(self.path("run-" + name, "recordings", "tape.h5"), "r") as tape:
                ids.append(tape["frames"].attrs["id"])
        self.assertEqual(ids[0], ids[1], "names do not matter")
        self.assertNotEqual(ids[0], ids[2])

    def test_killed(self):
        numpy.save(self.path("frames.npy"), self.frames)
        pipeline = source("images", source="frames.npy", passes=2, block=32)
        self.loom("run", self.write(pipeline), "--dir", "calm")
        child = self.start(program("loom"), "run", self.write(pipeline), "--dir", "run", "--set", "window.rate=300")
        hit = self.kill_stages(child, ["window"], random.uniform(0, 3))  # it lasts 4 s
        self.finish(child)
        self.assertTrue(hit, "the kill met no running stage")
        self.assertEqual(self.result("run", layers=("sparse",)), self.result("calm", layers=("sparse",)))

    def refuse(self, code, word, **settings):
        child = self.start(program("loom"), "images", "--run", "hand", "--bind", f"ipc://{self.folder}/frames",
                           *(f"--{name}={value}" for name, value in settings.items()))
        self.assertIn(word, self.finish(child, code))

    def test_rubbish(self):
        self.refuse(74, "not there", source=self.path("missing"))
        os.mkdir(self.path("empty"))
        self.refuse(65, "holds no PNG", source=self.path("empty"))
        self.folder_of("odd", [self.frames[0], self.frames[1][:, :10]])
        self.refuse(65, "frame1.png is 20 pixels high and 10 wide", source=self.path("odd"))
        self.refuse(65, "shape is 10x20", source=self.path("odd"), shape="10x20")
        with open(self.path("odd", "frame1.png"), "wb") as file:
            file.write(b"\x89PNG\r\n\x1a\nhalf")
        self.refuse(65, "frame1.png", source=self.path("odd"))
        frames = self.frames[:10]
        nan = (frames / 255).astype("f4")
        nan[4, 5, 6] = numpy.nan
        for array, word in ((frames.astype("i8"), "a.astype('u1')), with values from 0 to 255"), (frames.astype(">f4"), "type '>f4'"),
                            (numpy.asfortranarray(frames), "Fortran order"), (frames[0, 0], "1 dimensions"),
                            (frames[:0], "empty"), (frames.reshape(10, 400), "rows of 400 pixels"),
                            (nan, "picture 4: the pixel in row 5, column 6")):
            numpy.save(self.path("bad.npy"), array)
            self.refuse(65, word, source=self.path("bad.npy"))
        numpy.save(self.path("good.npy"), frames)
        with open(self.path("good.npy"), "rb") as file:
            good = file.read()
        for data, word in ((good[:-1], "behind its header"), (good + b"x", "behind its header"), (good[:100], "cut off"),
                           (b"", "no .npy file"), (b"PK\x03\x04" + good, "no .npy file"),
                           (good.replace(b"'shape'", b"'shepa'"), "not that of an array"),
                           (good.replace(b"(10, 20, 20)", b"(10,99999999999999999999, 20)")[: len(good)], "not that of an array")):
            with open(self.path("bad.npy"), "wb") as file:
                file.write(data)
            self.refuse(65, word, source=self.path("bad.npy"))


class Motions(Source):
    """The generator's other ways to move, through the whole pipeline (test_trajectory.c has their mathematics)."""

    def test_motions(self):
        ids = set()
        for motion in ("inertial", "walk", "linear", "saccade"):
            settings = {"tapestry": DIGITS, "frames": 400, "passes": 1, "motion": motion, "hold": 10, "speed": 2}
            self.loom("run", self.write(source("generate", **settings)), "--dir", motion)
            at = self.tape(motion, "frames/at").astype("i8")
            picture, frames = numpy.asarray(Image.open(DIGITS)), self.tape(motion)
            for t in (0, 123, 399):
                numpy.testing.assert_array_equal(frames[t], picture[at[t][1] : at[t][1] + 20, at[t][0] : at[t][0] + 20])
            steps = (numpy.diff(at, axis=0) + 406) % 812 - 406
            still = (steps == 0).all(axis=1).mean()
            self.assertTrue(still > 0.85 if motion == "saccade" else still < 0.5, f"{motion}: {still}")
            self.assertLessEqual(numpy.abs(steps).max(), 20 if motion == "saccade" else 3)
            with h5py.File(self.path(motion, "recordings", "tape.h5"), "r") as tape:
                ids.add(tape["frames"].attrs["id"])
        self.assertEqual(len(ids), 4)


if __name__ == "__main__":
    unittest.main(verbosity=2)
