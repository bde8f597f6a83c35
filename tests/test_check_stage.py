#!/usr/bin/python3
"""loom check-stage: the real stages keep the protocol, and every mistake of wrong_stage.py is found and told in the right
words.

    tests/test_check_stage.py FOLDER_OF_PROGRAMS [unittest arguments]"""

import concurrent.futures
import glob
import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

from loom_case import Case, DIGITS, PATIENCE, SOURCE, program

PYTHON = "/usr/bin/python3"
WRONG = os.path.join(SOURCE, "tests", "wrong_stage.py")
GUARDS = ("a fetch of another stream", "a fetch in another version of the protocol", "malformed: ")

# mistake: the check that finds it, and words of what it says
MISTAKES = {
    "no-shape": ("describe", "`shape` is nil instead of a list of 2 whole numbers"),
    "float-shape": ("describe", "`shape` has a float"),
    "unknown-kind": ("describe", "`kind`"),
    "numpy-dtype": ("describe", "`dtype` is neither"),
    "long-id": ("describe", "40 characters"),
    "no-version": ("describe", "`v` is a str, not 1"),
    "huge-blocks": ("describe", "at most 256 MiB"),
    "byte-keys": ("describe", "keys are bytes"),
    "empty-part": ("describe", "2 parts"),
    "other-id-each-time": ("describe, again", "was stream noise-"),
    "sleeps": ("describe while fetches wait", "is not answered while 8 fetches"),
    "float64": ("fetch in order", "is it float64"),
    "lists": ("fetch in order", "`data` is a list instead of bytes"),
    "no-id": ("fetch in order", "`id` is not that of the stream"),
    "no-type": ("fetch in order", "not answered with `data`"),
    "seq-from-0": ("fetch in order", "`seq` is 0, but frame 32 was asked for"),
    "never-eos": ("fetch in order", "`eos` is not true"),
    "eos-too-early": ("fetch in order", "said to end behind frame 96, but has 300 frames"),
    "eos-a-number": ("fetch in order", "`eos` is a whole number"),
    "values-to-255": ("values are in their range", "not from 0 to 1"),
    "codes-unsorted": ("values are in their range", "they ascend"),
    "codes-beyond": ("values are in their range", "the grid has 12 units"),
    "other-when-asked-again": ("fetch again: the same bytes", "has other bytes in `data` than the first time"),
    "backwards": ("several fetches under way", "the answer to number 1 begins at frame"),
    "ignores-n": ("fetch of no frames, and of very many", "32 frames came where at most 0 were asked for"),
    "crosses-blocks": ("fetch of no frames, and of very many", "cross a multiple of block (32)"),
    "negative-beyond-the-end": ("the end of the stream", "`seq` is 1300 instead of 300, the end"),
    "any-id": ("a fetch of another stream", "would mix two streams"),
    "any-version": ("a fetch in another version of the protocol", "answered with data"),
    "dies-of-garbage": ("malformed: bytes that are not MessagePack", "it died of this message"),
    "other-after-restart": ("killed and started again: the same stream", "other bytes in `data` after a restart"),
    "other-id-after-restart": ("killed and started again: the same stream", "and now it is stream noise-"),
    "drops": ("a slow reader is waited for", "said to be gone"),
    "dies-at-the-end": ("the last acknowledgement", "it died of this request"),
}
MIDDLE_MISTAKES = {
    "waits-within": ("a fetch waits for frames that are not made yet", "does not answer describe before it has the first"),
    "invents": ("a fetch waits for frames that are not made yet", "before any input was there"),
    "by-block": ("the same output for other message blocks of the input", "in other message blocks"),
    "forgets": ("killed in the middle: goes on with the same bits", "after a kill in the middle"),
    "never-acknowledges": ("acknowledges its input to the end", "never acknowledged anything"),
    "same-id": ("another input makes another id", "the same for another input"),
}


