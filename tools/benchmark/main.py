#!/usr/bin/python3
"""Measure Loom beside the notebooks' formulation in NumPy and PyTorch, in one run: every round measures everything once, so
that a slow moment of the machine falls on all alike; medians are shown. tools/bench installs what is needed, builds, and calls this.

    tools/bench [--quick] [--only SECTION...] [--rounds N] [--json FILE] [--plot FILE] [--markdown]

Sections:
    notebook   the notebooks' formulation in NumPy and PyTorch
    kernels    the kernels alone, and the plain C reference
    ceilings   what one core can do at best: arithmetic, reading from each cache
    growth     larger layers
    pipeline   whole pipelines as processes, and what recorder, taps and checkpoints cost
    transport  the streams alone
    memory     peak memory of the layers' stages
    viewers    what viewers of the live page cost those who train
"""

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys

import growth
import report
from pipelines import ROOT, Pipelines, fail, record_frames
from viewers import Viewers

SECTIONS = ["notebook", "kernels", "ceilings", "growth", "pipeline", "transport", "memory", "viewers"]
HERE = os.path.dirname(os.path.abspath(__file__))

# How much is measured, fully and with --quick.
FULL = {"rounds": 5, "notebook_s": 0.25, "kernel_s": 0.15, "growth_s": 0.06, "growth_rounds": 3, "frames": 10000, "passes": 20,
        "largest": 25600, "sides": {20: 10000, 32: 2000, 64: 2000}, "stream_frames": 300000, "warm": 100000, "grid": 160, "memory_frames": 3000,
        "slice_s": 3}
QUICK = {"rounds": 2, "notebook_s": 0.03, "kernel_s": 0.03, "growth_s": 0.01, "growth_rounds": 1, "frames": 1000, "passes": 3,
         "largest": 1600, "sides": {20: 1000, 32: 200}, "stream_frames": 20000, "warm": 1000, "grid": 60, "memory_frames": 500, "slice_s": 1.2}


class Contestant:
    """A process that measures itself once for every line it is sent, and answers with a line of JSON."""

    def __init__(self, command, threads=None):
        environment = dict(os.environ)
        if threads:
            environment.update(OPENBLAS_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
        self.command = command
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def answer(self):
        line = self.child.stdout.readline()
        if not line:
            fail(70, f"{' '.join(self.command)} ended with {self.child.wait()}")
        return json.loads(line)

    def measure(self):
        self.child.stdin.write("go\n")
        self.child.stdin.flush()
        return self.answer()["results"]

    def stop(self):
        self.child.stdin.close()
        self.child.stdout.close()
        self.child.wait()


class Bench:
    def __init__(self, options, size):
        self.options, self.size = options, size
        self.folder = os.path.join(ROOT, "build", "bench") if options.folder is None else options.folder
        self.loom = os.path.join(options.bin, "loom")
        self.versions, self.values, self.measures = {}, {}, []
        self.contestants, self.films = [], {}

    def wants(self, *sections):
        return any(section in self.options.only for section in sections)

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    def prepare(self):
        """Record the frames, start the contestants; self.measures: (measure, rounds at most)."""
        sides = self.size["sides"]
        for side in sides if self.wants("growth") else [20] if self.wants("notebook", "kernels", "ceilings") else []:
            self.films[side] = record_frames(self.loom, self.folder, side, sides[side])
        if self.wants("notebook"):
            self.prepare_notebooks()
        for section, seconds, rounds in (("kernels", "kernel_s", None), ("ceilings", "kernel_s", None),
                                         ("growth", "growth_s", self.size["growth_rounds"])):
            if self.wants(section):
                self.prepare_kernels(section, self.size[seconds], rounds)
        if self.wants("pipeline", "memory"):
            pipelines = Pipelines(self.loom, self.folder, self.size["frames"], self.size["passes"])
            if self.wants("pipeline"):
                self.measures.append((pipelines.measure, None))
            if self.wants("memory"):
                self.measures.append((lambda: pipelines.measure_memory(self.size["grid"], self.size["memory_frames"]), 1))
        if self.wants("transport"):
            self.measures.append((self.measure_transport, None))

        if self.wants("viewers"):
            viewers = Viewers(self.loom, self.folder, self.size["frames"], self.size["passes"], self.size["slice_s"])
            self.measures.append((viewers.measure, None))

    def prepare_notebooks(self):
        """NumPy, and PyTorch if it is there, each with its default threads and with one."""
        libraries = ["numpy"]
        if not self.options.no_torch:
            found = subprocess.run([sys.executable, "-c", "import torch"], stderr=subprocess.DEVNULL, check=False).returncode == 0
            libraries += ["torch"] if found else []
            if not found:
                self.say("PyTorch is not installed for this Python: left out")
        for library in libraries:
            for dtype in ("float64", "float32"):
                for threads in (0, 1) if os.cpu_count() > 1 and not self.options.quick else (0,):
                    command = [sys.executable, os.path.join(HERE, "notebook.py"), library, dtype, self.films[20],
                               "--seconds", str(self.size["notebook_s"]), "--threads", str(threads)]
                    contestant = Contestant(command, threads)
                    self.versions.update(contestant.answer()["versions"])
                    self.contestants.append(contestant)
                    self.measures.append((contestant.measure, None))

    def prepare_kernels(self, section, seconds, rounds):
        name = "layers" if section == "kernels" else section
        command = [os.path.join(self.options.bin, "kernel-bench"), "--json", "--step", "--rounds", "100", "--only", name, "--seconds",
                   str(seconds), "--warm", str(self.size["warm"]), "--largest", str(self.size["largest"])]
        if section == "kernels" and os.cpu_count() > 1:
            command += ["--threads", "1,2"]
        for side, path in self.films.items():
            command += ["--frames", f"{side}={path}"]
        contestant = Contestant(command)
        self.contestants.append(contestant)
        self.measures.append((contestant.measure, rounds))

    def measure_transport(self):
        command = [os.path.join(self.options.bin, "transport-bench"), "--frames", str(self.size["stream_frames"])]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)["results"]

    def run(self):
        rounds = self.options.rounds or self.size["rounds"]
        try:
            self.prepare()
            for number in range(rounds):
                self.say(f"round {number + 1} of {rounds}")
                for measure, most in self.measures:
                    if most is None or number < most:
                        for name, value in measure().items():
                            self.values.setdefault(name, []).append(value)
        finally:
            for contestant in self.contestants:
                contestant.stop()
        return self.report(rounds)

    def body(self):
        """What computes in the pipelines, as a layer's log says."""
        log = subprocess.run([os.path.join(self.options.bin, "kernel-bench"), "--body"], stdout=subprocess.PIPE, text=True, check=True)
        return log.stdout.strip()

    def report(self, rounds):
        results = {name: {"median": statistics.median(values), "low": min(values), "high": max(values), "values": values}
                   for name, values in sorted(self.values.items())}
        version = subprocess.run([self.loom, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1]
        return {"processor": processor(), "cores": os.cpu_count(), "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
                "rounds": rounds, "quick": self.options.quick, "sections": self.options.only, "body": self.body(),
                "versions": {"loom": version, "python": platform.python_version(), **self.versions}, "results": results,
                "targets": report.targets(results), "growth": growth.fits(results)}


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"(?m)^model name\s*:\s*(.*)$", file.read())
    return found[1] if found else platform.machine()


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.print_usage(sys.stderr)
        fail(64, message)


