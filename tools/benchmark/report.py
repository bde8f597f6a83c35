"""What tools/bench found, for people: tables on the terminal or as Markdown."""

import growth

# What is shown: (name of the result, what it is, target as a multiple of NumPy's whole step or None).
ROWS = {
    "B": [
        ("numpy-float64-1-thread", "both_train", "NumPy float64, one thread", None),
        ("numpy-float64", "both_train", "NumPy float64, its default threads", None),
        ("numpy-float32-1-thread", "both_train", "NumPy float32, one thread", None),
        ("numpy-float32", "both_train", "NumPy float32, its default threads", None),
        ("torch-float64", "both_train", "PyTorch float64, its default threads", None),
        ("torch-float32-1-thread", "both_train", "PyTorch float32, one thread", None),
        ("torch-float32", "both_train", "PyTorch float32, its default threads", None),
        ("reference", "both_train", "plain C in double (`_ref`), one thread", None),
        ("cpu", "both_train", "kernels, both layers train, one thread", None),
        ("cpu", "sparse_train", "kernel, sparse layer trains, one thread", 400),
        ("cpu-2-threads", "sparse_train", "kernel, sparse layer trains, two threads", None),
        ("cpu", "sparse_encode", "kernel, frozen sparse layer, one thread", None),
        ("cpu-2-threads", "sparse_encode", "kernel, frozen sparse layer, two threads", 900),
        ("cpu", "topo_train", "kernel, `topo` from recorded codes, one thread", 2000),
        ("pipeline", "b1", "whole pipeline, processes, recorder, renderer", 350),
        ("pipeline", "trainers", "frozen sparse layer and three `topo` trainers, each", None),
    ],
    "A": [
        ("numpy-float64-1-thread", "both_train", "NumPy float64, one thread", None),
        ("numpy-float64", "both_train", "NumPy float64, its default threads", None),
        ("numpy-float32", "both_train", "NumPy float32, its default threads", None),
        ("torch-float32", "both_train", "PyTorch float32, its default threads", None),
        ("reference", "both_train", "plain C in double (`_ref`), one thread", None),
        ("cpu", "both_train", "kernels, both layers train, one thread", None),
        ("cpu", "sparse_train", "kernel, sparse layer trains, one thread", None),
        ("cpu", "sparse_encode", "kernel, frozen sparse layer, one thread", None),
        ("cpu", "smooth_train", "kernel, `smooth` from recorded codes, one thread", None),
        ("pipeline", "a1", "whole pipeline, processes, recorder, renderer", 350),
    ],
}
GEOMETRY = {"B": "1,600 sparse units (k = 4, lateral excitation), 100 invariant units (`topo`)",
            "A": "400 sparse units (k = 5), 100 invariant units (`smooth`, 10 winners)"}

# Of every kernel: (experiment, operation, multiply-adds of a frame from the number of pixels that are not 0, numbers of weights,
# whether it sweeps over all of them, in rounded pairs).
KERNELS = [
    ("B", "sparse_train", lambda ink: 1600 * ink + 3 * 4 * 400, 1600 * 400, True),
    ("B", "sparse_encode", lambda ink: 1600 * ink + 4 * 400, 1600 * 400, True),
    ("B", "topo_train", lambda ink: 3 * 4 * 100 + 5 * 100, 1600 * 100, False),
    ("A", "sparse_train", lambda ink: 400 * ink + 3 * 5 * 400, 400 * 400, True),
    ("A", "sparse_encode", lambda ink: 400 * ink + 5 * 400, 400 * 400, True),
    ("A", "smooth_train", lambda ink: 4 * 5 * 100 + 3 * 100, 400 * 100, False),
]
FELT = 0.2  # a ceiling that is farther away than this binds nothing
HOW_COUNTED = """Multiply-adds are those that the rule asks for: sparse layer N x (pixels that are not 0) for the drives, k P for the
reconstruction and, training, 2 k P more for the update and the row sums; topo 3 k M + 5 M; smooth 4 k M + 3 M. What look-ahead
computes again is not counted, so a fraction is one of useful work. Arithmetic: of a sparse layer that of 16-bit pairs, of an
invariant layer that of floats. L1: every multiply-add reads a weight, of 2 or 4 bytes. The cache that holds the layer: a sparse
layer's weights are read from it once in {sweep:.0f} frames; an invariant layer's as often as they are used."""


def value(results, name):
    return results[name]["median"] if name in results else None


def best(results, name):
    """A ceiling is what the machine reached in its best moment."""
    return results[name]["high"] if name in results else None


def row_value(results, experiment, by, operation):
    return value(results, f"pipeline/{operation}/frames" if by == "pipeline" else f"{experiment}/{operation}/{by}")


