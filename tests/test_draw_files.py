#!/usr/bin/python3
"""loom draw: pictures, curves and animations of files, compared with what h5py reads of the same files.

    tests/test_draw_files.py FOLDER_OF_PROGRAMS [unittest arguments]"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import unittest
import zlib

import h5py
import numpy
from PIL import Image

from loom_case import Case, DIGITS, PATIENCE, PIPELINE, program

GREYS = numpy.array([0xFF, 0xF0, 0xD9, 0xBD, 0x96, 0x73, 0x52, 0x25, 0x00], float)  # ColorBrewer's, white to black
OKABE_ITO_IN_ORDER = [(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73), (0xCC, 0x79, 0xA7)]
OKABE_ITO = set(OKABE_ITO_IN_ORDER)
LEFT, TOP = 18, 78  # of an animation's first panel


def grey(part):
    """Shades of parts (0 to 1) of the largest number."""
    place = numpy.clip(part, 0, 1) * 8
    below = numpy.minimum(place.astype(int), 7)
    return numpy.floor(GREYS[below] + (place - below) * (GREYS[below + 1] - GREYS[below]) + 0.5).astype(int)


def tiles(values, grid, tile):
    """A layer's numbers as they lie in a map: grid and tile are (x, y)."""
    return values.reshape(grid[1], grid[0], tile[1], tile[0]).transpose(0, 2, 1, 3).reshape(grid[1] * tile[1], -1)