def check(*arguments):
    """The exit code, and the result as JSON gives it."""
    done = subprocess.run([program("loom-check-stage"), "--json", *arguments], capture_output=True, text=True,
                          timeout=PATIENCE, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def failed(result):
    return {item["check"]: item for item in result["checks"] if item["verdict"] == "failed"}


class CheckStage(Case):
    def assert_good(self, *command):
        code, result = check(*command)
        self.assertIsInstance(result, dict, result)
        self.assertEqual((code, failed(result)), (0, {}), command)
        self.assertTrue(result["passed"])
        return [item["check"] for item in result["checks"] if item["verdict"] == "ok"]

    def test_stages_of_loom(self):
        generate = (program("loom-generate"), "--tapestry", DIGITS, "--frames=300", "--passes=3")
        self.assertEqual(len(self.assert_good(*generate)), 29)
        self.assertEqual(len(self.assert_good(program("loom-skeleton"))), 32)
        sparse = (program("loom-sparse"), "--grid=12x10", "--winners=3")
        self.assertEqual(len(self.assert_good(*sparse, "--frozen=true")), 32)
        self.assert_good(*sparse)
        self.assert_good(program("loom-invariant"), "--grid=5x4")  # is fed codes, as its --spec says

    def test_stages_in_python(self):
        self.assert_good(PYTHON, WRONG, "none", "{bind}")
        self.assert_good(PYTHON, WRONG, "codes", "{bind}")
        self.assert_good(PYTHON, WRONG, "none", "{bind}", "{in}", "{run}")
        self.assert_good(PYTHON, os.path.join(SOURCE, "tools", "python", "generator_companion.py"), "{bind}")

    def test_the_shortest_generator(self):
        """It gives good readers all they ask for. What only bad ones ask it need not guard against: the companion does."""
        _, result = check(PYTHON, os.path.join(SOURCE, "tools", "python", "generator.py"), "{bind}")
        self.assertEqual([name for name in failed(result) if not name.startswith(GUARDS)], [])

    def test_every_mistake_is_found(self):
        with open(os.path.join(SOURCE, "common", "PROTOCOL.md"), encoding="utf-8") as file:
            protocol = file.read()
        jobs = [(mistake, *told, ["{bind}", "{in}", "{run}"]) for mistake, told in MIDDLE_MISTAKES.items()]
        jobs += [(mistake, *told, ["{bind}"]) for mistake, told in MISTAKES.items()]
        with concurrent.futures.ThreadPoolExecutor(10) as pool:  # they mostly wait
            patience = ("--timeout", "2", "--patience", "8")
            results = list(pool.map(lambda job: check(*patience, PYTHON, WRONG, job[0], *job[3]), jobs))
        for (mistake, name, words, _), (code, result) in zip(jobs, results):
            with self.subTest(mistake):
                self.assertIsInstance(result, dict, result)
                self.assertEqual((code, result["passed"]), (65, False))
                found = failed(result)
                self.assertIn(name, found)
                self.assertIn(words, found[name]["what"])
                for item in found.values():
                    self.assertIn(f"\n## {item['section']}\n", protocol)
                    self.assertTrue(item["mend"] and item["rule"], item)
                if mistake in ("any-id", "codes-unsorted", "never-acknowledges", "forgets", "sleeps", "dies-at-the-end"):
                    self.assertEqual(list(found), [name], "nothing else is wrong with it")

    def test_what_is_printed(self):
        done = subprocess.run([program("loom"), "check-stage", PYTHON, WRONG, "values-to-255", "{bind}"], capture_output=True,
                              text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 65)
        lines = done.stdout.split("\n")
        self.assertEqual(lines[0], "ok        describe")
        told = "FAILED    values are in their range: frame 0 has the value"
        at = [n for n, line in enumerate(lines) if line.startswith(told)]
        self.assertEqual(len(at), 1)
        self.assertIn("What a stream is", lines[at[0] + 1])
        self.assertIn("mend  scale frames to 0..1: frames / 255", lines[at[0] + 2])
        self.assertEqual(lines[-2], "29 checks: 28 ok, 1 failed")

    def test_rubbish(self):
        for code, words, arguments in (
                (64, "which stage", []),
                (64, "no program 'no-such-program'", ["no-such-program", "{bind}"]),
                (64, "Write {bind} in its command", ["true"]),
                (64, "gives no stream", [program("loom-record")]),
                (64, "--input is", ["--input", "sound", "true"]),
                (64, "--frames is", ["--frames", "1", "true"]),
                (64, "--timeout is", ["--timeout", "never", "true"]),
                (64, "cannot be started", [self.path("text"), "{bind}"]),
                (69, "exit code 1, and said last: no window", ["sh", "-c", "echo no window >&2; exit 1", "{bind}"]),
                (69, "does not answer", ["--patience", "1", PYTHON, WRONG, "silent", "{bind}"]),
                (69, "it only says `wait`", ["--patience", "2", PYTHON, WRONG, "none", "{bind}", "ipc://" + self.path("no")]),
        ):
            with open(self.path("text"), "w", encoding="utf-8") as file:
                file.write("no program\n")
            os.chmod(self.path("text"), 0o755 if arguments[:1] != [self.path("text")] else 0o644)
            done = subprocess.run([program("loom-check-stage"), *arguments], capture_output=True, text=True, timeout=PATIENCE,
                                  check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(words, " ".join(done.stderr.split()))

    def test_nothing_is_left_behind(self):
        with tempfile.TemporaryDirectory(prefix="loom-") as folder:
            child = self.start(program("loom-check-stage"), "sh", "-c", f"{PYTHON} {WRONG} none $0", "{bind}",
                               env={**os.environ, "TMPDIR": folder})
            end = time.time() + PATIENCE
            while not glob.glob(folder + "/loom-check-*/stage") and time.time() < end:
                time.sleep(0.02)
            child.send_signal(signal.SIGINT)
            self.finish(child, 130)
            self.assertEqual(os.listdir(folder), [])
            left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
            self.assertNotIn(folder, left, "the shell's child is gone, too")


if __name__ == "__main__":
    unittest.main(verbosity=2)