def spread(results, experiment, by, operation):
    name = f"pipeline/{operation}/frames" if by == "pipeline" else f"{experiment}/{operation}/{by}"
    return results[name]["low"], results[name]["high"]


def baseline(results, experiment):
    """NumPy float64's whole training step in the setting in which it is faster: (frames/s, which); None if not measured."""
    found = [(row_value(results, experiment, by, "both_train"), text) for by, text in
             (("numpy-float64", "its default threads"), ("numpy-float64-1-thread", "one thread"))]
    return max((pair for pair in found if pair[0]), default=None)


def targets(results):
    """[{what, target, reached, met}] of what was measured."""
    found = []
    for experiment, rows in ROWS.items():
        base = baseline(results, experiment)
        for by, operation, text, target in rows:
            rate = row_value(results, experiment, by, operation)
            if target and rate and base:
                found.append({"what": f"{experiment}: {text}", "target": target, "reached": rate / base[0],
                              "met": rate / base[0] >= target})
    return found


def experiment_table(results, experiment):
    """Rows of cells: what, frames/s, spread, ratio, target, met."""
    base = baseline(results, experiment)
    table = []
    for by, operation, text, target in ROWS[experiment]:
        rate = row_value(results, experiment, by, operation)
        if rate is None:
            continue
        low, high = spread(results, experiment, by, operation)
        ratio = rate / base[0] if base else None
        table.append([text, f"{rate:,.0f}", f"{low:,.0f} to {high:,.0f}", f"{ratio:,.1f}" if ratio else "",
                      f"{target:,}" if target else "", ("yes" if ratio >= target else "no") if target and ratio else ""])
    return table


def home(results, size):
    """The smallest cache that holds so many bytes."""
    for level in ("L1", "L2", "L3"):
        if size <= value(results, f"cache/{level}"):
            return level
    return "memory"


def ceiling_table(results):
    """Rows of cells: kernel, multiply-adds a frame, fraction of each ceiling, which binds."""
    ink, sweep = value(results, "pixels_not_0/side=20"), value(results, "frames_a_sweep")
    if not sweep or not best(results, "ceiling/multiply_add"):
        return []
    table = []
    for experiment, operation, count, weights, sweeps in KERNELS:
        weight = 2 if sweeps else 4  # bytes
        rate, level = value(results, f"{experiment}/{operation}/cpu"), home(results, weight * weights)
        work = rate * count(ink)
        fractions = [(work / best(results, "ceiling/multiply_add" + ("_pairs" if sweeps else "")), "arithmetic"),
                     (weight * work / best(results, "ceiling/read_L1"), "reading L1"),
                     (weight * (rate * weights / sweep if sweeps else work) / best(results, f"ceiling/read_{level}"),
                      f"reading {level}")]
        largest = max(fractions)
        table.append([f"{experiment}: {operation.replace('_', ' ')}", f"{count(ink):,.0f}"]
                     + [f"{fraction:.2f}" for fraction, _ in fractions[:2]] + [f"{fractions[2][0]:.2f} ({level})"]
                     + [largest[1] if largest[0] >= FELT else "none of these: steps wait for one another"])
    return table


def transport_table(results):
    table = []
    for kind in ("frames", "codes", "activations"):
        for readers in (1, 3):
            rate, data = (value(results, f"transport/{kind}/{readers}/{what}") for what in ("frames", "bytes"))
            if rate:
                table.append([kind, str(readers), f"{rate:,.0f}", f"{data / 1e6:,.0f}"])
    return table


def facts(results):
    """Sentences about what is no table."""
    found = []
    for part, text in (("recorder", "recorder"), ("renderer", "renderer on taps"),
                       ("checkpoints", "checkpoints every 5 s (measured at many more, scaled)")):
        cost = value(results, f"pipeline/cost/{part}")
        if cost is not None:
            found.append(f"Cost of the {text}: {100 * cost:.1f} % of the time of experiment B's pipeline.")
    behind = value(results, "pipeline/recorder_behind")
    if behind is not None:
        found.append(f"The recorder was done {1000 * behind:.0f} ms after the last layer: it keeps up.")
    for name in ("b1", "a1"):
        command = value(results, f"pipeline/{name}/command")
        if command:
            found.append(f"The whole command of {name}, with starting, saving and drawing: {command:,.0f} frames/s.")
    p50, p99 = value(results, "transport/round_trip/p50"), value(results, "transport/round_trip/p99")
    if p50:
        found.append(f"Round trip of fetching one frame: {1e6 * p50:.0f} µs in the median, {1e6 * p99:.0f} µs for 99 of 100.")
    for stage in ("sparse", "topo"):
        copies, peak = value(results, f"memory/{stage}/copies"), value(results, f"memory/{stage}/peak_bytes")
        if copies is not None:
            found.append(f"Peak memory of a large {stage} stage: {peak / 2**20:.0f} MiB; beyond a tiny layer's {copies:.2f} copies "
                         f"of its weights (target: 3 at most).")
    for operation, fitted in growth.fits(results).items():
        found.append(f"Growth of {operation.replace('_', ' ')}: time ~ (N x pixels not 0 + N) to the power "
                     f"{fitted['exponent']:.2f} over {fitted['points']} sizes (target: 1 at most).")
    return found