def parse():
    parser = Parser(prog="tools/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute: to see that it works, not to measure")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="SECTION", help="only these sections")
    parser.add_argument("--rounds", type=int, default=0, help="rounds; medians are shown (5, with --quick 2)")
    parser.add_argument("--json", metavar="FILE", help="results for machines (build/bench/bench.json)")
    parser.add_argument("--plot", metavar="FILE", help="picture of growth, a PNG (build/bench/growth.png)")
    parser.add_argument("--markdown", action="store_true", help="print the tables as README has them")
    parser.add_argument("--from", dest="source", metavar="FILE", help="measure nothing, show the results of this JSON file")
    parser.add_argument("--no-torch", action="store_true", help="without PyTorch, which takes 600 MB to install")
    parser.add_argument("--bin", default=os.path.join(ROOT, "build", "release", "bin"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rounds < 0 or options.rounds > 100:
        parser.error("--rounds is a number from 1 to 100")
    return options


def draw(found, path):
    try:
        growth.draw(found["results"], found["processor"], path)
    except ImportError:
        print("matplotlib is not installed for this Python: no picture of growth", file=sys.stderr)
        return
    print(f"growth is drawn in {path}", file=sys.stderr)


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        return found if "results" in found else fail(65, f"{path} holds no results of tools/bench")
    except OSError as error:
        fail(74, f"cannot read {path}: {error.strerror}")
    except ValueError as error:
        fail(65, f"{path} is no JSON: {error}")


def main():
    options = parse()
    if options.source:
        found = load(options.source)
    elif not all(os.path.exists(os.path.join(options.bin, name)) for name in ("loom", "kernel-bench", "transport-bench")):
        fail(69, f"there are no programs in {options.bin}: build them with tools/run --build")
    else:
        bench = Bench(options, QUICK if options.quick else FULL)
        os.makedirs(bench.folder, exist_ok=True)
        found = bench.run()
        path = options.json or os.path.join(bench.folder, "bench.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
        options.plot = options.plot or os.path.join(bench.folder, "growth.png")
    if options.plot and any(name.startswith("growth/") for name in found["results"]):
        draw(found, options.plot)
    print(report.markdown(found) if options.markdown else report.terminal(found))


if __name__ == "__main__":
    main()
