"""A browser without a window, for the tests of the live page and for tools/screenshots: Debian's chromium, chromium-driver and
python3-selenium. Everything it writes lies in a folder that the caller gives and deletes."""

import base64
import os
import shutil

import numpy

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"

# The first pixel of each cell of a canvas (see stages/live/page/raster.js), and what its data- attributes say.
READ_CELLS = """
const canvas = document.querySelector(arguments[0]);
if (!canvas || !canvas.dataset.cell) return null;
const cell = Number(canvas.dataset.cell);
const [width, height] = [canvas.width / cell, canvas.height / cell];
const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
const values = [];
for (let y = 0; y < height; y++) {
  for (let x = 0; x < width; x++) {
    const at = 4 * (y * cell * canvas.width + x * cell);
    values.push([pixels[at], pixels[at + 1], pixels[at + 2]]);
  }
}
return {data: {...canvas.dataset}, width, height, values, clip: loom.player.clip && [loom.player.clip.seq, loom.player.clip.n]};
"""


def missing():
    """What there is no browser for lack of, or None."""
    for path in (CHROMIUM, DRIVER):
        if not os.path.exists(path):
            return path
    try:
        import selenium.webdriver  # noqa: F401 pylint: disable=import-outside-toplevel,unused-import
    except ImportError:
        return "python3-selenium"
    return None


class Browser:
    def __init__(self, folder):
        from selenium import webdriver  # pylint: disable=import-outside-toplevel
        from selenium.webdriver.chrome.service import Service  # pylint: disable=import-outside-toplevel

        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking", "hide-scrollbars",
                     "disable-component-update", "disable-sync", "disable-dev-shm-usage"):
            options.add_argument("--" + flag)
        self.profile = os.path.join(folder, "profile")
        options.add_argument("--user-data-dir=" + self.profile)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self.driver.set_script_timeout(60)

    def close(self):
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    def resize(self, width, height, dark=False, density=1):
        """A window of so many CSS pixels on a screen of that density, of somebody who prefers dark or light."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": density, "mobile": width < 700}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def save(self, path):
        """What is seen, as PNG."""
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def cells(self, selector):
        """A canvas' cells: {data, values: height x width x 3, clip: (seq, n)}; None if it is not there yet."""
        read = self.js(READ_CELLS, selector)
        if read is None:
            return None
        read["values"] = numpy.array(read["values"], dtype=int).reshape(int(read["height"]), int(read["width"]), 3)
        return read

    def complaints(self):
        """What the page has complained of since the last call: errors, refused scripts, and so on."""
        return [entry["message"] for entry in self.driver.get_log("browser")
                if entry["level"] in ("SEVERE", "WARNING") and "willReadFrequently" not in entry["message"]]  # that is ours
