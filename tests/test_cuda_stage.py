#!/usr/bin/env python3
"""The layers' stages on an emulated GPU (emulated/), as processes, fed with bytes over their streams: the same results as on the
CPU but for rounding, a GPU that is lost in the middle, and machines without one.

    tests/test_cuda_stage.py FOLDER_OF_PROGRAMS FOLDER_OF_EMULATED_STAGES [unittest arguments]"""

import os
import shutil
import sys
import unittest

import h5py
import numpy

EMULATED = os.path.abspath(sys.argv.pop(2)) if len(sys.argv) > 2 and os.path.isdir(sys.argv[2]) else ""

from loom_case import BIN, PIPELINE, Case  # noqa: E402  (it takes the other folder from the arguments)

GPU = ("--set", "sparse.backend=cuda", "--set", "topo.backend=cuda")


class CudaStage(Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("bin"))
        for folder, names in ((BIN, ("loom", "loom-generate", "loom-record")), (EMULATED, ("loom-sparse", "loom-invariant"))):
            for name in names:
                shutil.copy(os.path.join(folder, name), self.path("bin", name))

    def run_emulated(self, run, *arguments, code=0, **environment):
        child = self.start(self.path("bin", "loom"), "run", self.write(PIPELINE, passes=1), "--dir", run, *arguments,
                           env={**os.environ, **environment})
        return self.finish(child, code)

    def read(self, run, kind, name, dataset):
        with h5py.File(self.path(run, kind, name + ".h5")) as file:
            return file[dataset][:]

    def body(self, run, name):
        with h5py.File(self.path(run, "layers", name + ".h5")) as file:
            return bytes(file.attrs["body"]).decode()

    def test_a_run_is_that_of_the_cpu_but_for_rounding(self):
        self.run_emulated("gpu", *GPU)
        self.run_emulated("cpu", "--set", "sparse.backend=cpu", "--set", "topo.backend=cpu")
        for name in ("sparse", "topo"):
            self.assertEqual(self.body("gpu", name), "cuda")
            self.assertEqual(self.body("cpu", name), "cpu")
            gpu, cpu = (self.read(run, "layers", name, "weights") for run in ("gpu", "cpu"))
            self.assertLess(numpy.linalg.norm(gpu - cpu) / numpy.linalg.norm(cpu), 1e-3)
        gpu, cpu = (self.read(run, "recordings", "tape", "codes/index") for run in ("gpu", "cpu"))
        self.assertGreater(numpy.mean(numpy.all(gpu == cpu, axis=1)), 0.998)

    def test_a_lost_gpu_is_told_and_the_run_goes_on_to_the_same_bits(self):
        self.run_emulated("whole", *GPU)
        said = self.run_emulated("lost", *GPU, code=74, EMULATED_FAILS_AFTER="120")
        self.assertRegex(said, r"the GPU failed in the (sparse|topo|invariant) layer, [a-z ()]+: emulated failure")
        self.run_emulated("lost", *GPU)
        self.assertEqual(self.result("lost"), self.result("whole"))

    def test_without_a_gpu_auto_takes_the_cpu_and_cuda_refuses(self):
        without = {"EMULATED_NO_GPU": "35", "EMULATED_DRIVER": "0"}
        said = self.run_emulated("refused", *GPU, code=64, **without)
        self.assertIn("there is no NVIDIA driver", said)
        self.run_emulated("auto", **without)
        self.assertEqual(self.body("auto", "sparse"), "cpu")
        self.assertEqual(self.body("auto", "topo"), "cpu")


if __name__ == "__main__":
    unittest.main(verbosity=2)
