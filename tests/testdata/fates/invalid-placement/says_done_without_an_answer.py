"""Forges the reply of a call that it never answers."""
import sys


def balanced_packing(weight, num_packs):
    worker = sys._getframe(1).f_locals["self"]
    worker.channel.send(b'{"reply": "returned"}')
    while True:
        pass
