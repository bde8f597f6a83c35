#!/usr/bin/python3
"""loom top: what it prints, what it shows in a terminal (a pseudo-terminal here), and that it leaves both the terminal and the
run as they were.

    tests/test_top.py FOLDER_OF_PROGRAMS [unittest arguments]"""

import contextlib
import datetime
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time
import unittest

from loom_case import Case, PATIENCE, PIPELINE, program

LONG = ("--set", "window.passes=1000000", "--set", "window.rate=5000")
ENTER, LEAVE = "\033[?1049h", "\033[?1049l"
CONTROL = re.compile("\033\\[[0-9;?]*[A-Za-z]")
TOP_KEYS = {"v", "time", "run", "state", "ending", "host", "elapsed_s", "processors", "busy", "stages", "limits", "sentence", "folder"}


def stamp(age_s=0):
    moment = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=age_s)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def stage(name, **more):
    return {"name": name, "kind": "sparse", "member": None, "state": "running", "frame": 50, "frames": 100, "pass": 1, "passes": 2,
            "rate": 1234.5, "computing": 0.97, "waiting_input": 0.02, "waiting_output": 0.01, "cpu": 0.9,
            "queue": {"input": 7, "held": 50, "ring": 100}, "restarts": 0, "silent_s": 0.1, "metrics": {"error": 0.25}, **more}


