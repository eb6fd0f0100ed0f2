"""Raises if it can reach anything by a socket."""
import socket

import torch


def is_reached(family, kind, address):
    try:
        with socket.socket(family, kind) as connection:
            connection.settimeout(0.1)
            connection.connect(address)
            return True
    except OSError:
        return False


def balanced_packing(weight, num_packs):
    if is_reached(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 22)):
        raise RuntimeError("reaches TCP port 22")
    if is_reached(socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 53)):
        raise RuntimeError("has a route for UDP")
    if is_reached(socket.AF_UNIX, socket.SOCK_STREAM, "\0packevolve-left-behind"):
        raise RuntimeError("reaches an abstract socket")
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
