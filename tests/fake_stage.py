#!/usr/bin/python3
"""A stage that only pretends: for tests of the launcher (test_loom.py).

Called as loom-fakesource, loom-fakelayer, loom-fakesink, loom-fakelook or loom-fakebroken. It reads no stream and
makes none, but has a specification, counts frames, tells progress, checkpoints, dies when told to, and leaves files
behind as a real stage does. The arguments it was started with are kept in RUN/argv-NAME.
"""
import json
import os
import signal
import sys
import time

KIND = os.path.basename(sys.argv[0]).replace("loom-", "")


def param(name, kind, default, low=None, high=None, **more):
    return {"name": name, "type": kind, "default": default, "min": low, "max": high, "unit": "", "help": f"the {name}",
            "choices": None, "local": False, **more}


PARAMS = [
    param("frames", "integer", "20", 0, 1000000, unit="frames"),
    param("passes", "integer", "2", 0, 1000),
    param("tick", "real", "0.002", 0, 10, unit="s"),
    param("crash_at", "integer", "-1", -1, 1000000),
    param("crash_again_at", "integer", "-1", -1, 1000000),
    param("crash_times", "integer", "1", 0, 1000),
    param("crash_code", "integer", "0", 0, 255, help="0: kill -9"),
    param("complaint", "text", ""),
    param("say", "text", ""),
    param("stubborn", "boolean", "false", help="do not end when asked to"),
    param("linger", "boolean", "false", help="do not end by itself"),
    param("note", "text", "", local=True),
]
LAYER = [
    param("grid", "grid", "10x10", 1, 100, unit="units"),
    param("rate", "real", "0.5", 0, 1),
    param("rule", "choice", "topo", choices=["topo", "smooth", "smt"]),
    param("frozen", "boolean", "false"),
    param("layer", "path", ""),
]
SPECS = {
    "fakesource": {"inputs": {"kinds": [], "min": 0, "max": 0}, "output": "frames",
                   "params": [param("picture", "path", "", required=True)] + PARAMS},
    "fakelayer": {"inputs": {"kinds": ["frames"], "min": 1, "max": 1}, "output": "codes", "params": LAYER + PARAMS},
    "fakesink": {"inputs": {"kinds": ["frames", "codes"], "min": 1, "max": 2}, "output": None, "params": PARAMS},
    "fakelook": {"inputs": {"kinds": [], "min": 0, "max": 0}, "taps": True, "output": None, "params": PARAMS},
}


def tell(event, **more):
    print(json.dumps({"time": "2000-01-01T00:00:00Z", "stage": options["name"], "event": event, **more}),
          file=sys.stderr, flush=True)


def parse():
    """Options into a map; repeated --in and --tap are lists."""
    found = {"in": [], "tap": []}
    words = iter(sys.argv[1:])
    for word in words:
        key, _, value = word[2:].partition("=")
        value = value if "=" in word else next(words)
        if key in ("in", "tap"):
            found[key].append(value)
        else:
            found[key] = value
    for entry in SPECS[KIND]["params"]:
        found.setdefault(entry["name"], entry["default"])
    return found


def checkpoint(name=None):
    return os.path.join(options["run"], "checkpoints", (name or options["name"]) + ".h5")


def load():
    try:
        with open(checkpoint(), encoding="utf-8") as file:
            return int(file.read())
    except FileNotFoundError:
        return 0


def save(frame):
    with open(checkpoint() + ".part", "w", encoding="utf-8") as file:
        file.write(str(frame))
    os.rename(checkpoint() + ".part", checkpoint())


def on_term(_number, _stack):
    if options["stubborn"] == "true":
        return
    if KIND == "fakelook":
        leave("pictures", ".png")
        sys.exit(0)
    save(state["frame"])
    tell("log", level="info", message="saved")
    sys.exit(0 if state["frame"] == total and options["linger"] != "true" else 130)


def leave(folder, ending):
    with open(os.path.join(options["run"], folder, options["name"] + ending), "w", encoding="utf-8") as file:
        file.write(str(state["frame"]))


def maybe_crash():
    deaths = os.path.join(options["run"], f"deaths-{options['name']}-{state['frame']}")
    times = os.path.getsize(deaths) if os.path.exists(deaths) else 0
    here = str(state["frame"]) in (options["crash_at"], options["crash_again_at"])
    if not here or times >= int(options["crash_times"]):
        return
    with open(deaths, "a", encoding="utf-8") as file:
        file.write("x")
    if options["complaint"]:
        tell("log", level="error", message=options["complaint"])
    if options["crash_code"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(int(options["crash_code"]))


def work():
    per_pass = max(int(options["frames"]), 1)
    passes = int(options["passes"])
    while state["frame"] < total:
        maybe_crash()
        time.sleep(float(options["tick"]))
        state["frame"] += 1
        if state["frame"] % 5 == 0:
            save(state["frame"])
        done = state["frame"] // per_pass
        tell("progress", frame=state["frame"], frames=total, **{"pass": min(done + 1, passes)}, passes=passes,
             rate=100.0, metrics={"error": 0.5})
        if state["frame"] % per_pass == 0:
            tell("pass", **{"pass": done}, metrics={"units": 3, "error": 1 / done})
    maybe_crash()


if KIND == "fakebroken":
    print("a riddle: what has a program, but no specification?", file=sys.stderr)
    sys.exit(3)
if sys.argv[1:] == ["--spec"]:
    print(json.dumps({"stage": KIND, "summary": f"pretends to be a {KIND}", "version": "1", "taps": False,
                      "common": [param("name", "text", ""), param("block", "integer", "256", 1, 1000, local=True)],
                      **SPECS[KIND]}))
    sys.exit(0)

options = parse()
total = int(options["frames"]) * int(options["passes"])
state = {"frame": 0}
signal.signal(signal.SIGTERM, on_term)
with open(os.path.join(options["run"], "argv-" + options["name"]), "a", encoding="utf-8") as record:
    record.write(json.dumps(sys.argv) + "\n")
if options["say"]:
    print(options["say"], flush=True)
if KIND == "fakelook":
    maybe_crash()
    while True:
        signal.pause()
state["frame"] = load()
work()
leave("recordings" if KIND == "fakesink" else "layers", ".h5")
while options["linger"] == "true":
    signal.pause()
