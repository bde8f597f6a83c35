#!/usr/bin/python3
"""Recordings used again, as real processes: replayed in the place of the stage that they were made of, taken by hand from a
running pipeline, and verified; whoever is killed and whatever is damaged.

    tests/test_replay.py FOLDER_OF_PROGRAMS [unittest arguments]"""

import glob
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
import unittest

import h5py
import msgpack
import numpy
import zmq

from loom_case import Case, PATIENCE, PIPELINE, datasets, program

SLOW = ("--set", "window.rate=600", "--set", "window.block=50")

REPLAY = {
    "window": "  window: {{stage: replay, file: {tape}{more}}}\n",
    "sparse": "  sparse: {{stage: replay, file: {tape}{more}}}\n",
    "topo": "  topo:   {{stage: replay, file: {tape}{more}}}\n",
}


def replaced(name):
    """PIPELINE with stage `name` replaced by its recording, and without what only that one read."""
    order = ["window", "sparse", "topo"]
    kept = order[order.index(name):]
    text, skip = "", False
    for line in PIPELINE.split("\n"):
        key = line.strip().split(":")[0]
        if key in order or key == "tape":
            skip = key in order and key not in kept[1:]
        if key == name:
            text += REPLAY[name]
        elif key == "tape":
            text += "  tape:   {{stage: record, in: [" + ", ".join(kept) + "], checkpoint: {checkpoint}}}\n"
        elif not skip:
            text += line + "\n"
    return text


def passes(folder, stage):
    """The metrics of every pass of a stage."""
    with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return [line["metrics"] for line in lines if line["stage"] == stage and line["event"] == "pass"]


