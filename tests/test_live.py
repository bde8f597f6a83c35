#!/usr/bin/python3
"""The live page's server as real processes: what it shows is what is recorded, whoever looks changes no result, slow viewers hold up
nobody, and strangers get nothing and break nothing.

    tests/test_live.py FOLDER_OF_PROGRAMS [unittest arguments]

LOOM_MALFORMED (default 10000) is how many malformed requests are sent while a run trains."""

import base64
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import threading
import time
import unittest

import h5py
import numpy
from PIL import Image

from loom_case import DIGITS, PATIENCE, PIPELINE, Case, program
from viewer import Refused, Viewer, http

MALFORMED = int(os.environ.get("LOOM_MALFORMED", "10000"))
LIVE = PIPELINE + "  maps: {{stage: render, tap: [window, sparse, topo], live: \"127.0.0.1:{port}\"}}\n"
SLOW = ("--set", "window.rate=4000")


def free_port():
    with socket.socket() as peer:
        peer.bind(("127.0.0.1", 0))
        return peer.getsockname()[1]


class LiveCase(Case):
    def viewer(self, port, **options):
        """A viewer of a server that may just be starting."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                viewer = Viewer(port, **options)
                self.addCleanup(viewer.close)
                return viewer
            except (ConnectionError, Refused):
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def train(self, run, *arguments, port, passes):
        return self.start(program("loom"), "run", self.write(LIVE, passes=passes, port=port), "--dir", run, *arguments)

    def recorded(self, run="run", passes=3):
        """A run that has ended."""
        self.run_pipeline(run, passes=passes)
        return h5py.File(self.path(run, "recordings", "tape.h5"), "r")

    def view(self, run="run", *arguments):
        """Start loom view; returns it and its port."""
        port = free_port()
        child = self.start(program("loom-view"), run, "--address", f"127.0.0.1:{port}", *arguments)
        return child, port

    def until_recorded(self, clip, child):
        """Until all that a clip shows lies in the recording of the run that goes on."""
        self.until_further("run", ("tape",), child, by=clip["seq"] + clip["n"])

    def stop(self, child, code=0):
        child.send_signal(signal.SIGTERM)
        said = self.finish(child, code)
        self.assertNotRegex(said, "Sanitizer|runtime error|HDF5-DIAG")
        return said


def compare_with_recording(case, clip, tape, n):
    """Frames, codes and activations of a clip are, to the bit, those of the recording."""
    rows = slice(clip["seq"], clip["seq"] + n)
    for name, dataset in (("window/data", "frames/data"), ("window/at", "frames/at"), ("sparse/index", "codes/index"),
                          ("sparse/value", "codes/value"), ("topo/data", "activations/data")):
        numpy.testing.assert_array_equal(clip.arrays[name], tape[dataset][rows], name)
    case.assertEqual(clip["n"], n)
    case.assertEqual(clip["pass"], clip["seq"] // 1000)


class Live(LiveCase):
    """A run that goes on."""

    def test_shows_what_is_recorded(self):
        port, clips, types = free_port(), [], set()
        child = self.train("run", *SLOW, port=port, passes=4000)
        viewer = self.viewer(port)
        viewer.ask(t="want", weights=True, clip_ms=250)
        scene = viewer.receive()
        self.assertEqual((scene["t"], scene["mode"], scene["run"]), ("scene", "live", "run"))
        self.assertEqual((scene["pipeline"], os.path.samefile(scene["folder"], self.path("run"))), ("test", True))
        weights = tapestry = None
        all_types = {"clip", "weights", "prototypes", "coverage", "metrics", "history", "status", "tapestry"}
        while len(clips) < 8 or not all_types <= types:
            message = viewer.until(lambda message: True)
            types.add(message["t"])
            if message["t"] == "scene":
                scene = message
            if message["t"] == "clip" and "window/data" in message.arrays and "topo/data" in message.arrays:
                clips.append(message)
            weights = message if message["t"] == "weights" and message["name"] == "sparse" else weights
            tapestry = message if message["t"] == "tapestry" else tapestry
        self.until_recorded(clips[-1], child)
        child.send_signal(signal.SIGINT)
        self.finish(child, 130)
        streams = {stream["name"]: stream for stream in scene["streams"]}
        self.assertEqual(streams["window"]["shape"], [20, 20])
        self.assertEqual((streams["sparse"]["grid"], streams["sparse"]["winners"], streams["sparse"]["from"]),
                         ([12, 10], 3, "window"))
        self.assertEqual((streams["topo"]["grid"], streams["topo"]["from"], streams["topo"]["pass"]), ([5, 4], "sparse", 1000))
        self.assertEqual(scene["parameters"]["sparse"]["strength"], 0.5)
        self.assertEqual(weights.arrays["weights"].shape, (120, 400))
        self.assertEqual(weights.arrays["weights"].max(), 255)
        picture = numpy.array(Image.open(DIGITS).convert("L"))
        width, height = tapestry["period"]
        numpy.testing.assert_array_equal(tapestry.arrays["picture"], picture[:height, :width])
        with h5py.File(self.path("run", "recordings", "tape.h5"), "r") as tape:
            for clip in clips:
                compare_with_recording(self, clip, tape, clip["n"])
                for frame, (x, y) in zip(clip.arrays["window/data"], clip.arrays["window/at"]):
                    numpy.testing.assert_array_equal(frame, picture[y:y + 20, x:x + 20])
        seqs = [clip["seq"] for clip in clips]
        self.assertEqual(seqs, sorted(seqs))

    def test_works_out_drives_of_its_weights(self):
        port = free_port()
        child = self.train("run", *SLOW, "--set", "sparse.rate=0", port=port, passes=4000)  # W stays as it is
        viewer = self.viewer(port)
        weights = viewer.until(lambda message: message["t"] == "weights" and message["name"] == "sparse")
        clip = viewer.until(lambda message: message["t"] == "clip" and "sparse/drive" in message.arrays)
        viewer.ask(t="unit", name="sparse", unit=17)
        unit = viewer.until("unit")
        viewer.ask(t="unit", name="sparse", unit=120)
        why = viewer.until("error")["why"]
        child.send_signal(signal.SIGINT)
        self.finish(child, 130)
        self.assertIn("units 0 to 119, not 120", why)
        with h5py.File(self.path("run", "layers", "sparse.h5")) as layer:
            exact = layer["weights"][:]
        frames = clip.arrays["window/data"].reshape(clip["n"], 400) / 255
        drives, index = frames @ exact.T, clip.arrays["sparse/index"]
        numpy.testing.assert_allclose(clip.arrays["sparse/drive"], drives, rtol=1e-5)
        picked = numpy.take_along_axis(drives, index.astype(int), 1)
        rebuilt = numpy.einsum("nk,nkp->np", picked, exact[index])
        numpy.testing.assert_allclose(clip.arrays["sparse/reconstruction"].reshape(-1, 400), rebuilt, rtol=1e-4, atol=1e-5)
        numpy.testing.assert_array_equal(unit.arrays["weights"], exact[17])
        self.assertLessEqual(numpy.abs(weights.arrays["weights"] * (weights["max"] / 255) - exact).max(), weights["max"] / 500)
        order = -numpy.sort(-unit.arrays["drives"])
        numpy.testing.assert_array_equal(unit.arrays["drives"], order)
        for window, drive in zip(unit.arrays["windows"], unit.arrays["drives"]):
            self.assertAlmostEqual(float(window.reshape(400) / 255 @ exact[17]), float(drive), places=4)

    def test_viewers_change_no_result(self):
        self.run_pipeline("calm", passes=12)
        port = free_port()
        child = self.train("run", "--set", "window.rate=1000", port=port, passes=12)
        self.viewer(port, buffer=4096)  # takes nothing
        seen = []

        def look(seed):
            viewer = self.viewer(port)
            viewer.ask(t="want", weights=True, clip_ms=250)
            rng = random.Random(seed)
            try:
                while viewer.receive():
                    with contextlib.suppress(OSError):  # it may have closed by now, but has said why
                        viewer.ask(t="unit", name=rng.choice(["sparse", "topo"]), unit=rng.randrange(20))
            except OSError:
                pass
            seen.append(viewer.closed)

        threads = [threading.Thread(target=look, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        said = self.finish(child)
        for thread in threads:
            thread.join()
        self.assertEqual(self.result("run"), self.result("calm"))
        self.assertIn("look on with: loom view", said)
        self.assertEqual(len(seen), 3)
        for code, why in seen:
            self.assertEqual(code, 4001)
            self.assertRegex(why, "^the run has finished; look on with: loom view ")

    def test_how_a_run_ends_is_told(self):
        """Also of one that is stopped, or fails; and of a page whose renderer alone has ended, that the run goes on is not denied."""
        def ended(how, code=None, *arguments):
            port = free_port()
            child = self.train("run", *SLOW, "--again", *arguments, port=port, passes=4000)
            viewer = self.viewer(port)
            viewer.until("clip")
            how(child)
            try:
                while viewer.receive():
                    pass
            except OSError:
                pass
            if code is not None:
                self.finish(child, code)
            return viewer.closed or (None, "")

        code, why = ended(lambda child: child.send_signal(signal.SIGINT), 130)
        self.assertEqual((code, why.split(";")[0]), (4002, "the run was stopped"))
        code, why = ended(lambda child: os.kill(self.stage_pid(child, "topo"), signal.SIGKILL), 70, "--restarts", "0")
        self.assertEqual((code, why.split(";")[0]), (4003, "the run has failed"))
        code, why = ended(lambda child: os.kill(self.stage_pid(child, "maps"), signal.SIGTERM))
        self.assertEqual((code, why.split(";")[0]), (1001, "the renderer that served this page has ended"))

    def test_whoever_comes_later_sees_nothing_old(self):
        """The clip that was made for those who have left is not shown to the next one."""
        port = free_port()
        child = self.train("run", *SLOW, port=port, passes=4000)
        viewer = self.viewer(port)
        old = viewer.until("clip")["seq"]
        viewer.close()
        self.until_further("run", ("topo",), child, by=old + 10000)
        self.assertGreater(self.viewer(port).until("clip")["seq"], old + 8000)
        child.send_signal(signal.SIGINT)
        self.finish(child, 130)

    def test_by_hand_at_taps_alone(self):
        """Stages that no launcher has started, on TCP: there is no folder to look into, and no name to guess."""
        port, ports = free_port(), [free_port() for _ in range(5)]
        frames, codes, tap_frames, tap_codes, tap_topo = (f"tcp://127.0.0.1:{p}" for p in ports)
        self.start(program("loom-generate"), "--tapestry", DIGITS, "--frames=1000", "--passes=1000", "--rate=3000",
                   "--bind", frames, "--bind-tap", tap_frames)
        self.start(program("loom-sparse"), "--in", frames, "--bind", codes, "--bind-tap", tap_codes, "--grid=12x10",
                   "--run", self.path("a"))
        self.start(program("loom-invariant"), "--in", codes, "--bind-tap", tap_topo, "--grid=5x4", "--run", self.path("a"))
        render = self.start(program("loom-render"), "--tap", tap_frames, "--tap", tap_codes, "--tap", tap_topo, "--live",
                            f"127.0.0.1:{port}", "--run", self.path("b"))
        viewer = self.viewer(port)
        clip = viewer.until(lambda message: message["t"] == "clip" and len(message.arrays) == 7)
        picture = numpy.array(Image.open(DIGITS).convert("L"))
        for frame, (x, y) in zip(clip.arrays["generate/data"], clip.arrays["generate/at"]):
            numpy.testing.assert_array_equal(frame, picture[y:y + 20, x:x + 20])
        self.assertEqual(clip.arrays["invariant/data"].shape, (clip["n"], 20))
        status = viewer.until(lambda message: message["t"] == "status" and len(message["status"]["stages"]) == 3 and
                              message["status"]["stages"][1]["rate"])["status"]
        self.assertGreater(status["stages"][1]["frame"], 0)
        viewer.until("metrics")
        code, _, body = http(port, "/metrics")
        self.assertEqual(code, 200)
        self.assertRegex(body.decode(), r'loom_stage_frames_total{stage="sparse"} [0-9]+\n')
        viewer.ask(t="seek", seq=1, n=1)
        self.assertIn("loom view", viewer.until("error")["why"])
        self.stop(render)

    def test_a_camera_is_shown_as_it_comes(self):
        """A stream of 20 frames a second: clips are what has come, each frame once."""
        port, tap = free_port(), "ipc://" + self.path("w.tap")
        self.start(program("loom-generate"), "--tapestry", DIGITS, "--passes=1000", "--rate=20", "--block=1", "--bind",
                   "ipc://" + self.path("w"), "--bind-tap", tap)
        self.start(program("loom-sparse"), "--in", "ipc://" + self.path("w"), "--grid=4x4", "--run", self.path("a"),
                   "--bind", "ipc://" + self.path("s"))
        self.start(program("loom-render"), "--tap", tap, "--live", f"127.0.0.1:{port}", "--run", self.path("b"))
        viewer = self.viewer(port)
        viewer.ask(t="want", clip_ms=500)
        clips = [viewer.until("clip") for _ in range(4)]
        for one, other in zip(clips, clips[1:]):
            self.assertGreaterEqual(other["seq"], one["seq"] + one["n"])
            self.assertLess(other["n"], 64)

    def test_large_frames_come_few_at_a_time(self):
        """Frames of which 64 would be far more than 8 MiB: a clip has fewer, and has them all the same."""
        port, pairs = free_port(), {name: "ipc://" + self.path(name) for name in ("w", "w.tap", "s", "s.tap")}
        self.start(program("loom-generate"), "--tapestry", DIGITS, "--window=1024", "--frames=1000", "--passes=1000", "--block=16",
                   "--bind", pairs["w"], "--bind-tap", pairs["w.tap"])
        self.start(program("loom-sparse"), "--in", pairs["w"], "--grid=2x2", "--winners=1", "--block=16", "--run", self.path("a"),
                   "--bind", pairs["s"], "--bind-tap", pairs["s.tap"])
        self.start(program("loom-render"), "--tap", pairs["w.tap"], "--tap", pairs["s.tap"], "--live", f"127.0.0.1:{port}", "--run",
                   self.path("b"))
        viewer = self.viewer(port)
        viewer.until("weights")
        for _ in range(2):
            clip = viewer.until(lambda message: message["t"] == "clip" and "sparse/index" in message.arrays)
            self.assertEqual(clip.arrays["generate/data"].shape, (clip["n"], 1024, 1024))
            self.assertLess(clip.bytes, (8 << 20) + 4096)

    def test_frames_of_a_source_that_cannot_be_asked(self):
        """A tap elsewhere, of a stream that is served where only its own machine gets: its frames are what the tap shows."""
        port, tap, frames = free_port(), f"tcp://127.0.0.1:{free_port()}", "ipc://" + self.path("w")
        self.start(program("loom-generate"), "--tapestry", DIGITS, "--frames=1000", "--passes=1000", "--rate=3000", "--bind", frames,
                   "--bind-tap", tap)
        self.start(program("loom-sparse"), "--in", frames, "--grid=4x4", "--run", self.path("a"), "--bind", "ipc://" + self.path("s"),
                   "--bind-tap", "ipc://" + self.path("t"))
        self.start(program("loom-render"), "--tap", tap, "--tap", "ipc://" + self.path("t"), "--live", f"127.0.0.1:{port}", "--run",
                   self.path("b"))
        viewer = self.viewer(port)
        clip = viewer.until(lambda message: message["t"] == "clip" and "sparse/index" in message.arrays and
                            "generate/data" in message.arrays)
        picture = numpy.array(Image.open(DIGITS).convert("L"))
        for frame, (x, y) in zip(clip.arrays["generate/data"], clip.arrays["generate/at"]):
            numpy.testing.assert_array_equal(frame, picture[y:y + 20, x:x + 20])

    def test_pause_of_the_process_closes_nobody(self):
        """Whoever is stopped for a minute himself (a laptop that is shut, a batch system) cannot say that viewers took nothing."""
        self.recorded().close()
        child, port = self.view()
        viewer = self.viewer(port)
        viewer.until("status")
        child.send_signal(signal.SIGSTOP)
        time.sleep(63)
        child.send_signal(signal.SIGCONT)
        for _ in range(4):
            viewer.until("status")
        self.stop(child)

    def test_stalled_viewer_stalls_nobody_and_is_closed(self):
        port = free_port()
        child = self.train("run", "--set", "window.rate=500", port=port, passes=100)
        stalled, other = self.viewer(port, buffer=4096), self.viewer(port)
        stalled.ask(t="want", weights=True, clip_ms=250)
        begin = last = time.monotonic()
        longest, statuses, viewers = 0.0, 0, None
        while (viewers != 1 or last - begin < 75) and last - begin < 60 + PATIENCE:
            viewers = other.until("status")["viewers"]
            now = time.monotonic()
            longest, last, statuses = max(longest, now - last), now, statuses + 1
        child.send_signal(signal.SIGINT)
        self.finish(child, 130)
        self.assertEqual(viewers, 1, "who takes nothing for a minute is closed")
        self.assertGreater(statuses, (last - begin) / 3)
        self.assertLess(longest, 20)

    def test_port_in_use(self):
        port = free_port()
        with socket.socket() as peer:
            peer.bind(("127.0.0.1", port))
            peer.listen()
            said = self.loom("render", "--tap", "ipc://" + self.path("x.tap"), "--live", f"127.0.0.1:{port}", code=69)
            self.assertIn(f"port {port} is in use", said)
            self.assertEqual(said.count("error"), 1, said)
            said = self.finish(self.train("run", port=port, passes=2), 69)  # trained all the same
            self.assertIn("is in use", said)
            self.assertTrue(os.path.exists(self.path("run", "layers", "topo.h5")))

    def test_wrong_addresses(self):
        for address, token in (("somewhere:80", ""), ("127.0.0.1:99999", ""), ("127.0.0.1:0", "a b")):
            said = self.loom("render", "--tap", "ipc://" + self.path("x.tap"), "--live", address, "--live-token", token, code=64)
            self.assertEqual(said.count("\n"), 1, said)
        self.assertIn("--tap", self.loom("render", "--layers", self.folder, "--live", "127.0.0.1:0", code=64))


class View(LiveCase):
    """What a run has left."""

    def test_shows_the_recording(self):
        tape = self.recorded()
        child, port = self.view()
        viewer = self.viewer(port)
        scene = viewer.until("scene")
        self.assertEqual((scene["mode"], scene["recording"]), ("recording", {"first": 0, "frames": 3000, "pass": 1000}))
        seen = {}
        while not {"weights sparse", "weights topo", "prototypes topo", "coverage topo", "history", "tapestry"} <= seen.keys():
            message = viewer.receive()
            seen[" ".join([message["t"], message.head.get("name", "")]).strip()] = message
        with h5py.File(self.path("run", "layers", "sparse.h5")) as one, h5py.File(self.path("run", "layers", "topo.h5")) as two:
            W, U = one["weights"][:].astype(float), two["weights"][:].astype(float)
        for name, exact in (("weights sparse", W), ("weights topo", U), ("prototypes topo", U @ W)):
            shown = seen[name]
            self.assertAlmostEqual(shown["max"], exact.max(), places=4)
            self.assertLessEqual(numpy.abs(shown.arrays["weights"] * (shown["max"] / 255) - exact).max(), exact.max() / 500)
        coverage = seen["coverage topo"]
        numpy.testing.assert_allclose(coverage.arrays["coverage"], U.sum(0), rtol=1e-5)
        self.assertEqual((coverage["least"]["unit"], coverage["most"]["unit"]), (U.sum(0).argmin(), U.sum(0).argmax()))
        series = seen["history"]["series"]["sparse"]
        self.assertEqual(series["passes"], [1, 2, 3])
        names = [name.decode() for name in tape["metrics/sparse/names"]]
        numpy.testing.assert_allclose(series["values"]["reconstruction_error"],
                                      tape["metrics/sparse/values"][:, names.index("reconstruction_error")], rtol=1e-8)
        for seq, n, got in ((0, 64, 64), (1234, 50, 50), (1990, 50, 10), (2999, 64, 1), (2000, 1000, 64)):
            viewer.ask(t="seek", seq=seq, n=n)
            clip = viewer.until(lambda message, seq=seq: message["t"] == "clip" and message["seq"] == seq)
            compare_with_recording(self, clip, tape, got)
        viewer.ask(t="seek", seq=3000, n=1)
        self.assertEqual(viewer.until("error")["why"], "frames 0 to 2999 are recorded, not 3000")
        viewer.ask(t="unit", name="topo", unit=7)
        unit = viewer.until("unit")
        numpy.testing.assert_allclose(unit.arrays["prototype"], U[7] @ W, rtol=1e-4)
        self.assertEqual([one["unit"] for one in unit["sources"]], list((-U[7]).argsort(kind="stable")[:10]))
        for seq, drive, window in zip(unit.arrays["windows_seq"], unit.arrays["drives"], unit.arrays["windows"]):
            self.assertEqual(float(tape["activations/data"][seq][7]), float(drive))
            numpy.testing.assert_array_equal(tape["frames/data"][seq], window)
        self.assertEqual(len(unit.arrays["windows"]), 8)
        viewer.ask(t="unit", name="sparse", unit=3)
        readers = viewer.until("unit")["readers"]
        self.assertEqual([one["unit"] for one in readers], list((-U[:, 3]).argsort(kind="stable")[:10]))
        viewer.ask(t="unit", name="nobody", unit=3)
        self.assertIn("nobody", viewer.until("error")["why"])
        said = self.stop(child)
        self.assertIn(f"http://127.0.0.1:{port}/", said)
        self.assertIn(f"ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}", said)
        self.assertEqual((viewer.until, viewer.receive(), viewer.closed)[2], (1001, "loom view has been ended"))

    def test_member_of_a_sweep(self):
        """What all members share lies in the sweep's folder; the page of one shows all that concerns it, and nothing of the others."""
        self.loom("sweep", self.write(PIPELINE), "--dir", "all", "--over", "topo.strength=0.1,0.3", "--quiet")
        member = os.path.join("all", "strength=0.3")
        child, port = self.view(member)
        viewer = self.viewer(port)
        scene = viewer.until(lambda message: message["t"] == "scene" and len(message["streams"]) == 3)
        self.assertEqual((scene["run"], scene["sweep"], scene["pipeline"]), ("strength=0.3", "all", "test"))
        self.assertEqual(scene["recording"], {"first": 0, "frames": 3000, "pass": 1000})
        self.assertEqual(scene["parameters"]["topo"]["strength"], 0.3)
        series = viewer.until("history")["series"]
        self.assertEqual((series["sparse"]["passes"], series["topo"]["passes"]), ([1, 2, 3], [1, 2, 3]))
        weights = viewer.until(lambda message: message["t"] == "weights" and message["name"] == "sparse")
        self.assertEqual((weights["saved"], weights["seq"], weights["pass"]), (True, 3000, 3))
        viewer.until("prototypes")
        self.assertEqual(viewer.until("status")["status"]["state"], "finished")
        viewer.ask(t="seek", seq=1500, n=64)
        clip = viewer.until(lambda message: message["t"] == "clip" and message["seq"] == 1500)
        with h5py.File(self.path("all", "recordings", "tape.h5"), "r") as shared, \
                h5py.File(self.path(member, "recordings", "tape.h5"), "r") as own:
            numpy.testing.assert_array_equal(clip.arrays["window/data"], shared["frames/data"][1500:1564])
            numpy.testing.assert_array_equal(clip.arrays["sparse/index"], shared["codes/index"][1500:1564])
            numpy.testing.assert_array_equal(clip.arrays["topo/data"], own["activations/data"][1500:1564])
        self.stop(child)

    def test_member_of_a_sweep_that_goes_on(self):
        child = self.start(program("loom"), "sweep", self.write(PIPELINE, passes=4000), "--dir", "all", "--over", "topo.strength=0.1,0.3",
                           "--quiet", *SLOW)
        self.wait_for(self.path("all", "strength=0.1", "sockets", "topo.tap"))
        self.wait_for(self.path("all", "sockets", "sparse.tap"))
        view, port = self.view(os.path.join("all", "strength=0.1"))
        viewer = self.viewer(port)
        clip = viewer.until(lambda message: message["t"] == "clip" and {"window/data", "sparse/index", "topo/data"} <= set(message.arrays))
        self.stop(view)
        child.send_signal(signal.SIGINT)
        self.finish(child, 130)
        with h5py.File(self.path("all", "strength=0.1", "recordings", "tape.h5"), "r") as own:
            rows = slice(clip["seq"], clip["seq"] + clip["n"])
            recorded = own["activations/data"][rows]
            numpy.testing.assert_array_equal(clip.arrays["topo/data"][: len(recorded)], recorded)

    def test_whatever_is_missing_or_damaged(self):
        self.recorded().close()
        run = self.path("run")
        shutil.rmtree(os.path.join(run, "recordings"))
        child, port = self.view()
        viewer = self.viewer(port)
        self.assertIsNone(viewer.until("scene")["recording"])
        viewer.until("prototypes")
        viewer.ask(t="seek", seq=0, n=1)
        self.assertIn("no recording", viewer.until("error")["why"])
        self.stop(child)
        with open(os.path.join(run, "layers", "sparse.h5"), "r+b") as file:
            file.truncate(5000)
        os.remove(os.path.join(run, "pipeline.yaml"))
        child, port = self.view()
        viewer = self.viewer(port)
        viewer.until(lambda message: message["t"] == "weights" and message["name"] == "topo")
        self.assertRegex(self.stop(child), "layer file is left out: .*sparse.h5")
        shutil.rmtree(os.path.join(run, "layers"))
        child, port = self.view()
        self.assertEqual(self.viewer(port).until("history")["series"]["topo"]["passes"], [1, 2, 3])
        self.stop(child)
        os.remove(os.path.join(run, "metrics.jsonl"))
        self.assertIn("holds nothing to be seen", self.loom("view", "run", code=65))
        said = self.loom("view", self.path("nothing"), code=74)
        self.assertEqual(said.count("\n"), 1, said)
        self.loom("view", code=64)

    def test_damaged_recording_is_an_answer(self):
        self.recorded().close()
        path = self.path("run", "recordings", "tape.h5")
        with open(path, "r+b") as file:
            size = os.path.getsize(path)
            file.seek(size // 2)
            file.write(os.urandom(size // 4))
        child, port = self.view()
        viewer = self.viewer(port)
        errors = 0
        if viewer.until("scene")["recording"]:
            self.slow_asker(viewer)
            for seq in range(0, 3000, 60):
                viewer.ask(t="seek", seq=seq, n=60)
                answer = viewer.until(lambda message: message["t"] in ("clip", "error"))
                errors += answer["t"] == "error"
            self.assertGreater(errors, 0)
        viewer.until("status")
        self.stop(child)

    def test_recording_of_its_own_without_a_run(self):
        """A recording alone: no pipeline, no metrics.jsonl; its own metrics are shown."""
        self.recorded().close()
        os.makedirs(self.path("alone", "recordings"))
        shutil.copy(self.path("run", "recordings", "tape.h5"), self.path("alone", "recordings"))
        child, port = self.view("alone")
        viewer = self.viewer(port)
        self.assertEqual(viewer.until("history")["series"]["sparse"]["passes"], [1, 2, 3])
        self.stop(child)

    def test_run_that_goes_on(self):
        run = self.start(program("loom"), "run", self.write(PIPELINE, passes=4000), "--dir", "run", *SLOW)
        self.wait_for(self.path("run", "sockets", "topo.tap"))
        child, port = self.view()
        viewer = self.viewer(port)
        scene = viewer.until(lambda message: message["t"] == "scene" and len(message["streams"]) == 3 and message["recording"])
        self.assertEqual(scene["mode"], "live")
        viewer.until("clip")
        viewer.ask(t="seek", seq=5, n=7)
        old = viewer.until(lambda message: message["t"] == "clip" and message["seq"] == 5)
        run.send_signal(signal.SIGINT)
        self.finish(run, 130)
        weights = viewer.until(lambda message: message["t"] == "weights" and message["name"] == "topo" and
                               message["seq"] == self.frames_of("topo"))  # from the file that is there now
        self.assertEqual(weights["rows"], 20)
        with h5py.File(self.path("run", "recordings", "tape.h5"), "r") as tape:
            compare_with_recording(self, old, tape, 7)
        self.stop(child)

    def test_run_that_is_begun_anew(self):
        """The page that was left open shows the new run: its frames, its recording, its curves."""
        def begin(*arguments):
            child = self.start(program("loom"), "run", self.write(PIPELINE, passes=1000), "--dir", "run", *SLOW, *arguments)
            self.wait_for(self.path("run", "sockets", "topo.tap"))
            return child

        def interrupt(child):
            child.send_signal(signal.SIGINT)
            self.finish(child, 130)

        run = begin()
        child, port = self.view()
        viewer = self.viewer(port)
        viewer.ask(t="want", clip_ms=250)
        old = viewer.until(lambda message: message["t"] == "scene" and len(message["streams"]) == 3 and message["recording"])
        viewer.until(lambda message: message["t"] == "clip" and message["seq"] > 3000)
        interrupt(run)
        run = begin("--again", "--set", "window.seed=9")
        ids, wanted = {stream["id"] for stream in old["streams"]}, {"scene", "history"}

        def is_new(message):
            if message["t"] != "scene" or message["recording"] and not ids & {stream["id"] for stream in message["streams"]}:
                wanted.discard(message["t"])
            return not wanted

        viewer.until(is_new)
        clip = viewer.until(lambda message: message["t"] == "clip" and len(message.arrays) >= 7)
        begun = {"t": "error"}
        while begun["t"] == "error":  # the new recording has only been begun
            time.sleep(0.2)
            viewer.ask(t="seek", seq=5, n=7)
            begun = viewer.until(lambda message: message["t"] == "error" or message["t"] == "clip" and message["seq"] == 5)
        self.until_recorded(clip, run)
        interrupt(run)
        with h5py.File(self.path("run", "recordings", "tape.h5"), "r") as tape:
            compare_with_recording(self, clip, tape, clip["n"])
            compare_with_recording(self, begun, tape, 7)
        with self.viewer(port) as other:
            passes = other.until("history")["series"]["sparse"]["passes"]
        with open(self.path("run", "metrics.jsonl"), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        self.assertEqual(passes, [line["pass"] for line in lines if line["event"] == "pass" and line["stage"] == "sparse"])
        self.stop(child)

    def test_recordings_come_and_are_replaced(self):
        self.recorded().close()
        self.run_pipeline("other", "--set", "window.seed=9", passes=2)
        one, other, place = (self.path(name, "recordings", "tape.h5") for name in ("run", "other", "run"))
        os.rename(one, one := self.path("one.h5"))
        with open(place, "wb") as file:
            file.write(b"only just begun")
        child, port = self.view()
        viewer = self.viewer(port)
        self.assertIsNone(viewer.until("scene")["recording"])

        def look(frames):
            viewer.until(lambda message: message["t"] == "scene" and (message["recording"] or {}).get("frames") == frames)

        for path, frames in ((one, 3000), (None, None), (other, 2000), (one, 3000)):
            if path is None:
                os.remove(place)
                look(frames)
                continue
            shutil.copy(path, self.path("new"))
            os.replace(self.path("new"), place)
            look(frames)
            viewer.ask(t="seek", seq=frames - 9, n=9)
            clip = viewer.until(lambda message, seq=frames - 9: message["t"] == "clip" and message["seq"] == seq)
            with h5py.File(path, "r") as tape:
                compare_with_recording(self, clip, tape, 9)
        self.stop(child)

    def test_tap_of_another_stream_that_has_a_recordings_name(self):
        """A stage by hand shows smaller frames under a name that the recording has too: neither is read as the other."""
        self.recorded().close()
        run, tape = self.path("run"), self.path("run", "recordings", "tape.h5")
        tap, frames = os.path.join(run, "sockets", "window.tap"), "ipc://" + self.path("w")
        os.makedirs(os.path.dirname(tap), exist_ok=True)
        self.start(program("loom-generate"), "--name=window", "--tapestry", DIGITS, "--window=5", "--frames=1000", "--passes=1000",
                   "--rate=1000", "--bind", frames, "--bind-tap", "ipc://" + tap)
        self.start(program("loom-sparse"), "--in", frames, "--grid=4x4", "--run", self.path("a"), "--bind", "ipc://" + self.path("s"))
        self.wait_for(tap)
        child, port = self.view()
        viewer = self.viewer(port)
        viewer.until(lambda message: message["t"] == "scene" and self.shape_of(message, "window") == [5, 5])
        viewer.until("clip")
        viewer.ask(t="seek", seq=0, n=64)  # after all that is recorded has been looked at
        clip = viewer.until(lambda message: message["t"] == "clip" and "topo/data" in message.arrays)
        self.assertEqual(clip["n"], 64)
        self.assertNotIn("window/data", clip.arrays)
        self.stop(child)
        os.rename(tape, self.path("tape.h5"))
        child, port = self.view()
        viewer = self.viewer(port)
        viewer.ask(t="want", clip_ms=250)
        viewer.until("clip")
        os.rename(self.path("tape.h5"), tape)  # a recording comes later
        scene = viewer.until(lambda message: message["t"] == "scene" and message["recording"])
        self.assertEqual(self.shape_of(scene, "window"), [5, 5])
        for _ in range(3):
            clip = viewer.until("clip")
            self.assertEqual(clip.arrays["window/data"].shape, (clip["n"], 5, 5))
        self.stop(child)

    @staticmethod
    def shape_of(scene, name):
        return next((stream["shape"] for stream in scene["streams"] if stream["name"] == name), None)

    def wait_for(self, path):
        self.until(lambda: os.path.exists(path), path + " was there")

    def frames_of(self, layer):
        with h5py.File(self.path("run", "layers", layer + ".h5")) as file:
            return int(file.attrs["frame"])

    def test_memory_stays_as_it_is(self):
        """As many messages as an hour has, sent as fast as they are taken, and pages that come and go."""
        self.recorded().close()
        child, port = self.view()
        viewer, rng = self.viewer(port), random.Random(1)

        def ask(n):
            for i in range(n):
                viewer.ask(t="seek", seq=rng.randrange(3000), n=64)
                viewer.until("clip")
                viewer.ask(t="unit", name="sparse", unit=rng.randrange(120))
                viewer.until("unit")
                if i % 50 == 0:
                    viewer.ask(t="want", weights=i % 100 == 0, clip_ms=250)
                if i % 4 == 0:
                    with Viewer(port) as other:
                        other.until("scene")

        def memory():
            with open(f"/proc/{child.pid}/status", encoding="ascii") as file:
                return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1])

        self.slow_asker(viewer)
        ask(200)
        before = memory()
        ask(1800)
        after = memory()
        dropped = viewer.until("status")["dropped"]
        self.stop(child)
        print(f"memory: {before} kB after 200 clips, {after} kB after 2,000 clips and 500 pages; {dropped} messages passed over")
        self.assertLess(after - before, max(4096, before // 10))

    @staticmethod
    def slow_asker(viewer):
        """Have a viewer ask no more than 150 times a second: what is more counts as rubbish."""
        plain, times = viewer.ask, []

        def ask(**message):
            now = time.monotonic()
            times[:] = [t for t in times if now - t < 1.05]
            if len(times) >= 150:
                time.sleep(max(0, times[0] + 1.05 - now))
            times.append(time.monotonic())
            plain(**message)

        viewer.ask = ask


class Safety(LiveCase):
    """Strangers."""

    def setUp(self):
        super().setUp()
        self.recorded(passes=1).close()

    def test_pages_and_their_headers(self):
        child, port = self.view()
        self.viewer(port)
        for path in ("/", "/index.html"):
            code, headers, body = http(port, path)
            self.assertEqual((code, headers["content-type"]), (200, "text/html; charset=utf-8"))
            self.assertIn(b"<html", body)
        policy = headers["content-security-policy"]
        for part in ("default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"):
            self.assertIn(part, policy)
        self.assertNotIn("unsafe", policy)
        self.assertEqual((headers["x-content-type-options"], headers["x-frame-options"], headers["referrer-policy"]),
                         ("nosniff", "deny", "no-referrer"))
        self.assertEqual(http(port, "/", headers=[f"If-None-Match: {headers['etag']}"])[0], 304)
        self.assertEqual(http(port, "/", headers=['If-None-Match: "other"'])[0], 200)
        self.assertEqual(http(port, "/page.css")[1]["content-type"], "text/css; charset=utf-8")
        for path in ("/none", "/page/", "/page", "/./", "/../", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
                     "/page.css/", "/PAGE.CSS", "/index.html%00", "/ws", "/ws/", "/metrics/", "/.git/config", "/..%5cpage.css"):
            with self.subTest(path=path):
                try:
                    code, headers, body = http(port, path)
                    self.assertIn(code, (200, 403, 404) if path in ("/./", "/../") else (403, 404))
                    self.assertNotIn(b"root:", body)
                except ConnectionError:
                    pass
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            try:
                self.assertIn(http(port, "/", method, ["Content-Length: 0"])[0], (405, 403))
            except ConnectionError:
                pass
        code, headers, body = http(port, "/metrics")
        self.assertEqual((code, headers["content-type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        for line in body.decode().splitlines():
            self.assertRegex(line, r'^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+({[a-z_]+="[^"\\]*"(,[a-z_]+="[^"\\]*")*})? -?[0-9.e+-]+)$')
        self.assertIn("\nloom_viewers 1\n", body.decode())
        self.stop(child)

    def refused(self, port, status, **options):
        with self.assertRaises(Refused) as refusal:
            Viewer(port, **options)
        self.assertIn(refusal.exception.args[0], (status, None))

    def test_foreign_hosts_and_origins(self):
        child, port = self.view()
        self.viewer(port)
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", socket.gethostname() + "x"):
            self.assertEqual(http(port, "/", host=host)[0], 403)
            self.assertEqual(http(port, "/metrics", host=host)[0], 403)
            self.refused(port, 403, host=host)
        for origin in ("http://evil.example", f"http://localhost:{port}", "null", f"http://127.0.0.1:{port + 1}", None):
            self.refused(port, 403, origin=origin)
        self.viewer(port, host="localhost:9000")  # through a tunnel
        for options in ({"protocol": None}, {"protocol": "chat"}, {"path": "/"}, {"path": "/ws/"}, {"path": "/page.css"}):
            self.refused(port, 400, **options) if "protocol" in options else self.refused(port, 404, **options)
        self.stop(child)

    def test_token(self):
        child, port = self.view("run", "--token", "s3cret_-")
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.assertEqual(http(port, "/")[0], 403)
                break
            except OSError:
                self.assertLess(time.monotonic(), end)
        for path in ("/page.css", "/metrics", "/?token=", "/?token=s3cret", "/?token=s3cret_-x", "/?Token=s3cret_-", "/?xtoken=s3cret_-"):
            self.assertEqual(http(port, path)[0], 403, path)
        for path in ("/ws", "/ws?token=wrong"):
            self.refused(port, 403, path=path)
        code, _, body = http(port, "/?token=s3cret_-")
        self.assertEqual(code, 200)
        names = set(re.findall(rb'(?:src|href)="([^"]+\.(?:js|css))([^"]*)"', body))
        self.assertTrue(names)
        for name, token in names:
            self.assertEqual(token, b"?token=s3cret_-")
            code, _, script = http(port, "/" + (name + token).decode())
            self.assertEqual(code, 200)
            for imported in re.findall(rb'^(?:import|export)[^;]*from "\./([^"]+)"', script, re.M):
                self.assertTrue(imported.endswith(b"?token=s3cret_-"), imported)
        self.viewer(port, path="/ws?token=s3cret_-").until("scene")
        self.viewer(port, path="/ws?token=s3cret_-", origin=None).until("scene")  # no browser, but it has the token
        self.refused(port, 403, path="/ws?token=s3cret_-", origin="http://evil.example")
        self.assertIn(f"http://127.0.0.1:{port}/?token=s3cret_-", self.stop(child))

    def test_a_token_is_made_beyond_the_loopback(self):
        port = free_port()
        child = self.start(program("loom-view"), "run", "--address", f"0.0.0.0:{port}", "--for-seconds", "8")

        def status():
            with contextlib.suppress(OSError):  # nobody is there yet
                return http(port, "/")[0]

        self.assertEqual(self.until(status, "it served", child), 403)
        said = self.finish(child)
        found = re.search(rf"http://{re.escape(socket.gethostname())}:{port}/\?token=([0-9a-f]{{32}})\n", said)
        self.assertIsNotNone(found, said)
        self.assertIn(f"plain HTTP, also for the token; where you do not trust the network, first run there: ssh -L {port}:127.0.0.1:"
                      f"{port} {socket.gethostname()}, and open http://127.0.0.1:{port}/?token={found.group(1)}", said)

    def test_pages_that_send_rubbish(self):
        child, port = self.view()
        good = self.viewer(port)
        for kind, payload in ((1, b"rubbish"), (2, b'{"t":"want"}'), (1, b'{"t":"want","pad":"' + b"x" * 2000 + b'"}'), (1, b"\xff\xfe")):
            bad = self.viewer(port)
            bad.until("scene")
            with self.assertRaises((AssertionError, OSError)):
                for _ in range(150):
                    bad.frame(kind, payload)
                bad.until(lambda message: False, 20)
            self.assertIn(bad.closed, ((1008, "too many messages that are of no use"), (1007, ""), None))
        few = self.viewer(port)
        few.until("scene")
        for _ in range(50):
            few.frame(1, b"rubbish")
        few.until("status")  # that many are forgiven
        good.until("status")
        self.stop(child)

    def test_at_most_32_viewers(self):
        child, port = self.view()
        viewers = [self.viewer(port) for _ in range(32)]
        for viewer in viewers:
            viewer.until("scene")
        self.refused(port, 503)
        self.assertEqual(http(port, "/")[0], 200)
        viewers.pop().close()
        self.viewer(port).until("scene")
        self.stop(child)

    def test_slow_headers_are_not_waited_for(self):
        child, port = self.view()
        viewer = self.viewer(port)
        peer = socket.create_connection(("127.0.0.1", port))
        self.addCleanup(peer.close)
        peer.settimeout(1)
        begin, closed = time.monotonic(), False
        peer.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        while not closed and time.monotonic() - begin < 60:
            try:
                peer.sendall(b"x")
                closed = peer.recv(1000) == b""
            except socket.timeout:
                pass
            except OSError:
                closed = True
        self.assertTrue(closed, "a request that never ends is given up")
        viewer.until("status")
        self.stop(child)


class Malformed(LiveCase):
    """Everything that is wrong, while frames flow."""

    @staticmethod
    def request(rng, port):
        """One malformed request."""
        host = f"127.0.0.1:{port}".encode()
        upgrade = b"GET /ws HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
                  b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Protocol: loom-1\r\n" % (host, base64.b64encode(rng.randbytes(16)))
        good = b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host
        broken = bytearray(upgrade + b"\r\n" if rng.random() < 0.5 else good)
        for _ in range(rng.randrange(1, 8)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        paths = [b"/../../etc/passwd", b"/%00", b"/" + b"a" * rng.randrange(10000), b"/..%2f" * 20, b"*", b"http://x/", b"/?" + b"a=b&" * 300,
                 b"/?token=" + b"%41" * 200, b"\\", b"/\x00", b"/%zz"]
        return rng.choice([
            lambda: rng.randbytes(rng.randrange(1, 3000)),
            lambda: bytes(broken),
            lambda: good[:rng.randrange(1, len(good))],
            lambda: upgrade[:rng.randrange(1, len(upgrade))],
            lambda: b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (rng.choice(paths), host),
            lambda: b"GET / HTTP/1.1\r\nHost: %b\r\n" % host + b"X-Long: " + b"y" * rng.randrange(3000, 40000) + b"\r\n\r\n",
            lambda: b"GET / HTTP/1.1\r\nHost: %b\r\n" % host + b"".join(b"X-%d: z\r\n" % i for i in range(rng.randrange(400))) + b"\r\n",
            lambda: b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % rng.randbytes(40),
            lambda: b"%b / HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n\r\nbody" % (rng.choice([b"POST", b"PUT", b"FOO", b"CONNECT"]), host,
                                                                                rng.choice([-1, 4, 1 << 40])),
            lambda: b"GET / HTTP/%d.%d\r\n\r\n" % (rng.randrange(12), rng.randrange(12)),
            lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(rng.randrange(200)),
            lambda: good.replace(b"\r\n\r\n", b"\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"),
            lambda: upgrade + b"Origin: http://evil.example\r\n\r\n",
            lambda: upgrade.replace(host, b"evil.example") + b"Origin: http://evil.example\r\n\r\n",
            lambda: upgrade.replace(b": 13", b": %d" % rng.randrange(300)) + b"Origin: http://%b\r\n\r\n" % host,
            lambda: upgrade.replace(b"loom-1", rng.randbytes(30).hex().encode() * rng.randrange(1, 20)) + b"\r\n",
            lambda: good * rng.randrange(2, 30),
        ])()

    @staticmethod
    def frames(rng, viewer):
        """Bad frames and messages of a page that was let in."""
        def rubbish():
            return rng.choice([b"", b"{", b"[" * 1000, b'{"t":' * 200, b'{"t":"seek","seq":1e999}', b'{"t":"unit","name":"sparse","unit":1e18}',
                               b'{"t":"want","clip_ms":-0}', b'{"t":"unit","name":"\\ud800","unit":0}', rng.randbytes(rng.randrange(1500)),
                               b'{"t":"seek","seq":9007199254740992,"n":64}', b'{"t":"unit","name":"sparse","unit":1}'])
        for _ in range(rng.randrange(1, 6)):
            rng.choice([
                lambda: viewer.frame(1, rubbish()),
                lambda: viewer.frame(2, rubbish()),
                lambda: viewer.frame(rng.randrange(16), rubbish()[:125], final=rng.random() < 0.5),
                lambda: viewer.frame(1, rubbish(), mask=False),
                lambda: viewer.frame(1, rubbish(), length=rng.choice([1 << 62, 1 << 63, 70000, 3])),
                lambda: viewer.frame(9, rng.randbytes(125)),
                lambda: viewer.frame(9, rng.randbytes(1000)),
                lambda: viewer.frame(8, rng.randbytes(rng.randrange(60))),
                lambda: viewer.peer.sendall(rng.randbytes(rng.randrange(1, 200))),
            ])()

    def hammer(self, port, seed, n, opened):
        rng = random.Random(seed)
        for i in range(n):
            try:
                if i % 3 == 0:
                    with Viewer(port, timeout=10) as viewer:
                        opened.append(1)
                        self.frames(rng, viewer)
                        if rng.random() < 0.3:
                            viewer.receive()
                else:
                    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
                        peer.sendall(self.request(rng, port))
                        if rng.random() < 0.3:
                            peer.settimeout(0.05)
                            peer.recv(1000)
            except (OSError, Refused, AssertionError, json.JSONDecodeError, struct.error):
                pass

    def test_ten_thousand_malformed_requests(self):
        self.run_pipeline("calm", "--set", "window.rate=2000", passes=2)
        port, opened = free_port(), []
        child = self.start(program("loom"), "run", self.write(PIPELINE, passes=100000), "--dir", "run", "--set", "window.rate=2000")
        self.until(lambda: os.path.exists(self.path("run", "sockets", "topo.tap")), "the last layer could be seen", child)
        taps = [argument for name in ("window", "sparse", "topo") for argument in ("--tap", f"ipc://run/sockets/{name}.tap")]
        render = self.start(program("loom-render"), *taps, "--live", f"127.0.0.1:{port}", "--run", "pictures")
        good = self.viewer(port)
        begin = good.until("clip")["seq"]
        threads = [threading.Thread(target=self.hammer, args=(port, seed, MALFORMED // 4, opened)) for seed in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            good.until("status")  # a viewer that behaves is served all the time
        clip = good.until("clip")
        self.assertEqual(http(port, "/")[0], 200)
        status = good.until("status")
        self.until_recorded(clip, child)
        child.send_signal(signal.SIGINT)
        self.finish(child, 130)
        said = self.stop(render)
        print(f"{MALFORMED} malformed requests, {len(opened)} WebSockets opened; {status['dropped']} messages passed over")
        self.assertLessEqual(said.count("\n"), 20, said)
        self.assertGreater(len(opened), MALFORMED // 10)
        self.assertGreater(clip["seq"], begin)
        with h5py.File(self.path("run", "recordings", "tape.h5"), "r") as tape, \
                h5py.File(self.path("calm", "recordings", "tape.h5"), "r") as calm:
            compare_with_recording(self, clip, tape, clip["n"])
            for name in ("codes/index", "codes/value", "activations/data"):  # training has noticed nothing
                numpy.testing.assert_array_equal(tape[name][:2000], calm[name][:])


if __name__ == "__main__":
    unittest.main(verbosity=2)
