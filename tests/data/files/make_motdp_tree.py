#!/usr/bin/env python3
"""Made the tree motdp/ and the files beside it, a tiny tree of the kind that MoT-DP users have, with Debian's PyTorch 1.13 and NumPy
1.24: python3 tests/data/files/make_motdp_tree.py. With NumPy 2 it only makes numpy2.pkl, the same sample as one of the tree.

The tests know every value; the rules are the functions value() and pixel(), and the same in motdp_tree.h.
"""
import os
import pickle
import struct
import sys
import zlib
import numpy as np

folder = os.path.dirname(os.path.abspath(__file__))
tree = os.path.join(folder, "motdp")
STEPS, HORIZON, SIDE = 4, 6, 16
ROUTES = ["Town01/data/Route_0", "Town01/data/Route_1", "Town02/data/Route_0"]
FRAMES = 5  # a route; so two samples a route


def value(what, route, frame, i):
    """A number that float32 and bfloat16 hold exactly."""
    return what + route * 0.5 + frame * 0.25 + i * 0.125 - 2


def pixel(route, frame, channel, y, x):
    return (route * 40 + frame * 8 + channel * 3 + y * 2 + x) % 256


def array(what, route, frame, shape):
    count = int(np.prod(shape))
    return np.array([value(what, route, frame, i) for i in range(count)]).reshape(shape)


def raster_path(route, frame):
    return f"{ROUTES[route]}/lidar_bev/{frame:04}.png"


def sample(route, now):
    return {
        "town_name": ROUTES[route].split("/")[0],
        "frame_id": now,
        "speed_hist": array(1, route, now, (STEPS,)),
        "theta_hist": array(2, route, now, (STEPS,)),
        "throttle_hist": array(3, route, now, (STEPS,)),
        "brake_hist": array(4, route, now, (STEPS,)),
        "command_hist": np.eye(6)[[0, 1, 2, 3]],
        "target_point_hist": np.asfortranarray(array(5, route, now, (STEPS, 2))),
        "waypoints_hist": array(6, route, now, (STEPS, 2)),
        "ego_waypoints": np.concatenate([np.zeros((1, 2)), array(7, route, now, (HORIZON, 2))]),
        "route": array(8, route, now, (20, 2)).astype(np.float32),
        "command": np.float64(3),
        "lidar_bev_hist": [raster_path(route, now - STEPS + 1 + i) for i in range(STEPS)],
        "rgb_hist_jpg": [b"\xff\xd8", b"\xff\xd8"],
        "vqa": f"{ROUTES[route]}/vqa/{now:04}.pt",
        "nothing": None,
    }


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(route, frame, alpha):
    rows = b""
    for y in range(SIDE):
        row = [[pixel(route, frame, c, y, x) for c in range(3)] + [128] * alpha for x in range(SIDE)]
        rows += b"\0" + bytes(sum(row, []))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 6 if alpha else 2, 0, 0, 0)
    gamma = chunk(b"gAMA", struct.pack(">I", 100000))  # must not change what is measured
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + gamma + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def write(path, data):
    path = os.path.join(tree, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return path


if int(np.__version__.split(".")[0]) >= 2:
    with open(os.path.join(folder, "numpy2.pkl"), "wb") as file:
        file.write(pickle.dumps(sample(1, 3), protocol=5))
    sys.exit()

import torch

for route in range(len(ROUTES)):
    for frame in range(FRAMES):
        path = f"images/{raster_path(route, frame)}"
        write(path, png(route, frame, alpha=frame == 2))
        tokens = torch.tensor(array(9, route, frame, (4, 8)), dtype=torch.float32)
        torch.save(tokens, write(path.replace("lidar_bev", "lidar_bev_features").replace(".png", "_token.pt"), b""))
    for now in range(STEPS - 1, FRAMES):
        split = "val" if route == 2 else "train"
        protocol = 4 if now == STEPS - 1 else 5
        write(f"data/{split}/r{route}_{now}.pkl", pickle.dumps(sample(route, now), protocol=protocol))
        torch.save({
            "gen_vit_tokens": torch.tensor(array(10, route, now, (5, 8)), dtype=torch.bfloat16),
            "reasoning_query_tokens": torch.tensor(array(11, route, now, (8, 8)), dtype=torch.bfloat16),
            "answer_token_indexes": torch.tensor([3, 0, 5][: 1 + route]),
            "question": "left out",
        }, write(f"images/{ROUTES[route]}/vqa/{now:04}.pt", b""))

torch.save({"gen_vit_tokens": torch.zeros(4, 8, dtype=torch.bfloat16),
            "reasoning_query_tokens": torch.zeros(8, 8, dtype=torch.bfloat16),
            "answer_token_indexes": torch.tensor([1])}, os.path.join(folder, "small_vqa.pt"))
torch.save(torch.full((4, 8), float("nan")), os.path.join(folder, "nan_token.pt"))
