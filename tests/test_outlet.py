#!/usr/bin/python3
"""What a run says, and that nobody need read it: a terminal, pipe or socket that takes nothing holds no stage up.

    tests/test_outlet.py FOLDER_OF_PROGRAMS [unittest arguments]"""

import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import termios
import unittest

from loom_case import Case, PATIENCE, PIPELINE, program

LONG = ("--set", "window.passes=1000000")  # goes on until it is stopped


class Outlet(Case):
    def launch(self, *arguments, **options):
        child = subprocess.Popen([program("loom"), "run", self.write(PIPELINE), "--dir", "run", *arguments], cwd=self.folder,
                                 **{"stderr": subprocess.PIPE, "text": True, **options})
        self.children.append(child)
        return child

    def ends(self, launcher, code=0):
        _, complaints = launcher.communicate(timeout=PATIENCE)
        self.assertEqual(launcher.returncode, code, complaints)

    def status(self):
        try:
            with open(self.path("run", "status.json"), encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    def wait_for(self, condition, what):
        """The first status for which `condition` holds."""
        def found():
            status = self.status()
            return status if status and condition(status) else None

        return self.until(found, what)

    def frames(self, status):
        return min(stage["frame"] or 0 for stage in status["stages"])

    def fill(self, descriptor):
        """Until nothing more is taken. Returns how many bytes."""
        flags, n = fcntl.fcntl(descriptor, fcntl.F_GETFL), 0
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        for size in (4096, 1):
            try:
                while True:
                    n += os.write(descriptor, b"." * size)
            except BlockingIOError:
                pass
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
        return n

    def read_all(self, descriptor):
        text = b""
        try:
            while part := os.read(descriptor, 65536):
                text += part
        except OSError:  # a terminal whose other side has gone
            pass
        return text

    def runs_to_its_end_unread(self, reader, writer):
        junk = self.fill(writer)
        launcher = self.launch(stdout=writer)
        os.close(writer)
        self.wait_for(lambda status: status["state"] == "finished", "it finished")
        self.assertIsNone(launcher.poll(), "it says how it ended before it ends")
        said = self.read_all(reader)[junk:].decode()
        self.ends(launcher)
        for stage in ("sparse", "topo"):
            self.assertIn(f"{stage}: pass 3/3", said)
        self.assertIn("'test' has finished", said)

    def test_pipe(self):
        self.runs_to_its_end_unread(*os.pipe())

    def test_socket(self):
        ends = socket.socketpair()
        self.runs_to_its_end_unread(*(end.detach() for end in ends))

    def test_terminal(self):
        """Live lines, on a terminal stopped as by Ctrl-S."""
        master, slave = pty.openpty()
        launcher = self.launch(*LONG, stdout=slave, env=dict(os.environ, TERM="xterm"))
        before = self.wait_for(lambda status: self.frames(status) > 0, "it began")
        said = b""
        while b"pass" not in said:
            said += os.read(master, 65536)
        termios.tcflow(slave, termios.TCOOFF)
        later = self.wait_for(lambda status: status["elapsed_s"] > before["elapsed_s"] + 5, "many more drawings than would be taken")
        self.wait_for(lambda status: self.frames(status) > self.frames(later), "the stages went on")
        termios.tcflow(slave, termios.TCOON)
        launcher.send_signal(signal.SIGINT)
        os.close(slave)
        said = self.read_all(master)
        self.ends(launcher, 130)
        self.assertIn(b"stopped", said)

    def test_one_pipe_for_both(self):
        """As with 2>&1: a stage dies, and the run is told to stop, while nobody reads what is said of it."""
        reader, writer = os.pipe()
        self.fill(writer)
        launcher = self.launch(*LONG, stdout=writer, stderr=writer)
        os.close(writer)
        self.wait_for(lambda status: self.frames(status) > 0, "all stages had done frames")
        pid = self.stage_pid(launcher, "sparse")
        os.kill(pid, signal.SIGKILL)
        self.wait_for(lambda status: {stage["name"]: stage["restarts"] for stage in status["stages"]}["sparse"] == 1,
                      "the stage was started again")
        launcher.send_signal(signal.SIGTERM)
        self.wait_for(lambda status: status["state"] == "stopped", "it stopped")
        said = self.read_all(reader).decode()
        launcher.wait(PATIENCE)
        self.assertEqual(launcher.returncode, 130)
        self.assertIn("sparse: died by signal 9", said)
        self.assertIn("stopping: every stage saves its state", said)

    def test_reader_that_goes_away(self):
        reader, writer = os.pipe()
        launcher = self.launch(stdout=writer)
        os.close(writer)
        os.close(reader)
        self.ends(launcher)
        self.assertEqual(self.status()["state"], "finished")

    def test_a_line_a_second(self):
        launcher = self.launch("--set", "window.passes=40", "--set", "window.rate=5000", stdout=subprocess.PIPE)  # 8 s or longer
        said = self.finish(launcher)
        lines = [line for line in said.splitlines() if line.startswith("sparse: pass")]
        seconds = self.status()["elapsed_s"]
        self.assertLessEqual(len(lines), seconds + 2)
        self.assertIn("sparse: pass 40/40", lines[-1])


if __name__ == "__main__":
    unittest.main()
