#!/usr/bin/env python3
"""The model in NumPy, in double precision, written on its own from the mathematics: what the kernels are checked
against (compare.py), and a slow way to run any experiment.

    model.py EXPERIMENT [--frames 10000] [--passes 1] [--seed 1] [--idx FILE]

Everything is a dense matrix and a whole-array expression here, on purpose unlike the kernels: lateral excitation is a
matrix product, every column is touched in every frame. Letters: P pixels, N = Kx Ky sparse units, M = Ix Iy invariant
units, k and m winners.
"""
import argparse
import os
import struct

import numpy as np

SIDE, TILE, WINDOW = 30, 28, 20   # tiles a side, pixels a tile, pixels of the window
PERIOD = (SIDE - 1) * TILE
PRECISION = 1e-10
PICTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "pipelines", "tapestries")

B_SPARSE = dict(Kx=40, Ky=40, k=4, rate=0.02, radius=2, strength=0.5, init=0.2)
B_TOPO = dict(rule="topo", Ix=10, Iy=10, winners=0, radius=2, leak=1 / 3, active_rate=0.08, inactive_rate=0.0008,
              normalize_every=2000, init=0.1)
A_SPARSE = dict(Kx=20, Ky=20, k=5, rate=0.01, radius=0, strength=0.0, init=0.2)
A_SMOOTH = dict(rule="smooth", Ix=10, Iy=10, winners=10, smooth_rate=0.1, reconstruction_rate=0.05, init=1.0)
EXPERIMENTS = {
    "A1": dict(first=3000, sparse=A_SPARSE, invariant=A_SMOOTH),
    "A2": dict(first=3000, sparse=A_SPARSE, invariant=dict(A_SMOOTH, reconstruction_rate=0.0)),
    "B1": dict(first=0, sparse=B_SPARSE, invariant=dict(B_TOPO, strength=0.1)),
    "B2": dict(first=0, sparse=B_SPARSE, invariant=dict(B_TOPO, strength=0.3)),
    "B3": dict(first=0, sparse=B_SPARSE, invariant=dict(B_TOPO, strength=0.5)),
    "B5": dict(first=0, sparse=B_SPARSE, invariant=dict(B_TOPO, strength=0.5, winners=4)),
    "B6": dict(first=0, sparse=B_SPARSE, invariant=dict(B_TOPO, strength=1.0, winners=4)),
}


def tapestry(first, idx=None):
    """Grey values in [0, 1] of the tapestry that begins with image `first`: laid out from an IDX file of images,
    column by column with the last row and column of tiles repeating the first; else from the bundled picture."""
    if idx is None:
        from PIL import Image
        return np.asarray(Image.open(os.path.join(PICTURES, f"mnist-{first}.png")).convert("L")) / 255.0
    with open(idx, "rb") as file:
        magic, _, rows, cols = struct.unpack(">4I", file.read(16))
        assert (magic, rows, cols) == (2051, TILE, TILE), f"{idx} does not hold {TILE} x {TILE} images"
        file.seek(16 + first * TILE * TILE)
        images = np.frombuffer(file.read(SIDE * SIDE * TILE * TILE), np.uint8).reshape(SIDE, SIDE, TILE, TILE)
    tiles = images.transpose(1, 0, 2, 3).copy()  # [row, column], from column by column
    tiles[-1] = tiles[0]
    tiles[:, -1] = tiles[:, 0]
    return tiles.transpose(0, 2, 1, 3).reshape(SIDE * TILE, SIDE * TILE) / 255.0


def trajectory(frames, seed, speed=3.0, hold=20):
    """Window positions (frames x 2: x, y): uniform random acceleration held for `hold` frames, velocity clipped."""
    random = np.random.Generator(np.random.Philox(key=seed))
    place, velocity, acceleration = np.array([420.0, 420.0]), np.zeros(2), np.zeros(2)
    places = np.empty((frames, 2))
    for t in range(frames):
        if t % hold == 0:
            acceleration = random.uniform(-1, 1, 2)
        place = place + velocity
        velocity = np.clip(velocity + acceleration, -speed, speed)
        places[t] = place
    return np.mod(np.trunc(places).astype(int), PERIOD)


def film(picture, places):
    """Frames (n x P) seen through the window at each of the places."""
    offsets = np.arange(WINDOW)
    rows = places[:, 1, None, None] + offsets[None, :, None]
    columns = places[:, 0, None, None] + offsets[None, None, :]
    return picture[rows, columns].reshape(len(places), WINDOW * WINDOW)


def lateral(Kx, Ky, radius, strength):
    """L (N x N): rows of ones for the neighbours on the torus, scaled to norm `strength`, and 1 on the diagonal."""
    def near(side):
        steps = np.abs(np.subtract.outer(np.arange(side), np.arange(side)))
        return np.minimum(steps, side - steps) <= radius
    L = np.kron(near(Ky), near(Kx)).astype(float)
    np.fill_diagonal(L, 0)
    norm = np.linalg.norm(L, axis=1, keepdims=True)
    L *= strength / np.where(norm > 0, norm, 1)
    np.fill_diagonal(L, 1)
    return L


def largest(x, m):
    """The indices of the m largest, ascending; of equals the lower index."""
    return np.sort(np.argsort(-x, kind="stable")[:m])


