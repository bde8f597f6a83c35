"""Whole pipelines as processes, for tools/bench: frames a second, what parts of them cost, and memory.

A run's rate "from first to last frame" counts from when the sparse layer knows its input to when every layer and the
recorder have the last frame; the rate "of the command" counts everything, also starting, saving and drawing.
"""

import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PIPELINES = os.path.join(ROOT, "pipelines")
CHECKPOINT = 0.25  # seconds between checkpoints when their cost is measured

TRAINERS = """name: trainers
stages:
  window: {{stage: generate, tapestry: {pipelines}/tapestries/mnist-0.png, frames: {frames}, passes: {passes}, seed: 1}}
  sparse: {{stage: sparse, in: window, grid: [40, 40], winners: 4, radius: 2, strength: 0.5, seed: 2, layer: {layer},
           frozen: true}}
  topo1:  {{stage: invariant, rule: topo, in: sparse, grid: [10, 10], radius: 2, strength: 0.1, seed: 3}}
  topo2:  {{stage: invariant, rule: topo, in: sparse, grid: [10, 10], radius: 2, strength: 0.3, seed: 3}}
  topo3:  {{stage: invariant, rule: topo, in: sparse, grid: [10, 10], radius: 2, strength: 0.5, seed: 3}}
"""

FRAMES = """name: frames
stages:
  window: {{stage: generate, tapestry: {pipelines}/tapestries/mnist-0.png, frames: {frames}, passes: 1, seed: 1, window: {side}}}
  tape:   {{stage: record, in: [window]}}
"""


def fail(status, message):
    print(f"bench: {message}", file=sys.stderr)
    sys.exit(status)


class Run:
    """One call of `loom run`: its events, how long it took, and of every stage the largest memory and the CPU time."""

    def __init__(self, loom, pipeline, folder, settings=()):
        shutil.rmtree(folder, ignore_errors=True)
        command = [loom, "run", pipeline, "--dir", folder, "--log", "json"]
        for setting in settings:
            command += ["--set", setting]
        self.peak_kb, self.cpu_s, self.events = {}, {}, []
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            watcher = threading.Thread(target=self._watch, args=(child,), daemon=True)
            errors = []
            reader = threading.Thread(target=lambda: errors.append(child.stderr.read()), daemon=True)
            watcher.start()
            reader.start()
            for line in child.stdout:
                if line.startswith("{"):
                    self.events.append(json.loads(line))
            code = child.wait()
            self.seconds = time.perf_counter() - start
            reader.join()
            watcher.join()
        if code:
            fail(code if code > 0 else 70, f"{' '.join(command)} ended with {code}:\n{errors[0][-2000:]}")

    def _watch(self, child):
        """Look at the stages every few milliseconds; what was seen last of each stays."""
        tick = os.sysconf("SC_CLK_TCK")
        while child.poll() is None:
            try:
                with open(f"/proc/{child.pid}/task/{child.pid}/children", encoding="ascii") as file:
                    pids = file.read().split()
            except OSError:
                return
            for pid in pids:
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as file:
                        words = file.read().decode().split("\0")
                    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                        peak = re.search(r"VmHWM:\s*(\d+)", file.read())
                    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                        times = file.read().rpartition(")")[2].split()
                except OSError:
                    continue
                if "--name" in words and peak:
                    name = words[words.index("--name") + 1]
                    self.peak_kb[name] = max(int(peak[1]), self.peak_kb.get(name, 0))
                    self.cpu_s[name] = (int(times[11]) + int(times[12])) / tick
            time.sleep(0.02)

    def frames(self):
        return max(event["frames"] for event in self.events if event["event"] == "progress" and event["frames"])

    def finished(self, stage):
        """When the stage had done its last frame, in seconds since the epoch. A recorder reports on the first of its inputs
        only, so it counts when it says its last word."""
        times = [moment(event) for event in self.events
                 if event["stage"] == stage and event["event"] == "progress" and event["frame"] == event["frames"]]
        if not times:
            fail(70, f"stage {stage} never said that it was done: {[event for event in self.events if event['stage'] == stage][-3:]}")
        return times[-1] if stage == "tape" else times[0]

    def rate(self):
        """Frames a second from first to last frame."""
        start = min(moment(event) for event in self.events if event["stage"] == "sparse")
        stages = {event["stage"] for event in self.events if event["event"] == "progress"} - {"window", "maps"}
        return self.frames() / (max(self.finished(stage) for stage in stages) - start)


def moment(event):
    return datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()


