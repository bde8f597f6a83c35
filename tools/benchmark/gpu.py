#!/usr/bin/env python3
"""The notebooks' formulation on a GPU, as others would make it fast: in CuPy as the notebooks had it, in PyTorch with every
frame captured as a CUDA graph, and in JAX with a compiled scan over a thousand frames. All in float32.

    gpu.py LIBRARY FRAMES.f4 [--seconds S] [--plain]

LIBRARY: cupy, torch or jax; numpy takes cupy's way on the CPU, to see that it is right. Prints one line of JSON, {"device": ...,
"versions": ..., "results": {name: frames/s}}, or with --plain lines NAME RATE; names are those of kernel-bench:
EXPERIMENT/OPERATION/LIBRARY. Exit code 77 where the library or a GPU is missing.
Letters: P pixels, N sparse units, M invariant units, k winners.
"""

import argparse
import json
import sys
import time

import numpy

from notebook import PRECISION, SIDE, Experiment, lateral

SKIPPED = 77
B = {"side": 40, "k": 4, "rate": 0.02, "strength": 0.5}
TOPO = {"side": 10, "strength": 0.1, "leak": 1 / 3, "active_rate": 0.08, "inactive_rate": 0.0008}


def rate(run, frames, seconds, wait):
    """Frames a second of run(), which takes `frames` at a time; the first does not count."""
    run()
    wait()
    calls, start = 0, time.perf_counter()
    while calls < 2 or time.perf_counter() - start < seconds:
        run()
        wait()
        calls += 1
    return calls * frames / (time.perf_counter() - start)


def step_by_step(xp, name, frames, seconds, wait):
    """The notebooks' way, in CuPy or NumPy: frame by frame, in CuPy some twenty-five launches each."""
    experiment = Experiment("B", xp, lambda array: xp.asarray(array, dtype=xp.float32), frames)
    results = {}
    for operation, step in experiment.operations().items():
        def block(step=step):
            for t in range(len(frames)):
                step(t)
        results[f"B/{operation}/{name}"] = rate(block, len(frames), seconds, wait)
    return results


def in_cupy(frames, seconds):
    import cupy
    device = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return {"cupy": cupy.__version__}, device, step_by_step(cupy, "cupy", frames, seconds,
                                                            cupy.cuda.Device().synchronize)


def in_numpy(frames, seconds):
    return {"numpy": numpy.__version__}, "CPU", step_by_step(numpy, "numpy", frames, seconds, lambda: None)


class TorchLayers:
    """Experiment B in PyTorch, every step on fixed tensors so that it can be captured."""

    def __init__(self, torch, frames):
        def new(array):
            return torch.as_tensor(numpy.asarray(array), dtype=torch.float32, device="cuda")
        N, M = B["side"] ** 2, TOPO["side"] ** 2
        self.torch, self.frames = torch, new(frames)
        self.t = torch.zeros(1, dtype=torch.long, device="cuda")
        self.W = new(numpy.random.default_rng(2).uniform(0, 0.2, (N, SIDE * SIDE)))
        self.L = new(lateral(B["side"], 2, B["strength"]))
        self.U = new(numpy.random.default_rng(3).uniform(0, 0.1, (M, N)))
        self.L_I = new(lateral(TOPO["side"], 2, TOPO["strength"]))
        self.io, self.s = new(numpy.zeros(M)), new(numpy.zeros(N))

    def sparse(self, learn=True):
        torch = self.torch
        v = torch.index_select(self.frames, 0, self.t)[0]  # frames[t] would ask the GPU for t, which cannot be captured
        p = self.W @ v
        winners = torch.topk(self.L @ p, B["k"]).indices
        a = torch.zeros_like(p).scatter_(0, winners, p[winners])
        if learn:
            r = self.W.T @ a
            self.W *= 1 + B["rate"] * torch.outer(a, (v - r) / r.clamp(min=PRECISION))
        self.s.copy_(a / self.W.sum(dim=1))
        self.t.copy_((self.t + 1) % len(self.frames))

    def topo(self):
        torch = self.torch
        self.io += TOPO["leak"] * (self.L_I @ (self.U @ self.s) - self.io)
        r = self.U.T @ self.io
        z = torch.where(self.s > 0, TOPO["active_rate"], TOPO["inactive_rate"])
        self.U *= 1 + torch.outer(self.io, (self.s - r) * z / r.clamp(min=PRECISION))