class Sparse:
    def __init__(self, W, Kx, Ky, k, rate, radius, strength, **_):
        self.W, self.k, self.rate = W, k, rate
        self.L = lateral(Kx, Ky, radius, strength) if strength else None

    def step(self, v, learn=True):
        """Winners (k), their code (k), and |v - r|^2, |v|^2."""
        p = self.W @ v
        S = largest(p if self.L is None else self.L @ p, self.k)
        r = p[S] @ self.W[S]
        if learn:
            self.W[S] *= 1 + self.rate * np.outer(p[S], (v - r) / np.maximum(r, PRECISION))
        return S, p[S] / self.W[S].sum(axis=1), np.array([np.sum((v - r) ** 2), np.sum(v ** 2)])


class Topo:
    def __init__(self, U, Ix, Iy, winners, radius, strength, leak, active_rate, inactive_rate, normalize_every, **_):
        self.U, self.winners, self.leak, self.every = U, winners, leak, normalize_every
        self.rates = active_rate, inactive_rate
        self.L = lateral(Ix, Iy, radius, strength)
        self.begin_pass()

    def begin_pass(self):
        self.io, self.t = np.zeros(len(self.U)), 0

    def step(self, s, learn=True):
        """The output (M), and |s - r|^2, |s|^2 over the active units."""
        d = self.L @ (self.U @ s)
        if self.winners:
            kept = np.zeros_like(d)
            S = largest(d, self.winners)
            kept[S] = d[S]
            d = kept
        self.io = self.io + self.leak * (d - self.io)
        r = self.io @ self.U
        on = s > 0
        if learn:
            self.U *= 1 + np.outer(self.io, (s - r) * np.where(on, *self.rates) / np.maximum(r, PRECISION))
            if self.every and self.t % self.every == 0:
                M, N = self.U.shape
                self.U *= N / M / self.U.sum(axis=1, keepdims=True)
        self.t += 1
        return self.io, np.array([np.sum((s - r)[on] ** 2), np.sum(s ** 2)])


class Smooth:
    def __init__(self, U, winners, smooth_rate, reconstruction_rate, **_):
        self.U, self.winners = U, winners or len(U)
        self.smooth_rate, self.reconstruction_rate = smooth_rate, reconstruction_rate
        self.begin_pass()

    def begin_pass(self):
        M, N = self.U.shape
        self.io_1, self.io_2, self.s_1 = np.zeros(M), np.zeros(M), np.zeros(N)

    def step(self, s, learn=True):
        """The output (M), and |s - r|^2, |s|^2 over the active units."""
        d = self.U @ s
        S = largest(d, self.winners)
        io = np.zeros_like(d)
        io[S] = d[S]
        if learn:
            q = (io + self.io_2) / 2
            self.U *= 1 + self.smooth_rate * np.outer(q - self.io_1, self.s_1)
        r = io @ self.U
        e = np.where(s > 0, s - r, 0)
        if learn:
            self.U *= 1 + self.reconstruction_rate * np.outer(io, e / np.maximum(r, PRECISION))
        self.io_2, self.io_1, self.s_1 = self.io_1, io, s
        return io, np.array([np.sum(e ** 2), np.sum(s ** 2)])


def initial_weights(experiment, seed):
    """W (N x P) and U (M x N), as floats hold them, so that every body can begin from the same."""
    sparse, invariant = experiment["sparse"], experiment["invariant"]
    random = np.random.Generator(np.random.Philox(key=seed))
    N, M = sparse["Kx"] * sparse["Ky"], invariant["Ix"] * invariant["Iy"]
    W = random.uniform(0, sparse["init"], (N, WINDOW * WINDOW)).astype(np.float32)
    U = random.uniform(0, invariant["init"], (M, N)).astype(np.float32)
    return W, U


def build(experiment, seed):
    """Both layers of an experiment, with new weights."""
    W, U = initial_weights(experiment, seed)
    rule = Topo if experiment["invariant"]["rule"] == "topo" else Smooth
    return Sparse(W.astype(float), **experiment["sparse"]), rule(U.astype(float), **experiment["invariant"])


def frames_of(experiment, frames, seed, idx=None):
    """Frames (n x P) as floats hold them."""
    return film(tapestry(experiment["first"], idx), trajectory(frames, seed)).astype(np.float32)


def homogeneity(rows):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    n = len(rows)
    return (np.sum(unit.sum(axis=0) ** 2) - n) / (n * (n - 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--frames", type=int, default=10000, help="frames a pass")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--idx", help="take the digits from this IDX file instead of the bundled pictures")
    options = parser.parse_args()
    experiment = EXPERIMENTS[options.experiment]
    frames = frames_of(experiment, options.frames, options.seed, options.idx).astype(float)
    sparse, invariant = build(experiment, options.seed + 1)
    for number in range(options.passes):
        invariant.begin_pass()
        errors = np.zeros((2, 2))
        for v in frames:
            S, code, frame_error = sparse.step(v)
            s = np.zeros(len(sparse.W))
            s[S] = code
            _, code_error = invariant.step(s)
            errors += frame_error, code_error
        print(f"pass {number + 1}: reconstruction error of frames {errors[0, 0] / errors[0, 1]:.4f}, of codes "
              f"{errors[1, 0] / errors[1, 1]:.4f}; homogeneity {homogeneity(invariant.U):.3f}", flush=True)


if __name__ == "__main__":
    main()
