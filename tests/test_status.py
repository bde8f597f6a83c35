#!/usr/bin/python3
"""RUN/status.json, of real runs: whole at any moment, true at the end, and no run ends because of it.

    tests/test_status.py FOLDER_OF_PROGRAMS [unittest arguments]"""

import contextlib
import datetime
import json
import os
import signal
import sys
import time
import unittest

from loom_case import Case, PATIENCE, PIPELINE, SOURCE, program

MAPS = "  maps:   {{stage: render, tap: [window, sparse, topo]}}\n"
SHARES = ("computing", "waiting_input", "waiting_output")
STAGE_KEYS = {"name", "kind", "member", "state", "frame", "frames", "pass", "passes", "rate", *SHARES, "cpu", "queue", "restarts",
              "silent_s", "metrics"}
KEYS = {"v", "time", "run", "state", "ending", "host", "elapsed_s", "processors", "busy", "stages", "limits", "sentence"}
LONG = ("--set", "window.passes=1000000")  # goes on until it is stopped


def age(status):
    written = datetime.datetime.fromisoformat(status["time"].replace("Z", "+00:00"))
    return (datetime.datetime.now(datetime.timezone.utc) - written).total_seconds()


class Status(Case):
    def status(self, run="run"):
        with open(self.path(run, "status.json"), encoding="utf-8") as file:
            return json.load(file)

    def stages(self, status):
        return {stage["name"]: stage for stage in status["stages"]}

    def launch(self, *arguments, text=PIPELINE, **values):
        return self.start(program("loom"), "run", self.write(text, **values), "--dir", "run", *arguments)

    def wait_for(self, launcher, condition, run="run"):
        """The first status for which `condition` holds."""
        seen = []

        def found():
            with contextlib.suppress(FileNotFoundError):
                seen[:] = [self.status(run)]
            return seen and condition(seen[0])

        self.until(found, lambda: f"it was seen; the last status: {seen}", launcher)
        return seen[0]

    def all_tell(self, status):
        return all(stage["computing"] is not None for stage in status["stages"])

    def is_stopped(self, pid):
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] == "T"

    def stop(self, launcher):
        launcher.send_signal(signal.SIGINT)
        self.finish(launcher, 130)

    def check(self, status):
        """What holds for every status.json."""
        self.assertEqual(set(status), KEYS)
        self.assertEqual(status["v"], 1)
        for stage in status["stages"]:
            self.assertEqual(set(stage), STAGE_KEYS)
            self.assertEqual(set(stage["queue"]), {"input", "held", "ring"})
            self.assertIn(stage["state"], ("starting", "running", "restarting", "done", "stopped", "failed"))
            shares = [stage[name] for name in SHARES]
            if None in shares:
                self.assertEqual(set(shares), {None})
            else:
                self.assertAlmostEqual(sum(shares), 1, delta=0.001)
                self.assertTrue(all(0 <= share <= 1 for share in shares), shares)
        if status["limits"] is not None:
            self.assertIn(status["limits"], self.stages(status))

    # ---- while a run goes on ----

    def test_is_whole_at_any_moment(self):
        launcher = self.launch(*LONG, text=PIPELINE + MAPS)
        self.wait_for(launcher, self.all_tell)
        files, begin = {}, time.monotonic()
        while len(files) < 5:
            self.assertLess(time.monotonic(), begin + 30, "it is written about once a second")
            file = open(self.path("run", "status.json"), encoding="utf-8")
            status = json.load(file)
            self.check(status)
            self.assertEqual(status["state"], "running")
            if status["time"] in files:
                file.close()
            else:
                files[status["time"]] = file  # and stays open, so that no other file has its number
                self.addCleanup(file.close)
        numbers = {os.fstat(file.fileno()).st_ino for file in files.values()}
        self.assertEqual(len(numbers), len(files), "each time as a new file, renamed when it is whole")
        self.stop(launcher)
        self.assertNotIn("status.json.part", os.listdir(self.path("run")))

    def test_says_what_the_stages_do(self):
        launcher = self.launch(*LONG, text=PIPELINE + MAPS)
        status = self.wait_for(launcher, lambda status: self.all_tell(status) and self.stages(status)["topo"]["pass"] > 1 and
                               self.stages(status)["maps"]["waiting_input"] > 0.5)
        stages = self.stages(status)
        self.assertEqual([(stage["name"], stage["kind"]) for stage in status["stages"]],
                         [("window", "generate"), ("sparse", "sparse"), ("topo", "invariant"), ("tape", "record"), ("maps", "render")])
        self.assertEqual({stage["state"] for stage in status["stages"]}, {"running"})
        self.assertEqual(stages["sparse"]["frames"], 1000 * 1000000)
        self.assertGreater(stages["sparse"]["frame"], 1000)
        self.assertGreater(stages["sparse"]["rate"], 0)
        self.assertIn("reconstruction_error", stages["sparse"]["metrics"])
        self.assertIn("homogeneity", stages["topo"]["metrics"], "known at the end of a pass only, but not forgotten then")
        for name in ("sparse", "topo"):
            self.assertIsInstance(stages[name]["queue"]["input"], int)
            self.assertLessEqual(stages[name]["queue"]["held"], stages[name]["queue"]["ring"])
        self.assertEqual(stages["window"]["queue"], {"input": None, "held": None, "ring": None})
        self.assertIsNone(stages["maps"]["frame"])
        self.assertIsNone(stages["sparse"]["member"])
        self.assertIsInstance(status["sentence"], str)
        self.stop(launcher)

    def test_a_pace_limits(self):
        launcher = self.launch(*LONG, "--set", "window.rate=300")
        status = self.wait_for(launcher, lambda status: self.all_tell(status) and status["limits"] == "window" and
                               self.stages(status)["sparse"]["waiting_input"] > 0.5)
        self.assertRegex(status["sentence"], "^window limits the run: it waits .* to keep the pace")
        self.stop(launcher)

    def test_a_full_ring_is_seen(self):
        """A stage whose reader is stopped waits for room, and says so."""
        text = PIPELINE.replace("seed: 2,", "seed: 2, ring: 1, patience: 3,")
        launcher = self.launch(*LONG, text=text)
        status = self.wait_for(launcher, lambda status: self.all_tell(status) and self.stages(status)["topo"]["frame"] > 0)
        restarts = self.stages(status)["sparse"]["restarts"]  # it may have found nobody at first
        topo = self.stage_pid(launcher, "topo")
        os.kill(topo, signal.SIGSTOP)
        status = self.wait_for(launcher, lambda status: (self.stages(status)["sparse"]["waiting_output"] or 0) > 0.9 and
                               self.stages(status)["sparse"]["cpu"] < 0.3)  # what it cannot take does not wake it all the time
        queue = self.stages(status)["sparse"]["queue"]
        self.assertGreater(queue["held"], 0.8 * queue["ring"])
        status = self.wait_for(launcher, lambda status: status["limits"] == "topo")
        self.assertRegex(status["sentence"], r"^topo limits the run: it has told nothing for \d+ s")
        self.assertIsNone(self.stages(status)["topo"]["computing"])
        self.assertGreater(self.stages(status)["topo"]["silent_s"], 4)
        time.sleep(5)
        self.assertEqual(self.stages(self.status())["sparse"]["restarts"], restarts, "its input is not silent: there is no place for it")
        os.kill(topo, signal.SIGCONT)
        self.stop(launcher)

    def test_restarts_are_counted(self):
        launcher = self.launch(*LONG, checkpoint=0)
        for count in (1, 2):
            self.wait_for(launcher, lambda status: self.stages(status)["sparse"]["state"] == "running" and
                          (self.stages(status)["sparse"]["rate"] or 0) > 0)
            os.kill(self.until(lambda: self.stage_pid(launcher, "sparse"), "it was there", launcher), signal.SIGKILL)
            self.wait_for(launcher, lambda status: self.stages(status)["sparse"]["restarts"] == count)
        self.stop(launcher)
        self.assertEqual(self.stages(self.status())["sparse"]["restarts"], 2)

    def test_a_stage_in_another_language_tells_no_shares(self):
        with open(self.path("loom-mine"), "w", encoding="utf-8") as file:
            file.write(FOREIGN)
        os.chmod(self.path("loom-mine"), 0o755)
        environment = {**os.environ, "PATH": self.folder + ":/usr/bin:/bin"}
        pipeline = self.write("name: test\nstages:\n  mine: {stage: mine}\n", "mine.yaml")
        launcher = self.start(program("loom"), "run", pipeline, "--dir", "run", env=environment)
        status = self.wait_for(launcher, lambda status: status["stages"][0]["frame"] == 7)
        self.check(status)
        stage = status["stages"][0]
        self.assertEqual([stage[key] for key in (*SHARES, "cpu", "rate", "metrics")], [None] * 4 + [12.5, {"error": 0.25}])
        self.assertEqual(stage["queue"], {"input": None, "held": None, "ring": None})
        self.assertEqual((status["limits"], status["sentence"]), (None, ""))
        launcher.send_signal(signal.SIGINT)
        launcher.wait(PATIENCE)

    def test_pause_is_said(self):
        launcher = self.launch(*LONG)
        self.wait_for(launcher, self.all_tell)
        launcher.send_signal(signal.SIGTSTP)
        self.wait_for(launcher, lambda status: status["state"] == "paused")
        self.until(lambda: self.is_stopped(launcher.pid), "it stood still", launcher)
        launcher.send_signal(signal.SIGCONT)
        self.wait_for(launcher, lambda status: status["state"] == "running")
        self.stop(launcher)

    def test_a_pause_counts_for_nothing(self):
        """Longer than the silence of which a stage is suspected."""
        launcher, pause = self.launch(*LONG), 7
        self.wait_for(launcher, self.all_tell)
        time.sleep(3)
        launcher.send_signal(signal.SIGTSTP)
        self.wait_for(launcher, lambda status: status["state"] == "paused")
        time.sleep(pause)
        launcher.send_signal(signal.SIGCONT)
        seen = {}

        def look():
            status = self.status()
            if status["state"] == "running":
                seen[status["time"]] = status
            return len(seen) > 3

        self.until(look, "it was written", launcher)
        self.stop(launcher)
        for status in seen.values():
            self.assertNotIn("told nothing", status["sentence"])
            self.assertTrue(self.all_tell(status))
            for stage in status["stages"]:
                self.assertLess(stage["silent_s"], pause)
        status = self.status()
        for stage in status["stages"]:
            active = stage["frame"] / stage["rate"]
            self.assertLess(active, status["elapsed_s"] - pause + 1, f"{stage['name']}: the pause counts")
            self.assertGreater(active, 0.5 * (status["elapsed_s"] - pause))

    def test_frames_that_come_in_lumps_have_an_even_rate(self):
        """200 frames a second and a pass: the layers take each pass at once."""
        launcher = self.launch(*LONG, "--set", "window.frames=200", "--set", "window.rate=200", "--set", "window.block=200",
                               "--set", "sparse.block=200", "--set", "topo.block=200")
        self.wait_for(launcher, lambda status: self.all_tell(status) and self.stages(status)["topo"]["pass"] > 4)
        rates = {}

        def look():
            status = self.status()
            rates[status["time"]] = [stage["rate"] for stage in status["stages"]]
            return len(rates) > 5

        self.until(look, "it was written", launcher)
        self.stop(launcher)
        for some in rates.values():
            for rate in some:
                self.assertTrue(130 < rate < 300, rates)

    # ---- at the end ----

    def test_final_state(self):
        self.run_pipeline("run")
        status = self.status()
        self.check(status)
        self.assertEqual(status["state"], "finished")
        self.assertRegex(status["sentence"], r"^The run has finished\.")
        for stage in status["stages"]:
            self.assertEqual((stage["state"], stage["frame"], stage["frames"], stage["passes"]), ("done", 3000, 3000, 3))
            self.assertIsNotNone(stage["computing"], "of the whole run")
            self.assertGreater(stage["rate"], 0)
        with open(self.path("run", "metrics.jsonl"), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        last = [line["metrics"] for line in lines if line["stage"] == "sparse"][-1]
        metrics = self.stages(status)["sparse"]["metrics"]
        self.assertEqual({name: metrics[name] for name in last}, last)
        self.loom("run", self.path("test.yaml"), "--dir", "run")  # finished before: nothing is done
        self.assertEqual(self.status(), status)

    def test_stopped_and_continued(self):
        launcher = self.launch("--set", "window.passes=30", "--set", "window.rate=1000")
        self.wait_for(launcher, self.all_tell)
        self.stop(launcher)
        status = self.status()
        self.check(status)
        self.assertEqual((status["state"], {stage["state"] for stage in status["stages"]} - {"done"}), ("stopped", {"stopped"}))
        self.loom("run", self.path("test.yaml"), "--dir", "run", "--set", "window.passes=30", "--set", "window.rate=0")
        self.assertEqual(self.status()["state"], "finished")

    def test_failed(self):
        self.write("not a picture", "bad.png")
        self.run_pipeline("run", "--set", "window.tapestry=bad.png", code=65)
        status = self.status()
        self.check(status)
        self.assertEqual((status["state"], self.stages(status)["window"]["state"]), ("failed", "failed"))
        self.assertRegex(status["sentence"], r"^The run has failed\. window: .*bad\.png")

    def test_killed_launcher_leaves_a_file_that_grows_old(self):
        launcher = self.launch(*LONG)
        self.wait_for(launcher, self.all_tell)
        launcher.kill()
        launcher.wait()
        before = self.status()
        time.sleep(1.5)
        status = self.status()
        self.assertEqual((status["state"], status["time"]), ("running", before["time"]))
        self.assertGreater(age(status), 1.4)

    def test_a_disk_that_is_full_ends_no_run(self):
        """As if the disk were full: where the file would be written lies a folder."""
        os.makedirs(self.path("run", "status.json.part", "in-the-way"))
        said = self.run_pipeline("run", "--set", "window.rate=1500")
        self.assertEqual(said.count("status.json"), 1, said)
        self.assertIn("status.json cannot be written: Is a directory", said)
        self.assertIn("the run goes on", said)
        self.assertEqual(set(self.result("run")), {"layers/sparse", "layers/topo", "recording"})
        self.assertFalse(os.path.exists(self.path("run", "status.json")))

    # ---- sweeps ----

    def test_sweep(self):
        pipeline = self.write(PIPELINE)
        launcher = self.start(program("loom"), "sweep", pipeline, "--over", "topo.strength=0.1,0.3", "--dir", "run", *LONG)
        status = self.wait_for(launcher, self.all_tell)
        self.check(status)
        self.assertEqual([(stage["name"], stage["member"]) for stage in status["stages"]],
                         [("window", None), ("sparse", None), ("tape", None)] +
                         [(f"strength={value}/{name}", f"strength={value}") for value in ("0.1", "0.3") for name in ("topo", "tape")])
        self.stop(launcher)
        self.assertEqual(self.status()["state"], "stopped")
        self.loom("sweep", pipeline, "--over", "topo.strength=0.1,0.3", "--dir", "short")
        status = self.status("short")
        self.check(status)
        self.assertEqual((status["state"], {stage["state"] for stage in status["stages"]}), ("finished", {"done"}))
        self.assertFalse(os.path.exists(self.path("short", "strength=0.1", "status.json")))

    # ---- from Python ----

    def test_from_python(self):
        sys.path.insert(0, os.path.join(SOURCE, "tools", "python"))
        import loom  # pylint: disable=import-outside-toplevel,import-error

        os.environ["PATH"] = os.path.dirname(program("loom")) + ":" + os.environ["PATH"]
        run = loom.run(self.write(PIPELINE), dir=self.path("run"))
        self.addCleanup(run._errors.close)  # pylint: disable=protected-access
        seen = run.status()
        self.assertIn(seen["state"], ("running", "finished"))
        self.assertEqual(run.wait(), 0)
        self.assertEqual(run.status(), self.status())
        os.unlink(self.path("run", "status.json"))
        with self.assertRaises(loom.Error):
            run.status()

    def test_from_python_without_a_status(self):
        """It cannot be written, as on a full disk: that is said, and not waited for for ever."""
        sys.path.insert(0, os.path.join(SOURCE, "tools", "python"))
        import loom  # pylint: disable=import-outside-toplevel,import-error

        os.environ["PATH"] = os.path.dirname(program("loom")) + ":" + os.environ["PATH"]
        os.makedirs(self.path("run", "status.json.part", "in-the-way"))
        run = loom.run(self.write(PIPELINE, passes=1000000), dir=self.path("run"))
        self.addCleanup(run._errors.close)  # pylint: disable=protected-access
        try:
            with self.assertRaisesRegex(loom.Error, "status.json .* 0.5 s"):
                run.status(timeout=0.5)
        finally:
            self.assertEqual(run.stop(), 130)


FOREIGN = r"""#!/usr/bin/python3
import json, signal, sys, time
if sys.argv[1:] == ["--spec"]:
    print(json.dumps({"stage": "mine", "summary": "x", "version": "1", "inputs": {"kinds": [], "min": 0, "max": 0}, "taps": False,
                      "output": "frames", "common": [], "params": []}))
    sys.exit(0)
print(json.dumps({"event": "progress", "frame": 7, "rate": 12.5, "metrics": {"error": 0.25}}), file=sys.stderr, flush=True)
signal.pause()
"""

if __name__ == "__main__":
    unittest.main()