def said(folder, stage=None):
    with open(os.path.join(folder, "log.jsonl"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return "\n".join(line["message"] for line in lines if line["event"] == "log" and stage in (None, line["stage"]))


def content(path):
    """Datasets of a recording that say what was recorded, apart from where and how it lies in the file."""
    return {name: value for name, value in datasets(path).items() if name not in ("durable", "used_bytes")}


def everything(path):
    """Datasets and attributes of a file."""
    with h5py.File(path, "r") as file:
        return {**datasets(path), **{name: numpy.asarray(value).tolist() for name, value in file.attrs.items()}}


class Base(Case):
    def bytes_of(self, *parts):
        with open(self.path(*parts), "rb") as file:
            return file.read()

    def replay(self, run, name, tape, *arguments, code=0, more="", passes=3, checkpoint=5):
        text = replaced(name).format(tape=tape, more=more, digits="", passes=passes, block=64, checkpoint=checkpoint)
        return self.loom("run", self.write(text, name=f"{run}.yaml"), "--dir", run, *arguments, code=code)

    def live(self, run="live", *arguments, **values):
        self.run_pipeline(run, *arguments, **values)
        return self.path(run, "recordings", "tape.h5")

    def take(self, source, *arguments, out, code=0):
        """Replay by hand into a recorder by hand."""
        endpoint = f"ipc://{self.folder}/{os.path.basename(out)}.sock"
        server = self.start(program("loom"), "replay", source, *arguments, "--bind", endpoint)
        text = self.loom("record", "--in", endpoint, "-o", out, code=code)
        self.finish(server)
        return text


class Replay(Base):
    """A stream that is replayed cannot be told from the live one."""

    def test_any_stage_is_replaced_by_its_recording(self):
        tape = self.live()
        for name, layers, streams in (("window", ("sparse", "topo"), ("frames", "codes", "activations")),
                                      ("sparse", ("topo",), ("codes", "activations")),
                                      ("topo", (), ("activations",))):
            self.replay(f"re-{name}", name, tape)
            for layer in layers:
                self.assertEqual(everything(self.path(f"re-{name}", "layers", layer + ".h5")),
                                 everything(self.path("live", "layers", layer + ".h5")))
                self.assertEqual(passes(self.path(f"re-{name}"), layer), passes(self.path("live"), layer))
            again = self.path(f"re-{name}", "recordings", "tape.h5")
            kept = [key for key in content(tape) if key.split("/")[0] in streams or
                    (key.startswith("metrics/") and key.split("/")[1] in [name, *layers])]
            self.assertGreaterEqual(len(kept), 1)
            for key in kept:
                self.assertEqual(content(again)[key], content(tape)[key], f"{key} when {name} is replayed")
            with h5py.File(tape, "r") as one, h5py.File(again, "r") as two:
                for group in streams:
                    for key in ("id", "stage", "name", "kind", "pass", "total", "repeats", "body", "frames"):
                        self.assertEqual(two[group].attrs[key], one[group].attrs[key], f"{group}: {key}")

    def test_replay_of_a_replay_by_hand_is_the_same(self):
        tape = self.live()
        text = self.take(tape, "--stream", "codes", out=self.path("codes.h5"))
        self.assertIn("holds frames 0 to 2999 of sparse (codes), the whole stream", text)
        self.take(self.path("codes.h5"), "--rate", "100000", out=self.path("again.h5"))
        for key in ("codes/index", "codes/value", "metrics/sparse/values", "metrics/sparse/names"):
            self.assertEqual(content(self.path("again.h5"))[key], content(tape)[key])

    def test_parts_and_loops_are_streams_of_their_own(self):
        tape, ids = self.live(), {}
        with h5py.File(tape, "r") as file:
            index = file["codes/index"][()]
            ids["live"] = file["codes"].attrs["id"]
        cases = {
            "aligned": (["--from", "1000"], index[1000:], 1000, False),
            "one": (["--first=1000", "--to=1999"], index[1000:2000], 1000, False),
            "crooked": (["--from", "500", "--to", "2499"], index[500:2500], 2000, False),
            "looped": (["--to", "999", "--loop", "3"], numpy.concatenate([index[:1000]] * 3), 1000, True),
            "twice": (["--loop", "2"], numpy.concatenate([index] * 2), 3000, True),
        }
        for name, (options, expected, length, repeats) in cases.items():
            out = self.path(name + ".h5")
            self.take(tape, "--stream=sparse", *options, out=out)
            with h5py.File(out, "r") as file:
                numpy.testing.assert_array_equal(file["codes/index"][()], expected)
                attributes = file["codes"].attrs
                self.assertEqual((attributes["pass"], attributes["total"]), (length, len(expected)), name)
                self.assertEqual(bool(attributes["repeats"]), repeats, name)
                ids[name] = attributes["id"]
                if name == "aligned":
                    with h5py.File(tape, "r") as whole:
                        numpy.testing.assert_array_equal(file["metrics/sparse/values"][()], whole["metrics/sparse/values"][1:])
        self.assertEqual(len(set(ids.values())), len(ids), "each has an id of its own")
        self.take(tape, "--stream=sparse", *cases["crooked"][0], out=self.path("again.h5"))
        with h5py.File(self.path("again.h5"), "r") as file:
            self.assertEqual(file["codes"].attrs["id"], ids["crooked"], "and always the same")

    def test_killed_replay_and_its_readers(self):
        tape = self.live()
        calm = self.result("live")
        for names in (["window"], ["window", "tape"], ["sparse", "window"]):
            run = "hit-" + "-".join(names)
            text = replaced("window").format(tape=tape, more=", rate: 1000, block: 50", digits="", passes=3, block=64, checkpoint=0.2)
            child = self.start(program("loom"), "run", self.write(text, name=f"{run}.yaml"), "--dir", run)
            self.assertTrue(self.kill_stages(child, names, random.uniform(0, 1.5)), "no kill met a running stage")  # it lasts 3 s
            self.finish(child)
            self.assertEqual(self.result(run), calm)

    def test_follows_a_recording_that_is_being_written(self):
        """Also if its recorder is killed in between."""
        self.run_pipeline("calm", checkpoint=0.2, passes=8)
        child = self.start(program("loom"), "run", self.write(PIPELINE, checkpoint=0.2, passes=8), "--dir", "live", *SLOW)
        tape = self.path("live", "recordings", "tape.h5")
        self.until(lambda: os.path.exists(tape), "a recording was begun", child)
        text = replaced("sparse").format(tape=tape, more="", digits="", passes=3, block=64, checkpoint=5)
        other = self.start(program("loom"), "run", self.write(text, name="follow.yaml"), "--dir", "follow")
        log = self.path("follow", "log.jsonl")
        self.until(lambda: os.path.exists(log) and "serves frames" in said(self.path("follow")), "it was replayed", other)
        self.assertTrue(self.kill_stages(child, ["tape"], 0.1))
        self.finish(child)
        self.finish(other)
        self.assertIn("as they are written: the same stream", said(self.path("follow"), "sparse"))
        self.assertEqual(everything(self.path("follow", "layers", "topo.h5")), everything(self.path("calm", "layers", "topo.h5")))
        self.assertEqual(content(self.path("follow", "recordings", "tape.h5"))["activations/data"], content(tape)["activations/data"])

    def test_what_a_killed_run_has_recorded(self):
        """All that is durable can be replayed, as a part; and the run goes on as if nothing had happened."""
        child = self.start(program("loom"), "run", self.write(PIPELINE, checkpoint=0.1), "--dir", "live", *SLOW)
        tape = self.path("live", "recordings", "tape.h5")

        def rows():
            try:
                with h5py.File(tape, "r", swmr=True) as file:
                    return int(file["durable"][1])
            except OSError:
                return 0

        self.until(lambda: rows() > 500, "500 frames were durable", child)
        child.kill()
        child.wait()
        self.until(lambda: "not closed" in self.loom("check", tape) or not self.still_written(tape), "the recorder was gone")
        held = rows()
        self.take(tape, "--stream=codes", out=self.path("part.h5"))
        with h5py.File(self.path("part.h5"), "r") as part, h5py.File(tape, "r", swmr=True) as whole:
            self.assertEqual(len(part["codes/index"]), held)
            numpy.testing.assert_array_equal(part["codes/index"][()], whole["codes/index"][:held])
            self.assertNotEqual(part["codes"].attrs["id"], whole["codes"].attrs["id"])

    def still_written(self, tape):
        return "still being written" in self.loom("check", tape)

    def test_rubbish(self):
        tape = self.live(passes=1)
        with open(self.path("text"), "wb") as file:
            file.write(b"no recording " * 100)
        with open(self.path("empty"), "wb"):
            pass
        whole = self.bytes_of("live", "recordings", "tape.h5")
        with open(self.path("cut.h5"), "wb") as file:
            file.write(whole[:len(whole) // 2])
        bind = ("--bind", f"ipc://{self.folder}/x")
        layer = self.path("live", "layers", "sparse.h5")
        for arguments, code, words in (((self.path("missing"),), 74, ("missing", "No such file")),
                                       ((self.path("text"),), 65, ("text", "not an HDF5 file")),
                                       ((self.path("empty"),), 65, ("empty",)),
                                       ((self.path("cut.h5"),), 65, ("cut off", "bytes")),
                                       ((layer,), 65, ("sparse.h5", "not a recording")),
                                       ((), 64, ("file", "must be given")),
                                       ((tape,), 64, ("several streams", "frames (of window)", "codes (of sparse)", "--stream")),
                                       ((tape, "--stream=nobody"), 64, ("nobody", "codes (of sparse)")),
                                       ((tape, "--stream=codes", "--to=1000"), 64, ("frames 0 to 999", "choose")),
                                       ((tape, "--stream=codes", "--from=700", "--to=600"), 64, ("700", "600")),
                                       ((tape, "--stream=codes", "--from=99999"), 64, ("99999",)),
                                       ((tape, tape), 64, ("not an option",))):
            text = self.loom("replay", *arguments, *bind, code=code)
            for word in words:
                self.assertIn(word, text, arguments)
        text = self.replay("wrong", "window", tape, more=", stream: codes", code=65)
        self.assertIn("carries codes, which loom-sparse does not take", text)

    def test_damage_is_met_where_it_lies(self):
        tape = self.live(passes=1)
        with h5py.File(tape, "r") as file:
            offset = file["codes/index"].id.get_chunk_info(0).byte_offset
        damage(tape, offset + 100)
        text = self.replay("hurt", "sparse", tape, code=65)
        self.assertIn("frames 0 to 999 of codes/index are damaged", text)
        self.replay("sound", "window", tape)  # of another stream in the same file


def damage(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


class Left(Base):
    """What earlier processes have left behind."""

    def test_recording_that_goes_bad_while_it_is_replayed(self):
        """Its replay says so, and ends."""
        endpoint = f"ipc://{self.folder}/grows.sock"
        child = self.start(program("loom"), "run", self.write(PIPELINE, checkpoint=0.1), "--dir", "live", *SLOW)
        tape = self.path("live", "recordings", "tape.h5")
        self.until(lambda: os.path.exists(tape), "a recording was begun", child)
        server = self.start(program("loom"), "replay", tape, "--stream=codes", "--bind", endpoint)
        self.until(lambda: os.path.exists(self.path("grows.sock")), "it was served", server)
        with open(self.path("text"), "wb") as file:
            file.write(b"no recording " * 100)
        os.replace(self.path("text"), tape)
        self.assertIn("not an HDF5 file", self.finish(server, 65))
        child.kill()
        child.wait()

    def test_readers_that_were_done_with_another_stream(self):
        """Are none that is done with this one; of this one they are."""
        tape = self.live()
        for number, (first, held) in enumerate(((0, 3000), (1000, 2000), (0, 3000))):
            endpoint = f"ipc://{self.folder}/{number}.sock"
            server = self.start(program("loom"), "replay", tape, "--stream=codes", "--from", str(first), "--required", "tape",
                                "--bind", endpoint)
            if number == 2:
                self.finish(server)
                break
            self.loom("record", "--name", "tape", "--in", endpoint, "-o", f"{number}.h5")
            self.finish(server)
            with h5py.File(self.path(f"{number}.h5"), "r") as file:
                self.assertEqual(len(file["codes/index"]), held)
        with open(self.path("runs", "by-hand", "checkpoints", "replay.done"), encoding="utf-8") as file:
            self.assertEqual(len([line for line in file if line.startswith("tape ")]), 2)

    def test_recorder_killed_while_it_closes_its_file(self):
        """It can be read, and the recorder goes on."""
        tape = self.live()
        calm = content(tape)
        self.take(tape, "--stream=codes", "--from=1000", "--to=1999", out=self.path("part.h5"))
        endpoint = f"ipc://{self.folder}/codes.sock"
        record = ("record", "--in", endpoint, "-o", "codes.h5", "--frames")
        for frames in ("1000", "2000"):  # the second one goes on with it
            server = self.start(program("loom"), "replay", tape, "--stream=codes", "--bind", endpoint)
            self.loom(*record, frames)
            self.finish(server)
            self.assertIn("ok: recording, frames 0..", self.loom("check", "codes.h5"))
            script = "import h5py, os; f = h5py.File('codes.h5', 'r+', libver='latest'); f.flush(); os.kill(os.getpid(), 9)"
            self.finish(self.start("/usr/bin/python3", "-c", script), -9)
            with self.assertRaises(OSError):
                h5py.File(self.path("codes.h5"), "r", swmr=True)
            self.assertIn("not closed", self.loom("check", "codes.h5"))
            self.loom("export", "codes.h5", "--npy", "-o", f"out-{frames}")
            self.take("codes.h5", out=self.path(f"part-{frames}.h5"))
            with h5py.File(self.path(f"part-{frames}.h5"), "r") as part:
                self.assertEqual(len(part["codes/index"]), int(frames))
        server = self.start(program("loom"), "replay", tape, "--stream=codes", "--bind", endpoint)
        self.loom(*record, "0")
        self.finish(server)
        self.assertEqual(content(self.path("codes.h5"))["codes/index"], calm["codes/index"])

    def test_recording_without_rows_is_as_good_as_none(self):
        """Of another stream, or with another first frame."""
        tape = self.live()
        endpoint = f"ipc://{self.folder}/codes.sock"
        for stream in ("frames", "codes"):
            for first, words in (("3000", "holds no frame"), ("0", "the whole stream")):
                server = self.start(program("loom"), "replay", tape, "--stream", stream if first != "0" else "codes", "--bind", endpoint)
                self.assertIn(words, self.loom("record", "--in", endpoint, "-o", "codes.h5", "--first", first))
                self.finish(server)
            os.unlink(self.path("codes.h5"))

    def test_source_that_goes_on_is_interrupted_though_nobody_reads(self):
        child = self.start(program("loom"), "ingest", "--shape", "4x4", "--required", "", "--bind", f"ipc://{self.folder}/frames",
                           stdin=subprocess.PIPE)
        child.stdin.write("a" * 160)
        child.stdin.flush()
        self.until(lambda: os.path.exists(self.path("frames")), "the socket was there", child)
        time.sleep(0.3)  # most likely it waits for more by then; if not, that is another moment to be interrupted at
        child.send_signal(signal.SIGINT)
        self.finish(child, 130)

    def test_frames_gone_between_description_and_first_fetch(self):
        """The recording begins with what is held, as if the recorder had come later."""
        with Forgetful(f"ipc://{self.folder}/forgetful") as forgetful:
            text = self.loom("record", "--in", forgetful.endpoint, "-o", "late.h5")
        self.assertIn(f"holds frames {Forgetful.BASE} to {Forgetful.TOTAL - 1}", text)

    def test_streams_without_a_frame_in_common(self):
        with Forgetful(f"ipc://{self.folder}/late") as late, Forgetful(f"ipc://{self.folder}/early", base=0, total=50) as early:
            late.total = None
            text = self.loom("record", "--in", late.endpoint, "--in", early.endpoint, "-o", "none.h5", code=65)
        self.assertIn("none in common", text)


class Forgetful:
    """A generator from outside that says it holds everything, and then that the first frames are gone."""

    BASE, TOTAL = 100, 200

    def __init__(self, endpoint, base=BASE, total=TOTAL):
        self.endpoint, self.base, self.total = endpoint, base, total
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
        name = os.path.basename(self.endpoint)
        if request["t"] == "describe":
            return {"v": 1, "t": "stream", "id": name, "name": name, "kind": "frames", "shape": [4, 4], "dtype": "u1", "pass": None,
                    "total": self.total, "block": 10, "base": 0, "head": self.TOTAL}
        first = request["from"]
        if first < self.base:
            return {"v": 1, "t": "gone", "id": name, "base": self.base}
        end = self.total or self.TOTAL
        first = min(first, end)
        n = min(request["n"], end - first, 10 - first % 10)
        return {"v": 1, "t": "data", "id": name, "seq": first, "n": n, "eos": first + n == end, "data": bytes(16 * n)}

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


class ByHand(Base):
    """A recorder that comes to a running pipeline."""

    def begin(self, run, *arguments, **values):
        child = self.start(program("loom"), "run", self.write(PIPELINE, **values), "--dir", run, *SLOW, *arguments)
        names = [self.path(run, "sockets", name) for name in ("window", "sparse", "topo")]
        self.until(lambda: all(os.path.exists(name) for name in names), "the sockets were there", child)
        return child, [word for name in ("window", "sparse", "topo") for word in ("--in", f"ipc://{run}/sockets/{name}")]

    def test_gets_all_while_it_is_held(self):
        child, inputs = self.begin("run")
        self.until_further("run", ("window", "sparse", "topo", "tape"), child)
        text = self.loom("record", *inputs, "-o", "hand.h5")
        self.finish(child)
        self.assertIn("hand.h5 holds frames 0 to 2999 of window (frames), the whole stream", text)
        self.assertEqual(content(self.path("hand.h5")), content(self.path("run", "recordings", "tape.h5")))
        self.run_pipeline("calm")
        self.assertEqual(self.result("run"), self.result("calm"), "and nobody notices")

    def test_joins_all_streams_at_the_oldest_frame_held(self):
        """With rings so small that early frames are gone when it comes."""
        text = PIPELINE.replace("block: {block}", "block: {block}, ring: 1")
        tight = text.replace("grid: [5, 4]", "grid: [40, 40]")  # a MiB holds some 160 of these activations
        path = self.write(tight, passes=8, block=10, checkpoint=0.1)
        child = self.start(program("loom"), "run", path, "--dir", "run", "--set", "window.rate=800", "--set", "window.block=10")
        self.until_further("run", ("window", "sparse", "topo", "tape"), child, by=500)
        inputs = [word for name in ("window", "sparse", "topo") for word in ("--in", f"ipc://run/sockets/{name}")]
        hand = self.start(program("loom"), "record", *inputs, "-o", "late.h5", "--checkpoint=0.1")
        self.finish(child)
        hand.wait(timeout=PATIENCE)
        out = hand.stdout.read() + hand.stderr.read()
        with h5py.File(self.path("late.h5"), "r") as late, h5py.File(self.path("run", "recordings", "tape.h5"), "r") as tape:
            first = int(late.attrs["first"])
            self.assertGreater(first, 0, "it came too late for the first frames")
            for key in ("frames/data", "frames/at", "codes/index", "codes/value", "activations/data"):
                n = len(late[key])
                self.assertGreater(n, 0, out)
                self.assertEqual(late[key.split("/")[0]].attrs["frames"], n)
                numpy.testing.assert_array_equal(late[key][()], tape[key][first:first + n], key)
            self.assertIn(f"late.h5 holds frames {first} to {first + len(late['codes/index']) - 1} of sparse (codes)", out)
        self.assertIn("ok: recording, frames", self.loom("check", "late.h5"))
        self.take(self.path("late.h5"), "--stream=codes", out=self.path("again.h5"))

    def test_ends_on_control_c_and_goes_on(self):
        child, inputs = self.begin("run", "--set", "window.rate=1000", passes=14)
        held = []
        for number in range(2):
            hand = self.start(program("loom"), "record", *inputs, "-o", "hand.h5", "--checkpoint=0.1")
            self.until(lambda: self.rows("hand.h5") > (held[-1] if held else 0) + 200, "200 frames more were durable")
            hand.send_signal(signal.SIGINT if number == 0 else signal.SIGKILL)
            text = self.finish(hand, 130 if number == 0 else -9)
            held.append(self.rows("hand.h5"))
            if number == 0:
                self.assertIn("hand.h5 holds frames 0 to", text)
                self.assertIn("ok: recording, frames 0..", self.loom("check", "hand.h5"))
        self.assertGreater(held[1], held[0])
        self.loom("record", *inputs, "-o", "hand.h5")
        self.finish(child)
        self.assertEqual(content(self.path("hand.h5")), content(self.path("run", "recordings", "tape.h5")), "nothing lost, nothing twice")

    def test_is_not_taken_for_a_reader_of_the_pipeline(self):
        """Whatever that is called; and the same command is the same reader."""
        names = []
        with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
            router.linger = 0
            router.bind(f"ipc://{self.folder}/strange")
            for arguments in ((), (), ("--frames=5",), ("--name=tape",)):
                hand = self.start(program("loom"), "record", "--in", f"ipc://{self.folder}/strange", "-o", "hand.h5", *arguments)
                self.assertTrue(router.poll(PATIENCE * 1000))
                names.append(msgpack.unpackb(router.recv_multipart()[1])["who"])
                hand.kill()
                hand.wait()
                while router.poll(50):
                    router.recv_multipart()
        self.assertTrue(names[0].startswith("record-"), names)
        self.assertEqual(names[1], names[0])
        self.assertNotEqual(names[2], names[0])
        self.assertEqual(names[3], "tape")

    def rows(self, name):
        try:
            with h5py.File(self.path(name), "r", swmr=True) as file:
                return int(min(file["durable"][()]))
        except OSError:
            return 0


class Check(Base):
    """loom check finds what is wrong and says where."""

    def test_sound_files(self):
        tape = self.live(passes=2)
        layers = sorted(glob.glob(self.path("live", "layers", "*.h5")) + glob.glob(self.path("live", "checkpoints", "*.h5")))
        lines = self.loom("check", tape, *layers).splitlines()
        self.assertEqual(len(lines), 1 + len(layers), "one line a file")
        with h5py.File(tape, "r") as file:
            for group, name in (("frames", "window"), ("codes", "sparse"), ("activations", "topo")):
                self.assertIn(f"frames 0..1999 of {name} (id {file[group].attrs['id'].decode()}, whole)", lines[0])
        self.assertIn("ok: layer of stage sparse, 12x10 units with 400 weights each, after 2000 frames", "\n".join(lines))

    def test_damage(self):
        tape = self.live(passes=1)
        layer = self.path("live", "layers", "topo.h5")
        bad = {}

        def make(name, source, change):
            shutil.copy(source, self.path(name))
            change(self.path(name))
            bad[name] = self.path(name)

        def flip(dataset, chunk=0):
            def change(path):
                with h5py.File(path, "r") as file:
                    offset = file[dataset].id.get_chunk_info(chunk).byte_offset
                damage(path, offset + 50)
            return change

        def cut(path):
            os.truncate(path, os.path.getsize(path) * 2 // 3)

        def edit(work):
            def change(path):
                with h5py.File(path, "r+") as file:
                    work(file)
            return change

        def set_value(dataset, where, value):
            def work(file):
                data = file[dataset][()]
                data[where] = value
                file[dataset][...] = data
            return edit(work)

        make("flipped", tape, flip("frames/data", 1))
        make("cut", tape, cut)
        make("index", tape, set_value("codes/index", (700, 2), 120))
        make("order", tape, set_value("codes/index", (701, 0), 119))
        make("value", tape, set_value("codes/value", (702, 0), numpy.nan))
        make("activation", tape, set_value("activations/data", (703, 1), numpy.inf))
        make("short", tape, edit(lambda file: file["codes/index"].resize(900, axis=0)))
        make("long", tape, edit(lambda file: file["codes/value"].resize(1100, axis=0)))
        make("gone", tape, edit(lambda file: file.__delitem__("durable")))
        make("weights", layer, flip("weights"))
        make("nan", layer, set_value("weights", (3, 4), numpy.nan))
        make("floor", layer, set_value("weights", (5, 6), 0))
        make("grid", layer, edit(lambda file: file.attrs.modify("grid", numpy.array([5, 5]))))
        expected = {"flipped": "frames 256 to 511 of frames/data are damaged", "cut": "cut off", "index": "frame 700: unit 120 of 120",
                    "order": "frame 701: the units are not ascending", "value": "frame 702: the value nan", "activation": "frame 703",
                    "short": "900 rows", "long": "1100 rows, but /durable tells of 1000", "gone": "durable",
                    "weights": "weights", "nan": "weight 4 of unit 3 is nan", "floor": "weight 6 of unit 5 is 0",
                    "grid": "20 rows, but the grid has 25 units"}
        lines = self.loom("check", *bad.values(), code=65).splitlines()
        for name, line in zip(bad, lines):
            self.assertIn(": damaged: ", line)
            self.assertIn(expected[name], line, name)
        self.assertIn("not checked", self.loom("check", tape, self.path("missing"), code=74))
        self.loom("check", code=64)

    def test_whatever_is_in_it(self):
        """Bytes changed anywhere: noticed, unless they are of no meaning; and never a crash."""
        tape = self.live(passes=1)
        layer = self.path("live", "layers", "topo.h5")
        chance = random.Random(1)
        found = 0
        for number in range(60):
            source = tape if number % 2 else layer
            with open(source, "rb") as file:
                whole = bytearray(file.read())
            at = chance.randrange(len(whole))
            if number % 3 == 0:
                whole = whole[:at]
            elif number % 3 == 1:
                whole[at] ^= 1 << chance.randrange(8)
            else:
                whole[at:at + 64] = chance.randbytes(len(whole[at:at + 64]))
            with open(self.path("fuzzed.h5"), "wb") as file:
                file.write(whole)
            done = subprocess.run([program("loom"), "check", self.path("fuzzed.h5")], capture_output=True, text=True, check=False,
                                  timeout=PATIENCE, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})  # HDF5 leaks then
            self.assertIn(done.returncode, (0, 65), f"{source}, change {number} at {at}: {done.stdout} {done.stderr}")
            found += done.returncode == 65
            if done.returncode == 0:
                self.assertEqual(datasets(self.path("fuzzed.h5")), datasets(source), f"change {number} at {at}")
        self.assertGreater(found, 30)


if __name__ == "__main__":
    unittest.main(verbosity=2)
