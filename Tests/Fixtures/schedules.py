"""Learning rates of PyTorch's schedules: writes schedules.h5 beside this script."""

import os

import h5py
import torch
from torch.optim import lr_scheduler

here = os.path.dirname(os.path.abspath(__file__))
EPOCHS, PARTS = 40, 4


def optimizer():
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-2)


def restarts(growth):
    """The rate at each quarter of an epoch."""
    chosen = optimizer()
    schedule = lr_scheduler.CosineAnnealingWarmRestarts(chosen, T_0=3, T_mult=growth, eta_min=1e-4)
    rates = []
    for part in range(EPOCHS * PARTS):
        schedule.step(part / PARTS)
        rates.append(chosen.param_groups[0]["lr"])
    return rates


def steps():
    """The rate of each epoch."""
    chosen = optimizer()
    schedule = lr_scheduler.MultiStepLR(chosen, milestones=[5, 12, 30], gamma=0.3)
    rates = []
    for _ in range(EPOCHS):
        rates.append(chosen.param_groups[0]["lr"])
        chosen.step()
        schedule.step()
    return rates


with h5py.File(os.path.join(here, "schedules.h5"), "w") as file:
    for name, rates in {"restarts_1": restarts(1), "restarts_2": restarts(2), "steps": steps()}.items():
        file.create_dataset(name, data=rates, dtype="f8", track_times=False)
