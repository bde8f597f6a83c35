#!/usr/bin/env python3
"""What of tools/gpu-check can be tested where there is no GPU: refusals, the tables it makes, and the notebooks' formulation that it
measures against, in NumPy. (`tools/gpu-check --dry-run` goes through all of it, in minutes.)"""

import os
import subprocess
import sys
import tempfile
import unittest

import numpy

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GPU_CHECK = os.path.join(SOURCE, "tools", "gpu-check")
BENCHMARK = os.path.join(SOURCE, "tools", "benchmark")

MEASURED = """\
                                                 median          least           most               x reference
pixels_not_0/side=20                             76.017         76.017         76.017  pixels
B/sparse_train/cuda                              450000         440000         460000  frames/s     999.0
B/sparse_train_bytes/cuda                       1.25e+06        1.2e+06        1.3e+06  frames/s     999.0
B/topo_train/cuda                                900000         900000         900000  frames/s
growth/topo_train/N=100000/M=400/k=4/cuda          5000           5000           5000  frames/s
B/sparse_train/cupy                                 900 frames/s on a GPU
"""


class GpuCheck(unittest.TestCase):
    def run_check(self, *arguments, **environment):
        return subprocess.run([GPU_CHECK, *arguments], capture_output=True, text=True, check=False,
                              env={**os.environ, **environment})

    def test_help_and_wrong_options(self):
        told = self.run_check("--help")
        self.assertEqual(told.returncode, 0)
        self.assertIn("--dry-run", told.stdout)
        self.assertNotIn("set -euo", told.stdout)
        self.assertEqual(self.run_check("--fast").returncode, 64)

    def test_no_compiler_and_no_gpu_are_told(self):
        told = self.run_check(CUDACXX="/nowhere/nvcc")
        self.assertEqual(told.returncode, 69)
        self.assertIn("there is no nvcc", told.stderr)
        with tempfile.TemporaryDirectory() as folder: # an nvidia-smi that finds nothing
            with open(os.path.join(folder, "nvidia-smi"), "w", encoding="ascii") as file:
                file.write("#!/bin/sh\nexit 9\n")
            os.chmod(file.name, 0o755)
            told = self.run_check(CUDACXX="/bin/true", PATH=folder + os.pathsep + os.environ["PATH"])
        self.assertEqual(told.returncode, 69)
        self.assertIn("there is no NVIDIA GPU", told.stderr)

    def test_report(self):
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(MEASURED)
            file.flush()
            told = subprocess.run(["awk", "-v", "device=H100", "-v", "date=2026-01-31", "-f",
                                   os.path.join(BENCHMARK, "gpu-report.awk"), file.name],
                                  capture_output=True, text=True, check=True).stdout
        self.assertIn("| 2026-01-31 | H100 | B/sparse_train/cuda | 450,000 | 2.222 | 6 | 38.2% | 500.0 |", told)
        self.assertIn("| sparse training, kernel alone | B/sparse_train_bytes/cuda | 1,250,000 | 300,000 | 1,000,000 | goal met |", told)
        self.assertIn("| `topo` alone | B/topo_train/cuda | 900,000 | 1,000,000 | 3,000,000 | **not met** |", told)
        # 2 x 160 MB at 3 TB/s are 107 us of 200
        self.assertIn("| growth/topo_train/N=100000/M=400/k=4/cuda | 5,000 | 200.000 |  | 53.3% |  |", told)
        self.assertIn("| sparse_train against CuPy | B/sparse_train/cuda | 500 x | 200 x | | met |", told)
        self.assertIn("| whole pipeline as processes | pipeline/B | not measured |", told)
        self.assertNotIn("pixels", told)

    def test_formulation_of_the_notebooks(self):
        with tempfile.NamedTemporaryFile(suffix=".f4") as file:
            numpy.random.default_rng(1).uniform(0, 1, (4, 400)).astype(numpy.float32).tofile(file.name)
            told = subprocess.run([sys.executable, os.path.join(BENCHMARK, "gpu.py"), "numpy", file.name, "--seconds", "0.01",
                                   "--plain"], capture_output=True, text=True, check=True).stdout
        rates = {line.split()[0]: float(line.split()[1]) for line in told.splitlines()}
        self.assertEqual(sorted(rates), [f"B/{name}/numpy" for name in ("both_train", "sparse_encode", "sparse_train",
                                                                       "topo_train")])
        self.assertGreater(min(rates.values()), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