class Pipelines:
    """Every round runs each pipeline once. frames and passes: of experiment B's pipelines."""

    def __init__(self, loom, folder, frames, passes):
        self.loom, self.folder, self.size = loom, folder, (f"window.frames={frames}", f"window.passes={passes}")
        self.frames, self.passes = frames, passes
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(PIPELINES, "b1.yaml"), encoding="utf-8") as file:
            self.whole = file.read().replace("tapestry: ", f"tapestry: {PIPELINES}/")
        self.layer = os.path.join(folder, "b1", "layers", "sparse.h5")

    def _write(self, name, text):
        path = os.path.join(self.folder, name + ".yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def _without(self, name, *stages):
        """The pipeline of b1 without some of its stages, each of which takes one line."""
        text = self.whole
        for stage in stages:
            text, found = re.subn(rf"(?m)^  {stage}:.*\n", "", text)
            assert found == 1, f"b1.yaml has no stage {stage} on one line"
        return self._write(name, text)

    def _run(self, name, path, settings=()):
        return Run(self.loom, path, os.path.join(self.folder, name), settings)

    def measure(self):
        """{name: number} of one round."""
        results = {}
        runs = {
            "b1": self._run("b1", os.path.join(PIPELINES, "b1.yaml"), self.size),
            "bare": self._run("bare", self._without("bare", "tape", "maps"), self.size),
            "recorder": self._run("recorder", self._without("recorder", "maps"), self.size),
            "renderer": self._run("renderer", self._without("renderer", "tape"), self.size),
            "checkpoints": self._run("checkpoints", self._without("checkpoints", "tape", "maps"),
                                     (*self.size, f"sparse.checkpoint={CHECKPOINT}", f"topo.checkpoint={CHECKPOINT}")),
            "a1": self._run("a1", os.path.join(PIPELINES, "a1.yaml"), self.size),
            "trainers": self._run("trainers", self._write("trainers", TRAINERS.format(
                pipelines=PIPELINES, frames=self.frames, passes=self.passes, layer=self.layer))),
        }
        for name, run in runs.items():
            results[f"pipeline/{name}/frames"] = run.rate()
            results[f"pipeline/{name}/command"] = run.frames() / run.seconds
            for stage, seconds in run.cpu_s.items():
                results[f"pipeline/{name}/cpu/{stage}"] = seconds / run.frames()
        seconds = {name: run.frames() / run.rate() for name, run in runs.items()}
        for name in ("recorder", "renderer"):
            results[f"pipeline/cost/{name}"] = seconds[name] / seconds["bare"] - 1
        each = (seconds["checkpoints"] - seconds["bare"]) / max(1, seconds["checkpoints"] / CHECKPOINT)
        results["pipeline/cost/checkpoints"] = each / 5  # they are 5 s apart by default
        results["pipeline/recorder_behind"] = runs["b1"].finished("tape") - runs["b1"].finished("topo")
        return results

    def measure_memory(self, grid, frames):
        """Peak memory of the layers' stages, as a multiple of their weights: that of a large layer less that of a tiny
        one with the same program, libraries, messages and ring."""
        results, peaks = {}, {}
        path = self._without("memory", "maps")
        for name, side in (("large", grid), ("tiny", 4)):
            run = self._run("memory", path, (f"window.frames={frames}", "window.passes=1", f"sparse.grid={side}x{side}",
                                             "sparse.radius=1", "sparse.checkpoint=0.5", "topo.checkpoint=0.5"))
            peaks[name] = run.peak_kb
        for stage, weights in (("sparse", 4 * grid * grid * 400), ("topo", 4 * grid * grid * 100)):
            results[f"memory/{stage}/peak_bytes"] = peaks["large"][stage] * 1024
            results[f"memory/{stage}/weight_bytes"] = weights
            results[f"memory/{stage}/copies"] = (peaks["large"][stage] - peaks["tiny"][stage]) * 1024 / weights
        return results


def record_frames(loom, folder, side, frames):
    """The frames of experiment B's trajectory through a window of side x side pixels; the path of a file of raw floats."""
    import h5py
    import numpy
    os.makedirs(folder, exist_ok=True)
    pipeline = os.path.join(folder, f"frames{side}.yaml")
    with open(pipeline, "w", encoding="utf-8") as file:
        file.write(FRAMES.format(pipelines=PIPELINES, frames=frames, side=side))
    run = os.path.join(folder, f"frames{side}")
    Run(loom, pipeline, run)
    with h5py.File(os.path.join(run, "recordings", "tape.h5"), "r") as tape:
        data = tape["frames/data"][()]
    path = run + ".f4"
    (data.astype(numpy.float32) / numpy.float32(255)).tofile(path)
    return path
