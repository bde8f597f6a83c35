#!/usr/bin/python3
"""tools/bench works: every section measures, its numbers are positive and fit together. Nothing is said about time.

    tests/test_bench.py FOLDER_OF_PROGRAMS [unittest arguments]"""

import importlib.util
import json
import os
import unittest

import loom_case
from loom_case import BIN, SOURCE, Case

loom_case.PATIENCE = 900  # one call measures everything, with sanitizers too

BENCH = os.path.join(SOURCE, "tools", "benchmark", "main.py")
SLACK = 4  # of two rates in short rounds on a machine that may be busy

# A name of every section, and what else the tables need.
NAMES = ["B/both_train/numpy-float64", "A/both_train/numpy-float32", "B/both_train/reference", "B/sparse_train/cpu",
         "B/sparse_encode/cpu", "B/topo_train/cpu", "B/both_train/cpu", "A/sparse_train/cpu", "A/smooth_train/cpu", "A/both_train/cpu",
         "ceiling/multiply_add", "ceiling/multiply_add_pairs", "ceiling/read_L1", "ceiling/read_L3", "cache/L2", "growth/sparse_train/N=1600/P=400/k=4/cpu",
         "growth/sparse_encode/N=400/P=1024/k=4/cpu", "growth/topo_train/N=400/M=400/k=16/cpu", "pixels_not_0/side=20",
         "pipeline/b1/frames", "pipeline/b1/command", "pipeline/a1/frames", "pipeline/trainers/frames", "pipeline/cost/recorder",
         "pipeline/cost/renderer", "pipeline/cost/checkpoints", "pipeline/recorder_behind", "transport/frames/1/frames",
         "transport/activations/3/bytes", "transport/round_trip/p50", "transport/round_trip/p99", "memory/sparse/copies",
         "memory/topo/copies", "viewers/none/frames", "viewers/1/ratio", "viewers/3_and_a_stalled_one/ratio", "viewers/served/ratio"]


class Bench(Case):
    def bench(self, *arguments, code=0):
        return self.finish(self.start("/usr/bin/python3", BENCH, "--bin", BIN, "--folder", self.path("bench"), *arguments), code)

    def test_every_section_measures_and_numbers_fit_together(self):
        said = self.bench("--quick", "--no-torch", "--rounds", "2", "--json", self.path("bench.json"), "--plot", self.path("growth.png"))
        with open(self.path("bench.json"), encoding="utf-8") as file:
            found = json.load(file)
        results = found["results"]
        value = {name: result["median"] for name, result in results.items()}
        for name in NAMES:
            self.assertIn(name, value)
        for name, number in value.items():
            if not name.startswith(("pipeline/cost/", "pipeline/recorder_behind", "memory/")) and "/cpu/" not in name:
                self.assertGreater(number, 0, name)
        for experiment, rule in (("B", "topo"), ("A", "smooth")):
            both = results[f"{experiment}/both_train/cpu"]["low"]
            self.assertLess(both, SLACK * results[f"{experiment}/sparse_train/cpu"]["high"])
            self.assertLess(both, SLACK * results[f"{experiment}/{rule}_train/cpu"]["high"])
        self.assertLess(value["pipeline/b1/command"], value["pipeline/b1/frames"])
        self.assertLessEqual(value["transport/round_trip/p50"], value["transport/round_trip/p99"])
        self.assertAlmostEqual(value["transport/frames/1/bytes"] / value["transport/frames/1/frames"], 408, places=3)
        self.assertTrue(0 < value["pixels_not_0/side=20"] < 400)
        self.assertEqual([target["target"] for target in found["targets"] if target["what"].startswith("B")][-1], 350)
        for key in ("processor", "date", "body", "cores", "versions", "growth"):
            self.assertTrue(found[key], key)
        for text in ("Experiment B", "whole pipeline", "Ceilings", "The streams alone", "Peak memory", "Growth", "three viewers"):
            self.assertIn(text, said)
        if importlib.util.find_spec("matplotlib"):
            with open(self.path("growth.png"), "rb") as file:
                self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")
        again = self.bench("--from", self.path("bench.json"), "--markdown")
        self.assertIn("| whole pipeline, processes, recorder, renderer |", again)

    def test_bad_calls_are_refused(self):
        self.assertIn("nonsense", self.bench("--only", "nonsense", code=64))
        self.assertIn("--rounds", self.bench("--rounds", "-1", code=64))
        self.assertIn("cannot read", self.bench("--from", self.path("none.json"), code=74))
        self.assertIn("no JSON", self.bench("--from", self.write("{", "bad.json"), code=65))


if __name__ == "__main__":
    unittest.main()