def in_torch(frames, seconds):
    """Each operation's step captured once and replayed."""
    import torch
    if not torch.cuda.is_available():
        sys.exit(SKIPPED)
    torch.set_grad_enabled(False)
    torch.backends.cuda.matmul.allow_tf32 = False
    layers = TorchLayers(torch, frames)
    steps = {"sparse_train": layers.sparse, "sparse_encode": lambda: layers.sparse(learn=False), "topo_train": layers.topo,
             "both_train": lambda: (layers.sparse(), layers.topo())}
    results = {}
    for name, step in steps.items():
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())  # which fills the tensors
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()

        def block(graph=graph):
            for _ in range(len(frames)):
                graph.replay()
        results[f"B/{name}/torch-graph"] = rate(block, len(frames), seconds, torch.cuda.synchronize)
    return {"torch": torch.__version__}, torch.cuda.get_device_name(), results


def in_jax(frames, seconds):
    """All frames in one compiled scan."""
    import jax
    import jax.numpy as jnp
    from jax import lax
    if jax.default_backend() != "gpu":
        sys.exit(SKIPPED)
    jax.config.update("jax_default_matmul_precision", "highest")
    rng = numpy.random.default_rng
    N, M = B["side"] ** 2, TOPO["side"] ** 2
    W = jnp.asarray(rng(2).uniform(0, 0.2, (N, SIDE * SIDE)), dtype=jnp.float32)
    U = jnp.asarray(rng(3).uniform(0, 0.1, (M, N)), dtype=jnp.float32)
    L, L_I = (jnp.asarray(lateral(side, 2, strength), dtype=jnp.float32)
              for side, strength in ((B["side"], B["strength"]), (TOPO["side"], TOPO["strength"])))

    def sparse(W, v, learn=True):
        p = W @ v
        winners = lax.top_k(L @ p, B["k"])[1]
        a = jnp.zeros_like(p).at[winners].set(p[winners])
        if learn:
            r = W.T @ a
            W = W * (1 + B["rate"] * jnp.outer(a, (v - r) / jnp.maximum(r, PRECISION)))
        return W, a / W.sum(axis=1)

    def topo(state, s):
        U, io = state
        io = io + TOPO["leak"] * (L_I @ (U @ s) - io)
        r = U.T @ io
        z = jnp.where(s > 0, TOPO["active_rate"], TOPO["inactive_rate"])
        return (U * (1 + jnp.outer(io, (s - r) * z / jnp.maximum(r, PRECISION))), io), io

    def both(state, v):
        W, s = sparse(state[0], v)
        rest, io = topo(state[1:], s)
        return (W, *rest), io

    film, io = jnp.asarray(frames), jnp.zeros(M, dtype=jnp.float32)
    codes = jax.jit(lambda film: lax.scan(lambda W, v: sparse(W, v, False), W, film)[1])(film)
    cases = {"sparse_train": (sparse, W, film), "sparse_encode": (lambda W, v: sparse(W, v, False), W, film),
             "topo_train": (topo, (U, io), codes), "both_train": (both, (W, U, io), film)}
    results = {}
    for name, (step, state, inputs) in cases.items():
        run = jax.jit(lambda state, inputs, step=step: lax.scan(step, state, inputs))
        results[f"B/{name}/jax-scan"] = rate(lambda: jax.block_until_ready(run(state, inputs)), len(frames), seconds,
                                             lambda: None)
    return {"jax": jax.__version__}, jax.devices()[0].device_kind, results


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("library", choices=("cupy", "torch", "jax", "numpy"))
    parser.add_argument("frames", help=f"raw floats, {SIDE} x {SIDE} a frame")
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--plain", action="store_true", help="lines NAME RATE instead of JSON")
    options = parser.parse_args()
    frames = numpy.fromfile(options.frames, numpy.float32)[:1000 * SIDE * SIDE].reshape(-1, SIDE * SIDE)
    try:
        versions, device, results = {"cupy": in_cupy, "torch": in_torch, "jax": in_jax,
                                      "numpy": in_numpy}[options.library](
            frames, options.seconds)
    except ImportError as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        return SKIPPED
    if options.plain:
        for name, frames_a_second in results.items():
            print(f"{name:48} {frames_a_second:.6g} frames/s on {device}, {versions}")
    else:
        print(json.dumps({"device": device, "versions": versions, "results": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
