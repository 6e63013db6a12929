"""Small files of weights as PyTorch saves them: writes weights*.pth beside this script.

All hold the tensors `conv.weight` of 2 x 3 x 1 x 1, the numbers from 0 on divided by 8, and `bn.running_mean`, 1.5 and -2.5; and a counter.
"""

import os
from collections import OrderedDict

import torch

here = os.path.dirname(os.path.abspath(__file__))


def path(name):
    return os.path.join(here, name)


state = OrderedDict()
# A view that begins in the middle of its storage, as the parts of a flat vector do.
state["conv.weight"] = (torch.arange(8, dtype=torch.float32) / 8 - 0.25)[2:].reshape(2, 3, 1, 1)
state["bn.running_mean"] = torch.tensor([1.5, -2.5], dtype=torch.float16)
state["bn.num_batches_tracked"] = torch.tensor(7)

torch.save(state, path("weights.pth"))
torch.save(state, path("weights-stream.pth"), _use_new_zipfile_serialization=False)
torch.save(
    {"epoch": 3, "state_dict": {"module." + name: value for name, value in state.items()}, "optimizer": {"lr": 0.1}},
    path("weights-trainer.pth"),
)
torch.save({"conv.weight": torch.arange(6.0).reshape(2, 3).t()}, path("weights-transposed.pth"))
torch.save(torch.nn.Conv2d(1, 1, 1), path("weights-module.pth"))