class DrawCase(Case):
    finished = {}  # name -> folder of a run that all tests look at

    @classmethod
    def tearDownClass(cls):
        for folder in DrawCase.finished.values():
            shutil.rmtree(folder, ignore_errors=True)
        DrawCase.finished = {}

    def setUp(self):
        super().setUp()
        if not DrawCase.finished:
            self.run_pipeline("topo", passes=3)
            self.loom("run", self.write(SMOOTH, name="smooth.yaml"), "--dir", "smooth")
            for name in ("topo", "smooth"):
                DrawCase.finished[name] = f"{self.folder}-{name}"
                os.makedirs(DrawCase.finished[name])
                shutil.move(self.path(name), os.path.join(DrawCase.finished[name], name))
        self.topo = os.path.join(DrawCase.finished["topo"], "topo")
        self.smooth = os.path.join(DrawCase.finished["smooth"], "smooth")

    def draw(self, *arguments, code=0):
        """The files that it made; what it said on standard error if it was to fail."""
        done = subprocess.run([program("loom-draw"), *arguments], cwd=self.folder, capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        if code != 0:
            self.assertEqual(done.stdout, "")
            return " ".join(done.stderr.split())
        return done.stdout.split("\n")[:-1]

    def picture(self, *arguments):
        self.draw(*arguments, "-o", "x.png", "--force")
        return self.pixels("x.png")

    def open(self, name):
        image = Image.open(self.path(name))
        self.addCleanup(image.close)
        return image

    def pixels(self, name):
        return numpy.array(self.open(name)).astype(int)

    def title(self, name="x.png"):
        return self.open(name).text["Title"]

    def layer(self, name):
        with h5py.File(os.path.join(self.topo, "layers", name + ".h5"), "r") as file:
            return file["weights"][()].astype(float)

    def make_layer(self, name, weights, grid, tile, stage="sparse", frame=5, **attributes):
        """A layer file of numbers of our own."""
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with h5py.File(self.path(name), "w", libver="latest") as file:
            file.create_dataset("weights", data=numpy.asarray(weights, "f4"))
            for key, value in {"stage": stage, "stream": "s", "input": "i", **attributes}.items():
                file.attrs.create(key, numpy.array(value.encode(), f"S{len(value) + 1}") if isinstance(value, str) else value)
            file.attrs["frame"] = numpy.int64(frame)
            file.attrs["grid"] = numpy.array(grid, "i8")
            file.attrs["input_shape"] = numpy.array(tile, "i8")
        return self.path(name)


SMOOTH = f"""
name: smooth
stages:
  window: {{stage: generate, tapestry: {DIGITS}, frames: 700, passes: 2, seed: 4}}
  sparse: {{stage: sparse, in: window, grid: [12, 10], winners: 3, rate: 0.02, seed: 2}}
  smooth: {{stage: invariant, rule: smooth, in: sparse, grid: [5, 4], winners: 4, seed: 3}}
  tape:   {{stage: record, in: [window, sparse, smooth]}}
"""


WITH_SKELETON = f"""
name: skeleton
stages:
  window: {{stage: generate, tapestry: {DIGITS}, frames: 100, passes: 1, seed: 4}}
  bright: {{stage: skeleton, in: window}}
  sparse: {{stage: sparse, in: bright, grid: [12, 10], winners: 3, seed: 2}}
"""


class Layers(DrawCase):
    def test_weights_are_the_numbers(self):
        W = self.layer("sparse")
        found = self.picture("weights", self.topo, "--layer", "sparse", "--plain", "--scale", "2")
        expected = grey(tiles(W, (12, 10), (20, 20)) / W.max())
        numpy.testing.assert_array_equal(found, expected.repeat(2, 0).repeat(2, 1))

    def test_per_unit_goes_up_to_each_units_own_maximum(self):
        W = self.layer("sparse")
        found = self.picture("weights", self.topo, "--layer", "sparse", "--plain", "--scale", "1", "--per-unit")
        numpy.testing.assert_array_equal(found, grey(tiles(W / W.max(1, keepdims=True), (12, 10), (20, 20))))
        self.picture("weights", self.topo, "--layer", "sparse", "--per-unit")
        self.assertGreater(W.max(1).max(), 1.01 * W.max(1).min())  # else nothing was shown

    def test_prototypes_and_coverage(self):
        W, U = self.layer("sparse"), self.layer("topo")
        found = self.picture("prototypes", os.path.join(self.topo, "layers", "topo.h5"), "--plain", "--scale", "1")
        expected = tiles(U @ W, (5, 4), (20, 20))
        self.assertLessEqual(abs(found - grey(expected / expected.max())).max(), 1)
        found = self.picture("coverage", self.topo, "--plain", "--scale", "3")
        expected = grey(U.sum(0).reshape(10, 12) / U.sum(0).max())
        self.assertLessEqual(abs(found - expected.repeat(3, 0).repeat(3, 1)).max(), 1)

    def test_least_and_most_covered_unit(self):
        W, U = self.layer("sparse"), self.layer("topo")
        for which, unit in (("least", U.sum(0).argmin()), ("most", U.sum(0).argmax())):
            found = self.picture("unit", self.topo, "--unit", which, "--plain", "--scale", "1")
            numpy.testing.assert_array_equal(found, grey(W[unit].reshape(20, 20) / W[unit].max()))
            self.assertIn(f"sparse unit {unit}, the {which} covered by topo", self.title())
        found = self.picture("unit", self.topo, "--layer", "topo", "--unit", "7", "--plain", "--scale", "1")
        numpy.testing.assert_array_equal(found, grey(U[7].reshape(10, 12) / U[7].max()))
        self.assertIn("no unit 20", self.draw("unit", self.topo, "--layer", "topo", "--unit", "20", code=64))

    def test_a_page_holds_the_map_and_tells_run_pass_and_frame(self):
        plain = self.picture("weights", self.topo, "--layer", "topo", "--plain")
        page = self.picture("weights", self.topo, "--layer", "topo")
        places = [(y, x) for y in range(page.shape[0] - plain.shape[0] + 1) for x in (22, 23, 24, 25, 26, 30, 31, 32)
                  if (page[y:y + plain.shape[0], x:x + plain.shape[1]] == plain).all()]
        self.assertEqual(len(places), 1)
        self.assertIn("run topo, pass 3, frame 3,000", self.title())
        self.assertTrue((page[0] == 255).all() and (page[:, -1] == 255).all())
        with h5py.File(os.path.join(self.topo, "layers", "topo.h5"), "r") as file:
            self.assertEqual((file.attrs["pass"], file.attrs["frame"]), (3, 3000))

    def test_colours_at_their_ends(self):
        file = self.make_layer("ends.h5", [[0, 0.25, 0.5, 1]], (1, 1), (4, 1))
        ends = {"viridis": ((68, 1, 84), (253, 231, 37)), "cividis": ((0, 34, 78), (254, 232, 56)),
                "redblue": ((247, 247, 247), (103, 0, 31))}
        for name, (low, high) in ends.items():
            found = self.picture("weights", file, "--colours", name, "--plain", "--scale", "1")
            self.assertEqual((tuple(found[0, 0]), tuple(found[0, 3])), (low, high), name)
        self.assertIn("no colours 'jet'", self.draw("weights", file, "--colours", "jet", code=64))

    def test_negative_numbers_are_shown_around_zero(self):
        file = self.make_layer("signed.h5", [[-1, 0, 0.5, 1]], (1, 1), (4, 1))
        found = self.picture("weights", file, "--plain", "--scale", "1")
        self.assertEqual([tuple(pixel) for pixel in found[0]],
                         [(5, 48, 97), (247, 247, 247), (229, 131, 104), (103, 0, 31)])
        found = self.picture("weights", file, "--plain", "--scale", "1", "--colours", "grey")
        self.assertEqual(list(found[0]), [255, 255, 0x96, 0])
        self.assertIn("below 0, left white: 1", self.title())
        found = self.picture("weights", file, "--plain", "--scale", "1", "--colours", "viridis")
        self.assertEqual(tuple(found[0, 0]), (68, 1, 84))  # from the smallest to the largest

    def test_strange_layers(self):
        cases = {"nan.h5": ([[numpy.nan, numpy.inf, 1, 0]], (1, 1), (2, 2)), "zero.h5": (numpy.zeros((6, 4)), (3, 2), (2, 2)),
                 "one.h5": ([[0.5]], (1, 1), (1, 1)), "wide.h5": (numpy.ones((2, 21)), (2, 1), (7, 3)),
                 "tiny.h5": (numpy.full((4, 4), 1e-38), (2, 2), (4, 1)),
                 "a" * 60 + ".h5": (numpy.eye(4), (2, 2), (2, 2))}
        for name, (weights, grid, tile) in cases.items():
            file = self.make_layer(name, weights, grid, tile)
            for options in ([], ["--per-unit", "--separators"], ["--colours", "viridis", "--plain"], ["--colours", "redblue"]):
                self.assertGreaterEqual(min(self.picture("weights", file, *options).shape[:2]), 3, name)
        found = self.picture("weights", self.path("nan.h5"), "--plain", "--scale", "1")
        self.assertEqual(found.tolist(), [[255, 255], [0, 255]])
        self.assertIn("not finite, left white: 2", self.title())
        self.assertEqual(set(self.picture("weights", self.path("zero.h5"), "--plain").flat), {255})
        self.assertEqual(set(self.picture("weights", self.path("tiny.h5"), "--plain").flat), {0})
        self.assertEqual(self.picture("weights", self.path("wide.h5"), "--plain", "--scale", "1").shape, (3, 14))

    def test_scale_holds_wherever_the_picture_goes(self):
        for picture, name, squares in ((["coverage"], "topo-coverage.png", (10, 12)),
                                       (["unit", "--layer", "sparse", "--unit", "3"], "sparse-unit-3.png", (20, 20))):
            self.draw(*picture, self.topo, "--plain", "--scale", "3")
            self.assertEqual(self.pixels(name).shape, (3 * squares[0], 3 * squares[1]))

    def test_prototypes_that_are_too_large_are_a_failure(self):
        few = self.make_layer("few.h5", numpy.ones((1, 1000000)), (1, 1), (1000, 1000))
        many = self.make_layer("many.h5", numpy.ones((1000000, 1)), (1000, 1000), (1, 1), stage="invariant", stream="t",
                               input="s", rule="topo")
        said = self.draw("prototypes", few, many, code=65)
        self.assertIn("too large to be drawn", said)
        self.assertEqual(said.count("too large"), 1)

    def test_a_stage_that_is_no_layer_is_not_one(self):
        self.loom("run", self.write(WITH_SKELETON, name="skeleton.yaml"), "--dir", "run")
        self.assertEqual(sorted(os.listdir(self.path("run", "layers"))), ["bright.h5", "sparse.h5"])
        for place in ("run", self.path("run", "layers")):
            self.picture("weights", place)
            self.assertTrue(self.title().startswith("sparse: weights"))
        self.assertIn("no dataset weights", self.draw("weights", self.path("run", "layers", "bright.h5"), code=65))

    def test_very_many_units(self):
        weights = numpy.arange(65536 * 4, dtype="f4").reshape(65536, 4)
        file = self.make_layer("many.h5", weights, (256, 256), (2, 2))
        found = self.picture("weights", file, "--plain", "--per-unit", "--scale", "1")
        own = weights / weights.max(1, keepdims=True)
        numpy.testing.assert_array_equal(found, grey(tiles(own.astype(float), (256, 256), (2, 2))))

    def test_nothing_is_overwritten_unless_forced(self):
        with open(self.path("x.png"), "w", encoding="ascii") as file:
            file.write("precious")
        self.assertIn("--force", self.draw("coverage", self.topo, "-o", "x.png", code=64))
        with open(self.path("x.png"), encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")
        self.draw("coverage", self.topo, "-o", "x.png", "--force")
        self.assertEqual(self.draw("coverage", self.topo), ["./topo-coverage.png"])
        self.draw("coverage", self.topo, code=64)  # that one is there now

    def test_a_picture_is_called_what_it_is(self):
        for what in ("weights", "prototypes", "coverage", "curves", "tapestry", "window"):
            for name in ("x.jpg", "x.pdf", "x", ".png", "x.png.svg"):
                said = self.draw(what, self.topo, "-o", name, code=64)
                self.assertIn(f"'{name}' does not end in .png", said)
                self.assertFalse(os.path.exists(self.path(name)))
        said = self.draw("animation", self.topo, "-o", "x.gif", code=64)
        self.assertIn("'x.gif' ends neither in .png or .apng nor in .y4m", said)
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith(("x", "."))], [])

    def test_a_list_that_cannot_be_written_is_an_error(self):
        for number, arguments in enumerate((["coverage"], ["animation", "--frames", "0..1"])):
            with open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run([program("loom-draw"), *arguments, self.topo, "-o", f"{number}.png"], cwd=self.folder,
                                      stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)
            self.assertEqual(done.returncode, 74, done.stderr)
            self.assertIn("No space left", done.stderr)

    def test_what_is_wrong_is_said_in_one_sentence(self):
        cut = self.path("cut.h5")
        with open(os.path.join(self.topo, "layers", "topo.h5"), "rb") as source, open(cut, "wb") as file:
            file.write(source.read()[:3000])
        for code, part, *arguments in ((64, "which layer? There are sparse, topo", "weights", self.topo),
                                       (64, "no picture 'weihgts'", "weihgts", self.topo),
                                       (64, "--frames does not go with weights", "weights", self.topo, "--frames", "0..1"),
                                       (64, "which unit?", "unit", self.topo),
                                       (65, "layer 'topos'", "weights", self.topo, "--layer", "topos"),
                                       (65, "cut.h5", "weights", cut),
                                       (65, "no attribute stage", "weights", os.path.join(self.topo, "recordings", "tape.h5")),
                                       (65, "ends in", "weights", os.path.join(self.topo, "metrics.jsonl")),
                                       (65, "no invariant layer", "coverage", os.path.join(self.topo, "layers", "sparse.h5")),
                                       (74, "nowhere", "weights", "nowhere.h5"),
                                       (74, "nowhere", "weights", os.path.join(self.topo, "layers", "sparse.h5"), "-o",
                                        "nowhere/x.png")):
            if part == "ends in":
                part = "does not end in .h5"
            said = self.draw(*arguments, code=code)
            self.assertIn(part, said)
            self.assertLessEqual(said.count("nowhere/x.png"), 1)

    def test_the_stage_draws_the_same(self):
        self.finish(self.start(program("loom-render"), "--layers", os.path.join(self.topo, "layers"), "--pictures", "p",
                               "--colours", "viridis", "--per_unit", "true"))
        self.draw("prototypes", self.topo, "--colours", "viridis", "--per-unit", "-o", "x.png")
        with open(self.path("x.png"), "rb") as one, open(self.path("p", "topo-prototypes.png"), "rb") as other:
            self.assertEqual(one.read(), other.read())
        self.assertEqual(sorted(os.listdir(self.path("p"))),
                         ["metrics.png", "sparse-plain.png", "sparse.png", "topo-coverage.png", "topo-least-covered.png",
                          "topo-most-covered.png", "topo-plain.png", "topo-prototypes.png", "topo.png",
                          "window-moving.png", "window-tapestry.png"])

    def test_sheet(self):
        os.makedirs(self.path("runs"))
        for name in ("one", "two"):
            shutil.copytree(self.topo, self.path("runs", name))
        grey_sheet = self.picture("sheet", "runs", "--columns", "2")
        self.assertEqual(grey_sheet.ndim, 2)
        self.assertEqual(self.picture("sheet", "runs", "--colours", "cividis").ndim, 3)
        self.assertIn("one folder of runs", self.draw("sheet", "runs", "runs", code=64))
        self.assertIn("no folder in", self.draw("sheet", "runs", "--layer", "other", code=65))


    def make_run(self, name, weights, **attributes):
        """A run with one layer, beside others."""
        self.make_layer(f"runs/{name}/layers/s.h5", weights, (2, 2), (3, 1), **attributes)
        with open(self.path("runs", name, "pipeline.yaml"), "w", encoding="ascii"):
            pass

    def test_runs_that_are_alike_share_a_scale(self):
        weights = numpy.arange(12).reshape(4, 3) / 12
        self.make_run("a", weights)
        self.make_run("b", weights / 2)
        usual, own = self.picture("sheet", "runs"), self.picture("sheet", "runs", "--per-run")
        self.assertIn("each on a scale of its own", self.title())
        numpy.testing.assert_array_equal(usual, self.picture("sheet", "runs", "--one-scale"))
        self.assertIn("one scale for all", self.title())
        self.assertTrue(usual.shape != own.shape)  # no colour bar
        self.assertFalse(self.is_twice(usual))
        self.assertTrue(self.is_twice(own))

    def test_runs_that_are_not_have_their_own(self):
        weights = numpy.arange(12).reshape(4, 3) / 12
        self.make_run("a", weights)
        for unlike in (weights * 0.3, weights + 50):  # much smaller, or far away
            self.make_run("b", unlike)
            usual = self.picture("sheet", "runs")
            self.assertIn("ranges are too unlike for one scale", self.title())
            numpy.testing.assert_array_equal(usual, self.picture("sheet", "runs", "--per-run"))
            self.assertTrue(self.is_twice(usual))
            self.assertFalse(self.is_twice(self.picture("sheet", "runs", "--one-scale")))

    @staticmethod
    def is_twice(sheet):
        """Whether the maps of a sheet, which are larger than anything else on it, have the same pixels."""
        framed = numpy.nonzero((sheet == 150).sum(0) > 250)[0]  # columns of frames
        left, right = framed[0] + 1, framed[numpy.nonzero(numpy.diff(framed) > 50)[0][0] + 1] - 1
        rows = numpy.nonzero((sheet[:, left:right] == 150).all(1))[0]
        others = framed[framed > right + 1]
        maps = [sheet[rows[0] + 1:rows[-1], at + 1:at + 1 + right - left] for at in (framed[0], others[0])]
        return maps[0].shape == maps[1].shape and (maps[0] == maps[1]).all()

    def test_a_sheet_tells_pass_and_frame_of_each_run(self):
        weights = numpy.arange(12).reshape(4, 3) / 12
        sheets = []
        for more in ({}, {"frame": 6}, {"pass": numpy.int64(1)}):
            self.make_run("a", weights, **more)
            sheets.append(self.picture("sheet", "runs"))
        rows = [numpy.nonzero((sheets[0] != sheet).any(1))[0] for sheet in sheets[1:]]
        for changed in rows:
            self.assertTrue(len(changed) > 3 and changed[-1] - changed[0] < 40)  # one line of letters