def ceilings(results):
    rates = []
    for name, text in (("multiply_add", "multiply-adds/s"), ("multiply_add_pairs", "of 16-bit pairs"),
                       ("multiply_add_fused", "fused ones (which the kernels do without)")):
        if best(results, "ceiling/" + name):
            rates.append(f"{best(results, 'ceiling/' + name) / 1e9:.1f} G {text}")
    for level in ("L1", "L2", "L3", "memory"):
        if best(results, "ceiling/read_" + level):
            rates.append(f"{level} {best(results, 'ceiling/read_' + level) / 1e9:.0f} GB/s")
    return ", ".join(rates)


VIEWERS = [("none", "no viewer"), ("served", "served, nobody looks (to: not served)"), ("1", "one viewer (to: none)"), ("3", "three viewers"),
           ("3_and_a_stalled_one", "three viewers, and one that takes nothing")]


def viewer_table(results):
    """Rows of cells: who looks, rate as a ratio, its spread."""
    table = []
    for name, text in VIEWERS:
        found = results.get(f"viewers/{name}/ratio")
        if name == "none" and "viewers/none/renderer" in results:
            table.append([text, "1", "", "1", f"{100 * value(results, 'viewers/none/renderer'):.1f} %"])
        if found:
            work, renderer = value(results, f"viewers/{name}/work"), value(results, f"viewers/{name}/renderer")
            table.append([text, f"{found['median']:.3f}", f"{found['low']:.3f} to {found['high']:.3f}",
                          f"{work:.3f}" if work else "", f"{100 * renderer:.1f} %" if renderer is not None else ""])
    return table


HEADS = {
    "experiment": ["", "frames/s", "spread", "x NumPy float64", "target", "met"],
    "ceiling": ["kernel, one thread", "multiply-adds", "arithmetic", "L1", "cache of layer", "nearest ceiling"],
    "transport": ["stream", "readers", "frames/s each", "MB/s each"],
    "viewers": ["the live page", "rate, ratio", "spread", "CPU a frame of those who train, ratio", "renderer, of a core"],
}


def text_table(head, rows):
    """Columns of equal width; the first and the last to the left."""
    widths = [max(len(row[c]) for row in [head, *rows]) for c in range(len(head))]
    lines = []
    for row in [head, *rows]:
        cells = [cell.ljust(width) if c == 0 else cell.rjust(width) for c, (cell, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def markdown_table(head, rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] + ["--:"] * (len(head) - 1), *rows])


def tables(report, make):
    """All tables and sentences of a report, as paragraphs; make(head, rows) lays a table out."""
    results, found = report["results"], []
    for experiment, geometry in GEOMETRY.items():
        rows = experiment_table(results, experiment)
        if rows:
            base = baseline(results, experiment)
            found.append(f"Experiment {experiment}: {geometry}. Medians, rounds: {report['rounds']}."
                         + (f" Ratios are to NumPy's whole training step in float64 with {base[1]}, its faster setting." if base else ""))
            found.append(make(HEADS["experiment"], rows))
    rows = ceiling_table(results)
    if rows:
        found.append(f"Ceilings of one core in {report['body']}: {ceilings(results)}. Each kernel's fraction of them:")
        found += [make(HEADS["ceiling"], rows), HOW_COUNTED.format(sweep=value(results, "frames_a_sweep"))]
    rows = transport_table(results)
    if rows:
        found += ["The streams alone:", make(HEADS["transport"], rows)]
    rows = viewer_table(results)
    if rows:
        found += ["Experiment B's rate while pages look at it, against its rate while none does, in slices of one run:",
                  make(HEADS["viewers"], rows)]
    if facts(results):
        found.append("\n".join(f"- {fact}" for fact in facts(results)))
    return found


def terminal(report):
    head = f"{report['processor']}, {report['cores']} cores, body {report['body']}, {report['date']}"
    if report["quick"]:
        head += "\nMade with --quick: these numbers show that the benchmark works, and measure nothing."
    return "\n\n".join([head, *tables(report, text_table)]).replace("`", "")


def markdown(report):
    """What README shows."""
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items() if "threads" not in name)
    head = f"On {report['cores']} cores of {report['processor']} (body `{report['body']}`), {report['date'][:10]}; {versions}:"
    return "\n\n".join([head, *tables(report, markdown_table)])