class Terminal:
    """A program in a pseudo-terminal of its own."""

    def __init__(self, command, folder, columns=100, rows=30, **environment):
        self.output, self.code = "", None
        known, when_known = os.pipe()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.close(when_known)
            os.read(known, 1)  # until the other side has seen the terminal as it was before
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.chdir(folder)
            variables = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "COLORTERM": "", "NO_COLOR": "", **environment}
            os.execve(command[0], command, variables)
        self.before = termios.tcgetattr(self.fd)
        os.close(when_known)
        os.close(known)

    def read(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.output += os.read(self.fd, 1 << 16).decode("utf-8", "surrogateescape")
                except OSError:
                    return

    def shown(self):
        """What was drawn last, as a list of lines; of a drawing that is whole."""
        return frames(self.output.rpartition("\033[H")[0])[-1]

    def wait_for_screen(self, test, condition, what):
        """Read until the condition holds for what is shown."""
        end = time.monotonic() + PATIENCE
        self.read(0.1)
        while not condition(self.shown()):
            if time.monotonic() > end:
                test.fail(f"{what} never came: {self.shown()}")
            self.read(0.1)

    def wait_for(self, test, text=None):
        """Read until the text, or a regular expression, has come since the last call."""
        end = time.monotonic() + PATIENCE
        begin = len(self.output)
        while time.monotonic() < end:
            self.read(0.1)
            if re.search(text, self.output[begin:]):
                return self.output[begin:]
        return test.fail(f"'{text}' never came: {self.output[begin:][-2000:]!r}")

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def resize(self, columns, rows):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def attributes(self):
        return termios.tcgetattr(self.fd)

    def end(self):
        """Wait for the end: the exit code, or minus the signal."""
        limit = time.monotonic() + PATIENCE
        while self.code is None and time.monotonic() < limit:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        self.read(0.1)
        return self.code

    def close(self):
        if self.code is None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
        os.close(self.fd)


def frames(output):
    """What was drawn, one after the other, as lists of lines."""
    return [[CONTROL.sub("", line) for line in part.split("\r\n")] for part in output.split("\033[H")[1:]]


class Top(Case):
    def top(self, *arguments, code=0, **environment):
        variables = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", **environment}
        child = self.start(program("loom"), "top", *arguments, env=variables)
        try:
            out, err = child.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            self.fail("loom top did not end")
        self.assertEqual(child.returncode, code, out + err)
        return out, err

    def terminal(self, *arguments, **more):
        terminal = Terminal([program("loom"), "top", *arguments], self.folder, **more)
        self.addCleanup(terminal.close)
        return terminal

    def launch(self, run="runs/a", *arguments):
        launcher = self.start(program("loom"), "run", self.write(PIPELINE), "--dir", run, "--quiet", *LONG, *arguments)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(FileNotFoundError):
                with open(self.path(run, "status.json"), encoding="utf-8") as file:
                    if all(stage["computing"] is not None for stage in json.load(file)["stages"]):
                        return launcher
            time.sleep(0.05)
        return self.fail("the run does not begin")

    def stop(self, launcher):
        launcher.send_signal(signal.SIGINT)
        self.finish(launcher, 130)

    def make_run(self, run="runs/made", age_s=0, stages=None, **more):
        """A folder with a status made up."""
        os.makedirs(self.path(run), exist_ok=True)
        open(self.path(run, "pipeline.yaml"), "w", encoding="utf-8").close()
        status = {"v": 1, "time": stamp(age_s), "run": "made", "state": "running", "elapsed_s": 75.0, "processors": 4, "busy": 0.5,
                  "stages": stages or [stage("window"), stage("sparse")], "limits": "sparse", "sentence": "sparse limits the run.",
                  **more}
        with open(self.path(run, "status.json.part"), "w", encoding="utf-8") as file:
            json.dump(status, file)
        os.replace(self.path(run, "status.json.part"), self.path(run, "status.json"))
        return status

    # ---- once ----

    def test_once_of_a_real_run(self):
        launcher = self.launch()
        out, err = self.top("--once", "--json", "runs/a")
        status = json.loads(out)
        self.assertEqual((out.count("\n"), err), (1, ""))
        self.assertEqual(set(status), TOP_KEYS)
        self.assertEqual((status["folder"], status["state"]), ("runs/a", "running"))
        self.assertEqual([stage["name"] for stage in status["stages"]], ["window", "sparse", "topo", "tape"])
        self.assertGreater(status["stages"][1]["rate"], 0)
        out, err = self.top("runs/a")  # no terminal: once
        self.assertNotIn("\033", out)
        for word in ("test", "running", "window", "sparse", "topo", "tape", "reconstruction_error"):
            self.assertIn(word, out)
        self.assertEqual(json.loads(self.top("--once", "--json")[0])["folder"], "runs/a", "the run that goes on in runs/")
        self.stop(launcher)
        out, _ = self.top("--once", "runs/a")
        self.assertRegex(out, r"test  stopped .*\nThe run was stopped; the same command goes on\.")
        self.assertEqual(json.loads(self.top("--once", "--json", "runs/a")[0])["state"], "stopped")

    def test_text(self):
        self.make_run(stages=[stage("window"), stage("sparse", restarts=3), stage("odd", **{
            key: None for key in ("frame", "frames", "pass", "passes", "rate", "computing", "waiting_input", "waiting_output")})])
        out, _ = self.top("--once", "runs/made", COLUMNS="200", LC_ALL="C")
        self.assertEqual([line.rstrip() for line in out.splitlines()[:6]], [
            "made  running  1:15  4 processors, 50 % busy  runs/made",
            "sparse limits the run.",
            "",
            "stage   state    pass  done   frames/s  computes    awaits input  awaits room    queue    held  restarts",
            "window  running   1/2  50 %      1,234  ######  97  ......   2    ......   1         7    50 %",
            "sparse  running   1/2  50 %      1,234  ######  97  ......   2    ......   1         7    50 %         3",
        ])

    def test_columns_that_fit_are_shown(self):
        """In every width, a column that is left out would not have fitted beside those of more worth."""
        worth = ["stage", "frames/s", "pass", "computes", "state", "awaits input", "awaits room", "queue", "done", "held", "restarts"]
        self.make_run(stages=[stage("window", state="restarting"), stage("sparse", restarts=3, **{"pass": 20, "passes": 20})],
                      state="finished", sentence="sparse")  # which grows no older

        def columns(width):
            head = self.top("--once", "runs/made", COLUMNS=str(width), LC_ALL="C")[0].splitlines()[3]
            self.assertLessEqual(len(head), width)
            return {title: head.index(title) for title in worth if re.search(r"(^| )" + title + "( |$)", head)}

        self.assertEqual(set(columns(200)), set(worth))
        widths = {"stage": 6, "state": 10, "pass": 5, "done": 4, "frames/s": 9, "computes": 10, "awaits input": 12, "awaits room": 11,
                  "queue": 7, "held": 6, "restarts": 8}
        for width in range(20, 115):
            fitting, used = [], -2
            for title in worth:
                if used + 2 + widths[title] <= width:
                    fitting.append(title)
                    used += 2 + widths[title]
            self.assertEqual(set(columns(width)), set(fitting), width)
        self.assertIn("queue", columns(100))
        self.assertIn("held", columns(100))
        self.assertIn("awaits room", columns(80))

    def test_narrow(self):
        self.make_run(stages=[stage("a-stage-of-a-rather-long-name-that-goes-on-and-on"), stage("ω" * 10)],
                      sentence="one two three four five six seven eight nine ten")
        for width in (1, 2, 10, 25, 40, 79):
            for locale in ("C", "C.UTF-8"):
                out = self.top("--once", "runs/made", COLUMNS=str(width), LC_ALL=locale)[0]
                self.assertLessEqual(max(len(line) for line in out.splitlines()), width, out)
        out = self.top("--once", "runs/made", COLUMNS="25")[0]
        self.assertIn("one two three four five\nsix seven eight nine ten\n", out)
        out = self.top("--once", "runs/made", COLUMNS="60")[0]
        self.assertIn("computes", out, "what is worth most stays")
        self.assertNotIn("queue", out)

    def test_what_stands_in_a_status_is_no_command_to_the_terminal(self):
        evil = "\033[2J\x9b0m\a\n\u202e"
        self.make_run(run="runs/made", stages=[stage("x" + evil, kind=evil, state=evil, metrics={evil: 1})], sentence=evil, limits=evil)
        out, _ = self.top("--once", "runs/made")
        self.assertFalse(any(ord(c) < 32 and c != "\n" or 127 <= ord(c) < 160 for c in out), repr(out))
        terminal = self.terminal("runs/made")
        terminal.wait_for(self, "made")
        terminal.type("q")
        self.assertEqual(terminal.end(), 0)
        self.assertNotIn("\033[2J", terminal.output)
        self.assertNotIn("\a", terminal.output)

    # ---- which run ----

    def test_newest_running(self):
        self.make_run("runs/old", elapsed_s=500)
        self.make_run("runs/new", elapsed_s=5)
        self.make_run("runs/dead", age_s=60, elapsed_s=1)
        self.make_run("runs/done", state="finished", elapsed_s=1)
        os.makedirs(self.path("runs", "nothing"))
        with open(self.path("runs", "nothing", "status.json"), "w", encoding="utf-8") as file:
            file.write("{")
        self.assertEqual(json.loads(self.top("--once", "--json")[0])["folder"], "runs/new")

    def test_none_running(self):
        for _ in range(2):
            _, err = self.top("--once", code=69)
            self.assertIn("no run goes on in runs/: start one with loom run", err)
            self.make_run(state="finished")

    def test_bad_folders(self):
        self.assertIn("there is no folder 'nowhere'", self.top("nowhere", code=64)[1])
        os.makedirs(self.path("mine"))
        self.assertIn("'mine' is not the folder of a run", self.top("mine", code=64)[1])
        self.write("", "mine/pipeline.yaml")
        self.assertIn("has no status.json", self.top("mine", code=69)[1])
        for text in ("", "{", "[]", "{}", '{"stages": 3, "time": "now"}', '{"stages": [], "time": 3}', "\0", "[" * 100000):
            self.write(text.replace("{", "{{").replace("}", "}}") if "{digits}" in text else text, "mine/status.json")
            for arguments in (("--once", "mine"), ("--once", "--json", "mine")):
                _, err = self.top(*arguments, code=65)
                self.assertIn("mine/./status.json".replace("/./", "/"), err)
        for state in ('"resting"', '"killed"', '"\\u001b[2J"', "7", "null", "[]"):
            self.write('{"stages": [], "time": "' + stamp() + '", "state": ' + state + "}", "mine/status.json")
            for arguments in (("--once", "mine"), ("--once", "--json", "mine"), ("mine",)):
                _, err = self.top(*arguments, code=65)
                self.assertIn("mine/status.json has the state '", err)
                self.assertNotIn("\033", err)
        self.write("", "file")
        self.assertIn("'file'", self.top("file", code=64)[1])

    def test_odd_values_are_shown_as_unknown(self):
        self.make_run(stages=[{}, {"name": 3, "queue": [], "metrics": 7}, stage("x", rate="fast", computing=-7, frame=1e300), "text"],
                      limits=5, sentence=None, elapsed_s="long", busy=[])
        out, _ = self.top("--once", "runs/made")
        self.assertIn("made  running", out)

    def test_usage(self):
        self.assertIn("--json belongs to --once", self.top("--json", code=64)[1])
        self.assertIn("one run at a time", self.top("a", "b", code=64)[1])
        self.assertIn("--interval", self.top("--interval", "0", code=64)[1])
        self.assertIn("--interval", self.top("--interval", "x", code=64)[1])

    def test_another_machine_is_taken_at_its_word(self):
        """Its clock need not agree with ours, nor do its processes' numbers mean anything here."""
        for age_s in (-3600, 3600):
            when = self.make_run(age_s=age_s, host="another-machine")["time"]
            out, _ = self.top("--once", "runs/made")
            self.assertIn(f"made  running  1:15  4 processors, 50 % busy  runs/made  (as of {when[11:19]} UTC, on another-machine)", out)
            self.assertEqual(json.loads(self.top("--once", "--json", "runs/made")[0])["state"], "running")
            self.make_run(age_s=age_s, host=socket.gethostname())  # ours, also where its clock has been set back
            self.assertIn("made  killed", self.top("--once", "runs/made", code=69)[0])

    def test_killed(self):
        self.make_run(age_s=11)
        out, err = self.top("--once", "runs/made", code=69)
        self.assertIn("made  killed", out)
        self.assertIn("The run was killed; the same loom run command goes on with it.", out)
        self.assertIn("its launcher was killed", err)
        self.assertEqual(json.loads(self.top("--once", "--json", "runs/made", code=69)[0])["state"], "killed")
        terminal = self.terminal("runs/made")
        self.assertEqual(terminal.end(), 69)
        self.make_run(age_s=60, state="paused")
        self.assertIn("made  killed", self.top("--once", "runs/made", code=69)[0])
        self.make_run(age_s=5, state="paused")
        self.assertIn("made  paused", self.top("--once", "runs/made")[0])

    def grow_old(self, run):
        """As if the status of a stopped launcher were a minute old."""
        with open(self.path(run, "status.json"), encoding="utf-8") as file:
            status = json.load(file)
        with open(self.path(run, "status.json"), "w", encoding="utf-8") as file:
            json.dump({**status, "time": stamp(60)}, file)

    def wait_until_stopped(self, pid):
        def is_stopped():
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                return file.read().rpartition(")")[2].split()[0] == "T"

        self.until(is_stopped, "it stood still")

    def test_paused_held_or_killed(self):
        """What is old is of a launcher that stands still, or of a dead one: that is found out, whatever the stages do."""
        for number, state in ((signal.SIGTSTP, "paused"), (signal.SIGSTOP, "held")):
            run = f"runs/{state}"
            launcher = self.launch(run)
            launcher.send_signal(number)
            self.wait_until_stopped(launcher.pid)
            self.grow_old(run)
            self.assertEqual(json.loads(self.top("--once", "--json", run)[0])["state"], state)
            self.assertIn(f"test  {state} ", self.top("--once", run)[0])
            self.assertEqual(json.loads(self.top("--once", "--json")[0])["folder"], run, "it goes on")
            launcher.kill()
            launcher.wait()
            self.assertEqual(json.loads(self.top("--once", "--json", run, code=69)[0])["state"], "killed")
            with open(self.path(run, "lock"), encoding="ascii") as lock:
                end = time.monotonic() + PATIENCE
                while time.monotonic() < end:  # until the stages have ended
                    with contextlib.suppress(BlockingIOError):
                        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                        break
                    time.sleep(0.02)

    def test_long_paths(self):
        """Of sockets: the longest that fit, those to which only the tap's ending does not, and far too long ones."""
        for length in (103, 104, 107, 108, 180):
            run = "d" * (length - len("/sockets/sparse"))
            launcher = self.launch(run)
            terminal = self.terminal(run, "--interval", "0.2", rows=45, columns=200)
            terminal.wait_for(self, "winners 12 x 10(.|\n)*▀")
            for _ in range(9):
                terminal.type("m")
                terminal.read(0.1)
            terminal.read(0.5)  # activity again
            held = self.sockets_folders(terminal.pid)
            self.assertLessEqual(held, 4, "one a source that is shown, none of those before")
            terminal.type("mm")
            terminal.wait_for_screen(self, lambda lines: "▀" not in "".join(lines), "a screen without maps")
            self.until(lambda: self.sockets_folders(terminal.pid) == 0, "without maps, it held no descriptors")
            terminal.type("q")
            self.assertEqual(terminal.end(), 0, terminal.output[-1000:])
            self.stop(launcher)

    def sockets_folders(self, pid):
        """How often the program has a folder of sockets open."""
        links = []
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        return sum(link.endswith("/sockets") for link in links)

    def test_not_running_in_a_terminal(self):
        for state, words in (("finished", "it has finished"), ("stopped", "it was stopped"), ("failed", "it has failed")):
            self.make_run(state=state)
            terminal = self.terminal("runs/made")
            self.assertEqual(terminal.end(), 69)
            self.assertIn(f"runs/made does not run: {words}; loom top --once runs/made shows how it ended", terminal.output)
            self.assertNotIn(ENTER, terminal.output)

    def test_member_of_a_sweep_stands_for_the_sweep(self):
        self.make_run("runs/sweep", stages=[stage("sparse"), stage("strength=1/topo", member="strength=1")])
        os.makedirs(self.path("runs/sweep/strength=1"))
        for name in ("over.yaml", "strength=1/pipeline.yaml"):
            self.write("", os.path.join("runs/sweep", name))
        for folder in ("runs/sweep/strength=1", "runs/sweep/strength=1//"):
            status = json.loads(self.top("--once", "--json", folder)[0])
            self.assertEqual((status["folder"], status["stages"][1]["name"]), ("runs/sweep", "strength=1/topo"))

    # ---- in a terminal ----

    def test_live(self):
        launcher = self.launch()
        terminal = self.terminal("runs/a", "--interval", "0.2", rows=45, columns=120)
        shown = terminal.wait_for(self, "winners 12 x 10(.|\n)*activations 5 x 4(.|\n)*▀")
        self.assertIn(ENTER, shown)
        self.assertNotEqual(terminal.attributes(), terminal.before, "keys come at once, and are not echoed")
        for word in ("window", "computes", "awaits room", "reconstruction_error", "q quit"):
            self.assertIn(word, shown)
        terminal.type("m")
        terminal.wait_for(self, "sparse: weights of 6 x 6 of its 12 x 10 units|sparse: weights of [0-9]+ x [0-9]+")
        terminal.type("m")
        terminal.wait_for_screen(self, lambda lines: "▀" not in "".join(lines), "a screen without maps")
        terminal.type("m")
        terminal.wait_for(self, "winners 12 x 10")
        terminal.resize(60, 12)
        terminal.wait_for_screen(self, lambda lines: len(lines) <= 12 and max(map(len, lines)) <= 60, "a small screen")
        terminal.resize(20, 2)
        terminal.wait_for_screen(self, lambda lines: len(lines) <= 2, "a tiny screen")
        terminal.type("q")
        self.assertEqual(terminal.end(), 0)
        self.assertEqual(terminal.attributes(), terminal.before)
        self.assertTrue(terminal.output.endswith(LEAVE))
        self.stop(launcher)

    def test_terminal_is_restored_on_every_way_out(self):
        ways = [(lambda terminal: terminal.type("\x03"), 0), (lambda terminal: terminal.type("Q"), 0)]
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            ways.append((lambda terminal, number=number: os.kill(terminal.pid, number), 0))
        for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS):
            ways.append((lambda terminal, number=number: os.kill(terminal.pid, number), -number))
        for leave, code in ways:
            self.make_run()
            terminal = self.terminal("runs/made")
            terminal.wait_for(self, "sparse limits the run")
            self.assertNotEqual(terminal.attributes(), terminal.before)
            leave(terminal)
            self.assertEqual(terminal.end(), code)
            self.assertEqual(terminal.attributes(), terminal.before)
            self.assertTrue(terminal.output.endswith(LEAVE), repr(terminal.output[-100:]))
            self.assertIn("\033[?25h", terminal.output, "the cursor is back")

    def test_pause(self):
        self.make_run()
        terminal = self.terminal("runs/made")
        terminal.wait_for(self, "sparse limits the run")
        terminal.type("\x1a")
        self.assertTrue(os.WIFSTOPPED(os.waitpid(terminal.pid, os.WUNTRACED)[1]))
        terminal.read(0.2)
        self.assertEqual(terminal.attributes(), terminal.before)
        self.assertTrue(terminal.output.endswith(LEAVE))
        self.make_run()
        os.kill(terminal.pid, signal.SIGCONT)
        terminal.wait_for(self, "sparse limits the run")
        self.assertNotEqual(terminal.attributes(), terminal.before)
        terminal.type("q")
        self.assertEqual(terminal.end(), 0)

    def test_the_run_ends(self):
        self.make_run()
        terminal = self.terminal("runs/made", "--interval", "0.1")
        terminal.wait_for(self, "sparse limits the run")
        self.make_run(state="finished", sentence="The run has finished.")
        self.assertEqual(terminal.end(), 0)
        self.assertIn("The run has finished.", terminal.output.split(LEAVE)[1], "it stays on the screen")
        self.make_run()
        terminal = self.terminal("runs/made", "--interval", "0.1")
        terminal.wait_for(self, "sparse limits the run")
        self.make_run(age_s=20)
        self.assertEqual(terminal.end(), 69)
        self.assertIn("its launcher was killed", terminal.output.split(LEAVE)[1])

    def test_many_stages_are_scrolled(self):
        self.make_run(stages=[stage(f"stage-{i:02d}") for i in range(60)], host="another-machine")  # which is never taken for killed
        terminal = self.terminal("runs/made", rows=20)
        terminal.wait_for(self, "stages 1 to 1[0-9] of 60")
        terminal.type("\033[B")
        terminal.wait_for(self, "stages 2 to 1[0-9] of 60")
        terminal.type("\033[B\033OB")  # at once; and as a keypad says it
        terminal.wait_for(self, "stages 4 to [12][0-9] of 60")
        terminal.type("\033[A\033[1;5A\033OA\033[B\033[3~\033[15~\033\033[B")
        terminal.wait_for(self, "stages 3 to [12][0-9] of 60")
        terminal.type("\033[")
        time.sleep(0.005)
        terminal.type("6")
        time.sleep(0.005)
        terminal.type("~")  # on a slow line
        terminal.wait_for(self, "stages [12][0-9] to [23][0-9] of 60")
        terminal.type("j" * 100)
        terminal.wait_for(self, "stages 4[0-9] to 60 of 60")
        terminal.type("k" * 100)
        terminal.wait_for(self, "stages 1 to 1[0-9] of 60")
        terminal.type("\033[Bq")
        self.assertEqual(terminal.end(), 0)

    def test_simple_terminals(self):
        self.make_run()
        terminal = self.terminal("runs/made", TERM="dumb")
        self.assertEqual(terminal.end(), 0)
        self.assertNotIn("\033", terminal.output)
        self.make_run()
        terminal = self.terminal("runs/made", NO_COLOR="1")
        terminal.wait_for(self, "sparse limits the run")
        terminal.type("q")
        self.assertEqual(terminal.end(), 0)
        self.assertNotRegex(terminal.output.replace("\033[0m\033[?25h", ""), "\033\\[[0-9;]*m")
        self.make_run()
        terminal = self.terminal("runs/made", LC_ALL="C")
        terminal.wait_for(self, "sparse limits the run")
        terminal.type("q")
        self.assertEqual(terminal.end(), 0)
        self.assertTrue(terminal.output.isascii())

    def test_maps_without_colours_or_unicode(self):
        launcher = self.launch()
        for environment, characters in ((dict(NO_COLOR="1"), "[░▒▓█]{2}"), (dict(LC_ALL="C"), "[-.:=+*#%@]{2}"),
                                        (dict(TERM="linux"), "[░▒▓█]{2}")):
            terminal = self.terminal("runs/a", rows=45, **environment)
            terminal.wait_for(self, "activations 5 x 4(.|\n)*" + characters)
            terminal.type("q")
            self.assertEqual(terminal.end(), 0)
        self.stop(launcher)

    def test_results_are_the_same(self):
        self.run_pipeline("without")
        launcher = self.start(program("loom"), "run", self.path("test.yaml"), "--dir", "with", "--set", "window.rate=200", "--quiet")
        self.until(lambda: os.path.exists(self.path("with", "status.json")), "the run told how it stands", launcher)
        tops = [self.terminal("with", "--interval", "0.1", rows=45) for _ in range(2)]
        tops[0].wait_for(self, "▀")
        tops[1].wait_for(self, "computes")
        tops[1].type("m")
        tops[1].wait_for(self, "weights of")
        for top in tops:
            self.assertEqual(top.end(), 0)
        self.finish(launcher)
        self.assertEqual(self.result("with"), self.result("without"))


if __name__ == "__main__":
    unittest.main()