class Learning(DrawCase):
    """Runs that have checkpoints."""

    def checkpoint(self, frame, value=1.0, called=None, **attributes):
        name = f"run/checkpoints/s-{frame if called is None else called}.h5"
        return self.make_layer(name, [[0, value, 1]], (1, 1), (3, 1), frame=frame, **attributes)

    def middle(self, *arguments):
        """The second of the three weights, as it is drawn."""
        return self.picture("weights", "run", "--plain", "--scale", "1", *arguments)[0, 1]

    def test_the_newest_checkpoint_is_drawn(self):
        self.checkpoint(9, 0.1)
        self.checkpoint(10, 0.5, **{"pass": numpy.int64(3)})
        self.assertEqual(self.middle(), 0x96)
        self.assertIn("run run, frame 10, a checkpoint after pass 3", self.title())
        self.make_layer("run/layers/s.h5", [[0, 0.25, 1]], (1, 1), (3, 1), frame=8)  # of a run that was resumed
        self.assertEqual(self.middle(), 0x96)
        self.make_layer("run/layers/s.h5", [[0, 0.25, 1]], (1, 1), (3, 1), frame=10)
        self.assertEqual(self.middle(), 0xD9)
        self.assertNotIn("checkpoint", self.title())

    def test_checkpoints_are_checked_like_layer_files(self):
        os.makedirs(self.path("run", "checkpoints"))
        self.assertIn("'run' has no layers yet", self.draw("weights", "run", code=65))
        path = self.checkpoint(7)
        self.checkpoint(7, called="8")
        self.assertIn("s-8.h5' is of frame 7", self.draw("weights", "run", code=65))
        os.remove(self.path("run", "checkpoints", "s-8.h5"))
        self.middle()
        self.make_layer("run/checkpoints/s-7.h5", [[0, 1, 1]], (2, 2), (3, 1), frame=7)
        self.assertIn("do not make a grid", self.draw("weights", "run", code=65))
        path = self.checkpoint(7)
        with open(path, "r+b") as file:
            file.truncate(os.path.getsize(path) - 100)
        self.assertIn("s-7.h5", self.draw("weights", "run", code=65))
        os.makedirs(self.path("runs"))
        os.rename(self.path("run"), self.path("runs", "run"))
        with open(self.path("runs", "run", "pipeline.yaml"), "w", encoding="ascii"):
            pass
        self.assertIn("passed over", self.draw("sheet", "runs", code=65))

    def test_a_damaged_weight_is_found(self):
        path = self.checkpoint(7)
        with h5py.File(path, "r+", libver="latest") as file:
            del file["weights"]
            file.create_dataset("weights", data=numpy.full((1, 3), 0.7, "f4"), chunks=(1, 3), fletcher32=True)
        self.middle()
        with open(path, "r+b") as file:
            data = file.read()
            file.seek(data.index(numpy.full(3, 0.7, "f4").tobytes()))
            file.write(b"\0")
        self.assertIn("s-7.h5", self.draw("weights", "run", code=65))

    def test_a_member_of_a_sweep_has_what_all_share(self):
        """While they learn: the sparse layer's checkpoint is the sweep's, and the link to its layer file leads nowhere yet."""
        self.make_layer("sweep/checkpoints/s-8.h5", numpy.eye(2), (2, 1), (2, 1), frame=8)
        self.make_layer("sweep/m/checkpoints/i-6.h5", [[1, 0.5]], (1, 1), (2, 1), stage="invariant", stream="t", input="s",
                        frame=6)
        os.makedirs(self.path("sweep", "m", "layers"))
        os.symlink("../../layers/s.h5", self.path("sweep", "m", "layers", "s.h5"))
        for name in ("over.yaml", "pipeline.yaml", "m/pipeline.yaml"):
            with open(self.path("sweep", name), "w", encoding="ascii"):
                pass
        found = self.picture("prototypes", "sweep/m", "--plain", "--scale", "1")
        self.assertEqual(found.tolist(), [[0, 0x96]])
        self.assertIn("weights of s at frame 8; run m, frame 6, a checkpoint", self.title())
        self.picture("sheet", "sweep")
        self.assertIn("prototypes of i", self.title())

    def test_while_checkpoints_come_and_go(self):
        self.write(PIPELINE, passes=100000, checkpoint=0)
        run = self.start(program("loom"), "run", "test.yaml", "--dir", "live", "--set", "window.rate=3000")
        folder = self.path("live", "checkpoints")
        self.until(lambda: os.path.isdir(folder) and any(re.match(r"topo-[1-9]\d*\.h5$", name) for name in os.listdir(folder)),
                   "there was a checkpoint", run)
        for _ in range(10):
            for what in ("prototypes", "coverage", "unit"):
                self.draw(what, "live", "-o", "x.png", "--force", *(("--unit", "most") if what == "unit" else ()))
                self.assertIn("a checkpoint", self.title())
        self.assertIn("run live, frame ", self.title())
        run.send_signal(signal.SIGINT)
        self.finish(run, code=130)
        self.draw("prototypes", "live", "-o", "x.png", "--force")
        self.assertNotIn("checkpoint", self.title())


