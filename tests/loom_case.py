"""What the end-to-end tests share: a folder of its own for every test, programs of the build started and always cleaned up,
and files compared dataset by dataset. A test file is called with the folder of programs as its first argument:

    tests/test_pipeline.py FOLDER_OF_PROGRAMS [unittest arguments]

No test may depend on how fast the machine is: it waits for what it needs (until, until_further), never for a time in which that
should have happened, and runs that must not end before are paced (window.rate) so slowly that they cannot."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import h5py
import numpy


SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 and os.path.isdir(sys.argv[1]) else ""
DIGITS = os.path.join(SOURCE, "pipelines", "tapestries", "mnist-0.png")
PATIENCE = 120  # seconds until a test gives up; never a measure of speed

PIPELINE = """
name: test
stages:
  window: {{stage: generate, tapestry: {digits}, frames: 1000, passes: {passes}, seed: 1, block: {block}}}
  sparse: {{stage: sparse, in: window, grid: [12, 10], winners: 3, rate: 0.02, radius: 1, strength: 0.5, seed: 2,
           block: {block}, checkpoint: {checkpoint}}}
  topo:   {{stage: invariant, rule: topo, in: sparse, grid: [5, 4], radius: 1, strength: 0.1, normalize_every: 300, seed: 3,
           block: {block}, checkpoint: {checkpoint}}}
  tape:   {{stage: record, in: [window, sparse, topo], checkpoint: {checkpoint}}}
"""


def program(name):
    return os.path.join(BIN, name)


def datasets(path):
    """Every dataset of a file: name -> (type, shape, hash of the bytes)."""
    found = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            data = item[()]
            found[name] = (str(item.dtype), item.shape, hashlib.sha256(numpy.ascontiguousarray(data).tobytes()).hexdigest())

    with h5py.File(path, "r") as file:
        file.visititems(note)
    return found


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="loom-pipeline-")
        self.children = []

    def tearDown(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for pipe in (child.stdout, child.stderr):
                if pipe:
                    pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, text, name="test.yaml", **values):
        settings = {"digits": DIGITS, "passes": 3, "block": 64, "checkpoint": 5}
        settings.update(values)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text.format(**settings) if "{digits}" in text or "{{" in text else text)
        return self.path(name)

    def start(self, *command, **options):
        child = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
        self.children.append(child)
        return child

    def finish(self, child, code=0):
        try:
            out, err = child.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
            self.fail(f"did not end; it said:\n{out[-3000:]}\n{err[-3000:]}")
        self.assertEqual(child.returncode, code, f"it said:\n{out[-3000:]}\n{err[-3000:]}")
        return out + err

    def loom(self, *arguments, code=0):
        return self.finish(self.start(program("loom"), *arguments), code)

    def run_pipeline(self, run, *arguments, code=0, **values):
        """Run PIPELINE into folder `run`; returns what was said."""
        return self.loom("run", self.write(PIPELINE, **values), "--dir", run, *arguments, code=code)

    def result(self, run, layers=("sparse", "topo"), recording="tape"):
        files = {f"layers/{name}": datasets(self.path(run, "layers", name + ".h5")) for name in layers}
        if recording:
            files["recording"] = datasets(self.path(run, "recordings", recording + ".h5"))
        return files

    def until(self, condition, what, child=None):
        """Wait until `condition()` holds; what it gave. Fails when that does not come, or once `child` has ended before it. `what`: in
        words, or a function that gives them when it fails."""
        end = time.monotonic() + PATIENCE
        while not (found := condition()):
            if child is not None and child.poll() is not None:
                if found := condition():
                    break
                out, err = child.communicate()
                self.fail(f"it ended, with {child.returncode}, before {what() if callable(what) else what}; it said:\n"
                          f"{(out or '')[-3000:]}\n{(err or '')[-3000:]}")
            if time.monotonic() > end:
                self.fail(f"it never happened that {what() if callable(what) else what}")
            time.sleep(0.02)
        return found

    def frames_done(self, run):
        """How many frames each stage of a run has done, by its name, as RUN/status.json tells about once a second."""
        try:
            with open(self.path(run, "status.json"), encoding="utf-8") as file:
                return {stage["name"]: stage["frame"] or 0 for stage in json.load(file)["stages"]}
        except FileNotFoundError:
            return {}

    def until_further(self, run, names, child, since=None, by=1):
        """Wait until each of these stages has done `by` frames more than in `since`, a frames_done() of earlier (default: than 0)."""
        def further():
            done = self.frames_done(run)
            return all(done.get(name, 0) >= (since or {}).get(name, 0) + by for name in names)

        self.until(further, lambda: f"{', '.join(names)} of {run} had done {by} frames more than in {since}; now: {self.frames_done(run)}",
                   child)

    def catches(self, child, number):
        """Whether a process is ready for a signal; before it is, the signal would just kill it."""
        with open(f"/proc/{child.pid}/status", encoding="ascii") as file:
            mask = next(line.split()[1] for line in file if line.startswith("SigCgt:"))
        return int(mask, 16) >> (number - 1) & 1 == 1

    def stage_pid(self, launcher, name):
        """Process number of the stage `name` of a launcher, or None."""
        try:
            with open(f"/proc/{launcher.pid}/task/{launcher.pid}/children", encoding="ascii") as file:
                children = file.read().split()
        except FileNotFoundError:
            return None
        for child in children:
            try:
                with open(f"/proc/{child}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"--name" in words and words[words.index(b"--name") + 1] == name.encode():
                return int(child)
        return None

    def kill_stages(self, launcher, names, moment):
        """Send SIGKILL to all of `names` at once, `moment` seconds after all of them have been started; whether each of them was
        there still."""
        self.until(lambda: launcher.poll() is not None or all(self.stage_pid(launcher, name) for name in names),
                   f"{', '.join(names)} had been started")
        time.sleep(moment)
        pids = [self.stage_pid(launcher, name) for name in names]
        for pid in pids:
            if pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        return all(pids)
