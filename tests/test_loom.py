#!/usr/bin/python3
"""The launcher, from outside: test_loom.py PATH-OF-LOOM [test ...].

Stages are pretended (fake_stage.py), so that they die, hang and complain just when a test wants it.
"""
import fcntl
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PATIENCE = 120  # seconds until a test gives up; never a measure of speed
LOOM = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else "loom"
HERE = os.path.dirname(os.path.abspath(__file__))
PIPELINE = """\
name: toy
stages:
  window: {stage: fakesource, picture: picture.png, frames: 20}
  layer: {stage: fakelayer, in: window, grid: [4, 5], rate: 0.250}
  tape: {stage: fakesink, in: [window, layer]}
  maps: {stage: fakelook, tap: [window, layer]}
"""
BAD = """\
name: Toy!
nmae: toy
stages:
  window: {stage: fakesource, frames: many, passes: 2000}
  layer: {stage: fakelayer, in: windw, grid: [4, 5, 6], rate: 1.5, rul: topo, rule: topi, frozen: maybe, tick: .inf}
  layer: {stage: fakelayer}
  second: {stage: fakelayer, in: layer, tap: window, name: x, layer: [a]}
  tape: {stage: fakesnk, in: window}
  lonely: {stage: fakelayer}
  more: {stage: fakesink, in: [window, window, tape, self, rows]}
  self: {stage: fakesink, in: self}
  rows: {in: window}
  Bad: 3
  none: {stage: fakelook}
  wire: {stage: fakelayer, in: "udp://x"}
  broken: {stage: fakebroken}
  blind: {stage: fakelook, tap: more}
"""
# Every error with its place, in the order of the file.
BAD_ERRORS = """\
bad.yaml:1:7: 'name' must be 1 to 32 of the characters a-z 0-9 _ -
bad.yaml:2:1: a pipeline has 'name' and 'stages', no 'nmae'; did you mean 'name'?
bad.yaml:4:3: 'window' (fakesource) needs 'picture': the picture
bad.yaml:4:39: 'frames' must be a whole number, e.g. 42, not 'many'
bad.yaml:4:53: 'passes' must be from 0 to 1000, not 2000
bad.yaml:5:33: there is no stage 'windw' in this pipeline; did you mean 'window'?
bad.yaml:5:46: 'grid' must be a grid, e.g. [40, 40] or 40x40, not a list
bad.yaml:5:63: 'rate' must be from 0 to 1, not 1.5
bad.yaml:5:68: 'layer' (fakelayer) has no parameter 'rul'; did you mean 'rule'?
bad.yaml:5:85: 'rule' must be one of topo, smooth, smt, not 'topi'; did you mean 'topo'?
bad.yaml:5:99: 'frozen' must be true or false, not 'maybe'
bad.yaml:5:112: 'tick' must be a number, e.g. 0.5, not '.inf'
bad.yaml:6:3: duplicate key 'layer', first used in line 5
bad.yaml:7:34: 'second' (fakelayer) takes frames, but 'layer' (fakelayer) gives codes
bad.yaml:7:46: 'second' (fakelayer) looks at no taps: remove 'tap'
bad.yaml:7:54: 'name' is set by the launcher: remove it
bad.yaml:7:70: 'layer' must be a path, not a list
bad.yaml:8:17: unknown stage 'fakesnk' (there is no program loom-fakesnk beside loom or on PATH); did you mean 'fakesink'?
bad.yaml:9:3: 'lonely' (fakelayer) needs an input: in: the name of a stage that gives frames
bad.yaml:10:31: 'more' (fakesink) takes 1 to 2 inputs, not 5
bad.yaml:10:40: 'window' is named twice
bad.yaml:10:54: 'self' (fakesink) gives no stream to read
bad.yaml:11:31: 'self' cannot read itself
bad.yaml:12:3: 'rows' needs 'stage': the kind of stage it is (see: loom list)
bad.yaml:13:3: the name 'Bad' must be 1 to 32 of the characters a-z 0-9 _ -
bad.yaml:13:8: the settings of 'Bad' must be a map: {stage: ...}
bad.yaml:14:3: 'none' (fakelook) has nothing to look at: tap: names of stages
bad.yaml:15:32: 'udp://x' is not an endpoint: ipc://PATH or tcp://HOST:PORT
bad.yaml:17:33: 'more' (fakesink) gives no stream to look at
"""