class Curves(DrawCase):
    def lines(self, name, *lines):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write("".join(lines))
        return self.path(name)

    @staticmethod
    def line(stage, number, **metrics):
        return json.dumps({"stage": stage, "event": "pass", "pass": number, "metrics": metrics}) + "\n"

    def test_every_metric_has_its_panel(self):
        self.draw("curves", self.topo)
        image = self.pixels("metrics.png")
        colours = {tuple(pixel) for pixel in image.reshape(-1, 3)}
        self.assertEqual(colours & OKABE_ITO, {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)})  # of the two stages
        one = self.picture("curves", self.topo, "--metrics", "homogeneity")
        two = self.picture("curves", self.topo, "--metrics", "homogeneity,dead_units")
        self.assertGreater(two.shape[1], 1.6 * one.shape[1])

    def test_the_curve_runs_through_the_values(self):
        """Three points, of which two are at the ends of the axes' ranges: the markers' middles tell where they are."""
        values = [0.0, 1.0, 0.5]
        file = self.lines("metrics.jsonl", *(self.line("a", i + 1, m=value) for i, value in enumerate(values)))
        image = self.picture("curves", file)
        mask = (image == (0x00, 0x72, 0xB2)).all(-1)
        widths = mask.sum(0)  # a marker is wider than the line
        rows, columns = numpy.nonzero(mask)
        middle = [(rows[columns == x].min() + rows[columns == x].max()) / 2 for x in (columns.min() + 6, columns.max() - 6)]
        top = rows.min() + 6
        self.assertLess(abs((middle[0] - top) / 2 - (middle[1] - top)), 4)  # 0 is twice as far below 1 as 0.5
        self.assertGreater(widths.max(), 10)

    def test_a_recording_tells_the_same_as_the_journal(self):
        name = os.path.basename(self.topo)
        journal = self.picture("curves", os.path.join(self.topo, "metrics.jsonl"))
        shutil.copy(os.path.join(self.topo, "recordings", "tape.h5"), self.path(name + ".h5"))
        recording = self.picture("curves", name + ".h5")
        self.assertLessEqual(abs(journal - recording).max(), 1)  # the journal has nine digits

    def test_several_runs_and_later_lines(self):
        for run in ("r1", "r2"):
            os.makedirs(self.path(run))
        self.lines("r1/metrics.jsonl", self.line("a", 1, m=1, n=None), self.line("a", 2, m=7), self.line("a", 2, m=2))
        self.lines("r2/metrics.jsonl", self.line("a", 1, m=3), '{"stage": "a", "event": "pa')  # being written
        both = self.picture("curves", "r1", "r2", "--metrics", "m")
        colours = {tuple(pixel) for pixel in both.reshape(-1, 3)}
        self.assertEqual(colours & OKABE_ITO, {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)})
        again = self.lines("r1/metrics.jsonl", self.line("a", 1, m=1, n=None), self.line("a", 2, m=2))
        numpy.testing.assert_array_equal(both, self.picture("curves", os.path.dirname(again), "r2", "--metrics", "m"))
        other = self.lines("r1/metrics.jsonl", self.line("a", 1, m=1, n=None), self.line("a", 2, m=7))
        self.assertTrue((both != self.picture("curves", os.path.dirname(other), "r2", "--metrics", "m")).any())

    def test_runs_of_one_name_are_told_apart(self):
        for run, value in (("swa/m1", 1), ("swb/m1", 2), ("swb/m2", 3)):
            os.makedirs(self.path(run))
            self.lines(run + "/metrics.jsonl", self.line("a", 1, m=value), self.line("a", 2, m=value))
        both = self.picture("curves", "swa/m1", "swb/m1")
        self.assertEqual({tuple(pixel) for pixel in both.reshape(-1, 3)} & OKABE_ITO, {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)})
        shutil.move(self.path("swb/m1"), self.path("swb/m1, and a longer name"))
        self.assertTrue((both.shape != self.picture("curves", "swa/m1", "swb/m1, and a longer name").shape) or
                        (both != self.pixels("x.png")).any())  # the names are in the legend
        shutil.move(self.path("swb/m1, and a longer name"), self.path("swb/m1"))
        numpy.testing.assert_array_equal(both, self.picture("curves", "swa/m1/metrics.jsonl", "swb/m1/", "swa/../swb/m1"))
        three = self.picture("curves", "swa/m1", "swb/m1", "swb/m2")
        self.assertEqual(len({tuple(pixel) for pixel in three.reshape(-1, 3)} & OKABE_ITO), 3)
        for name in ("swb/m1.jsonl", "swb/m1.x.jsonl"):
            self.lines(name, self.line("a", 1, m=5), self.line("a", 2, m=5))
        four = self.picture("curves", "swa/m1", "swb/m1", "swb/m1.jsonl", "swb/m1.x.jsonl")
        self.assertEqual(len({tuple(pixel) for pixel in four.reshape(-1, 3)} & OKABE_ITO), 4)

    def test_curves_that_overlie_are_all_seen(self):
        """Of two runs with the same numbers, and of two layers with the same: E and PR, two passes, and many."""
        for passes in (2, 12):
            for stages in (["topo"], ["topo", "slow"]):
                lines = [self.line(stage, i, interpolation_error=0.1 * i, participation_ratio=1 + i)
                         for i in range(1, passes + 1) for stage in stages]
                runs = [self.lines(f"{name}.jsonl", *lines) for name in "ab"]
                image = self.picture("curves", *runs)[230:]  # below the legend of the first row
                for colour in OKABE_ITO_IN_ORDER[:2 * len(stages)]:
                    self.assertGreater((image == colour).all(-1).sum(), 80, (passes, stages, colour))

    def test_whose_line_comes_first_changes_nothing(self):
        lines = [self.line(stage, number, m=value + number) for number in (1, 2) for stage, value in (("b", 1), ("a", 2), ("c", 1.1))]
        pictures = [self.picture("curves", self.lines("m.jsonl", *order)) for order in (lines, reversed(lines))]
        numpy.testing.assert_array_equal(*pictures)
        self.assertLessEqual({(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)},
                             {tuple(pixel) for pixel in pictures[0].reshape(-1, 3)})

    def test_logarithmic_as_far_as_that_goes(self):
        """0 has no place on the axis of --log, which is logarithmic all the same, and it is said how many were left out."""
        def curve(*values, option="--log"):
            image = self.picture("curves", self.lines("m/metrics.jsonl", *(self.line("a", i + 1, m=value)
                                                                           for i, value in enumerate(values))), option)
            return (image == (0x00, 0x72, 0xB2)).all(-1), image
        os.makedirs(self.path("m"))
        (with_0, page), (without, other) = curve(0, 1, 10, 100), curve(None, 1, 10, 100)
        numpy.testing.assert_array_equal(with_0, without)
        self.assertTrue((page != other).any())  # the subtitle
        self.assertFalse((with_0 == curve(0, 1, 10, 100, option="--linear")[0]).all())
        self.assertEqual(curve(0, 0, -1)[0].sum(), 0)

    def test_damage_and_emptiness(self):
        broken = self.lines("metrics.jsonl", self.line("a", 1, m=1), "{nonsense\n")
        self.assertIn("line 2", self.draw("curves", broken, code=65))
        self.assertIn("line 1", self.draw("curves", self.lines("x.jsonl", "[1]\n"), code=65))
        self.assertIn("no stage has told", self.draw("curves", self.lines("x.jsonl", ""), code=65))
        self.assertIn("there are m", self.draw("curves", self.lines("x.jsonl", self.line("a", 1, m=1)), "--metrics", "z", code=64))
        self.assertIn("no run's folder", self.draw("curves", os.path.dirname(DIGITS), code=74))
        self.draw("curves", self.lines("x.jsonl", self.line("a", 1, m=None)), "-o", "none.png")
        self.draw("curves", self.lines("x.jsonl", self.line("b" * 63, 1, **{"n" * 47: 1e300, "z": -1e-300})), "-o", "long.png")


