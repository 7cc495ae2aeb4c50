#!/usr/bin/env python3
"""Made the .pt files of this folder, with Debian's PyTorch 1.13: python3 tests/runtime/files/make_torch_files.py

The tests compare them with the same values, which they know: element i of tensor number n is n + i.
"""
import os
import zipfile

import torch

folder = os.path.dirname(os.path.abspath(__file__))


def values(number, shape, dtype):
    count = 1
    for size in shape:
        count *= size
    return (torch.arange(count) + number).to(dtype).reshape(shape)


def save(name, content):
    torch.save(content, os.path.join(folder, name))


save("one_tensor.pt", values(0, (3, 4), torch.float32))
shared = values(5, (4, 3), torch.float32)
save("many_tensors.pt", {
    "epoch": 3,
    "note": "texts and numbers are left out",
    "model": torch.nn.ModuleDict({"layer": torch.nn.Linear(1, 1)}).state_dict().__class__([
        ("weight", values(1, (2, 3), torch.float32)),
        ("running.count", torch.tensor(7)),
    ]),
    "types": {
        "f64": values(2, (2,), torch.float64),
        "bf16": values(3, (2, 2), torch.bfloat16),
        "u8": values(4, (3,), torch.uint8),
        "i32": values(6, (1, 2), torch.int32),
    },
    "transposed": shared.t(),
    "part": shared[1:3, 1:],
    "empty": torch.zeros(0, 4),
    "parameter": torch.nn.Parameter(values(8, (2,), torch.float32)),
})
save("float16.pt", {"x": torch.zeros(2, dtype=torch.float16)})
save("object.pt", {"x": torch.nn.Linear(1, 1)})

# What newer versions of PyTorch add beside the tensors, and what they can leave behind.
source = zipfile.ZipFile(os.path.join(folder, "one_tensor.pt"))


def rewrite(name, extra, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(os.path.join(folder, name), "w", method) as archive:
        for entry in source.namelist():
            archive.writestr(zipfile.ZipInfo(entry), source.read(entry), compress_type=method)
        for entry, text in extra.items():
            archive.writestr(zipfile.ZipInfo("one_tensor/" + entry), text, compress_type=method)


rewrite("newer.pt", {"byteorder": "little", ".format_version": "1", ".storage_alignment": "64",
                     ".data/serialization_id": "0123456789"})
rewrite("big_endian.pt", {"byteorder": "big"})
rewrite("compressed.pt", {}, zipfile.ZIP_DEFLATED)
