#!/usr/bin/python3
"""The live page in a browser: while a run trains, and on its recording afterwards. What canvases show is compared, pixel by pixel,
with what the run has recorded; results do not depend on who looks. Pictures of the page go to the build folder.

    tests/test_page.py FOLDER_OF_PROGRAMS [unittest arguments]

Without a browser (chromium, chromium-driver, python3-selenium) it is skipped: exit code 77."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import h5py
import numpy

import page_browser
from loom_case import BIN, DIGITS, PATIENCE, Case, program

PIXELS, GRID, UPPER = (20, 20), (12, 10), (5, 4)  # height, width of a frame; columns, rows of the layers

# Slow enough to be looked at; ended by the test, not by the number of passes.
PIPELINE = """
name: page
stages:
  window: {{stage: generate, tapestry: {digits}, frames: 1000, passes: {passes}, seed: 1, rate: {rate}}}
  sparse: {{stage: sparse, in: window, grid: [12, 10], winners: 3, rate: 0.02, radius: 1, strength: 0.5, seed: 2}}
  topo:   {{stage: invariant, rule: topo, in: sparse, grid: [5, 4], radius: 1, strength: 0.1, normalize_every: 300, seed: 3}}
  tape:   {{stage: record, in: [window, sparse, topo]}}
  {more}