class Tapestry(DrawCase):
    def test_the_tapestry_lies_beneath_the_way(self):
        self.draw("tapestry", self.topo)
        image = self.pixels("window-tapestry.png")
        digits = self.pixels(DIGITS).astype(float) / 255
        expected = (255.5 - 165 * digits[:400, :400]).astype(int)
        found = [(y, x) for y in range(60, 110) for x in range(15, 40)
                 if ((image[y:y + 400, x:x + 400] == expected[:, :, None]).all(-1).mean() > 0.9)]
        self.assertEqual(len(found), 1)

    def test_the_way_is_where_the_window_was(self):
        self.draw("window", os.path.join(self.topo, "recordings", "tape.h5"), "--frames", "0..99", "-o", "x.png")
        image = self.pixels("x.png")
        with h5py.File(os.path.join(self.topo, "recordings", "tape.h5"), "r") as file:
            at = file["frames/at"][:100]
        coloured = abs(image - image.mean(-1, keepdims=True)).max(-1) > 20
        rows, columns = numpy.nonzero(coloured)
        bar = columns.max()  # of the colour bar; the way ends left of it
        columns_used = numpy.unique(columns)
        gap = columns_used[numpy.nonzero(numpy.diff(columns_used) > 8)[0][-1]]
        self.assertLess(gap, bar)
        inside = columns <= gap
        width, height = columns[inside].max() - columns[inside].min(), rows[inside].max() - rows[inside].min()
        middle = at + 10
        ends = numpy.concatenate([at[[0, -1]], at[[0, -1]] + 20, middle])  # two windows and the way
        scale = width / numpy.ptp(ends[:, 0])
        self.assertLess(abs(height / scale - numpy.ptp(ends[:, 1])), 2)

    def test_frames_to_the_end_are_all_that_were_recorded(self):
        for what in ("tapestry", "window"):
            to_the_end = self.picture(what, self.topo, "--frames", "0..")
            numpy.testing.assert_array_equal(to_the_end, self.picture(what, self.topo, "--frames", "0..2999"))
            usual = self.picture(what, self.topo)
            self.assertTrue(usual.shape != to_the_end.shape or (usual != to_the_end).any())
        first_pass = self.picture("tapestry", self.topo, "--frames", "0..999")
        numpy.testing.assert_array_equal(first_pass, self.picture("tapestry", self.topo))
        self.assertIn("has frames 0 to 2999", self.draw("tapestry", self.topo, "--frames", "3000..", code=64))

    def test_without_the_tapestry_it_is_put_together_from_the_frames(self):
        shutil.copy(DIGITS, self.path("t.png"))
        self.run_pipeline("run", "--set", "window.tapestry=" + self.path("t.png"), passes=1)
        with_file = self.picture("tapestry", "run")
        os.remove(self.path("t.png"))
        without = self.picture("tapestry", "run")
        unseen = (without == (0xE3, 0xE9, 0xF1)).all(-1)
        self.assertTrue(0.2 < unseen.mean() < 0.95)
        self.assertFalse((with_file == (0xE3, 0xE9, 0xF1)).all(-1).any())

    def test_recordings_that_tell_no_places(self):
        self.loom("run", self.write(PLACELESS, name="placeless.yaml"), "--dir", "placeless")
        tape = self.path("placeless", "recordings", "tape.h5")
        self.assertIn("no frames that tell", self.draw("tapestry", tape, code=65))
        self.assertIn("has frames 0 to 2999",
                      self.draw("tapestry", os.path.join(self.topo, "recordings", "tape.h5"), "--frames", "0..3000", code=64))


