#!/usr/bin/python3
"""Frames of your own for Loom, with the companion module: a bright blob that goes round.

    /usr/bin/python3 generator_companion.py ipc:///tmp/mine
    loom run pipelines/topo.yaml --set window.from=ipc:///tmp/mine"""
import sys

import loom
import numpy

y, x = numpy.mgrid[0:20, 0:20]


def blob(t):
    """Frame t: always the same for the same t."""
    angle = 2 * numpy.pi * t / 250
    return numpy.exp(-((x - 10 - 6 * numpy.cos(angle)) ** 2 + (y - 10 - 6 * numpy.sin(angle)) ** 2) / 8)


loom.serve(blob, (20, 20), sys.argv[1], frames=1000, passes=5)