"""
LIVE = 'maps: {stage: render, tap: [window, sparse, topo], live: "127.0.0.1:0"}'

browser = None
scratch = None


def setUpModule():
    global browser, scratch  # pylint: disable=global-statement
    scratch = tempfile.mkdtemp(prefix="loom-browser-")
    browser = page_browser.Browser(scratch)


def tearDownModule():
    browser.close()
    shutil.rmtree(scratch, ignore_errors=True)


def grey(values, top):
    """Of numbers from 0 to `top`, the grey values that the page gives them: exactly this."""
    return numpy.minimum(255, numpy.floor(numpy.asarray(values, dtype=float) * (255 / top) + 0.5)).astype(int)


class PageCase(Case):
    def setUp(self):
        super().setUp()
        browser.resize(1440, 900)
        browser.complaints()

    def tearDown(self):
        browser.driver.get("about:blank")
        super().tearDown()

    def wait(self, what, condition):
        """Until `condition()` is true; what it returns."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.1)
        browser.save(self.shot("failed"))
        return self.fail(f"{what} did not come; the page says: {browser.js('return document.body.innerText')[:2000]}")

    def wait_js(self, what, script, *arguments):
        return self.wait(what, lambda: browser.js("return " + script, *arguments))

    def shot(self, name):
        return os.path.join(os.path.dirname(BIN), f"page-{name}.png")

    def address(self, child, file):
        """The page's address, out of what a program has written to `file`."""
        def find():
            self.assertIsNone(child.poll(), "it has ended: " + self.said(file))
            found = re.search(r"http://127\.0\.0\.1:[0-9]+/[^\s\"]*", self.said(file))
            return found and found.group(0)

        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = find()
            if found:
                return found
            time.sleep(0.05)
        return self.fail("no address was said: " + self.said(file))

    def view(self, run, port=0, *options):
        """Start `loom view` on a run; its address."""
        said = self.path(f"view-{len(self.children)}.txt")
        with open(said, "w", encoding="utf-8") as file:
            command = [program("loom"), "view", run, "--address", f"127.0.0.1:{port}", *options]
            child = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        self.children.append(child)
        return self.address(child, said)

    def said(self, file):
        try:
            with open(file, encoding="utf-8") as text:
                return text.read()
        except FileNotFoundError:
            return ""

    def press(self, key):
        """A key, pressed on the page as a whole."""
        from selenium.webdriver.common.action_chains import ActionChains  # pylint: disable=import-outside-toplevel

        ActionChains(browser.driver).send_keys(key).perform()

    def click_unit(self, selector, grid, unit):
        """Click into the middle of a unit's place on a picture of all units."""
        from selenium.webdriver.common.action_chains import ActionChains  # pylint: disable=import-outside-toplevel
        from selenium.webdriver.common.by import By  # pylint: disable=import-outside-toplevel

        canvas = browser.driver.find_element(By.CSS_SELECTOR, selector)
        browser.js("arguments[0].scrollIntoView({block: 'center'})", canvas)
        width, height = canvas.size["width"], canvas.size["height"]
        x = (unit % grid[0] + 0.5) / grid[0] * width - width / 2
        y = (unit // grid[0] + 0.5) / grid[1] * height - height / 2
        ActionChains(browser.driver).move_to_element_with_offset(canvas, round(x), round(y)).click().perform()

    def check_frame(self, shown, tape):
        """What the page showed, a dict of cells by name, is what lies in the recording."""
        seq = int(shown["window"]["data"]["seq"])
        first, n = shown["window"]["clip"]
        numpy.testing.assert_array_equal(shown["window"]["values"][..., 0], tape["frames/data"][seq])
        numpy.testing.assert_array_equal(shown["window"]["values"][..., 1], tape["frames/data"][seq])
        self.assertEqual(int(shown["topo"]["data"]["seq"]), seq)
        top = float(shown["topo"]["data"]["max"])
        self.assertEqual(top, tape["activations/data"][first : first + n].max())
        expected = grey(tape["activations/data"][seq], top).reshape(UPPER[::-1])
        numpy.testing.assert_array_equal(shown["topo"]["values"][..., 0], expected)
        won = numpy.flatnonzero(shown["winners"]["values"][..., 0])
        self.assertTrue(set(won) <= set(tape["codes/index"][seq]), f"{won} won, not {tape['codes/index'][seq]}")
        self.assertGreater(len(won), 0)
        return seq

    def seek(self, seq):
        """Draw the slider to a frame, as a hand does; what is shown then."""
        browser.js("if (loom.player.playing) loom.player.toggle()")
        browser.js("""const slider = document.querySelector('[data-do=seek]');
            slider.value = arguments[0];
            slider.dispatchEvent(new Event('input', {bubbles: true}));""", seq)
        self.wait_js(f"frame {seq}", "document.body.dataset.seq === String(arguments[0])", seq)
        return self.read_frame()

    def read_frame(self):
        """What the page shows just now; to be called while it stands still."""
        names = {"window": ("window", "data"), "topo": ("topo", "data"), "winners": ("sparse", "winners")}
        return {name: browser.cells(f"canvas[data-stream={stream}][data-what={what}]") for name, (stream, what) in names.items()}


class Live(PageCase):
    def start_run(self):
        pipeline = self.write(PIPELINE.format(digits=DIGITS, passes=100000, rate=1000, more=LIVE))
        run = self.start(program("loom"), "run", pipeline, "--dir", "run", "--quiet")
        return run, self.address(run, self.path("run", "log.jsonl"))

    def look(self, address):
        browser.driver.get(address)
        self.wait_js("a picture", "document.body.dataset.seq !== undefined && loom.sections.length === 3")

    def stalled_viewer(self, address):
        """Somebody who asks for the page's messages and never reads them."""
        port = int(re.search(r":([0-9]+)/", address).group(1))
        peer = socket.create_connection(("127.0.0.1", port))
        self.addCleanup(peer.close)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.sendall((f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade\r\nSec-WebSocket-Key: bG9vbWxvb21sb29tbG9vbQ==\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Protocol: loom-1\r\n\r\n").encode())
        peer.settimeout(PATIENCE)
        self.assertIn(b" 101 ", peer.recv(64))
        return peer

    def frames_seen(self):
        """Frames that the stage `topo` has trained on, by the page's status; 0 where none has come."""
        return browser.js("return loom.store.status?.stages.find((stage) => stage.name === 'topo')?.frame ?? 0")

    def check_moving(self):
        """New frames, a new pass and new metrics come."""
        seq = browser.js("return document.body.dataset.seq")
        self.wait_js("another frame", "document.body.dataset.seq !== arguments[0]", seq)
        self.wait_js("metrics", "loom.store.series.get('sparse')?.values.reconstruction_error?.length > 1")
        self.wait_js("weights", "document.querySelector('canvas[data-stream=sparse][data-what=weights]')?.dataset.seq > 0")
        self.wait_js("prototypes", "document.querySelector('canvas[data-stream=topo][data-what=prototypes]')?.dataset.seq > 0")
        self.wait_js("the stages", "document.querySelectorAll('#stages tbody tr').length >= 3")
        passes = "loom.store.status.stages.find((s) => s.name === 'topo').pass"
        self.wait_js("the pass", f"document.querySelector('[data-stage=topo] .pass').textContent === 'pass ' + {passes}")
        self.assertGreaterEqual(browser.js(f"return {passes}"), 1)
        self.wait_js("the tapestry", "loom.store.tapestry !== null")

    def check_unit(self):
        self.click_unit("canvas[data-stream=sparse][data-what=weights]", GRID, 17)
        self.wait_js("unit 17", "document.querySelector('#unit canvas[data-what=unit]')?.dataset.unit === '17'")
        self.assertIn("sparse 17", browser.js("return document.querySelector('#unit').innerText"))
        self.assertEqual(browser.js("return window.location.hash"), "#sparse/17")

    def pause(self):
        """Pause, step and hold; what is shown then."""
        self.press(" ")
        self.wait_js("a pause", "!loom.player.playing")
        before = browser.js("loom.player.seek(loom.player.clip.seq); return loom.player.seq")
        self.press("\ue014")  # right arrow
        self.wait_js("the next frame", "document.body.dataset.seq === String(arguments[0] + 1)", before)
        frames = self.frames_seen()
        self.wait("training while the picture stands still", lambda: self.frames_seen() > frames + 500)
        self.assertEqual(browser.js("return document.body.dataset.seq"), str(before + 1))
        return self.read_frame()

    def look_back(self):
        """`loom view` on the run that goes on: live, and what it has recorded so far; what is shown of that."""
        self.look(self.view("run"))
        self.assertEqual(browser.js("return document.body.dataset.mode"), "live")
        self.wait_js("a recording", "!document.querySelector('[data-do=past]').hidden")
        self.wait_js("some of it", "loom.store.scene.recording.frames > 1500")
        browser.js("document.querySelector('[data-do=past]').click()")
        self.wait_js("its slider", "document.querySelector('[data-do=seek]').min === '0'")
        shown = [self.seek(1234), self.seek(77)]
        self.wait_js("of when the weights are", "document.querySelector('canvas[data-stream=sparse][data-what=weights]')?."
                     "closest('figure').querySelector('.title').textContent === 'Weights, as they are now'")
        browser.js("document.querySelector('[data-do=past]').click(); loom.player.toggle()")
        self.wait_js("what comes", "loom.player.range === null && loom.player.clip.seq > 1500")
        self.wait_js("weights of the same time", "document.querySelector('canvas[data-stream=sparse][data-what=weights]')."
                     "closest('figure').querySelector('.title').textContent === 'Weights'")
        return shown

    def check_same_results(self):
        """The frames up to where the run was ended, or of its first passes, are those of a run that nobody looks at."""
        with h5py.File(self.path("run", "recordings", "tape.h5"), "r") as tape:
            names = ("frames/data", "codes/index", "codes/value", "activations/data")
            passes = min(-(-max(len(tape[name]) for name in names) // 1000), 100)
            self.assertGreater(passes, 1)
            frames = 1000 * passes
            quiet = self.write(PIPELINE.format(digits=DIGITS, passes=passes, rate=0, more=""), "quiet.yaml")
            self.loom("run", quiet, "--dir", "quiet", "--quiet")
            with h5py.File(self.path("quiet", "recordings", "tape.h5"), "r") as other:
                for name in names:
                    numpy.testing.assert_array_equal(tape[name][:frames], other[name][: len(tape[name])], name)

    def standing(self):
        """How the run stands, by the page's head."""
        return browser.js("return document.querySelector('#mode').textContent")

    def wait_standing(self, word):
        self.wait(f"the word {word}", lambda: self.standing() == word)

    def check_ended(self, how):
        """The page says how the run has ended and why the server closed, also when it has tried to connect again."""
        said = "return document.querySelector('#lost-text').textContent"
        self.wait_standing(how)
        self.assertFalse(browser.js("return document.querySelector('#lost').hidden"))
        self.assertIn(f"The server closed the connection: the run was {how}; look on with: loom view ", browser.js(said))
        self.assertEqual(browser.js("return [...document.querySelectorAll('#stages .state')].filter((s) => s.textContent !== arguments[0])"
                                    ".length", how), 0, "no stage goes on")
        browser.js("loom.waits = 0; const state = loom.connection.onState; loom.connection.onState = (now) => {"
                   "if (now.state === 'connecting') loom.waits++; state(now); }; document.querySelector('#retry').click()")
        self.wait_js("another try", "loom.waits > 0 && document.querySelector('#connection').textContent.startsWith('reconnecting')")
        self.assertIn(f"The server closed the connection: the run was {how}; look on with: loom view ", browser.js(said))
        self.assertEqual(self.standing(), how)

    def test_says_what_it_is_and_how_it_stands(self):
        run, address = self.start_run()
        self.look(address)
        self.wait_standing("running")
        self.assertEqual(browser.js("return document.querySelector('#name').textContent"), "run")
        self.assertEqual(browser.js("return document.querySelector('#pipeline').textContent"), "pipeline page")
        self.assertEqual(browser.js("return document.querySelector('#name').title"), os.path.realpath(self.path("run")))
        os.kill(self.stage_pid(run, "maps"), signal.SIGKILL)
        self.wait_standing("connection lost")
        self.assertIn("There is no connection", browser.js("return document.querySelector('#lost').innerText"))
        self.look(self.view("run"))
        self.wait_standing("running")
        run.send_signal(signal.SIGTSTP)
        self.wait_standing("paused")
        run.send_signal(signal.SIGCONT)
        self.wait_standing("running")
        browser.js("loom.store.heard -= 3600e3; loom.store.takeStatus = () => {}")  # the launcher tells nothing any more
        self.wait_standing("silent")
        self.look(browser.js("return window.location.href"))
        run.send_signal(signal.SIGINT)
        self.finish(run, 130)
        self.wait_standing("stopped")
        self.assertTrue(browser.js("return document.querySelector('#lost').hidden"), "loom view goes on")

    def test_shows_a_run_and_holds_nobody_up(self):
        run, address = self.start_run()
        self.look(address)
        self.check_moving()
        self.stalled_viewer(address)
        self.wait_js("the second viewer", "loom.store.viewers >= 2")
        self.check_unit()
        browser.save(self.shot("live"))
        browser.driver.refresh()
        self.look(browser.js("return window.location.href"))
        self.wait_js("the unit of the address", "document.querySelector('#unit canvas[data-what=unit]')?.dataset.unit === '17'")
        self.press("\ue00c")  # Escape
        self.wait_js("a closed panel", "document.querySelector('#unit').hidden")
        shown = self.pause()
        shown = [shown, *self.look_back()]
        self.assertEqual(browser.complaints(), [])
        self.look(address)
        browser.driver.switch_to.new_window("tab")
        self.look(address)
        browser.driver.close()
        browser.driver.switch_to.window(browser.driver.window_handles[0])
        run.send_signal(signal.SIGINT)
        self.finish(run, 130)
        self.wait_js("that the server has gone", "document.querySelector('#connection').textContent.startsWith('reconnecting')")
        self.check_ended("stopped")
        with h5py.File(self.path("run", "recordings", "tape.h5"), "r") as tape:
            for frame in shown:
                self.check_frame(frame, tape)
        self.check_same_results()


class Recording(PageCase):
    """A finished run, made once, and `loom view` on it."""

    def setUp(self):
        super().setUp()
        self.loom("run", self.write(PIPELINE.format(digits=DIGITS, passes=3, rate=0, more="")), "--dir", "run", "--quiet")
        self.url = self.view("run")
        browser.driver.get(self.url)
        self.wait_js("a picture", "document.body.dataset.seq !== undefined")
        self.tape = h5py.File(self.path("run", "recordings", "tape.h5"), "r")
        self.addCleanup(self.tape.close)

    def test_says_of_when_the_weights_are(self):
        self.assertEqual(browser.js("return document.querySelector('#mode').textContent"), "finished, seen as recorded")
        title = "document.querySelector('canvas[data-stream={}][data-what={}]')?.closest('figure').querySelector('.title').textContent"
        self.wait_js("weights", title.format("sparse", "weights") + " === 'Weights, as saved after pass 3'")
        self.wait_js("prototypes", title.format("topo", "prototypes") + " === 'Prototypes, as saved after pass 3'")
        for part, note in ((".frames", "Reconstruction and error"), (".codes", "Drives"), (".activations", "Coverage")):
            self.wait_js(note, "document.querySelector(arguments[0])?.textContent === arguments[1]", part + " .dated-note",
                         note + " with the weights as saved after pass 3")
        browser.js("loom.openUnit('sparse', 3)")
        self.check_unit("sparse", 3)
        self.assertIn("as saved after pass 3", browser.js("return document.querySelector('#unit dl').textContent"))
        said = browser.driver.execute_async_script("""const done = arguments[0];
            import('/weights.js').then(({ageOf}) => done([[null, 5, true], [{saved: false, seq: 7}, 5, false], [{saved: false, seq: 7}, 5, true],
              [{saved: true, seq: 0}, 5, false], [{saved: true, seq: 12}, 5, false], [{saved: true, seq: 12}, 0, false]]
              .map((one) => ageOf(...one))));""")
        self.assertEqual(said, ["", "", "as they are now", "as initialised", "as saved after frame 12, in pass 3", "as saved after frame 12"])
        self.assertEqual(browser.complaints(), [])

    def test_a_unit_that_is_not_there_is_said(self):
        for name, said in (("sparse/99999", "there is no such unit; sparse has units 0 to 119."),
                           ("tipo/3", "there is no such layer; there are sparse, topo."), ("window/3", "window is no layer: it has no units."),
                           ("tape/3", "tape was not recorded."), ("sparse/3x", "this names no unit; the form is #LAYER/NUMBER"),
                           ("%zz/1", "there is no such layer; there are sparse, topo.")):
            browser.js("window.location.hash = arguments[0]", name)
            self.wait_js(name, "document.querySelector('#no-unit').textContent.startsWith(arguments[0])", f"#{name}: {said}")
            self.assertFalse(browser.js("return document.querySelector('#no-unit').hidden"))
            self.assertTrue(browser.js("return document.querySelector('#unit').hidden"))
        browser.save(self.shot("no-unit"))
        browser.js("window.location.hash = 'sparse/5'")
        self.check_unit("sparse", 5)
        self.assertTrue(browser.js("return document.querySelector('#no-unit').hidden"))
        browser.driver.get("about:blank")
        browser.driver.get(self.url + "#sparse/120")  # also in the address that the page is opened with
        self.wait_js("a sentence", "document.querySelector('#no-unit').textContent.startsWith('#sparse/120: there is no such unit')")
        self.assertEqual(browser.complaints(), [])

    def test_curves_of_several_layers_can_be_told_apart(self):
        """Each metric has a chart of its own; a layer has one colour in all of them, and is seen where it lies on another one."""
        browser.js("""loom.store.scene.parameters.slow = {};
            const values = {interpolation_error: 0.3, participation_ratio: 40, twin: 7};
            for (let pass = 4; pass <= 44; pass++) { // more than have markers
              for (const name of ['topo', 'slow']) loom.take({head: {t: 'metrics', name, pass, values}, arrays: {}});
            }""")
        self.wait_js("two lines", "document.querySelectorAll('[data-metric=participation_ratio]').length === 1 && "
                     "loom.curves.charts.get('Participation ratio PR').lines.length === 2")
        charts = browser.js("""return [...loom.curves.charts.values()].map((chart) => ({title: chart.title,
            lines: chart.lines.map(({name, colour, marker, dash}) => [name, colour, marker, dash.join()]),
            legend: chart.legend.textContent, cut: chart.legend.scrollWidth > chart.legend.clientWidth + 1}))""")
        looks = {}
        for chart in charts:
            self.assertEqual(len({tuple(line[1:3]) for line in chart["lines"]}), len(chart["lines"]), chart)
            self.assertFalse(chart["cut"], chart)
            for name, colour, marker, _ in chart["lines"]:
                self.assertEqual(looks.setdefault(name, (colour, marker)), (colour, marker), chart)
        titles = [chart["title"] for chart in charts]
        self.assertEqual(titles.index("Participation ratio PR"), titles.index("Interpolation error E") + 1)
        shades = browser.js("""const canvas = document.querySelector('[data-metric=twin]');
            const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            const found = {};
            for (let i = 0; i < data.length; i += 4) {
              const key = [data[i], data[i + 1], data[i + 2]].map((part) => part.toString(16).padStart(2, '0')).join('');
              if (data[i + 3] === 255) found['#' + key] = (found['#' + key] ?? 0) + 1;
            }
            return found""")
        colours = {name: browser.js("return getComputedStyle(document.documentElement).getPropertyValue(arguments[0]).trim()", look[0])
                   for name, look in looks.items()}
        for name in ("topo", "slow"):
            self.assertGreater(shades.get(colours[name], 0), 40, f"{name} is hidden: {shades}")
        browser.save(self.shot("curves"))

    def test_seeks_in_the_recording(self):
        slider = browser.js("const s = document.querySelector('[data-do=seek]'); return [s.min, s.max]")
        self.assertEqual(slider, ["0", "2999"])
        self.assertEqual(browser.js("return document.querySelectorAll('.marks i').length"), 2)
        for seq in (2500, 7, 2999, 1000, 999):
            self.assertEqual(self.check_frame(self.seek(seq), self.tape), seq)
        at = browser.js("return document.querySelector('canvas[data-what=place]').closest('figure').innerText")
        self.assertIn("window at {}, {}".format(*self.tape["frames/at"][999]), at)
        self.press(" ")
        self.wait_js("play", "Number(document.body.dataset.seq) > 1040")  # beyond the end of its clip
        self.press(" ")
        self.wait_js("a pause", "!loom.player.playing")
        self.check_frame(self.read_frame(), self.tape)
        self.assertEqual(browser.complaints(), [])

    def test_drives_and_reconstruction_are_those_of_the_weights(self):
        shown = self.seek(1500)
        self.assertEqual(int(shown["window"]["data"]["seq"]), 1500)
        with h5py.File(self.path("run", "layers", "sparse.h5"), "r") as layer:
            weights = layer["weights"][:].astype(float)
        drives = weights @ (self.tape["frames/data"][1500].ravel() / 255)
        cells = browser.cells("canvas[data-stream=sparse][data-what=drive]")
        expected = grey(drives, float(cells["data"]["max"])).reshape(GRID[::-1])
        self.assertLessEqual(abs(cells["values"][..., 0] - expected).max(), 1)  # f4 there, f8 here
        index = self.tape["codes/index"][1500]
        made = (drives[index, None] * weights[index]).sum(axis=0).reshape(PIXELS)
        cells = browser.cells("canvas[data-stream=sparse][data-what=reconstruction]")
        self.assertLessEqual(abs(cells["values"][..., 0] - grey(made, 1)).max(), 1)

    def check_unit(self, layer, unit):
        self.wait_js(f"{layer} {unit}", "loom.unit.shown?.name === arguments[0] && loom.unit.shown.unit === arguments[1]", layer, unit)
        cells = browser.cells("#unit canvas[data-what=unit]")
        with h5py.File(self.path("run", "layers", layer + ".h5"), "r") as file:
            weights = file["weights"][:]
        row = weights[unit]
        self.assertAlmostEqual(float(cells["data"]["max"]), row.max(), delta=1e-6 * row.max())
        numpy.testing.assert_array_equal(cells["values"][..., 0].ravel(), grey(row, float(cells["data"]["max"])))
        return weights

    def test_opens_a_unit_and_goes_on_to_its_readers(self):
        self.wait_js("weights", "document.querySelector('canvas[data-stream=sparse][data-what=weights]')?.dataset.seq")
        self.click_unit("canvas[data-stream=sparse][data-what=weights]", GRID, 43)
        weights = self.check_unit("sparse", 43)
        cells = browser.cells("canvas[data-stream=sparse][data-what=weights]")
        tiles = weights.reshape(GRID[1], GRID[0], *PIXELS).transpose(0, 2, 1, 3).reshape(GRID[1] * 20, GRID[0] * 20)
        self.assertLessEqual(abs(cells["values"][..., 0] - grey(tiles, weights.max())).max(), 1)
        browser.save(self.shot("unit"))
        self.check_labels()
        browser.js("document.querySelector('canvas[data-stream=sparse][data-what=drive]').parentElement.focus()")
        for key in ("\ue014", "\ue014", "\ue015", "\ue007"):  # right, right, down, Enter
            self.press(key)
        self.check_unit("sparse", GRID[0] + 1)
        browser.js("loom.openUnit('sparse', 43)")
        self.check_unit("sparse", 43)
        with h5py.File(self.path("run", "layers", "topo.h5"), "r") as file:
            upper = file["weights"][:]
        best = int(upper[:, 43].argmax())
        self.assertEqual(browser.js("return document.querySelector('#unit .others .link').textContent"), f"topo {best}")
        browser.js("document.querySelector('#unit .others .link').click()")
        self.check_unit("topo", best)
        source = int(upper[best].argmax())
        self.assertEqual(browser.js("return document.querySelector('#unit .others .link').textContent"), f"sparse {source}")
        prototype = browser.cells("#unit canvas[data-what=prototype]")
        expected = upper[best].astype(float) @ weights
        self.assertLessEqual(abs(prototype["values"][..., 0].ravel() - grey(expected, expected.max())).max(), 1)
        self.assertEqual(browser.complaints(), [])

    def check_contrast(self):
        """Every colour in which something is written stands out from the page as WCAG wants it of small text: 4.5 to 1."""
        names = ["--ink", "--soft", "--faint", "--accent", "--bad"] + [f"--c{i}" for i in range(6)]
        colours = browser.js("""const style = getComputedStyle(document.documentElement);
            return arguments[0].map((name) => style.getPropertyValue(name).trim());""", names + ["--paper"])
        light = []
        for colour in colours:
            self.assertRegex(colour, "^#[0-9a-f]{6}$")
            parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
            parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
            light.append(numpy.dot(parts, (0.2126, 0.7152, 0.0722)))
        for name, value in zip(names, light):
            low, high = sorted((value, light[-1]))
            self.assertGreaterEqual((high + 0.05) / (low + 0.05), 4.5, name)

    def check_labels(self):
        """Everything that can be reached has a name that can be read out."""
        nameless = browser.js("""const named = (node) => node.textContent.trim() || node.getAttribute('aria-label') ||
                node.closest('label')?.textContent.trim();
            return [...document.querySelectorAll('button, select, input, a, canvas:not([aria-hidden]), [tabindex]')]
                .filter((node) => !named(node)).map((node) => node.outerHTML);""")
        self.assertEqual(nameless, [])

    def test_fits_a_phone_and_a_wall_in_light_and_dark(self):
        self.wait_js("curves", "document.querySelectorAll('canvas.chart').length > 3")
        background = {}
        for dark in (False, True):
            for name, width, height in (("phone", 390, 844), ("laptop", 1440, 900), ("wall", 2560, 1300)):
                browser.resize(width, height, dark, 2 if width < 700 else 1)
                self.wait_js("the width", "innerWidth === arguments[0]", width)
                self.wait_js("the theme", "document.documentElement.dataset.theme === arguments[0]", "dark" if dark else "light")
                self.assertLessEqual(browser.js("return document.documentElement.scrollWidth"), width, name)
                background[dark] = browser.js("return getComputedStyle(document.body).backgroundColor")
                browser.save(self.shot(f"{name}-{'dark' if dark else 'light'}"))
                self.check_contrast()
        self.assertNotEqual(background[False], background[True])
        browser.js("const t = document.querySelector('#theme'); t.value = 'light'; t.dispatchEvent(new Event('change'))")
        self.assertEqual(browser.js("return getComputedStyle(document.body).backgroundColor"), background[False])
        browser.js("const t = document.querySelector('#theme'); t.value = 'auto'; t.dispatchEvent(new Event('change'))")
        self.assertEqual(browser.complaints(), [])

    def test_colours_and_each_unit_its_own_scale(self):
        self.seek(2000)
        self.wait_js("weights", "document.querySelector('canvas[data-stream=sparse][data-what=weights]')?.dataset.seq")
        browser.js("const c = document.querySelector('#colours'); c.value = 'viridis'; c.dispatchEvent(new Event('change'))")
        cells = browser.cells("canvas[data-stream=window][data-what=data]")
        black, white = self.tape["frames/data"][2000] == 0, self.tape["frames/data"][2000] == 255
        self.assertTrue((cells["values"][black] == (0x44, 0x01, 0x54)).all())
        self.assertTrue((cells["values"][white] == (0xFD, 0xE7, 0x25)).all())
        browser.js("const c = document.querySelector('#colours'); c.value = 'grey'; c.dispatchEvent(new Event('change'))")
        browser.js("document.querySelector('.codes .choice input').click()")
        cells = browser.cells("canvas[data-stream=sparse][data-what=weights]")
        units = cells["values"][..., 0].reshape(GRID[1], 20, GRID[0], 20).max(axis=(1, 3))
        self.assertTrue((units == 255).all(), units)
        browser.js("document.querySelector('.codes .choice input').click()")
        units = browser.cells("canvas[data-stream=sparse][data-what=weights]")["values"][..., 0]
        self.assertEqual((units.reshape(GRID[1], 20, GRID[0], 20).max(axis=(1, 3)) == 255).sum(), 1)

    def test_saves_what_is_seen(self):
        size = browser.driver.execute_async_script("""const done = arguments[0];
            import('/save.js').then(({drawPage}) => {
              const page = drawPage(document.querySelector('#page'));
              const panel = drawPage(document.querySelector('canvas[data-what=data]').closest('figure'));
              const image = page.getContext('2d').getImageData(0, 0, page.width, page.height).data;
              done([page.width, page.height, panel.width, panel.height, new Set(image.filter((_, i) => i % 4 === 0)).size]);
            }, (problem) => done(String(problem)));""")
        self.assertGreater(min(size[:4]), 200, size)
        self.assertGreater(size[4], 100, "the picture of the page has few grey values")

    def test_rubbish_is_a_sentence_and_never_a_dead_page(self):
        """The decoder on bad bytes; and the page after messages with parts that are wrong or not there."""
        said = browser.driver.execute_async_script(DECODE)
        self.assertEqual(said["good"], {"t": "clip", "values": [1, 2, 3], "more": [0.5, -2]})
        for case, text in said["bad"].items():
            self.assertRegex(text, "^Error: ", case)
        browser.js("if (loom.player.playing) loom.player.toggle()")
        browser.js(RUBBISH)
        self.wait_js("a sentence", "!document.querySelector('#problems').hidden")
        self.assertIn("clip", browser.js("return document.querySelector('#problem-text').textContent"))
        self.assertNotIn("shown", browser.js("return document.querySelector('#problem-text').textContent"))
        self.assertNotEqual(browser.cells("canvas[data-stream=window][data-what=data]")["data"]["seq"], "9002")
        self.check_frame(self.seek(1234), self.tape)
        browser.js("document.querySelector('#dismiss').click()")
        self.wait_js("silence", "document.querySelector('#problems').hidden")

    def test_finds_its_server_again(self):
        view = self.children[-1]
        view.kill()
        view.wait()
        self.wait_js("that it is gone", "document.querySelector('#connection').textContent.startsWith('reconnecting')")
        self.assertEqual(browser.js("return document.querySelector('#mode').textContent"), "finished, seen as recorded")
        self.assertIn("no connection", browser.js("return document.querySelector('#lost').innerText"))
        self.assertEqual(self.view("run", re.search(r":([0-9]+)/", self.url).group(1)), self.url)
        self.wait_js("the server", "document.querySelector('#connection').textContent === 'connected'")
        self.assertTrue(browser.js("return document.querySelector('#lost').hidden"))
        self.check_frame(self.seek(2222), self.tape)

    def test_carries_its_token_along(self):
        url = self.view("run", 0, "--token", "open-sesame")
        self.assertIn("?token=open-sesame", url)
        browser.driver.get(url + "#topo/3")
        self.wait_js("a picture", "document.body.dataset.seq !== undefined")
        self.check_unit("topo", 3)
        self.check_frame(self.seek(2468), self.tape)
        with urllib.request.urlopen(browser.js("return document.querySelector('#metrics').href"), timeout=PATIENCE) as answer:
            self.assertIn(b"loom_", answer.read())
        self.assertEqual(browser.complaints(), [])

    def test_holds_no_more_than_it_says(self):
        """An hour's worth of messages."""
        browser.js("""for (let i = 0; i < 20000; i++) {
              loom.take({head: {t: 'metrics', name: 'sparse', pass: i, values: {reconstruction_error: 1 / (i + 1)}}, arrays: {}});
              if (i < 5000) loom.take({head: {t: 'status', status: {stages: [{name: 'sparse', state: 'running', rate: i}]}}, arrays: {}});
            }""")
        series, values, rates = browser.js("""const s = loom.store.series.get('sparse');
            return [s.passes.length, s.values.reconstruction_error.length, loom.store.rates.at.length]""")
        self.assertEqual(series, values)
        self.assertLessEqual(series, 2000)
        self.assertLessEqual(rates, 1200)
        self.wait_js("the newest", "loom.store.series.get('sparse').passes.at(-1) === 19999")

    def test_only_the_page_is_served(self):
        with urllib.request.urlopen(self.url, timeout=PATIENCE) as answer:
            policy = answer.headers["Content-Security-Policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("unsafe", policy)
        with self.assertRaises(urllib.error.HTTPError):
            urllib.request.urlopen(self.url + "../run/pipeline.yaml", timeout=PATIENCE)


# The decoder alone: one good message, and what is wrong with bad ones.
DECODE = """
const done = arguments[0];
const bytes = (head, payload, size) => {
  let text = typeof head === "string" ? head : JSON.stringify(head);
  while ((4 + text.length) % 8) text += " ";
  const buffer = new ArrayBuffer(4 + text.length + payload.length);
  new DataView(buffer).setUint32(0, size ?? text.length, true);
  new Uint8Array(buffer).set(new TextEncoder().encode(text), 4);
  new Uint8Array(buffer).set(payload, 4 + text.length);
  return buffer;
};
const array = (dtype, shape, name = "a") => ({t: "clip", arrays: [{name, dtype, shape}]});
const bad = {
  empty: new ArrayBuffer(0), text: "text", short: new ArrayBuffer(3),
  long_head: bytes({t: "clip"}, [], 4000000000), not_padded: bytes({t: "clip"}, [0, 0, 0], 1),
  no_json: bytes("{t: clip   ", []), no_map: bytes("null", []), no_type: bytes({}, []), number: bytes("17", []),
  type: bytes(array("f8", [1]), [0, 0, 0, 0, 0, 0, 0, 0]), missing: bytes(array("f4", [3]), [0, 0, 0, 0, 0, 0, 0, 0]),
  negative: bytes(array("u1", [-1]), []), huge: bytes(array("f4", [65536, 65536, 65536]), []), half: bytes(array("u1", [0.5]), []),
  deep: bytes(array("u1", [1, 1, 1, 1, 1]), [0, 0, 0, 0, 0, 0, 0, 0]), name: bytes(array("u1", [1], 7), [0, 0, 0, 0, 0, 0, 0, 0]),
};
import("/message.js").then(({decode}) => {
  const floats = new Uint8Array(new Float32Array([0.5, -2]).buffer);
  const good = decode(bytes({t: "clip", arrays: [{name: "x/y", dtype: "u1", shape: [3]}, {name: "z", dtype: "f4", shape: [1, 2]}]},
                            [1, 2, 3, 0, 0, 0, 0, 0, ...floats]));
  const said = {};
  for (const [name, buffer] of Object.entries(bad)) {
    try { decode(buffer); said[name] = "was taken"; } catch (problem) { said[name] = String(problem); }
  }
  done({good: {t: good.head.t, values: [...good.arrays["x/y"].data], more: [...good.arrays.z.data]}, bad: said});
}, (problem) => done({bad: {import: String(problem)}}));
"""

# Messages that decode but make no sense, or only half of it.
RUBBISH = """
const take = (head, arrays = {}) => loom.take({head, arrays});
take({t: "clip", n: 0, seq: 0});
take({t: "clip", n: 1e9, seq: 0});
take({t: "clip", n: 3, seq: 9000}, {"window/data": {data: new Uint8Array(5), shape: [5]}});
take({t: "scene"});
take({t: "scene", streams: [{name: "x", kind: "codes"}]});
take({t: "tapestry"});
for (const t of ["weights", "prototypes", "coverage"]) {
  take({t});
  take({t, name: "sparse", grid: [12, 10], input: [20, 20], cols: 399}, {weights: {data: new Uint8Array(9), shape: [3, 3]}});
  take({t, name: "sparse", grid: [0, -1]}, {coverage: {data: new Float32Array(9), shape: [9]}});
}
take({t: "metrics", name: "nobody", pass: null, values: null});
take({t: "history", series: {sparse: {}}});
take({t: "history"});
take({t: "status", status: {stages: 7}});
take({t: "status", status: null});
take({t: "unit"});
take({t: "error"});
take({t: "news"});
loom.openUnit("nobody", 3);
loom.openUnit("sparse", 1e9);
loom.player.advance(1000);
loom.refresh();
const Clip = loom.player.clip.constructor;
loom.show(new Clip({head: {n: 3, seq: 9000}, arrays: {"window/data": {data: new Uint8Array(5), shape: [5]}}}), 2);
"""


if __name__ == "__main__":
    lacking = page_browser.missing()
    if lacking:
        print(f"skipped: there is no browser to look at the live page with: {lacking} is missing")
        sys.exit(77)
    unittest.main(verbosity=2)
