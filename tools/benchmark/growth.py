"""How the time of a frame grows with the size of a layer: fitted, and drawn."""

import math
import re


def points(results, operation):
    """[(N, P or M, k, seconds a frame)] of an operation, from results {name: {"median": frames/s}}."""
    found = []
    for name, result in results.items():
        match = re.fullmatch(rf"growth/{operation}/N=(\d+)/[PM]=(\d+)/k=(\d+)/cpu", name)
        if match:
            found.append((*map(int, match.groups()), 1 / result["median"]))
    return sorted(found)


def pixels(results):
    """P -> mean number of pixels that are not 0."""
    return {int(name.rpartition("=")[2]) ** 2: result["median"] for name, result in results.items()
            if name.startswith("pixels_not_0/")}


def work(N, P, ink):
    """N x (pixels not 0) + N: what the time of a frame may grow with."""
    return N * ink[P] + N


def fit(results, operation):
    """Time of a frame over work in powers: {"exponent", "points"}, the least squares of the logarithms at k = 4."""
    ink = pixels(results)
    logs = [(math.log(work(N, P, ink)), math.log(seconds)) for N, P, k, seconds in points(results, operation) if k == 4]
    if len(logs) < 2:
        return None
    mean_x, mean_y = (sum(values) / len(logs) for values in zip(*logs))
    exponent = sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)
    return {"exponent": exponent, "points": len(logs), "nanoseconds_at_1e6": 1e9 * math.exp(
        mean_y + exponent * (math.log(1e6) - mean_x))}


def fits(results):
    return {name: found for name in ("sparse_train", "sparse_encode") if (found := fit(results, name))}


BLUE, ORANGE, GREY = "#1f4e9c", "#d9661f", "#666666"


def draw(results, processor, path):
    """Three panels into a PNG of about 1400 x 500 pixels. Needs matplotlib."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    pyplot.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10,
                            "axes.titlelocation": "left", "legend.frameon": False})
    figure, (time, unit, topo) = pyplot.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
    draw_time(time, results)
    draw_unit(unit, results)
    draw_topo(topo, results)
    figure.suptitle(f"Time of a frame and size of the layer, one thread, {processor}", fontsize=10, x=0.01, ha="left")
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    from PIL import Image  # which matplotlib brings; a few colours make a third of the bytes
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(64).save(path, optimize=True)


def plain_ticks(axes, which="both"):
    """1, 10, 100 instead of powers."""
    from matplotlib import ticker
    plain = ticker.FuncFormatter(lambda x, _: f"{x:,.10g}")
    for axis in ([axes.xaxis] if which != "y" else []) + ([axes.yaxis] if which != "x" else []):
        axis.set_major_formatter(plain)
        axis.set_minor_formatter(ticker.NullFormatter())


SERIES = (("sparse_train", "training", BLUE, True), ("sparse_encode", "frozen", ORANGE, False))
MARKERS = {400: "o", 1024: "s", 4096: "^"}


def draw_time(axes, results):
    """Sparse layer: time over work, every size."""
    ink = pixels(results)
    for operation, label, color, filled in SERIES:
        found = points(results, operation)
        for N, P, k, seconds in found:
            if k == 4:
                axes.plot(work(N, P, ink), 1e6 * seconds, MARKERS[P], color=color, ms=5, mfc=color if filled else "white")
        fitted = fit(results, operation)
        if fitted:
            ends = [work(N, P, ink) for N, P, k, _ in found if k == 4]
            xs = [min(ends), max(ends)]
            axes.plot(xs, [1e-3 * fitted["nanoseconds_at_1e6"] * (x / 1e6) ** fitted["exponent"] for x in xs], "-", color=color,
                      lw=1, label=f"{label}: exponent {fitted['exponent']:.2f}")
    for P, marker in MARKERS.items():
        if P in ink:
            axes.plot([], [], marker, color=GREY, mfc="white", ms=5, label=f"P = {P:,} pixels")
    axes.set(xscale="log", yscale="log", xlabel="N × (pixels that are not 0) + N", ylabel="µs a frame",
             title="Sparse layer, N = 400 to 25,600, k = 4")
    plain_ticks(axes, "y")
    axes.legend(loc="upper left")


def draw_unit(axes, results):
    """Sparse layer: time of one multiply-add over the size of the weights, beside what reading a weight costs."""
    ink = pixels(results)
    sizes, times = [], []
    for operation, label, color, filled in SERIES:
        for k in (4, 16):
            found = sorted((2 * N * P / 2**20, 1e9 * seconds / work(N, P, ink)) for N, P, winners, seconds in
                           points(results, operation) if winners == k)
            if found:
                sizes += [size for size, _ in found]
                times += [time for _, time in found]
                axes.plot(*zip(*found), "o" if k == 4 else "D", color=color, ms=5 if k == 4 else 4,
                          mfc=color if filled else "white", label=f"{label}, k = {k}", ls="none")
    axes.set(xscale="log", yscale="log", xlabel="weights rounded to 16 bits, MiB", ylabel="ns a frame, unit and pixel that is not 0",
             title="The same divided by the work")
    plain_ticks(axes)
    if not sizes:
        return
    axes.set_ylim(min(times) / 4, max(times) * 6)
    for level in ("L1", "L2", "L3", "memory"):
        speed, cache = results.get(f"ceiling/read_{level}"), results.get(f"cache/{level}")
        if speed:
            y = 2e9 / speed["high"]
            axes.axhline(y, color=GREY, lw=0.6, ls=":")
            axes.text(1.01, y, level, transform=axes.get_yaxis_transform(), fontsize=7, color=GREY, va="center")
        if cache and min(sizes) < cache["median"] / 2**20 < max(sizes):
            axes.axvline(cache["median"] / 2**20, color=GREY, lw=0.6, ls="--")
            axes.text(cache["median"] / 2**20, 0.01, f" {level}", transform=axes.get_xaxis_transform(), fontsize=7, color=GREY)
    axes.plot([], [], color=GREY, lw=0.6, ls=":", label="reading a weight")
    axes.plot([], [], color=GREY, lw=0.6, ls="--", label="size of a cache")
    axes.legend(loc="upper left", ncols=2, columnspacing=1, fontsize=8)


def draw_topo(axes, results):
    """Rule topo: time over N, which it should hardly feel."""
    found = points(results, "topo_train")
    for M, marker in ((100, "o"), (400, "s")):
        for k, color in ((4, BLUE), (16, ORANGE)):
            line = [(N, 1e6 * seconds) for N, m, winners, seconds in found if (m, winners) == (M, k)]
            if line:
                axes.plot(*zip(*line), marker + "-", color=color, ms=5, lw=1, mfc=color if M == 100 else "white",
                          label=f"M = {M}, k = {k}")
    axes.set(xscale="log", yscale="log", xlabel="N, sparse units", ylabel="µs a frame", title="Invariant layer, rule topo")
    plain_ticks(axes)
    if found:
        axes.set_xticks(sorted({N for N, *_ in found}))
        axes.legend(loc="upper left")