PLACELESS = f"""
name: placeless
stages:
  window: {{stage: generate, tapestry: {DIGITS}, frames: 100, passes: 1, seed: 4}}
  sparse: {{stage: sparse, in: window, grid: [12, 10], winners: 3, seed: 2}}
  tape:   {{stage: record, in: [sparse]}}
"""


class Animation(DrawCase):
    def panel(self, frame, left, shape, scale):
        """The numbers of a panel: one pixel of every square, after making sure that each is of one shade."""
        squares = frame[TOP:TOP + shape[0] * scale, left:left + shape[1] * scale].reshape(shape[0], scale, shape[1], scale)
        self.assertTrue((squares == squares[:, :1, :, :1]).all())
        return squares[:, 0, :, 0]

    def test_frames_outputs_and_reconstruction_as_recorded(self):
        self.draw("animation", self.topo, "--frames", "2500..2529", "--scale", "7", "-o", "x.png")
        W = self.layer("sparse")
        with h5py.File(os.path.join(self.topo, "recordings", "tape.h5"), "r") as file:
            v, io = file["frames/data"][2500:2530] / 255, file["activations/data"][2498:2530].astype(float)
            index = file["codes/index"][2500:2530]
        most = io.max()
        image = self.open("x.png")
        self.assertEqual((image.n_frames, image.mode, image.info["loop"]), (30, "L", 0))
        for i in range(30):
            image.seek(i)
            frame = numpy.array(image.convert("L")).astype(int)
            numpy.testing.assert_array_equal(self.panel(frame, LEFT, (20, 20), 7), grey(v[i]))
            outputs = self.panel(frame, LEFT + 140 + 24, (4, 5), 7)
            self.assertLessEqual(abs(outputs - grey(io[2 + i].reshape(4, 5) / most)).max(), 1)
            seen = sum((W[j] @ v[i].ravel()) * W[j] for j in index[i]).reshape(20, 20)
            self.assertLessEqual(abs(self.panel(frame, LEFT + 140 + 24 + 35 + 24, (20, 20), 7) - grey(seen)).max(), 1)

    def test_the_interpolation_of_rule_smooth(self):
        """At the start of a pass, where the outputs before are 0, and within it."""
        self.draw("animation", self.smooth, "--frames", "690..720", "--scale", "10", "-o", "x.png")
        with h5py.File(os.path.join(self.smooth, "recordings", "tape.h5"), "r") as file:
            io = file["activations/data"][688:721].astype(float)
        image, most = self.open("x.png"), io.max()
        for i, t in enumerate(range(690, 721)):
            before = [io[2 + i - b] if (t - b) // 700 == t // 700 else 0 * io[0] for b in range(3)]
            q = (before[0] + before[2]) / 2
            image.seek(i)
            frame = numpy.array(image.convert("L")).astype(int)
            left = LEFT + 200 + 24
            for expected in (before[1], q, abs(before[1] - q)):
                found = self.panel(frame, left, (4, 5), 10)
                self.assertLessEqual(abs(found - grey(expected.reshape(4, 5) / most)).max(), 1, f"frame {t}")
                left += max(50, self.label_width(frame, left)) + 24

    def label_width(self, frame, left):
        """Of the label above the panel: up to a gap that is wider than a space."""
        inked = numpy.nonzero((frame[TOP - 26:TOP - 4, left:left + 150] < 128).any(0))[0]
        ends = numpy.nonzero(numpy.diff(inked) > 15)[0]
        return int(inked[ends[0]] if len(ends) else inked[-1]) + 1

    def test_each_frame_on_its_own_scale_as_in_the_notebooks(self):
        self.draw("animation", self.topo, "--frames", "100..104", "--per-frame", "--panels", "input,io", "--scale", "5", "-o", "x.png")
        with h5py.File(os.path.join(self.topo, "recordings", "tape.h5"), "r") as file:
            v, io = file["frames/data"][100:105] / 255, file["activations/data"][100:105].astype(float)
        image = self.open("x.png")
        for i in range(5):
            image.seek(i)
            frame = numpy.array(image.convert("L")).astype(int)
            most = max(v[i].max(), io[i].max())
            self.assertLessEqual(abs(self.panel(frame, LEFT, (20, 20), 5) - grey(v[i] / most)).max(), 1)
            self.assertLessEqual(abs(self.panel(frame, LEFT + 124, (4, 5), 5) - grey(io[i].reshape(4, 5) / most)).max(), 1)

    def test_usual_frames_are_the_first_of_the_last_pass(self):
        self.draw("animation", self.smooth)
        image = self.open("animation.png")
        self.assertEqual(image.n_frames, 500)
        self.assertIn("run smooth, pass 2, frame 700", image.text["Title"])

    def test_video_is_the_same_pictures(self):
        self.draw("animation", self.topo, "--frames", "0..39", "-o", "x.png")
        self.draw("animation", self.topo, "--frames", "0..39", "-o", "x.y4m")
        image = self.open("x.png")
        for name in ("x.y4m", "x.png"):  # ffmpeg reads both
            raw = subprocess.run(["ffmpeg", "-v", "error", "-i", self.path(name), "-f", "rawvideo", "-pix_fmt", "gray", "-"],
                                 capture_output=True, check=True).stdout
            frames = numpy.frombuffer(raw, "u1").reshape(-1, image.size[1], image.size[0])
            self.assertEqual(len(frames), 40)
            for i in (0, 1, 20, 39):
                image.seek(i)
                numpy.testing.assert_array_equal(numpy.array(image.convert("L")), frames[i], name)
        probe = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=width,height,r_frame_rate", "-of", "csv",
                                self.path("x.y4m")], capture_output=True, text=True, check=True).stdout
        self.assertIn(f"{image.size[0]},{image.size[1]},5/1", probe)
        piped = subprocess.run([program("loom-draw"), "animation", self.topo, "--frames", "0..39", "-o", "-"],
                               capture_output=True, check=True).stdout
        with open(self.path("x.y4m"), "rb") as file:
            self.assertEqual(piped, file.read())

    def test_colours_are_a_palette(self):
        self.draw("animation", self.topo, "--frames", "0..9", "--colours", "viridis", "--scale", "4", "-o", "x.png")
        image = self.open("x.png")
        self.assertEqual((image.mode, image.n_frames), ("P", 10))
        frame = numpy.array(image.convert("RGB"))
        self.assertEqual(tuple(frame[0, 0]), (255, 255, 255))
        with h5py.File(os.path.join(self.topo, "recordings", "tape.h5"), "r") as file:
            v = file["frames/data"][0]
        panel = frame[TOP:TOP + 80:4, LEFT:LEFT + 80:4]
        self.assertTrue((panel[v == 0] == (68, 1, 84)).all() and (panel[v == 255] == (253, 231, 37)).all())
        self.draw("animation", self.topo, "--frames", "0..1", "--colours", "viridis", "-o", "x.y4m")
        with open(self.path("x.y4m"), "rb") as file:
            self.assertIn(b" C444 ", file.readline())

    def test_chunks_are_in_order_and_counted(self):
        self.draw("animation", self.topo, "--frames", "0..4", "-o", "x.png")
        with open(self.path("x.png"), "rb") as file:
            data = file.read()
        chunks, at = [], 8
        while at < len(data):
            size = int.from_bytes(data[at:at + 4], "big")
            chunks.append((data[at + 4:at + 8].decode(), data[at + 8:at + 8 + size]))
            self.assertEqual(zlib.crc32(data[at + 4:at + 8 + size]), int.from_bytes(data[at + 8 + size:at + 12 + size], "big"))
            at += 12 + size
        self.assertEqual([name for name, _ in chunks],
                         ["IHDR", "acTL", "iTXt", "fcTL", "IDAT"] + 4 * ["fcTL", "fdAT"] + ["IEND"])
        self.assertEqual(chunks[1][1], (5).to_bytes(4, "big") + bytes(4))
        numbers = [int.from_bytes(body[:4], "big") for name, body in chunks if name in ("fcTL", "fdAT")]
        self.assertEqual(numbers, list(range(9)))

    def test_a_run_that_goes_on(self):
        """Frames that are to come are waited for; a stop leaves a whole file."""
        self.write(PIPELINE, passes=100000)
        run = self.start(program("loom"), "run", "test.yaml", "--dir", "live", "--set", "window.rate=2000")
        self.until(lambda: os.path.exists(self.path("live", "recordings", "tape.h5")), "a recording was begun", run)
        self.draw("animation", "live", "--frames", "5000..5099", "-o", "x.png")
        self.assertEqual(self.open("x.png").n_frames, 100)
        endless = self.start(program("loom-draw"), "animation", "live", "--frames", "0..", "--most", "1", "-o", "y.png")

        def frames():
            with contextlib.suppress(FileNotFoundError):
                with open(self.path("y.png.tmp"), "rb") as file:
                    return file.read().count(b"fcTL")
            return 0

        self.until(lambda: frames() > 50, "some frames were written", endless)
        endless.send_signal(signal.SIGINT)
        self.assertIn("interrupted after", self.finish(endless, code=130))
        self.assertGreater(self.open("y.png").n_frames, 50)
        run.send_signal(signal.SIGINT)
        self.finish(run, code=130)
        said = self.draw("animation", "live", "--frames", "999999999..", "-o", "z.png", code=64)
        self.assertIn("no frame 999999999", said)

    def test_what_is_missing_is_said(self):
        shutil.copy(os.path.join(self.topo, "recordings", "tape.h5"), self.path("tape.h5"))  # no layers beside it
        done = subprocess.run([program("loom-draw"), "animation", "tape.h5", "--frames", "0..9", "-o", "x.png"],
                              cwd=self.folder, capture_output=True, text=True, check=True)
        self.assertIn("without reconstruction: the sparse layer's file is not there", done.stderr)
        self.assertIn("no panel reconstruction", self.draw("animation", "tape.h5", "--panels", "reconstruction", code=65))
        self.assertIn("no panel 'inputs'", self.draw("animation", "tape.h5", "--panels", "inputs", code=64))
        self.assertIn("but no frame 3000", self.draw("animation", "tape.h5", "--frames", "2990..3000", code=64))
        self.assertIn("in which form", self.draw("animation", "tape.h5", "-o", "x.gif", code=64))
        self.draw("animation", "tape.h5", os.path.join(self.topo, "layers", "sparse.h5"), "--panels", "reconstruction",
                  "--frames", "0..9", "-o", "y.png")
        with open(self.path("tape.h5"), "r+b") as file:
            file.truncate(200000)
        self.assertIn("cut off", self.draw("animation", "tape.h5", "-o", "z.png", code=65))
        self.assertFalse(os.path.exists(self.path("z.png")))
        self.assertEqual([name for name in os.listdir(self.folder) if re.search("tmp", name)], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