class LoomTest(unittest.TestCase):
    """Every test in a folder of its own, with the pretended stages on PATH."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="loom-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        programs = os.path.join(self.folder, "programs")
        os.mkdir(programs)
        for kind in ("source", "layer", "sink", "look", "broken"):
            os.symlink(os.path.join(HERE, "fake_stage.py"), os.path.join(programs, "loom-fake" + kind))
        self.environment = {**os.environ, "PATH": programs + ":/usr/bin:/bin", "TERM": "dumb"}
        self.write("toy.yaml", PIPELINE)
        self.write("picture.png", "")

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, content):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)

    def read(self, *parts):
        with open(self.path(*parts), encoding="utf-8") as file:
            return file.read()

    def lines(self, *parts):
        return [json.loads(line) for line in self.read(*parts).splitlines()]

    def start(self, *arguments, **more):
        return subprocess.Popen([LOOM, *arguments], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)

    def loom(self, *arguments, code=0):
        process = self.start(*arguments)
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, code, f"{arguments}\n{out}\n{err}")
        return out, err

    def wait_for(self, condition, what="something"):
        end = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), end, f"no sign of {what}")
            time.sleep(0.01)

    def wait_for_progress(self, stage="layer", frame=5):
        def there():
            try:
                return int(self.read("runs/toy/checkpoints", stage + ".h5")) >= frame
            except FileNotFoundError:
                return False
        self.wait_for(there, f"frame {frame} of {stage}")

    def arguments(self, stage, run="runs/toy"):
        """The command line the stage was last started with."""
        return self.lines(run, "argv-" + stage)[-1]


class TestLooking(LoomTest):
    def test_validate_good(self):
        out, err = self.loom("validate", "toy.yaml")
        self.assertEqual((out, err), ("toy.yaml: fine: run 'toy' of 4 stages\n", ""))

    def test_validate_says_everything_at_once(self):
        self.write("bad.yaml", BAD)
        err = self.loom("validate", "bad.yaml", code=64)[1]
        found = [line for line in err.splitlines() if "fakebroken" not in line]
        self.assertEqual("\n".join(found[:-1]) + "\n", BAD_ERRORS)
        self.assertIn("bad.yaml:16:19: not a stage: ", err)
        self.assertIn("exit code 3: a riddle", err)
        self.assertEqual(found[-1], "bad.yaml: 30 errors")

    def test_validate_reads_addresses(self):
        """With the function of the stage that serves there."""
        self.write("live.yaml", PIPELINE + "  page: {stage: render, tap: [layer], live: 127.0.0.1}\n")
        err = self.loom("validate", "live.yaml", code=64)[1]
        self.assertRegex(err, r"live.yaml:\d+:\d+: 'live': '127.0.0.1' is no address; give ADDRESS:PORT in numbers")
        self.assertIn("live.yaml: 1 error", err)
        self.write("live.yaml", PIPELINE + "  page: {stage: render, tap: [layer]}\n")
        for address in ("8090", "127.0.0.1:8090", "[::1]:0", "localhost:8090", "0.0.0.0:65535", ""):
            self.loom("validate", "live.yaml", "--set", "page.live=" + address)
        for address in ("65536", "::1:80", "host:80", "127.0.0.1:80x", ":", "[1, 2]"):
            self.assertIn("'live'", self.loom("validate", "live.yaml", "--set", "page.live=" + address, code=64)[1])
            self.loom("run", "live.yaml", "--set", "page.live=" + address, code=64)
        self.assertFalse(os.path.exists(self.path("runs")), "nothing is made of what cannot be run")

    def test_validate_finds_circles(self):
        self.write("ring.yaml", "name: ring\nstages:\n  a: {stage: fakelayer, in: b}\n"
                                "  b: {stage: fakelayer, in: c}\n  c: {stage: fakelayer, in: a}\n")
        err = self.loom("validate", "ring.yaml", code=64)[1]
        self.assertIn("ring.yaml:5:29: a circle: 'c' reads 'a', which reads 'c' in the end", err)

    def test_validate_rubbish(self):
        deep = "a: " + "[" * 40 + "]" * 40
        bomb = "a: &a [x, x]\nb: &b [*a, *a]\nname: x\nstages: {w: {stage: fakesource, picture: *b}}\n"
        for content, said in (("", "empty"), ("\n# nothing\n", "empty"), ("just words", "a pipeline is a map"),
                              ("name: [unclosed", "not valid YAML"), ("a: b\n\tc: d", "2:1: not valid YAML"),
                              (b"name: \xff\xfe\x00", "not valid YAML"), (b"a: b\nc: \x01", "2:4: not valid YAML"),
                              (deep, "nested too deeply"), (bomb, "anchors and aliases are not allowed"),
                              ("name: &a toy\nstages: {}", "anchors and aliases are not allowed"),
                              ("x" * (1 << 20) + "xx", "larger than"), ("a: 1\n---\nb: 2\n", "only one document"),
                              ("name: toy", "'stages' is missing"), ("stages: {}\n", "'name' is missing"),
                              ("name: toy\nstages: []", "'stages' must be a map"), ("? [a]\n: b", "a key must be"),
                              ("name: !!str toy\nstages: {}", "tags are not allowed"),
                              ("a: [" + "x, " * 30000 + "]", "too much in one file"), ('a: "\\0"', "NUL")):
            self.write("bad.yaml", content)
            with self.subTest(said):
                self.assertIn(said, self.loom("validate", "bad.yaml", code=64)[1])
        self.assertIn("No such file", self.loom("validate", "none.yaml", code=64)[1])
        self.assertIn("Is a directory", self.loom("validate", "programs", code=64)[1])

    def test_set_errors_point_at_the_argument(self):
        err = self.loom("validate", "toy.yaml", "--set", "layr.rate=0.1", "--set", "layer.rat=0.1", "--set", "layer.rate=x",
                        "--set", "nonsense", "--set", "layer.in=tape", code=64)[1]
        self.assertEqual(err.splitlines()[:5], [
            "--set layr.rate=0.1: there is no stage 'layr' in toy.yaml; did you mean 'layer'?",
            "--set layer.rat=0.1: 'layer' (fakelayer) has no parameter 'rat'; did you mean 'rate'?",
            "--set layer.rate=x: 'rate' must be a number, e.g. 0.5, not 'x'",
            "--set nonsense: must be STAGE.PARAMETER=VALUE",
            "--set layer.in=tape: 'tape' (fakesink) gives no stream to read"])

    def test_layer_not_there_yet(self):
        self.write("next.yaml", "name: next\nstages:\n  window: {stage: fakesource, picture: picture.png}\n"
                                "  layer: {stage: fakelayer, in: window, layer: runs/toy/layers/layer.h5}\n")
        said = "next.yaml:4:48: {}'layer': there is no file {}{}; the run 'toy' makes it: loom run toy.yaml\n"
        layer = os.path.realpath(self.path()) + "/runs/toy/layers/layer.h5"
        self.assertEqual(self.loom("validate", "next.yaml")[1], said.format("warning: ", layer, " yet"))
        self.assertTrue(self.loom("run", "next.yaml", code=64)[1].startswith(said.format("", layer, "")))
        self.assertFalse(os.path.exists(self.path("runs")), "a folder was made for a run that cannot be")

    def test_graph_dot(self):
        self.assertEqual(self.loom("graph", "toy.yaml", "--set", "window.from=tcp://1.2.3.4:5")[0], """\
