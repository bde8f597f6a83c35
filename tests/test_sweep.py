#!/usr/bin/python3
"""Reuse and sweeps, as real processes on real digits: an invariant layer goes on only above the sparse layer that it knows, and
a member of a sweep is, to the bit, the run that it would be alone.

    tests/test_sweep.py FOLDER_OF_PROGRAMS [unittest arguments]"""

import csv
import json
import os
import shutil
import signal
import threading
import unittest

import h5py
import msgpack
import numpy
import zmq

from loom_case import Case, DIGITS, PIPELINE, datasets, program

MAPS = "  maps:   {{stage: render, tap: [window, sparse, topo]}}\n"
SLOW = ("--set", "window.rate=400", "--set", "window.block=50")


def attribute(path, name):
    with h5py.File(path, "r") as file:
        value = file.attrs[name]
        return value.decode() if isinstance(value, bytes) else value


def attributes(path):
    with h5py.File(path, "r") as file:
        return {name: numpy.asarray(value).tolist() for name, value in file.attrs.items()}


class Sweeps(Case):
    """What sweeps and their members share."""

    def sweep(self, run, *arguments, code=0, text=PIPELINE, **values):
        return self.loom("sweep", self.write(text, **values), "--dir", run, *arguments, code=code)

    def members(self, run):
        return sorted(name for name in os.listdir(self.path(run)) if os.path.exists(self.path(run, name, "pipeline.yaml")))

    def table(self, run):
        with open(self.path(run, "summary.csv"), encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def files(self, *folder, kinds=(".h5",)):
        """Everything learned and recorded below a folder, links followed."""
        found, top = {}, self.path(*folder)
        for parent, _, names in os.walk(top):
            for name in names:
                if name.endswith(kinds):
                    path = os.path.join(parent, name)
                    found[os.path.relpath(path, top)] = datasets(path)
        return found

    def member_pid(self, member, name):
        """Process number of the stage `name` of a member."""
        for process in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{process}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"--run" in words and words[words.index(b"--run") + 1] == self.path(*member).encode() and \
                    b"--name" in words and words[words.index(b"--name") + 1] == name.encode():
                return int(process)
        return None


class Expansion(Sweeps):
    """Which members there are."""

    def test_values_and_ranges(self):
        self.sweep("run", "--over", "topo.strength=0.10,3e-1", "--over", "topo.grid=[5,4],4x5", "--over", "topo.seed=3..1..-2",
                   passes=0)
        self.assertEqual(self.members("run"), sorted(
            f"strength={strength},grid={grid},seed={seed}" for strength in ("0.1", "0.3") for grid in ("5x4", "4x5")
            for seed in (3, 1)))
        rows = self.table("run")
        self.assertEqual([(row["topo.strength"], row["topo.grid"], row["topo.seed"]) for row in rows],
                         [(strength, grid, seed) for strength in ("0.1", "0.3") for grid in ("5x4", "4x5") for seed in "31"])
        with h5py.File(self.path("run", "strength=0.3,grid=4x5,seed=1", "layers", "topo.h5"), "r") as file:
            expected = 0.1 * numpy.random.Generator(numpy.random.Philox(key=1 + (1 << 64))).random((20, 120))
            numpy.testing.assert_array_equal(file["weights"][()], expected.astype("f4"))
            self.assertEqual((list(file.attrs["grid"]), file.attrs["strength"]), ([4, 5], 0.3))

    def test_names_that_would_be_ambiguous_or_no_folders(self):
        shutil.copy(DIGITS, self.path("a, b.png"))
        shutil.copy(DIGITS, self.path("c.png"))
        self.sweep("run", "--over", "topo.seed=1,2", "--over", "sparse.seed=5", "--over", "window.tapestry=\"a, b.png\",./c.png",
                   passes=0)
        self.assertEqual(self.members("run"), sorted(f"topo.seed={seed},sparse.seed=5,tapestry={name}" for seed in (1, 2)
                                                     for name in ("a__b.png", "._c.png")))

    def test_rubbish(self):
        file = self.write(PIPELINE)
        for message, overs in (
                ("nothing varies", ()),
                ("must be STAGE.PARAMETER=VALUE", ("topo.strength",)),
                ("there is no stage 'tipo'", ("tipo.strength=1,2",)),
                ("did you mean 'strength'?", ("topo.strenght=1,2",)),
                ("has no parameter 'in'", ("topo.in=sparse,window",)),
                ("has no parameter 'run'", ("topo.run=a,b",)),
                ("a value is missing", ("topo.strength=",)),
                ("a value is missing", ("topo.strength=0.1,,0.3",)),
                ("not closed", ("topo.grid=[5,4",)),
                ("not closed", ("topo.layer='a,b",)),
                ("must be from 0 to 1000, not 5000", ("topo.strength=0.1,5000",)),
                ("must be a number", ("topo.strength=0.1..0.5",)),
                ("must be a grid", ("topo.grid=[5,4,3]",)),
                ("is empty", ("topo.seed=3..1",)),
                ("is empty", ("topo.seed=1..3..0",)),
                ("a sweep has at most 60 members", ("topo.seed=1..1000000000000000000",)),
                ("that makes 64 members", ("topo.seed=1..8", "sparse.seed=1..8")),
                ("named twice", ("topo.strength=0.3,0.30",)),
                ("varies already", ("topo.seed=1,2", "topo.seed=3,4")),
                ("there is no file", ("topo.layer=nowhere.h5,elsewhere.h5",)),
                ("No such file", ("window.tapestry=nowhere.png",))):
            said = self.loom("sweep", file, "--dir", "run", *(word for over in overs for word in ("--over", over)), code=64)
            self.assertIn(message, said, overs)
            self.assertFalse(os.path.exists(self.path("run")), "nothing is made of what cannot be run")
        said = self.loom("sweep", file, "--set", "topo.seed=3", "--over", "topo.seed=1,2", code=64)
        self.assertIn("topo.seed is set already (--set topo.seed=3)", said)
        said = self.loom("sweep", file, "--set", "window.from=ipc:///tmp/nobody", "--over", "window.seed=1,2", code=64)
        self.assertIn("is not started here", said)

    def test_folders_of_runs_and_of_sweeps_are_not_mixed_up(self):
        self.sweep("sweep", "--over", "topo.seed=1,2", passes=0)
        self.assertIn("is the folder of a sweep", self.run_pipeline("sweep", code=64, passes=0))
        self.run_pipeline("run", passes=0)
        self.assertIn("is the folder of a single run", self.sweep("run", "--over", "topo.seed=1,2", code=64, passes=0))


class Members(Sweeps):
    """A member is what a run of the same settings would be."""

    def test_shared_sparse_layer(self):
        over = ("--over", "topo.strength=0.1,0.3", "--over", "topo.winners=0,4")
        said = self.sweep("sweep", *over, text=PIPELINE + MAPS)
        self.assertIn("| strength=0.3,winners=4 ", said)
        shared = self.files("sweep", "recordings")["tape.h5"]
        with open(self.path("sweep", "metrics.jsonl"), encoding="utf-8") as file:
            self.assertEqual({json.loads(line)["stage"] for line in file}, {"sparse"})
        for row in self.table("sweep"):
            name = row["member"]
            self.assertEqual(name, f"strength={row['topo.strength']},winners={row['topo.winners']}")
            self.run_pipeline("plain", "--set", f"topo.strength={row['topo.strength']}", "--set",
                              f"topo.winners={row['topo.winners']}")
            self.assertEqual(self.files("sweep", name, "layers"), self.files("plain", "layers"))
            self.assertEqual(attributes(self.path("sweep", name, "layers", "topo.h5")),
                             attributes(self.path("plain", "layers", "topo.h5")))
            recorded, whole = self.files("sweep", name, "recordings")["tape.h5"], self.files("plain", "recordings")["tape.h5"]
            for group, file in (("frames", shared), ("codes", shared), ("activations", recorded), ("metrics/topo", recorded)):
                expected = {key: value for key, value in whole.items() if key.startswith(group + "/")}
                self.assertTrue(expected)
                self.assertEqual({key: file.get(key) for key in expected}, expected)
            with open(self.path("sweep", name, "metrics.jsonl"), encoding="utf-8") as file:
                last = [json.loads(line) for line in file][-1]
            self.assertEqual((last["stage"], last["pass"]), ("topo", 3))
            for metric, value in last["metrics"].items():
                self.assertEqual(float(row["topo." + metric]), value)
            self.assertEqual(row["state"], "done")
            shutil.rmtree(self.path("plain"))
            self.assertTrue(os.path.exists(self.path("sweep", name, "pictures", "topo-prototypes.png")))
        self.loom("run", self.path("sweep", name, "pipeline.yaml"), "--dir", "alone")
        self.assertEqual(self.files("alone", "layers"), self.files("sweep", name, "layers"), "a member can be run by itself")
        self.assertTrue(os.path.exists(self.path("sweep", "pictures", "topo-compared.png")))
        self.assertTrue(os.path.exists(self.path("sweep", "pictures", "sparse.png")))
        said = self.sweep("sweep", *over, text=PIPELINE + MAPS)
        self.assertIn("has finished before", said)
        self.assertIn("| strength=0.3,winners=4 ", said)
        before = self.files("sweep")
        self.sweep("sweep", *over, "--again", "--transport", "tcp", text=PIPELINE + MAPS)
        self.assertEqual(self.files("sweep"), before, "the same again")
        self.assertEqual(self.files("sweep.1"), before, "and the old one is kept")

    def test_what_all_share_is_found_from_a_member(self):
        """Its frames and codes lie in the sweep's recording, its activations in its own: drawn, they are those of the run alone."""
        self.sweep("sweep", "--over", "topo.strength=0.1,0.3")
        member = os.path.join("sweep", "strength=0.3")
        with h5py.File(self.path(member, "recordings", "tape.h5"), "r") as own:
            self.assertEqual(sorted(name for name in own if name in ("frames", "codes", "activations")), ["activations"])
        alone = os.path.join("alone", "strength=0.3")  # of one name, so that titles are alike
        self.loom("run", self.path(member, "pipeline.yaml"), "--dir", alone, "--quiet")
        for what, *more in (("animation", "--frames", "1990..2020"), ("animation",), ("tapestry",), ("window",)):
            for run, out in ((member, "member.png"), (alone, "alone.png")):
                said = self.loom("draw", what, run, *more, "-o", out, "--force")
                self.assertNotIn("without", said)
            with open(self.path("member.png"), "rb") as one, open(self.path("alone.png"), "rb") as other:
                self.assertEqual(one.read(), other.read(), what)
        os.remove(self.path(member, "recordings", "tape.h5"))  # only what all share was recorded
        self.assertIn("without io", self.loom("draw", "animation", member, "-o", "rest.png"))
        shutil.rmtree(self.path("sweep", "recordings"))
        self.assertIn("has no recording", self.loom("draw", "animation", member, "-o", "none.png", code=65))

    def test_a_page_that_all_share_is_not_served_by_those_who_draw(self):
        self.sweep("sweep", "--over", "topo.strength=0.1,0.3", "--set", "maps.live=127.0.0.1:0", text=PIPELINE + MAPS)
        for member in self.members("sweep"):
            self.assertTrue(os.path.exists(self.path("sweep", member, "pictures", "topo.png")))

    def test_sparse_layer_or_generator_of_its_own(self):
        for over, shared in (("sparse.seed=2,7", ["recordings/tape.h5"]), ("window.seed=1,4", [])):
            name, values = over.split("=")
            self.sweep("sweep", "--over", over, passes=2)
            members = self.members("sweep")
            self.assertEqual(sorted(file for file in self.files("sweep") if file.split("/")[0] not in members), shared)
            for value in values.split(","):
                self.run_pipeline("plain", "--set", f"{name}={value}", passes=2)
                member = f"{name.split('.')[1]}={value}"
                self.assertEqual(self.files("sweep", member, "layers"), self.files("plain", "layers"))
                recorded, whole = (self.files(*folder)["tape.h5"]
                                   for folder in (("sweep", member, "recordings"), ("plain", "recordings")))
                for group in ("codes", "activations"):
                    self.assertEqual({key: value for key, value in recorded.items() if key.startswith(group)},
                                     {key: value for key, value in whole.items() if key.startswith(group)})
                shutil.rmtree(self.path("plain"))
            shutil.rmtree(self.path("sweep"))

    def test_events_say_whose_they_are(self):
        said = self.sweep("sweep", "--over", "topo.seed=1,2", "--log", "json", passes=1)
        events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        passes = {(event.get("member"), event["stage"]) for event in events if event["event"] == "pass"}
        self.assertEqual(passes, {(None, "sparse"), ("seed=1", "topo"), ("seed=2", "topo")})


class Trouble(Sweeps):
    """Kills, interruptions and members that fail."""

    OVER = ("--over", "topo.strength=0.1,0.3")

    def test_killed_member(self):
        self.sweep("calm", *self.OVER)
        child = self.start(program("loom"), "sweep", self.write(PIPELINE, checkpoint=0.2), "--dir", "sweep", *self.OVER, *SLOW)
        for _ in range(2):
            self.until_further("sweep", ("strength=0.3/topo",), child, self.frames_done("sweep"))
            pid = self.member_pid(("sweep", "strength=0.3"), "topo")
            os.kill(pid, signal.SIGKILL)
            self.until(lambda: self.member_pid(("sweep", "strength=0.3"), "topo") not in (None, pid), "it was started again", child)
        said = self.finish(child)
        self.assertEqual(said.count("strength=0.3/topo: died by signal 9"), 2, said)
        self.assertEqual(self.files("sweep"), self.files("calm"))

    def test_interrupted_and_continued(self):
        self.sweep("calm", *self.OVER)
        arguments = ("sweep", self.write(PIPELINE), "--dir", "sweep", *self.OVER, *SLOW)
        for _ in range(2):
            since = self.frames_done("sweep")
            child = self.start(program("loom"), *arguments)
            self.until_further("sweep", ("strength=0.1/topo", "strength=0.3/topo"), child, since)
            child.send_signal(signal.SIGINT)
            self.assertIn("to go on: loom sweep", self.finish(child, 130))
        self.assertTrue(os.path.exists(self.path("sweep", "strength=0.1", "layers", "topo.h5")))
        self.assertIn("going on with sweep where it was stopped", self.loom(*arguments))
        self.assertEqual(self.files("sweep"), self.files("calm"))
        for member in ("strength=0.1", "strength=0.3"):
            with open(self.path("sweep", member, "metrics.jsonl"), encoding="utf-8") as file:
                self.assertEqual([json.loads(line)["pass"] for line in file], [1, 2, 3], "every pass is told once")

    def test_failing_member(self):
        said = self.sweep("sweep", "--over", "topo.winners=0,99,4", text=PIPELINE + MAPS, code=64)
        self.assertIn("winners=99 failed: topo: 99 winners are more than the 20 units of the grid", said)
        self.assertIn("2 members finished and 1 failed", said)
        self.assertEqual([row["state"] for row in self.table("sweep")], ["done", "failed", "done"])
        self.sweep("calm", "--over", "topo.winners=0,4", text=PIPELINE + MAPS)
        for member in ("winners=0", "winners=4"):
            self.assertEqual(self.files("sweep", member), self.files("calm", member))
        self.assertEqual(self.files("sweep", "recordings"), self.files("calm", "recordings"))
        self.assertIn("has finished before", self.sweep("sweep", "--over", "topo.winners=0,99,4", text=PIPELINE + MAPS, code=64))

    def test_all_members_fail(self):
        said = self.sweep("sweep", "--over", "topo.winners=98,99", code=64)
        self.assertIn("all members failed", said)

    def test_member_that_dies_again_and_again(self):
        """One whose program always crashes is left out at last; the others finish."""
        mine = self.path("bin")
        os.mkdir(mine)
        with open(os.path.join(mine, "loom-invariant"), "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\ncase "$*" in *--strength=0.3*) kill -SEGV $$;; esac\nexec {program("loom-invariant")} "$@"\n')
        os.chmod(os.path.join(mine, "loom-invariant"), 0o755)
        for name in os.listdir(os.path.dirname(program("loom"))):
            if name.startswith("loom") and name != "loom-invariant":
                shutil.copy(program(name), os.path.join(mine, name))
        said = self.finish(self.start(os.path.join(mine, "loom"), "sweep", self.write(PIPELINE), "--dir", "sweep", "--restarts", "1",
                                      *self.OVER), 70)
        self.assertIn("strength=0.3 failed: topo", said)
        self.run_pipeline("plain", "--set", "topo.strength=0.1")
        self.assertEqual(self.files("sweep", "strength=0.1", "layers"), self.files("plain", "layers"))


FOREIGN = """
name: foreign
stages:
  codes: {{stage: sparse, from: {endpoint}}}
  topo:  {{stage: invariant, in: codes, grid: [5, 4], radius: 1, seed: 3}}
"""

REPLAYED = """
name: replayed
stages:
  codes: {{stage: replay, file: {recording}, stream: codes}}
  topo:  {{stage: invariant, in: codes, grid: [5, 4], radius: 1, seed: 3, layer: {layer}}}
"""


class Codes(threading.Thread):
    """A stranger's stream of codes, as PROTOCOL.md tells how; `more` goes into its description."""

    def __init__(self, endpoint, more):
        super().__init__(daemon=True)
        self.endpoint, self.more, self.ended = endpoint, more, threading.Event()
        self.start()

    def run(self):
        router = zmq.Context.instance().socket(zmq.ROUTER)
        router.bind(self.endpoint)
        rng = numpy.random.default_rng(1)
        index = numpy.sort(rng.permuted(numpy.tile(numpy.arange(12), (600, 1)), axis=1)[:, :3], axis=1).astype("<u4")
        value = rng.random((600, 3)).astype("<f4")
        while not self.ended.is_set():
            if not router.poll(50):
                continue
            peer, bytes_ = router.recv_multipart()
            asked = msgpack.unpackb(bytes_)
            if asked["t"] == "describe":
                reply = {"t": "stream", "kind": "codes", "shape": [3], "grid": [4, 3], "pass": 600, "total": 600, **self.more}
            else:
                first = min(asked["from"], 600)
                n = min(asked["n"], 600 - first, 256 - first % 256)
                reply = {"t": "data", "id": self.more["id"], "seq": first, "n": n, "eos": first + n == 600,
                         "index": index[first:first + n].tobytes(), "value": value[first:first + n].tobytes()}
            router.send_multipart([peer, msgpack.packb({"v": 1, **reply})])
        router.close(0)


class Reuse(Case):
    """An invariant layer goes on above the sparse layer that it was trained on, or one that has learned on from that."""

    def layer(self, run, name):
        return self.path(run, "layers", name + ".h5")

    def above(self, run, sparse=None, topo=None, *more, frozen=False, code=0, **values):
        """A run that takes up these layers of earlier runs."""
        sets = []
        for name, origin in (("sparse", sparse), ("topo", topo)):
            sets += ["--set", f"{name}.layer={self.layer(origin, name)}"] if origin else []
        sets += ["--set", "sparse.frozen=true"] if frozen else []
        return self.run_pipeline(run, *sets, *more, code=code, **{"passes": 1, **values})

    def test_the_same_sparse_layer(self):
        self.run_pipeline("a", passes=2)
        fine = "was trained on codes of sparse layer"
        self.above("frozen", "a", frozen=True)  # a new layer above, on the sparse one as it is
        for run, arguments in (
                ("frozen-on", ("a", "frozen")),
                ("other-frames", ("a", "frozen", "--set", "window.seed=5", "--set", "window.frames=700")),
                ("as-trained", ("a", "a")),
                ("copy-of-copy", ("frozen", "frozen")),  # the file that a frozen stage wrote is that layer, too
                ("other-winners", ("a", "a", "--set", "sparse.winners=5"))):
            self.assertNotIn(fine, self.above(run, *arguments, frozen=True, passes=2))
        id_ = attribute(self.layer("a", "sparse"), "stream")
        for run in ("frozen", "frozen-on", "other-frames", "copy-of-copy"):
            self.assertEqual(attribute(self.layer(run, "sparse"), "lineage"), id_)
            self.assertEqual(attribute(self.layer(run, "topo"), "input_layer"), id_)

    def test_a_sparse_layer_that_learns_on(self):
        self.run_pipeline("a", passes=2)
        self.above("b", "a", "a")  # both go on, and again
        self.above("c", "b", "b")
        self.assertEqual(attribute(self.layer("c", "sparse"), "lineage").split(),
                         [attribute(self.layer(run, "sparse"), "stream") for run in "cba"])
        self.above("d", "c", "a")  # an older invariant layer above it
        said = self.above("e", "a", "c", code=65)  # but not back: a has not seen what c has
        self.assertIn(attribute(self.layer("c", "sparse"), "stream"), said)

    def test_another_sparse_layer(self):
        self.run_pipeline("a")
        self.run_pipeline("b", "--set", "sparse.seed=9")
        a, b = (attribute(self.layer(run, "sparse"), "stream") for run in "ab")
        said = self.above("wrong", "b", "a", frozen=True, code=65)
        for part in (a, b, "other_input=true"):
            self.assertIn(part, said)
        said = self.above("wrong", "b", "a", "--set", "topo.other_input=true", frozen=True)
        self.assertIn("as other_input asks", said)
        layer = self.layer("wrong", "topo")
        self.assertEqual((attribute(layer, "other_input"), attribute(layer, "input_layer")), ("true", b))
        self.above("on", "b", "wrong", frozen=True)  # from here on it knows b
        self.above("back", "a", "wrong", frozen=True, code=65)
        self.above("applied", "b", "a", "--set", "topo.other_input=true", "--set", "topo.frozen=true", frozen=True)
        self.assertEqual(attribute(self.layer("applied", "topo"), "input_layer"), a, "it has learned nothing on b")

    def test_new_weights(self):
        self.run_pipeline("a", passes=2)
        self.above("new-sparse", None, "a", code=65)  # weights drawn anew are another layer
        self.above("random", frozen=True)  # never trained, but the same weights: one layer
        self.above("random-on", None, "random", "--set", "window.seed=8", frozen=True)

    def test_recorded_codes(self):
        for run, seed, code in (("a", 2, 0), ("b", 9, 65)):
            self.run_pipeline(run, "--set", f"sparse.seed={seed}", passes=1)
            pipeline = self.write(REPLAYED, recording=self.path(run, "recordings", "tape.h5"), layer=self.layer("a", "topo"))
            self.loom("run", pipeline, "--dir", "replayed-" + run, code=code)

    def test_codes_of_a_stranger(self):
        def run(name, described, *arguments, code=0):
            endpoint = f"ipc://{self.path('s')}{name}"
            codes = Codes(endpoint, described)
            try:
                return self.loom("run", self.write(FOREIGN, endpoint=endpoint), "--dir", name, *arguments, code=code)
            finally:
                codes.ended.set()
                codes.join()
        again = ("--set", f"topo.layer={self.layer('one', 'topo')}")
        run("one", {"id": "first"})
        self.assertEqual(attribute(self.layer("one", "topo"), "input_layer"), "first")
        run("same", {"id": "first"}, *again)
        said = run("other", {"id": "second"}, *again, code=65)
        for part in ("first", "second", "does not say which layer makes it", "other_input=true"):
            self.assertIn(part, said)
        run("forced", {"id": "second"}, *again, "--set", "topo.other_input=true")
        run("told", {"id": "second", "layer": "mine first"}, *again)
        self.assertEqual(attribute(self.layer("told", "topo"), "input_layer"), "mine")
        self.assertIn("layer", run("rubbish", {"id": "third", "layer": 7}, code=65))


if __name__ == "__main__":
    unittest.main(verbosity=2)
