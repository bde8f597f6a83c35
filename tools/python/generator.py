#!/usr/bin/env python3
"""Frames of your own for Loom, in a dozen lines (pyzmq, msgpack, NumPy):  /usr/bin/python3 generator.py ipc:///tmp/mine
Then:  loom run pipelines/topo.yaml --set window.from=ipc:///tmp/mine      (common/PROTOCOL.md says what is answered)"""
import sys, msgpack, numpy, zmq

frames = numpy.random.default_rng(1).random((1000, 20, 20), dtype="f4")  # frames x height x width, from 0 to 1
total = 5 * len(frames)  # five passes over the same frames
about = {"v": 1, "t": "stream", "id": "blobs-1", "kind": "frames", "shape": frames.shape[1:], "dtype": "f4",
         "pass": len(frames), "total": total}
socket = zmq.Context().socket(zmq.ROUTER)
socket.bind(sys.argv[1])
while True:
    peer, request = socket.recv_multipart()
    ask, reply = msgpack.unpackb(request), about
    if ask["t"] == "fetch":  # frames `from` to `from` + `n`: always the same answer to the same question
        end = min(ask["from"] + ask["n"], total)
        data = frames[numpy.arange(ask["from"], end) % len(frames)].tobytes()
        reply = {"v": 1, "t": "data", "id": "blobs-1", "seq": ask["from"], "n": end - ask["from"], "eos": end == total,
                 "data": data}
    socket.send_multipart([peer, msgpack.packb(reply)])