digraph "toy" {
  rankdir=LR;
  node [shape=box];
  "window" [label="window\\ntcp://1.2.3.4:5", style=dashed];
  "layer" [label="layer\\nfakelayer"];
  "tape" [label="tape\\nfakesink"];
  "maps" [label="maps\\nfakelook"];
  "window" -> "layer" [label="frames"];
  "window" -> "tape" [label="frames"];
  "layer" -> "tape" [label="codes"];
  "layer" -> "maps" [style=dashed];
}
""")

    def test_graph_mermaid(self):
        self.assertEqual(self.loom("graph", "toy.yaml", "--format", "mermaid", "--set", "layer.in=ipc:///tmp/x")[0], """\
flowchart LR
  s0["window<br/>fakesource"]
  s1["layer<br/>fakelayer"]
  s2["tape<br/>fakesink"]
  s3["maps<br/>fakelook"]
  e1_0_0(["ipc:///tmp/x"]) --> s1
  s0 -->|frames| s2
  s1 -->|codes| s2
  s0 -.-> s3
  s1 -.-> s3
""")

    def test_list_and_inspect(self):
        out = self.loom("list")[0]
        self.assertIn("fakelayer    pretends to be a fakelayer\n", out)
        self.assertRegex(out, "No stages:\n(.*\n)*fakebroken   .*exit code 3: a riddle")
        out = self.loom("inspect", "fakelayer")[0]
        self.assertIn("in      1 stream of frames", out)
        self.assertRegex(out, r"grid +grid +10x10 +1 to 100 units +the grid\n")
        self.assertRegex(out, r"rule +choice +topo +topo, smooth, smt +the rule\n")
        self.assertEqual(json.loads(self.loom("inspect", "fakelayer", "--json")[0])["output"], "codes")
        self.assertIn("did you mean 'fakelayer'?", self.loom("inspect", "fakelayr", code=64)[1])

    def test_stage_under_another_name(self):
        """A copied stage whose own name was forgotten."""
        self.write("programs/loom-mine", "#!/bin/sh\nexec loom-fakelayer \"$@\"\n")
        os.chmod(self.path("programs", "loom-mine"), 0o755)
        told = r"calls itself stage 'fakelayer', but is the program loom-mine: .*\.name = \"mine\""
        self.assertRegex(self.loom("inspect", "mine", code=65)[1], told)
        self.assertRegex(self.loom("list")[0], told)

    def test_large_numbers(self):
        """Limits stand there in full; what does not fit into 64 bits is out of range, and not another type."""
        spec = {"stage": "wide", "inputs": {"kinds": [], "min": 0, "max": 0}, "output": "frames", "params": [
            {"name": "seed", "type": "integer", "default": "1", "min": 0, "max": 2**53},
            {"name": "first", "type": "integer", "default": "0", "min": 0, "max": 2**32 - 1},
            {"name": "share", "type": "real", "default": "0", "min": 1e-9, "max": 1}]}
        self.write("programs/loom-wide", "#!/bin/sh\necho '" + json.dumps(spec) + "'\n")
        os.chmod(self.path("programs", "loom-wide"), 0o755)
        out = self.loom("inspect", "wide")[0]
        for text in ("0 to 9007199254740992 ", "0 to 4294967295 ", "1e-09 to 1 "):
            self.assertIn(text, out)
        for seed in ("18446744073709551615", "-18446744073709551615", "9007199254740993000"):
            self.write("wide.yaml", "name: wide\nstages: {w: {stage: wide, seed: " + seed + "}}\n")
            told = self.loom("validate", "wide.yaml", code=64)[1]
            self.assertIn(f"'seed' must be from 0 to 9007199254740992, not {seed}", told)

    def test_usage(self):
        self.assertIn("loom run", self.loom("help")[0])
        self.assertIn("--restarts", self.loom("help", "run")[0])
        self.assertRegex(self.loom("version")[0], r"^loom \d")
        self.loom(code=64)
        self.loom("run", code=64)
        self.loom("run", "toy.yaml", "--restarts", "x", code=64)
        self.loom("run", "toy.yaml", "--nonsense", code=64)
        self.assertIn("did you mean 'validate'?", self.loom("valdate", code=64)[1])
        self.loom("../bin/sh", code=64)

    def test_a_stage_by_hand(self):
        self.assertEqual(json.loads(self.loom("fakesink", "--spec")[0])["stage"], "fakesink")


class TestRun(LoomTest):
    def test_run_to_the_end(self):
        out, err = self.loom("run", "toy.yaml")
        self.assertEqual(err, "")
        self.assertRegex(out, r"layer: pass 1/2, \d+ frames/s, error 1\n")
        for said in ("'toy' has finished", "layers      runs/toy/layers: ", "recordings  runs/toy/recordings: tape.h5",
                     "pictures    runs/toy/pictures: maps.png", "--set layer.frozen=true"):
            self.assertIn(said, out)
        self.assertEqual(sorted(os.listdir(self.path("runs/toy/checkpoints"))), ["finished"])
        self.assertEqual(os.listdir(self.path("runs/toy/sockets")), [])
        self.assertEqual(os.stat(self.path("runs/toy/sockets")).st_mode & 0o777, 0o700)
        passes = [(line["stage"], line["pass"]) for line in self.lines("runs/toy/metrics.jsonl")]
        self.assertEqual(sorted(passes), [(s, p) for s in ("layer", "tape", "window") for p in (1, 2)])

    def test_wiring(self):
        self.loom("run", "toy.yaml", "--set", "layer.in=ipc://outside", "--set", "layer.note=a b")
        folder = os.path.realpath(self.folder)
        self.assertEqual(self.arguments("window")[1:], [
            "--name", "window", "--run", f"{folder}/runs/toy", "--log", "json", "--required", "tape", "--bind",
            "ipc://sockets/window", "--bind-tap", "ipc://sockets/window.tap", f"--picture={folder}/picture.png", "--frames=20"])
        self.assertEqual(self.arguments("layer")[7:], [
            "--in", f"ipc://{folder}/outside", "--required", "tape", "--bind", "ipc://sockets/layer", "--bind-tap",
            "ipc://sockets/layer.tap", "--grid=4x5", "--rate=0.25", "--note=a b"])
        self.assertEqual(self.arguments("tape")[7:], ["--in", "ipc://sockets/window", "--in", "ipc://sockets/layer"])
        self.assertEqual(self.arguments("maps")[7:],
                         ["--tap", "ipc://sockets/window.tap", "--tap", "ipc://sockets/layer.tap"])

    def test_stage_that_nobody_reads(self):
        self.loom("run", "toy.yaml", "--set", "tape.in=window")
        layer = self.arguments("layer")
        self.assertEqual(layer[layer.index("--required") + 1], "", "it would wait for a reader otherwise")
        self.assertEqual(self.arguments("window")[7:9], ["--required", "layer,tape"])

    def test_tcp_ports_are_shared(self):
        self.loom("run", "toy.yaml", "--transport", "tcp")
        window, tape = self.arguments("window"), self.arguments("tape")
        bound = window[window.index("--bind") + 1]
        self.assertRegex(bound, r"^tcp://127\.0\.0\.1:\d+$")
        self.assertEqual(tape[tape.index("--in") + 1], bound)

    def test_from_outside(self):
        _, err = self.loom("run", "toy.yaml", "--set", "window.from=ipc:///tmp/mine", "--set", "window.picture=none")
        self.assertIn("maps' does not show it", err)
        self.assertFalse(os.path.exists(self.path("runs/toy/argv-window")))
        self.assertIn("ipc:///tmp/mine", self.arguments("layer"))
        self.assertEqual(self.arguments("maps")[7:], ["--tap", "ipc://sockets/layer.tap"])

    def test_what_a_stage_says_is_no_command_to_the_terminal(self):
        evil = "\x1b[2J\x9b0m\nloom: error: all is lost\x07"
        settings = f"rate: 0.250, crash_at: 3, crash_code: 65, complaint: {json.dumps(evil)}"
        self.write("toy.yaml", PIPELINE.replace("rate: 0.250", settings))
        out, err = self.loom("run", "toy.yaml", code=65)
        for text in (out, err):
            self.assertFalse(any(ord(c) < 32 and c != "\n" or 127 <= ord(c) < 160 for c in text), text)
            self.assertNotRegex(text, "(?m)^loom: error: all is lost")
        self.assertIn("\\x1b[2J\\xc2\\x9b0m\\nloom: error: all is lost\\x07", err)

    def test_paths(self):
        self.write("elsewhere/picture.png", "")
        self.write("pipes/toy.yaml", PIPELINE.replace("picture.png", "../elsewhere/picture.png"))
        self.loom("run", "pipes/toy.yaml", "--set", "layer.layer=pipes/toy.yaml", "--dir", "deep/down/run/")
        folder = os.path.realpath(self.folder)
        self.assertIn(f"--picture={folder}/elsewhere/picture.png", self.arguments("window", "deep/down/run"))
        self.assertIn(f"--layer={folder}/pipes/toy.yaml", self.arguments("layer", "deep/down/run"))
        self.assertIn("finished before", self.loom("run", "deep/down/run/pipeline.yaml", "--dir", "deep/down/run")[0])

    def test_json_log(self):
        out, err = self.loom("run", "toy.yaml", "--log", "json", "--set", "layer.say=hello \"you\"")
        events = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(err, "")
        self.assertEqual({event["event"] for event in events}, {"log", "progress", "pass"})
        self.assertIn({"stage": "layer", "level": "info", "message": "hello \"you\""},
                      [{key: event.get(key) for key in ("stage", "level", "message")} for event in events])
        self.assertIn("hello \"you\"", [line["message"] for line in self.lines("runs/toy/log.jsonl")])

    def test_quiet(self):
        self.assertEqual(self.loom("run", "toy.yaml", "--quiet"), ("", ""))

    def test_no_passes(self):
        self.loom("run", "toy.yaml", *(word for stage in ("window", "layer", "tape")
                                       for word in ("--set", stage + ".passes=0")))
        self.assertEqual(self.read("runs/toy/layers/layer.h5"), "0")

    def test_reader_of_output_leaves(self):
        process = self.start("run", "toy.yaml")
        process.stdout.close()
        process.stderr.close()
        self.assertEqual(process.wait(timeout=PATIENCE), 0)

    def test_terminal_shows_bars(self):
        try:
            master, slave = pty.openpty()
        except OSError as error:
            self.skipTest(f"no terminals here: {error}")
        self.environment["TERM"] = "xterm"
        process = subprocess.Popen([LOOM, "run", "toy.yaml", "--set", "layer.complaint=oh", "--set", "layer.crash_at=3"],
                                   cwd=self.folder, env=self.environment, stdout=slave, stderr=slave)
        os.close(slave)
        shown = b""
        try:
            while chunk := os.read(master, 65536):
                shown += chunk
        except OSError:
            pass
        os.close(master)
        self.assertEqual(process.wait(timeout=PATIENCE), 0)
        self.assertIn(b"\x1b[4A\r", shown)
        self.assertRegex(shown, rb"layer   #+\.+  pass \d/2  \d+ frames/s  error [\d.]+  eta 0:")
        self.assertIn(b"layer: error: oh\r\n", shown)


class TestDeath(LoomTest):
    def test_killed_stage_is_started_again(self):
        # Dies just after the first pass, its checkpoint being from just before: it tells that pass three times.
        _, err = self.loom("run", "toy.yaml", "--set", "layer.frames=18", "--set", "layer.crash_at=19", "--set",
                           "layer.crash_times=2")
        self.assertEqual(err.count("died by signal 9"), 2)
        self.assertEqual(self.read("runs/toy/layers/layer.h5"), "36")
        self.assertEqual(len(self.lines("runs/toy/argv-layer")), 3)
        self.assertEqual(self.lines("runs/toy/argv-layer")[0], self.lines("runs/toy/argv-layer")[2])
        passes = [line["pass"] for line in self.lines("runs/toy/metrics.jsonl") if line["stage"] == "layer"]
        self.assertEqual(passes, [1, 2], "a pass told twice is kept once")

    def test_codes_that_restart(self):
        for code in ("69", "70", "130"):
            with self.subTest(code):
                self.loom("run", "toy.yaml", "--set", "layer.crash_at=7", "--set", "layer.crash_code=" + code)
                self.assertEqual(len(self.lines("runs/toy/argv-layer")), 2)

    def test_died_on_its_way_out(self):
        for crash, starts in ((39, 2), (40, 1)):  # before its last frame, and after
            with self.subTest(crash):
                self.loom("run", "toy.yaml", "--again", "--set", f"tape.crash_at={crash}", "--set", "tape.tick=0.02")
                self.assertEqual(len(self.lines("runs/toy/argv-tape")), starts)

    def test_limit_without_progress(self):
        _, err = self.loom("run", "toy.yaml", "--restarts", "2", "--set", "layer.crash_at=7", "--set",
                           "layer.crash_times=100", "--set", "layer.crash_code=69", "--set", "layer.complaint=nobody home",
                           "--set", "window.linger=true", code=69)
        self.assertEqual(len(self.lines("runs/toy/argv-layer")), 3)
        self.assertEqual(err.splitlines()[-1], "loom: layer: nobody home")
        self.assertIn("again and again without progress", err)

    def test_died_too_often_by_signal(self):
        self.loom("run", "toy.yaml", "--restarts", "0", "--set", "layer.crash_at=7", code=70)

    def test_progress_clears_the_count(self):
        _, err = self.loom("run", "toy.yaml", "--restarts", "2", "--set", "layer.crash_at=7", "--set",
                           "layer.crash_again_at=17", "--set", "layer.crash_times=2")
        pauses = [line.rsplit(" ", 2)[-2] for line in err.splitlines() if "starting it again" in line]
        self.assertEqual(pauses, ["0.1", "0.2", "0.1", "0.2"])

    def test_permanent_failure_stops_the_run(self):
        for code in (64, 65, 74, 3):
            with self.subTest(code):
                _, err = self.loom("run", "toy.yaml", "--set", "layer.crash_at=37", "--set", f"layer.crash_code={code}",
                                   "--set", "layer.complaint=the picture is torn", "--set", "window.linger=true", "--again",
                                   code=code)
                self.assertEqual(err.splitlines()[-1], "loom: layer: the picture is torn")
                self.assertEqual(len(self.lines("runs/toy/argv-layer")), 1)
                self.assertTrue(os.path.exists(self.path("runs/toy/checkpoints/window.h5")), "the others save")

    def test_a_looker_does_not_stop_the_run(self):
        _, err = self.loom("run", "toy.yaml", "--set", "maps.crash_at=0", "--set", "maps.crash_code=74", code=74)
        self.assertIn("the run goes on without it", err)
        self.assertTrue(os.path.exists(self.path("runs/toy/checkpoints/finished")))

    def test_program_that_cannot_start(self):
        os.remove(self.path("programs/loom-fakelayer"))
        self.write("programs/loom-fakelayer", "#!/bin/sh\n[ \"$1\" = --spec ] && exec /usr/bin/python3 -c '\n"
                   "print(\"{stage: fakelayer, inputs: {kinds: [frames], min: 1, max: 1}, output: codes,\"\n"
                   "      \"params: [{name: grid, type: grid}, {name: rate, type: real}]}\")'\nexit 127\n")
        os.chmod(self.path("programs/loom-fakelayer"), 0o755)
        self.loom("run", "toy.yaml", code=127)

    def test_killed_while_others_work_on(self):
        process = self.start("run", "toy.yaml", "--set", "layer.tick=0.1", "--log", "json")
        self.wait_for_progress()
        found = subprocess.run(["pgrep", "-f", "loom-fakelayer --name layer .*4x5"], capture_output=True, text=True, check=True)
        pids = [int(pid) for pid in found.stdout.split() if os.readlink(f"/proc/{pid}/cwd").startswith(
            os.path.realpath(self.folder))]
        os.kill(pids[0], signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(self.read("runs/toy/layers/layer.h5"), "40")


class TestEnd(LoomTest):
    def test_stubborn_looker_is_killed(self):
        _, err = self.loom("run", "toy.yaml", "--set", "maps.stubborn=true", "--grace", "0.3")
        self.assertIn("maps does not end: killing it", err)

    def test_stopped_looker_is_woken(self):
        process = self.start("run", "toy.yaml", "--set", "layer.tick=0.1")
        self.wait_for_progress()
        found = subprocess.run(["pgrep", "-f", "loom-fakelook --name maps"], capture_output=True, text=True, check=True)
        for pid in found.stdout.split():
            if os.readlink(f"/proc/{pid}/cwd").startswith(os.path.realpath(self.folder)):
                os.kill(int(pid), signal.SIGSTOP)
        out, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0)
        self.assertIn("maps.png", out)

    def test_lingering_stage_is_asked(self):
        _, err = self.loom("run", "toy.yaml", "--set", "window.linger=true", "--grace", "0.2", code=70)
        self.assertIn("window does not end, although all that read it are done", err)
        self.assertFalse(os.path.exists(self.path("runs/toy/checkpoints/finished")))
        self.assertTrue(os.path.exists(self.path("runs/toy/checkpoints/layer.h5")), "nothing is removed")

    def test_interrupt_saves_and_continues(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                arguments = ["run", "toy.yaml", "--again", "--set", "layer.tick=0.05", "--set", f"tape.note={number}"]
                process = self.start(*arguments)
                self.wait_for_progress()
                process.send_signal(number)
                _, err = process.communicate(timeout=PATIENCE)
                self.assertEqual(process.returncode, 130, err)
                self.assertIn("to go on: loom run toy.yaml --set layer.tick=0.05", err)
                saved = int(self.read("runs/toy/checkpoints/layer.h5"))
                self.assertLess(saved, 40)
                arguments.remove("--again")
                _, err = self.loom(*arguments)
                self.assertIn("going on with runs/toy", err)
                self.assertEqual(self.read("runs/toy/layers/layer.h5"), "40")
                shutil.rmtree(self.path("runs"))

    def test_second_interrupt_kills(self):
        process = self.start("run", "toy.yaml", "--set", "layer.stubborn=true", "--set", "layer.tick=0.3")
        self.wait_for_progress(frame=5)
        process.send_signal(signal.SIGINT)
        self.wait_for(lambda: json.loads(self.read("runs/toy/status.json"))["ending"] == "stopped", "the first one")
        self.assertIsNone(process.poll(), "it waits for the stage to save")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 130)
        self.assertIn("layer ended without saving", err)

    def test_launcher_killed(self):
        command = ["run", "toy.yaml"] + [word for stage in ("window", "layer", "tape")
                                         for word in ("--set", stage + ".tick=0.05")]
        process = self.start(*command)
        self.wait_for_progress()
        process.kill()
        process.communicate()
        _, err = self.loom(*command)
        self.assertIn("going on with", err)
        self.assertEqual(self.read("runs/toy/layers/layer.h5"), "40")
        self.assertEqual(sorted((line["stage"], line["pass"]) for line in self.lines("runs/toy/metrics.jsonl")),
                         [(s, p) for s in ("layer", "tape", "window") for p in (1, 2)])


class TestFolder(LoomTest):
    def test_finished_other_again(self):
        self.loom("run", "toy.yaml")
        out, _ = self.loom("run", "toy.yaml")
        self.assertIn("'toy' has finished before: runs/toy", out)
        self.assertEqual(len(self.lines("runs/toy/argv-layer")), 1)
        out, _ = self.loom("run", "toy.yaml", "--set", "layer.note=local", "--set", "layer.rate=0.25")
        self.assertIn("finished before", out, "what changes no results does not count")
        _, err = self.loom("run", "toy.yaml", "--set", "layer.rate=0.1")
        self.assertIn("runs/toy held another run: moved aside to runs/toy.1", err)
        _, err = self.loom("run", "toy.yaml", "--again")
        self.assertIn("moved aside to runs/toy.2", err)
        self.assertEqual(self.read("runs/toy.1/layers/layer.h5"), "40")

    def test_layer_of_the_folder_that_is_moved_aside(self):
        self.loom("run", "toy.yaml")
        command = ["run", "toy.yaml", "--set", "layer.layer=runs/toy/layers/layer.h5"]
        process = self.start(*command, "--set", "layer.tick=0.05")
        self.wait_for(lambda: os.path.exists(self.path("runs/toy/asked.yaml")), "asked.yaml")
        self.wait_for_progress()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        moved = "--layer=" + os.path.realpath(self.path("runs/toy.1/layers/layer.h5"))
        self.assertIn(moved, self.arguments("layer"))
        _, err = self.loom(*command, "--set", "layer.tick=0.05")
        self.assertIn("going on with", err)
        self.assertIn(moved, self.arguments("layer"))
        self.assertIn("finished before", self.loom(*command, "--set", "layer.tick=0.05")[0])
        self.assertFalse(os.path.exists(self.path("runs/toy.2")))

    def test_two_launchers(self):
        process = self.start("run", "toy.yaml", "--set", "layer.tick=0.2")
        self.wait_for_progress()
        _, err = self.loom("run", "toy.yaml", code=69)
        self.assertIn(f"another loom run (process {process.pid})", err)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)

    def test_orphans_hold_the_folder(self):
        os.makedirs(self.path("runs/toy"))
        with open(self.path("runs/toy/lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write("999999999\n")
            lock.flush()
            _, err = self.loom("run", "toy.yaml", "--grace", "0.3", code=69)
        self.assertIn(f"stages of an earlier run are still alive there (processes {os.getpid()})", err)

    def test_folder_of_somebody_else(self):
        self.write("mine/thesis.tex", "precious")
        self.assertIn("is not the folder of a run", self.loom("run", "toy.yaml", "--dir", "mine", code=64)[1])
        self.write("file", "")
        self.loom("run", "toy.yaml", "--dir", "file", code=74)
        self.assertEqual(os.listdir(self.path("mine")), ["thesis.tex"])

    def test_torn_journal(self):
        process = self.start("run", "toy.yaml", "--set", "layer.tick=0.05")
        self.wait_for_progress()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        with open(self.path("runs/toy/metrics.jsonl"), "a", encoding="utf-8") as file:
            file.write('{"torn":')
        self.loom("run", "toy.yaml", "--set", "layer.tick=0.05")
        self.assertEqual(len(self.lines("runs/toy/metrics.jsonl")), 6)


if __name__ == "__main__":
    unittest.main()
