#!/usr/bin/python3
"""What the layers say of a pass, against an independent computation in NumPy from what was recorded of the same run.

    tests/test_measures.py FOLDER_OF_PROGRAMS [unittest arguments]"""

import json
import os
import signal
import unittest

import h5py
import numpy

from loom_case import Case, DIGITS, PIPELINE, SOURCE, program

# PR comes from a sample of about 500 frames of a pass of 10,000: what its error may be here, three standard deviations
# of what kernels/moments.h says. In passes of up to 64 frames it is exact.
PR_TOLERANCE = 0.1
SLOW = ("--set", "window.rate=500", "--set", "window.block=50")


def slowness(y):
    """E, its trace form, delta and PR of the activations y (frames x units), as MODEL.md defines them."""
    y = y.astype("f8")
    variance = y.var(axis=0)
    moving = variance > 0
    y, variance = y[:, moving], variance[moving]
    error = ((y[1:-1] - (y[:-2] + y[2:]) / 2) ** 2).mean(axis=0)
    step = ((y[1:] - y[:-1]) ** 2).mean(axis=0)
    eigenvalues = numpy.linalg.eigvalsh(numpy.cov(y.T, bias=True))
    return {"interpolation_error": (error / variance).mean(), "interpolation_error_trace": error.sum() / variance.sum(),
            "step_change": (step / variance).mean(), "participation_ratio": eigenvalues.sum() ** 2 / (eigenvalues ** 2).sum()}


def cosines(rows):
    rows = rows.astype("f8")
    unit = rows / numpy.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


