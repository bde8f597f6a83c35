#!/usr/bin/python3
"""The notebooks' formulation, written from the mathematics: every step a dense matrix expression, lateral excitation an
N x N matrix product, every weight touched in every frame. In NumPy or PyTorch, as a user would write it.

    notebook.py LIBRARY DTYPE FRAMES.f4 [--seconds S] [--threads N]

Waits for a line on standard input and answers with a line of JSON, {"results": {name: frames/s}}, once a round; first with
{"versions": {...}}. Names are those of kernel-bench: EXPERIMENT/OPERATION/LIBRARY-DTYPE. Each operation runs frame after
frame for about S seconds. Letters: P pixels, N sparse units, M invariant units, k and m winners.
"""

import argparse
import json
import os
import re
import sys
import time

import numpy

SIDE = 20
PRECISION = 1e-10


def lateral(side, radius, strength):
    """L (side² x side²) on the torus: rows of ones for the neighbours, scaled to norm `strength`; 1 on the diagonal."""
    steps = numpy.abs(numpy.subtract.outer(numpy.arange(side), numpy.arange(side)))
    near = numpy.minimum(steps, side - steps) <= radius
    L = numpy.kron(near, near).astype(float)
    numpy.fill_diagonal(L, 0)
    L *= strength / numpy.linalg.norm(L, axis=1, keepdims=True)
    numpy.fill_diagonal(L, 1)
    return L


class Sparse:
    """A sparse layer; xp is the module that computes, new(array) gives it an array."""

    def __init__(self, xp, new, side, k, rate, strength):
        self.xp, self.k, self.rate = xp, k, rate
        self.W = new(numpy.random.default_rng(2).uniform(0, 0.2, (side * side, SIDE * SIDE)))
        self.L = new(lateral(side, 2, strength)) if strength else None

    def step(self, v, learn=True):
        xp = self.xp
        p = self.W @ v
        c = p if self.L is None else self.L @ p
        winners = xp.argsort(c)[-self.k:]
        a = xp.zeros_like(p)
        a[winners] = p[winners]
        if learn:
            r = self.W.T @ a
            self.W *= 1 + self.rate * xp.outer(a, (v - r) / xp.clip(r, PRECISION, None))
        return a / self.W.sum(axis=1)


class Topo:
    def __init__(self, xp, new, side, N, strength=0.1, leak=1 / 3, active_rate=0.08, inactive_rate=0.0008, every=2000):
        self.xp, self.leak, self.every = xp, leak, every
        self.U = new(numpy.random.default_rng(3).uniform(0, 0.1, (side * side, N)))
        self.L = new(lateral(side, 2, strength))
        self.rates = new(numpy.array(active_rate)), new(numpy.array(inactive_rate))
        self.io, self.t = new(numpy.zeros(side * side)), 0

    def step(self, s):
        xp = self.xp
        d = self.L @ (self.U @ s)
        self.io += self.leak * (d - self.io)
        r = self.U.T @ self.io
        z = xp.where(s > 0, *self.rates)
        self.U *= 1 + xp.outer(self.io, (s - r) * z / xp.clip(r, PRECISION, None))
        if self.t % self.every == 0:
            M, N = self.U.shape
            self.U *= (N / M) / self.U.sum(axis=1)[:, None]
        self.t += 1
        return self.io


class Smooth:
    def __init__(self, xp, new, side, N, m=10, smooth_rate=0.1, reconstruction_rate=0.05):
        self.xp, self.m, self.smooth_rate, self.reconstruction_rate = xp, m, smooth_rate, reconstruction_rate
        self.U = new(numpy.random.default_rng(3).uniform(0, 1, (side * side, N)))
        self.io_1 = self.io_2 = new(numpy.zeros(side * side))
        self.s_1 = new(numpy.zeros(N))

    def step(self, s):
        xp = self.xp
        d = self.U @ s
        winners = xp.argsort(d)[-self.m:]
        io = xp.zeros_like(d)
        io[winners] = d[winners]
        q = (io + self.io_2) / 2
        self.U *= 1 + self.smooth_rate * xp.outer(q - self.io_1, self.s_1)
        r = self.U.T @ io
        e = xp.where(s > 0, s - r, xp.zeros_like(s))
        self.U *= 1 + self.reconstruction_rate * xp.outer(io, e / xp.clip(r, PRECISION, None))
        self.io_2, self.io_1, self.s_1 = self.io_1, io, s
        return io


