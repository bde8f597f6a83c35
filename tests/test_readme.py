#!/usr/bin/python3
"""The README tells the truth: every parameter of every stage stands in it with its default, every file that it links to
exists, and every pipeline file is valid.

    tests/test_readme.py FOLDER_OF_PROGRAMS"""

import glob
import json
import os
import re
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.path.abspath(sys.argv.pop(1))
with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
    README = file.read()


def number(value):
    """Whole numbers in full, as `loom inspect` has them."""
    return f"{value:.0f}" if value == int(value) and abs(value) <= 2**53 else f"{value:.6g}"


def takes(param):
    """The column of that name."""
    if param["type"] in ("integer", "real", "grid"):
        low, high = number(param["min"]), number(param["max"])
        return f"{low} to {high} {param['unit']}".strip() if param["max"] <= 2**53 else f"from {low} {param['unit']}".strip()
    return {"choice": ", ".join(param["choices"] or ()), "boolean": "true, false"}.get(param["type"], param["type"])


class Readme(unittest.TestCase):
    def test_lists_every_parameter(self):
        for stage in ("generate", "images", "ingest", "sparse", "invariant", "record", "replay", "render", "skeleton"):
            spec = json.loads(subprocess.check_output([os.path.join(BIN, "loom-" + stage), "--spec"]))
            section = re.search(rf"^\*\*{stage}\*\*.*?(?=^\*\*)", README, re.MULTILINE | re.DOTALL)
            self.assertIsNotNone(section, f"no section on {stage}")
            for param in spec["params"]:
                default = "needed" if param["required"] else f"`{param['default']}`" if param["default"] else ""
                self.assertIn(f"| `{param['name']}` | {default} | {takes(param)} |", section.group(0), stage)
        common = README[README.index("**Every stage**"):]
        for param in spec["common"]:
            self.assertIn(f"| `{param['name']}` | " + (f"`{param['default']}`" if param["default"] else ""), common)
            self.assertIn(f"| {takes(param)} |", common)

    def test_links_lead_somewhere(self):
        for target in re.findall(r"\]\(([^)#]+)\)", README):
            if "://" not in target:
                self.assertTrue(os.path.exists(os.path.join(ROOT, target)), target)

    def test_pipelines_are_valid(self):
        files = sorted(glob.glob(os.path.join(ROOT, "pipelines", "*.yaml")))
        self.assertGreater(len(files), 8)
        for path in files:
            settings = ["--set", "window.tapestry=" + os.path.join(ROOT, "pipelines/tapestries/mnist-0.png")]
            done = subprocess.run([os.path.join(BIN, "loom"), "validate", path, *settings], capture_output=True, text=True,
                                  check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
