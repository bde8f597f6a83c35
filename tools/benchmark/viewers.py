"""What viewers of the live page cost those who train, for tools/bench.

One run of experiment B with a renderer that serves the page; while it trains, pages come and go: none, one, three, and three
with a fourth that takes nothing. Every round has a slice of each in another order, so that a slow moment of the machine falls on all
alike, and ratios are to the slice without viewers of the same round. What the page's server costs while nobody looks is seen by
runs with and without it. The viewers only take what comes, as nice as can be: a browser would be on another machine.
"""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from pipelines import PIPELINES, Run, fail, moment

SETTLE = 0.6  # seconds of a slice that are not measured: viewers come and go
PATIENCE = 60  # seconds until the run must have told of its progress
SLICES = {"none": (0, 0), "1": (1, 0), "3": (3, 0), "3_and_a_stalled_one": (3, 1)}
PASSES = 100000  # of the run, which is ended when all has been measured

VIEWER = r"""
import base64, os, socket, sys, time
os.nice(19)
port, takes = int(sys.argv[1]), sys.argv[2] == "takes"
peer = socket.socket()
if not takes:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
peer.connect(("127.0.0.1", port))
peer.sendall((f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
              f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: loom-1\r\n"
              f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n").encode())
if not peer.recv(1 << 16).startswith(b"HTTP/1.1 101"):
    sys.exit("the live page refuses a viewer")
got = 0
while takes:
    n = len(peer.recv(1 << 20))
    got += n
    if n == 0:
        break
time.sleep(1000)
"""


class Viewers:
    def __init__(self, loom, folder, frames, passes, slice_s):
        self.loom, self.folder, self.slice_s, self.random = loom, folder, slice_s, random.Random(1)
        self.size = [f"window.frames={frames}", f"window.passes={passes}"]
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(PIPELINES, "b1.yaml"), encoding="utf-8") as file:
            text = file.read().replace("tapestry: ", f"tapestry: {PIPELINES}/")
        self.pipeline = os.path.join(folder, "viewers.yaml")
        with open(self.pipeline, "w", encoding="utf-8") as file:
            file.write(re.sub(r"(?m)^  tape:.*\n", "", text))  # a recorder would fill the disk

    def measure(self):
        """{name: number} of one round."""
        results = self._slices()
        plain = Run(self.loom, self.pipeline, os.path.join(self.folder, "viewers-plain"), self.size)
        live = Run(self.loom, self.pipeline, os.path.join(self.folder, "viewers-live"), [*self.size, "maps.live=127.0.0.1:0"])
        results["viewers/served/ratio"] = live.rate() / plain.rate()
        return results

    def _slices(self):
        run, port = os.path.join(self.folder, "viewers"), free_port()
        shutil.rmtree(run, ignore_errors=True)
        command = [self.loom, "run", self.pipeline, "--dir", run, "--log", "json", "--set", self.size[0], "--set",
                   f"window.passes={PASSES}", "--set", f"maps.live=127.0.0.1:{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
            told = []
            reader = threading.Thread(target=follow, args=(child.stdout, told), daemon=True)
            reader.start()
            try:
                wait_for(lambda: len(told) > 2 and answers(port))
                order = list(SLICES)
                self.random.shuffle(order)
                slices = {name: self._slice(child.pid, port, told, *SLICES[name]) for name in order}
            finally:
                child.send_signal(signal.SIGINT)
                child.wait()
        results, none = {}, slices["none"]
        for name, found in slices.items():
            results[f"viewers/{name}/frames"] = found["rate"]
            results[f"viewers/{name}/renderer"] = found["renderer"]
            if name != "none":
                results[f"viewers/{name}/ratio"] = found["rate"] / none["rate"]
                results[f"viewers/{name}/work"] = found["work"] / none["work"]
        return results

    def _slice(self, launcher, port, told, takers, stalled):
        """While so many look: the sparse layer's frames a second; CPU seconds that those who train take for a frame, which says
        the same on a machine that is busy with other things; and the renderer's share of a core."""
        viewers = [subprocess.Popen([sys.executable, "-c", VIEWER, str(port), kind])
                   for kind in ["takes"] * takers + ["stalls"] * stalled]
        try:
            time.sleep(SETTLE)
            begin, used = time.time(), cpu_seconds(launcher)
            time.sleep(self.slice_s)
            while True:  # rather longer than too little to tell a rate from
                seen = [(at, frame) for at, frame in list(told) if at >= begin]
                if len(seen) > 1 or time.time() > begin + PATIENCE:
                    break
                time.sleep(0.1)
            used = {name: seconds - used.get(name, 0) for name, seconds in cpu_seconds(launcher).items()}
            if len(seen) < 2:
                fail(70, "the run tells of no progress")
            rate = (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])
            training = sum(seconds for name, seconds in used.items() if name != "maps")
            return {"rate": rate, "work": training / (rate * self.slice_s), "renderer": used["maps"] / self.slice_s}
        finally:
            for viewer in viewers:
                viewer.kill()
                viewer.wait()


def cpu_seconds(launcher):
    """{name of the stage: CPU time so far} of the stages of a launcher."""
    used, tick = {}, os.sysconf("SC_CLK_TCK")
    with open(f"/proc/{launcher}/task/{launcher}/children", encoding="ascii") as file:
        for pid in file.read().split():
            with open(f"/proc/{pid}/cmdline", "rb") as line, open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
                words, times = line.read().decode().split("\0"), stat.read().rpartition(")")[2].split()
            used[words[words.index("--name") + 1]] = (int(times[11]) + int(times[12])) / tick
    return used


def follow(lines, told):
    """Keep (seconds, frame) of every report of the sparse layer."""
    for line in lines:
        if line.startswith("{"):
            event = json.loads(line)
            if event["event"] == "progress" and event["stage"] == "sparse":
                told.append((moment(event), event["frame"]))


def answers(port):
    with socket.socket() as peer:
        return peer.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition):
    end = time.time() + 60
    while not condition():
        if time.time() > end:
            fail(70, "the run with a live page does not begin")
        time.sleep(0.05)


def free_port():
    with socket.socket() as peer:
        peer.bind(("127.0.0.1", 0))
        return peer.getsockname()[1]
