#!/usr/bin/env python3
"""Check the kernels against the model in NumPy, frame by frame over 1,000 frames of an experiment on real digits.

    compare.py A1|B1 KERNELS-REPLAY [--backend cpu|cuda] [--idx FILE]

1. The reference body: the winners of every frame are the same; code, output, residuals and all weights that changed
   agree to 1e-9 relative, after every single frame.
2. The float body against the reference: the same winners in at least 99.9% of the frames; weights within 1e-3,
   relative, in norm.
Exit code 77, skipped, where NumPy, PIL or the bundled tapestries are missing. The digits can come from an IDX file
instead (--idx, or the environment's LOOM_MNIST_IDX).
"""
import argparse
import os
import subprocess
import sys
import tempfile

FRAMES = 1000
# Of the trajectory; the weights take the next one. Two units that differ by less than float can tell (1e-7) may win
# or lose by rounding, and what follows then differs for good. That happens in about one of a hundred such runs, seed
# 1 of B1 among them (1e-8, in frame 868); seed 2 has no difference below 2e-6.
SEED = 2
EXACT = 1e-9
SAME_WINNERS = 0.999
CLOSE = 1e-3

try:
    import numpy as np
    import model
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)


def settings(experiment):
    """The arguments of kernels-replay that stand for an experiment."""
    sparse, invariant = experiment["sparse"], experiment["invariant"]
    N = sparse["Kx"] * sparse["Ky"]
    named = {f"sparse.{name}": value for name, value in sparse.items() if name != "init"}
    named |= {f"invariant.{name}": value for name, value in invariant.items() if name != "init"}
    named |= {"sparse.P": model.WINDOW ** 2, "invariant.N": N}
    return [f"{name}={value!r}" if isinstance(value, float) else f"{name}={value}" for name, value in named.items()]


class Replay:
    """kernels-replay at work on a backend; read its records in order."""

    def __init__(self, program, backend, folder, experiment):
        files = [os.path.join(folder, name) for name in ("frames", "W", "U")]
        self.process = subprocess.Popen([program, backend, *files, *settings(experiment)], stdout=subprocess.PIPE)

    def read(self, *shape):
        size = 8 * int(np.prod(shape))
        data = self.process.stdout.read(size)
        assert len(data) == size, f"kernels-replay ended early, exit code {self.process.wait()}"
        return np.frombuffer(data).reshape(shape)

    def close(self):
        assert not self.process.stdout.read(1), "kernels-replay said more than was expected"
        assert self.process.wait() == 0, "kernels-replay failed"


def deviation(a, b):
    """The largest relative difference of any element; 0 and 0 agree."""
    a, b = np.asarray(a), np.asarray(b)
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(b), 1e-300), initial=0))


def check_reference(replay, frames, sparse, invariant):
    """The worst relative differences by name; the winners of every frame."""
    worst, winners = {}, []
    (N, P), M, k = sparse.W.shape, len(invariant.U), sparse.k
    for t, v in enumerate(frames.astype(float)):
        S, code, frame_error = sparse.step(v)
        s = np.zeros(N)
        s[S] = code
        output, code_error = invariant.step(s)
        told = replay.read(k)
        assert np.array_equal(told, S), f"frame {t}: winners {told}, the model has {S}"
        expected = [("code", code), ("residual of the frame", frame_error), ("output", output),
                    ("residual of the code", code_error), ("W", sparse.W[S]), ("U", invariant.U)]
        for name, value in expected:
            worst[name] = max(worst.get(name, 0), deviation(replay.read(*value.shape), value))
        winners.append(S)
    worst["W at the end"] = deviation(replay.read(N, P), sparse.W)
    worst["U at the end"] = deviation(replay.read(M, N), invariant.U)
    replay.close()
    return worst, np.array(winners)


def check_float(replay, winners, sparse, invariant):
    """The share of frames with the same winners; the distance of W and of U, relative in norm."""
    (N, P), M, k = sparse.W.shape, len(invariant.U), sparse.k
    told = [replay.read(k + k + 2 + M + 2)[:k] for _ in winners]
    W, U = replay.read(N, P), replay.read(M, N)
    replay.close()
    same = np.mean(np.all(np.array(told) == winners, axis=1))
    distance = [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in ((W, sparse.W), (U, invariant.U))]
    return same, *distance


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("experiment", choices=model.EXPERIMENTS)
    parser.add_argument("program", help="kernels-replay")
    parser.add_argument("--idx", default=os.environ.get("LOOM_MNIST_IDX"))
    parser.add_argument("--backend", choices=("cpu", "cuda"), default="cpu", help="whose float body")
    options = parser.parse_args()
    experiment = model.EXPERIMENTS[options.experiment]
    try:
        frames = model.frames_of(experiment, FRAMES, SEED, options.idx)
    except (ImportError, FileNotFoundError) as missing:
        print(f"skipped: {missing}")
        sys.exit(77)
    sparse, invariant = model.build(experiment, SEED + 1)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in zip(("frames", "W", "U"), (frames, *model.initial_weights(experiment, SEED + 1))):
            data.tofile(os.path.join(folder, name))
        worst, winners = check_reference(Replay(options.program, "reference", folder, experiment), frames, sparse,
                                         invariant)
        same, W, U = check_float(Replay(options.program, options.backend, folder, experiment), winners, sparse, invariant)
    passed = max(worst.values()) <= EXACT and same >= SAME_WINNERS and max(W, U) <= CLOSE
    print(f"{options.experiment}, {FRAMES} frames: reference against the model, worst relative difference (allowed {EXACT}):")
    for name, value in worst.items():
        print(f"    {name}: {value:.2g}")
    print(f"float against the reference: the same winners in {same:.2%} of the frames (allowed {SAME_WINNERS:.1%}),\n"
          f"    W {W:.2g}, U {U:.2g} apart (allowed {CLOSE})")
    print("passed" if passed else "FAILED")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
