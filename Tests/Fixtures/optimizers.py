"""Golden values of optimizers and schedules, computed once by PyTorch in fp64: writes optimizers.h5 beside this script."""

import os

import h5py
import numpy as np
import torch

here = os.path.dirname(os.path.abspath(__file__))
random = np.random.default_rng(12)
start = random.uniform(-1, 1, 37).astype(np.float32)
gradients = random.uniform(-1, 1, (12, 37)).astype(np.float32)
gradients[3] *= 1e-6
gradients[:, 5] = 0

optimizers = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01),
    "sgd_momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=1e-4),
    "sgd_nesterov": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=1e-2, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adam_decay": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=1e-2),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=1e-1),
    "radam": lambda p: torch.optim.RAdam(p, lr=0.01, weight_decay=1e-1, decoupled_weight_decay=True),
    # The second moment takes part from the third step on.
    "radam_short": lambda p: torch.optim.RAdam(p, lr=0.01, betas=(0.8, 0.9), eps=1e-3),
}


def trajectory(make):
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = make([w])
    out = []
    for step in range(12):
        optimizer.param_groups[0]["lr"] = 0.01 * (step + 1)
        w.grad = torch.tensor(gradients[step], dtype=torch.float64)
        optimizer.step()
        out.append(w.detach().numpy().copy())
    return np.stack(out)


def grouped():
    """AdamW over three parts of the vector: no decay in the first, a tenth of the rate in the second, both in the third."""
    cuts = [0, 10, 21, 37]
    parts = [torch.tensor(start[a:b], dtype=torch.float64, requires_grad=True) for a, b in zip(cuts, cuts[1:])]
    factors = [(1, 0), (0.1, 1), (0.1, 0)]
    groups = [{"params": [part], "weight_decay": 0.1 * decay} for part, (_, decay) in zip(parts, factors)]
    optimizer = torch.optim.AdamW(groups, lr=0.01)
    out = []
    for step in range(12):
        for group, (rate, _) in zip(optimizer.param_groups, factors):
            group["lr"] = 0.01 * (step + 1) * rate
        for part, a, b in zip(parts, cuts, cuts[1:]):
            part.grad = torch.tensor(gradients[step, a:b], dtype=torch.float64)
        optimizer.step()
        out.append(np.concatenate([part.detach().numpy() for part in parts]))
    return np.stack(out)


def cosine():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8, 1e-6)
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return np.array(rates)


def plateau(mode, metrics):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, factor=0.3, patience=2, min_lr=1e-3)
    rates = []
    for metric in metrics:
        schedule.step(metric)
        rates.append(optimizer.param_groups[0]["lr"])
    return np.array(rates)


metrics = np.concatenate([[0.5, 0.4, 0.6, 0.60001, 0.59], 0.6 + 0.02 * random.uniform(-1, 1, 25)])
path = os.path.join(here, "optimizers.h5")
with h5py.File(path, "w", libver=("earliest", "v110")) as file:
    write = lambda name, data: file.create_dataset(name, data=data, track_times=False)
    write("start", start)
    write("gradients", gradients)
    for name, make in optimizers.items():
        write(name, trajectory(make))
    write("groups", grouped())
    write("schedule_cosine", cosine())
    write("schedule_metrics", metrics)
    for mode in ["max", "min"]:
        write(f"schedule_plateau_{mode}", plateau(mode, metrics))
print(path, os.path.getsize(path), "bytes")