def neighbours(grid, radius):
    """Which units are neighbours on the torus."""
    columns, rows = (int(side) for side in grid)
    unit = numpy.arange(columns * rows)

    def apart(at, side):
        difference = abs(at[:, None] - at[None, :])
        return numpy.minimum(difference, side - difference)

    near = (apart(unit % columns, columns) <= radius) & (apart(unit // columns, rows) <= radius)
    return near & ~numpy.eye(len(unit), dtype=bool)


def weights_measures(weights, grid, radius):
    """Homogeneity, topology and its z (from random permutations), and coverage, of a layer's weights."""
    c, near = cosines(weights), neighbours(grid, radius)
    others = ~numpy.eye(len(c), dtype=bool)
    topology = c[near].mean() - c[others].mean()
    random = numpy.random.default_rng(1)
    drawn = []
    for _ in range(2000):
        order = random.permutation(len(c))
        drawn.append(c[numpy.ix_(order, order)][near].mean() - c[others].mean())
    coverage = weights.astype("f8").sum(axis=0)
    return {"homogeneity": c[others].mean(), "topology": topology, "topology_z": topology / numpy.std(drawn),
            "coverage_min": coverage.min(), "coverage_max": coverage.max(), "coverage_cv": coverage.std() / coverage.mean()}


class Measures(Case):
    def told(self, run, stage):
        """The metrics of every pass of a stage, from the recording, which must be those of metrics.jsonl."""
        with h5py.File(self.path(run, "recordings", "tape.h5"), "r") as tape:
            group = tape["metrics"][stage]
            names = [name.decode() for name in group["names"][()] if name]
            rows = [{name: value for name, value in zip(names, row) if not numpy.isnan(value)} for row in group["values"][()]]
        with open(self.path(run, "metrics.jsonl"), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        lines = [line["metrics"] for line in lines if line["stage"] == stage]
        self.assertEqual([sorted(line) for line in lines], [sorted(row) for row in rows])
        for line, row in zip(lines, rows):
            for name, value in line.items():
                self.assertAlmostEqual(value, row[name], delta=1e-6 * max(1, abs(value)))
        return rows

    def activations(self, run, number, frames):
        with h5py.File(self.path(run, "recordings", "tape.h5"), "r") as tape:
            return tape["activations/data"][number * frames : (number + 1) * frames]

    def interrupt(self, run):
        """Start a run, and end it by Ctrl-C in its second pass."""
        child = self.start(program("loom"), "run", self.write(PIPELINE), "--dir", run, *SLOW)
        self.until_further(run, ("sparse", "topo"), child, by=1001)
        child.send_signal(signal.SIGINT)
        self.finish(child, 130)

    def checkpoints(self, run):
        """Those of the invariant layer."""
        folder = self.path(run, "checkpoints")
        found = [os.path.join(root, name) for root, _, names in os.walk(folder) for name in names if name.endswith(".h5")]
        found = [path for path in found if "topo" in os.path.relpath(path, folder)]
        self.assertTrue(found)
        return found

    def layer(self, run, stage):
        with h5py.File(self.path(run, "layers", stage + ".h5"), "r") as file:
            return file["weights"][()], file.attrs["grid"]

    def assertAlike(self, told, expected, tolerances):
        for name, value in expected.items():
            self.assertLessEqual(abs(told[name] / value - 1), tolerances.get(name, 1e-6), f"{name}: {told[name]}, in NumPy {value}")

    def test_topo_yaml(self):
        """The pipeline of experiment B, two passes of it, and what has been learned judged on held-out digits."""
        pipeline = os.path.join(SOURCE, "pipelines", "topo.yaml")
        self.loom("run", pipeline, "--dir", self.path("run"), "--set", "window.passes=2")
        rows = self.told("run", "topo")
        for number, row in enumerate(rows):
            y = self.activations("run", number, 10000)
            self.assertAlike(row, slowness(y), {"participation_ratio": PR_TOLERANCE})
            share = y.astype("f8").mean(axis=0) / y.astype("f8").mean(axis=0).sum()
            self.assertAlmostEqual(row["usage_entropy"], -(share * numpy.log2(share)).sum(), 6)
            self.assertEqual(row["dead_units"], (y.max(axis=0) <= 1e-3 * y.max()).sum())
            self.assertEqual(len(row), 13)
        weights, grid = self.layer("run", "topo")
        self.assertAlike(rows[-1], weights_measures(weights, grid, 2), {"topology_z": 0.1, "coverage_min": 1e-4})
        sparse = self.told("run", "sparse")
        c = cosines(self.layer("run", "sparse")[0])
        self.assertAlike(sparse[-1], {"homogeneity": c[~numpy.eye(len(c), dtype=bool)].mean()}, {})
        self.assertEqual([sorted(row) for row in sparse],
                         2 * [["dead_units", "homogeneity", "reconstruction_error", "usage_entropy"]])
        self.held_out(pipeline)

    def held_out(self, pipeline):
        layers = []
        for stage in ("sparse", "topo"):
            layers += ["--set", f"{stage}.layer={self.path('run', 'layers', stage + '.h5')}", "--set", f"{stage}.frozen=true"]
        digits = os.path.join(os.path.dirname(DIGITS), "mnist-10000.png")
        self.loom("run", pipeline, "--dir", self.path("held-out"), "--set", f"window.tapestry={digits}", "--set",
                  "window.passes=1", *layers)
        row, = self.told("held-out", "topo")
        self.assertAlike(row, slowness(self.activations("held-out", 0, 10000)), {"participation_ratio": PR_TOLERANCE})
        weights, grid = self.layer("run", "topo")
        self.assertAlike(row, weights_measures(weights, grid, 2), {"topology_z": 0.1, "coverage_min": 1e-4})

    def test_short_passes_are_exact(self):
        """And winners: their zeros count as activations, and who has never won is dead."""
        for rule in ("topo", "smooth"):
            self.run_pipeline(rule, "--set", "window.frames=30", "--set", f"topo.rule={rule}", "--set", "topo.winners=1", passes=2)
            for number, row in enumerate(self.told(rule, "topo")):
                y = self.activations(rule, number, 30)
                self.assertAlike(row, slowness(y), {"participation_ratio": 1e-4})
                self.assertEqual(row["dead_units"], (y.max(axis=0) == 0).sum())
                self.assertGreater(row["dead_units"], 0)

    def test_sparse_homogeneity_of_short_passes(self):
        """A look at all weights is work for many frames: in passes of 4,000, only every third has it."""
        self.run_pipeline("run", "--set", "window.frames=4000", passes=5)
        self.assertEqual(["homogeneity" in row for row in self.told("run", "sparse")], [True, False, False, True, False])

    def test_a_pass_that_is_cut_short(self):
        """What cannot be told is left out, and nothing breaks: passes of 1 and of 2 frames, a layer without neighbours."""
        for frames, there in ((1, set()), (2, {"step_change", "participation_ratio"})):
            self.run_pipeline(f"run-{frames}", "--set", f"window.frames={frames}", "--set", "topo.radius=0", passes=2)
            for row in self.told(f"run-{frames}", "topo"):
                self.assertEqual({"step_change", "participation_ratio", "interpolation_error"} & set(row), there)
                self.assertFalse({"topology", "topology_z"} & set(row))

    def test_checkpoint_of_an_older_version(self):
        """It holds no moments: the pass that it lies in goes without, with a warning; weights and later passes are the same."""
        self.run_pipeline("calm")
        self.interrupt("run")
        at = 0
        for path in self.checkpoints("run"):
            with h5py.File(path, "a", libver="latest") as file:
                at = max(at, int(file.attrs["frame"]))
                del file["state/moments"]
        self.assertGreater(at % 1000, 0, "it lies within a pass")
        said = self.loom("run", self.write(PIPELINE), "--dir", "run", "--log", "json")
        self.assertIn("was written by an older version", said)
        for number, (row, other) in enumerate(zip(self.told("run", "topo"), self.told("calm", "topo"))):
            if number == at // 1000:
                self.assertNotIn("interpolation_error", row)
                self.assertIn("homogeneity", row)
                other = {name: other[name] for name in row}
            self.assertEqual(row, other)
        self.assertEqual(self.layer("run", "topo")[0].tobytes(), self.layer("calm", "topo")[0].tobytes())

    def test_checkpoint_with_other_moments_is_refused(self):
        self.interrupt("run")
        for path in self.checkpoints("run"):
            with h5py.File(path, "a", libver="latest") as file:
                moments = file["state/moments"][()]
                del file["state/moments"]
                file.create_dataset("state/moments", data=moments[:-1], chunks=(len(moments) - 1,), fletcher32=True)
        said = self.loom("run", self.write(PIPELINE), "--dir", "run", code=65)
        self.assertIn("state/moments does not fit", said)


if __name__ == "__main__":
    unittest.main()
