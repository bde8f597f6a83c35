#!/usr/bin/python3
"""loom export: layer files and recordings as arrays, tables and pictures, compared with what h5py reads of the same files.

    tests/test_export.py FOLDER_OF_PROGRAMS [unittest arguments]"""

import csv
import os
import shutil
import subprocess
import time
import unittest

import h5py
import numpy
from PIL import Image

from loom_case import Case, PATIENCE, PIPELINE, program

EXPORT = program("loom-export")


class ExportCase(Case):
    finished = None  # folder of a run that all tests look at

    @classmethod
    def tearDownClass(cls):
        if ExportCase.finished:
            shutil.rmtree(ExportCase.finished, ignore_errors=True)
            ExportCase.finished = None

    def setUp(self):
        super().setUp()
        if not ExportCase.finished:
            self.run_pipeline("run", passes=2)
            ExportCase.finished = self.folder + "-run"
            shutil.copytree(self.path("run"), ExportCase.finished)
        self.layer = os.path.join(ExportCase.finished, "layers", "sparse.h5")
        self.tape = os.path.join(ExportCase.finished, "recordings", "tape.h5")

    def export(self, *arguments, code=0):
        """What it said on standard output, as lines; on standard error if it failed."""
        done = subprocess.run([EXPORT, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE,
                              check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout.split("\n")[:-1] if code == 0 else " ".join(done.stderr.split())

    def rows(self, name):
        with open(self.path(name), encoding="utf-8", newline="") as file:
            return list(csv.reader(file))


class Arrays(ExportCase):
    def test_every_dataset_exactly(self):
        for file, folder in ((self.layer, "sparse"), (self.tape, "tape")):
            made = self.export(file, "--npy")
            with h5py.File(file, "r") as source:
                names = []
                source.visit(names.append)
                names = [name for name in names if isinstance(source[name], h5py.Dataset)]
                self.assertEqual(sorted(made), sorted(f"{folder}/{name}.npy" for name in names))
                for name in names:
                    array, expected = numpy.load(self.path(folder, name + ".npy")), source[name][()]
                    self.assertEqual((array.dtype, array.shape), (expected.dtype, expected.shape), name)
                    numpy.testing.assert_array_equal(array, expected)

    def test_chosen_frames_and_datasets(self):
        made = self.export(self.tape, "--npy", "--dataset", "codes/index", "--frames", "990..1009", "-o", "x.npy")
        self.assertEqual(made, ["x.npy"])
        self.export(self.tape, "--npy", "--dataset", "frames", "--frames", "1999..", "-o", "some")
        with h5py.File(self.tape, "r") as source:
            numpy.testing.assert_array_equal(numpy.load(self.path("x.npy")), source["codes/index"][990:1010])
            numpy.testing.assert_array_equal(numpy.load(self.path("some/frames/data.npy")), source["frames/data"][1999:])
            self.assertEqual(sorted(os.listdir(self.path("some", "frames"))), ["at.npy", "data.npy"])

    def test_recording_that_begins_later(self):
        self.run_pipeline("late", "--set", "tape.first=300", "--set", "tape.frames=50", passes=1)
        tape = self.path("late", "recordings", "tape.h5")
        self.export(tape, "--npy", "--dataset", "activations/data", "--frames", "310..319", "-o", "x.npy")
        with h5py.File(tape, "r") as source:
            numpy.testing.assert_array_equal(numpy.load(self.path("x.npy")), source["activations/data"][10:20])
        self.export(tape, "--csv", "--dataset", "codes", "-o", "codes.csv")
        self.assertEqual(self.rows("codes.csv")[1][0], "300")
        self.assertIn("holds frames 300..349", self.export(tape, "--npy", "--frames", "0..319", "-o", "y", code=64))

    def test_while_it_is_recorded_and_after_a_kill(self):
        child = self.start(program("loom"), "run", self.write(PIPELINE, checkpoint=0.1), "--dir", "going", "--set",
                           "window.rate=1500", "--set", "window.block=50")
        tape, arrays, end = self.path("going", "recordings", "tape.h5"), [], time.time() + PATIENCE
        while not arrays and time.time() < end:
            time.sleep(0.2)
            if os.path.exists(tape):
                self.export(tape, "--npy", "-o", "live", "--force")
                arrays = [name for name in ("frames/data", "codes/value") if len(numpy.load(self.path("live", name + ".npy")))]
        self.assertTrue(arrays, "rows are there before the end")
        for name in ("window", "sparse", "topo", "tape"):
            pid = self.stage_pid(child, name)
            if pid:
                os.kill(pid, 9)
        child.kill()
        child.wait()
        self.export(tape, "--npy", "-o", "killed")
        for name in arrays:
            live, killed = (numpy.load(self.path(folder, name + ".npy")) for folder in ("live", "killed"))
            with h5py.File(self.tape, "r") as whole:
                numpy.testing.assert_array_equal(live[:2000], whole[name][:len(live)])
                numpy.testing.assert_array_equal(killed[:2000], whole[name][:len(killed)])


class Tables(ExportCase):
    def test_recording(self):
        made = self.export(self.tape, "--csv", "--frames", "998..1001")
        self.assertIn("tape/codes.csv", made)
        self.assertNotIn("tape/codes/index.csv", made)
        with h5py.File(self.tape, "r") as source:
            index, value = source["codes/index"][998:1002], source["codes/value"][998:1002]
            rows = self.rows("tape/codes.csv")
            self.assertEqual(rows[0], ["frame", "index", "value"])
            self.assertEqual([row[0] for row in rows[1:]], [str(frame) for frame in range(998, 1002) for _ in range(3)])
            numpy.testing.assert_array_equal([int(row[1]) for row in rows[1:]], index.ravel())
            numpy.testing.assert_array_equal(numpy.array([row[2] for row in rows[1:]], "f4"), value.ravel(), "all digits")
            metrics = source["metrics/sparse"]
            names = [name.decode() for name in metrics["names"] if name]
            rows = self.rows("tape/metrics/sparse.csv")
            self.assertEqual(rows[0], ["pass"] + names)
            self.assertEqual([row[0] for row in rows[1:]], ["1", "2"])
            values = numpy.array([[value or "nan" for value in row[1:]] for row in rows[1:]], "f8")
            numpy.testing.assert_array_equal(values, metrics["values"][:, :len(names)])
            self.assertEqual(self.rows("tape/frames/at.csv")[:2], [["frame", "x", "y"],
                                                                 ["998"] + [str(n) for n in source["frames/at"][998]]])
            pixels = self.rows("tape/frames/data.csv")
            self.assertEqual(pixels[0][:3] + pixels[0][-1:], ["frame", "y0x0", "y0x1", "y19x19"])
            expected = source["frames/data"][998:1002].reshape(4, 400)
            numpy.testing.assert_array_equal(numpy.array(pixels[1:], "i4")[:, 1:], expected)

    def test_layer(self):
        self.export(self.layer, "--csv", "--dataset", "weights", "-o", "w.csv")
        rows = self.rows("w.csv")
        self.assertEqual(rows[0][:2], ["unit", "input_0"])
        with h5py.File(self.layer, "r") as source:
            numpy.testing.assert_array_equal(numpy.array([row[1:] for row in rows[1:]], "f4"), source["weights"][()])

    def test_every_kind_of_number(self):
        with h5py.File(self.path("mine.h5"), "w") as file:
            file["i1"] = numpy.array([-128, 127], "i1")
            file["i8"] = numpy.array([[-2**63, 2**63 - 1]], "i8")
            file["u8"] = numpy.array(2**64 - 1, "u8")
            file["f8"] = numpy.array([[0.1, float("nan")], [float("-inf"), 5e-324]])
            file["big"] = numpy.array([1.5, 2.5], ">f4")
            file["text"] = numpy.array([b'a,"b"', b"plain"])
            file["none"] = numpy.zeros((0, 3), "f4")
        self.export("mine.h5", "--csv")
        self.assertEqual([row[1:] for row in self.rows("mine/i1.csv")], [["i1"], ["-128"], ["127"]])
        self.assertEqual(self.rows("mine/i8.csv")[1][1:], [str(-2**63), str(2**63 - 1)])
        self.assertEqual(self.rows("mine/u8.csv")[1], ["0", str(2**64 - 1)])
        self.assertEqual([float(cell) for cell in self.rows("mine/f8.csv")[2][1:]], [float("-inf"), 5e-324])
        self.assertEqual([row[1] for row in self.rows("mine/text.csv")], ["text", 'a,"b"', "plain"])
        self.assertEqual(len(self.rows("mine/none.csv")), 1)
        self.export("mine.h5", "--npy")
        numpy.testing.assert_array_equal(numpy.load(self.path("mine/big.npy")), [1.5, 2.5])
        self.assertEqual(numpy.load(self.path("mine/none.npy")).shape, (0, 3))


class Pictures(ExportCase):
    def test_layer_as_the_renderer_draws_it(self):
        made = self.export(self.layer, "--png", "-o", "drawn")
        self.assertEqual(made, ["drawn"])
        self.finish(self.start(program("loom-render"), "--layers", os.path.dirname(self.layer), "--pictures", "rendered"))
        for name in ("sparse.png", "sparse-plain.png"):
            with Image.open(self.path("drawn", name)) as drawn, Image.open(self.path("rendered", name)) as rendered:
                numpy.testing.assert_array_equal(numpy.asarray(drawn), numpy.asarray(rendered))

    def test_frames(self):
        self.export(self.tape, "--png", "--frames", "7..9", "--scale", "2", "-o", "pictures")
        self.assertEqual(sorted(os.listdir(self.path("pictures", "frames"))), [f"{n:08}.png" for n in (7, 8, 9)])
        with h5py.File(self.tape, "r") as source:
            for n in (7, 8, 9):
                with Image.open(self.path("pictures", "frames", f"{n:08}.png")) as picture:
                    numpy.testing.assert_array_equal(numpy.asarray(picture)[::2, ::2], source["frames/data"][n])
                    self.assertEqual(picture.size, (40, 40))


class Rubbish(ExportCase):
    def test_command_lines(self):
        for words, arguments in (
                ("which file", ["--npy"]),
                ("as what", [self.tape]),
                ("one of --npy", [self.tape, "--npy", "--csv"]),
                ("one file at a time", [self.tape, self.layer, "--npy"]),
                ("A..B", [self.tape, "--npy", "--frames", "9..5"]),
                ("A..B", [self.tape, "--npy", "--frames", "x"]),
                ("A..B", [self.tape, "--npy", "--frames", "-1..5"]),
                ("A..B", [self.tape, "--npy", "--frames", "1..99999999999999999999999"]),
                ("holds frames 0..1999", [self.tape, "--npy", "--frames", "0..2000"]),
                ("no recording", [self.layer, "--npy", "--frames", "0..5"]),
                ("no dataset 'nothing'", [self.tape, "--npy", "--dataset", "nothing"]),
                ("at most 1000", [self.tape, "--png"]),
                ("neither", [self.tape, "--png", "--dataset", "codes"]),
                ("belongs to --png", [self.tape, "--csv", "--scale", "3"]),
        ):
            self.assertIn(words, self.export(*arguments, code=64), arguments)
        self.assertNotIn("tape", os.listdir(self.folder), "nothing is written")

    def test_nothing_is_overwritten(self):
        self.export(self.tape, "--npy", "--dataset", "metrics/topo/values")
        before = os.listdir(self.path("tape"))
        self.assertIn("--force", self.export(self.tape, "--npy", code=64))
        self.assertEqual(os.listdir(self.path("tape")), before, "nothing was written at all")
        self.export(self.tape, "--npy", "--force")
        self.export(self.layer, "--png")
        self.assertIn("--force", self.export(self.layer, "--png", code=64))
        self.export(self.layer, "--png", "--force")

    def test_damaged_and_foreign_files(self):
        with open(self.tape, "rb") as file:
            whole = bytearray(file.read())
        with h5py.File(self.tape, "r") as source:
            at = source["frames/data"].id.get_chunk_info(0).byte_offset
        whole[at + 100] ^= 0x40
        files = {"flipped.h5": whole, "cut.h5": whole[:len(whole) // 2], "text.h5": b"hello\n", "empty.h5": b""}
        for name, content in files.items():
            with open(self.path(name), "wb") as file:
                file.write(content)
            said = self.export(name, "--npy", "-o", "out", "--force", code=65)
            self.assertIn(name, said)
        self.assertFalse(os.path.exists(self.path("out/frames/data.npy")), "no half files")
        self.assertEqual([name for _, _, names in os.walk(self.path("out")) for name in names if name.endswith(".tmp")], [])
        self.assertIn("cannot open", self.export("missing.h5", "--npy", code=74))
        with h5py.File(self.path("odd.h5"), "w") as file:
            file.create_dataset("compound", data=numpy.zeros(3, [("a", "f4"), ("b", "i4")]))
        self.assertIn("compound", self.export("odd.h5", "--npy", code=65))
        with h5py.File(self.path("away.h5"), "w") as file:
            file["../../escaped"] = numpy.zeros(3)
        self.assertIn("another folder", self.export("away.h5", "--npy", code=65))

    def test_no_folder_and_no_room(self):
        os.symlink("/dev/full", self.path("blocked"))
        self.assertIn("cannot make", self.export(self.layer, "--npy", "-o", "blocked", code=74))
        for form in ("--npy", "--csv"):
            done = subprocess.run(["sh", "-c", f"trap '' XFSZ; ulimit -f 50; exec {EXPORT} {self.tape} {form} -o small"],
                                  cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
            self.assertEqual(done.returncode, 74, done.stderr)
            self.assertIn("File too large", done.stderr)
            left = [name for _, _, names in os.walk(self.path("small")) for name in names if name.endswith(".tmp")]
            self.assertEqual(left, [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
