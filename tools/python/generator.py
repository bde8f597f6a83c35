#!/usr/bin/python3
"""Frames of your own for Loom, in 15 lines (pyzmq, msgpack, NumPy):

    /usr/bin/python3 generator.py ipc:///tmp/mine
    loom run pipelines/topo.yaml --set window.from=ipc:///tmp/mine

Five passes over the same 1000 frames. common/PROTOCOL.md says what is asked and answered."""
import sys, msgpack, numpy, zmq

frames = numpy.random.default_rng(1).random((1000, 20, 20), dtype="f4")  # frames x height x width, 0 to 1
about = {"t": "stream", "kind": "frames", "shape": [20, 20], "pass": 1000, "total": 5000, "block": 200}
(socket := zmq.Context().socket(zmq.ROUTER)).bind(sys.argv[1])
for peer, *request in iter(socket.recv_multipart, None):
    try:
        ask, reply = msgpack.unpackb(*request), about
        if (ask["v"], ask["t"]) != (1, "describe"):  # then it is a fetch of `n` frames from `from` on
            assert (ask["v"], ask["t"], ask["id"]) == (1, "fetch", "noise-1"), "this is stream noise-1"
            n = min(ask["n"], 200 - (first := min(ask["from"], 5000)) % 200, 5000 - first)
            reply = {"t": "data", "seq": first, "n": n, "eos": first + n == 5000,
                     "data": frames[numpy.arange(first, first + n) % 1000].tobytes()}
    except Exception as error:  # whatever a reader says, others are served
        reply = {"t": "err", "why": repr(error)[:200]}
    socket.send_multipart([peer, msgpack.packb({"v": 1, "id": "noise-1", **reply})])