class Experiment:
    """Both layers of an experiment and the inputs of either; operations() maps a name to what a frame costs."""

    def __init__(self, name, xp, new, frames):
        self.name, self.frames = name, [new(frame) for frame in frames]
        if name == "B":
            self.sparse, self.rule = Sparse(xp, new, 40, 4, 0.02, 0.5), "topo"
            self.invariant = Topo(xp, new, 10, 1600)
        else:
            self.sparse, self.rule = Sparse(xp, new, 20, 5, 0.01, 0), "smooth"
            self.invariant = Smooth(xp, new, 10, 400)
        self.codes = [self.sparse.step(v, learn=False) for v in self.frames]

    def operations(self):
        return {
            "sparse_train": lambda t: self.sparse.step(self.frames[t]),
            "sparse_encode": lambda t: self.sparse.step(self.frames[t], learn=False),
            self.rule + "_train": lambda t: self.invariant.step(self.codes[t]),
            "both_train": lambda t: self.invariant.step(self.sparse.step(self.frames[t])),
        }


def rate(step, n, seconds):
    """Frames a second; the first does not count."""
    step(0)
    frames, start = 0, time.perf_counter()
    while frames < 4 or time.perf_counter() - start < seconds:
        step(frames % n)
        frames += 1
    return frames / (time.perf_counter() - start)


def library(name, dtype, threads):
    """The module, how it takes an array, and its versions."""
    if name == "torch":
        import torch
        if threads:
            torch.set_num_threads(threads)
        kind = {"float64": torch.float64, "float32": torch.float32}[dtype]
        torch.set_grad_enabled(False)
        return torch, lambda array: torch.as_tensor(array, dtype=kind).clone(), {
            "torch": torch.__version__, "torch threads": str(torch.get_num_threads())}
    return numpy, lambda array: numpy.array(array, dtype=dtype), {"numpy": numpy.__version__}


def blas():
    """Which library multiplies matrices, by its folder or file among those that are loaded: openblas-pthread, blas..."""
    with open("/proc/self/maps", encoding="utf-8") as file:
        paths = {os.path.realpath(path) for path in re.findall(r"\S*blas\S*\.so\S*", file.read())}
    names = {os.path.basename(path if os.path.dirname(path).endswith("-linux-gnu") else os.path.dirname(path)) for path in paths}
    return ", ".join(sorted(names)) or "built in"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("library", choices=("numpy", "torch"))
    parser.add_argument("dtype", choices=("float64", "float32"))
    parser.add_argument("frames", help=f"raw floats, {SIDE} x {SIDE} a frame")
    parser.add_argument("--seconds", type=float, default=0.25)
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch, and for the name; NumPy goes by OPENBLAS_NUM_THREADS in the environment. 0: the default")
    options = parser.parse_args()
    xp, new, versions = library(options.library, options.dtype, options.threads)
    frames = numpy.fromfile(options.frames, numpy.float32)[:200 * SIDE * SIDE].reshape(-1, SIDE * SIDE)
    experiments = [Experiment(name, xp, new, frames) for name in "BA"]
    print(json.dumps({"versions": {**versions, "blas": blas()}}), flush=True)
    label = f"{options.library}-{options.dtype}" + (f"-{options.threads}-thread" if options.threads else "")
    for _ in sys.stdin:
        results = {}
        for experiment in experiments:
            for name, step in experiment.operations().items():
                results[f"{experiment.name}/{name}/{label}"] = rate(step, len(frames), options.seconds)
        print(json.dumps({"results": results}), flush=True)


if __name__ == "__main__":
    main()
