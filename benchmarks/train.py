#!/usr/bin/env python3
"""Training of a U-Net with a ResNet34 encoder on the CPU: pleura beside PyTorch.

    benchmarks/train.py [--pleura .build/release/pleura] [--workers 2] [--rounds 3] [--steps 20] [--warm-ups 2]
                        [--compile] [--cores 0,1] [--size 256] [--microbatch-size 4] [--json PATH]

Both run in the same call, alternating for `--rounds` rounds, on the same network, size, microbatches and cores: one
process with one compute thread a worker. PyTorch runs channels-last with oneDNN, the fused Adam and, above one worker,
DistributedDataParallel over Gloo; `--compile` runs it through torch.compile as well, and its best mode counts. A step
is everything between two updates: taking the samples, augmentation, forward, BCE + Dice, backward, all-reduce, Adam.
PyTorch's samples lie in memory and are only flipped and brightened; pleura reads shards and augments as its
configuration says. Needs PyTorch. Prints a table with the ratio pleura / PyTorch (above 1: pleura is faster), or JSON.
"""

import argparse
import datetime
import inspect
import json
import os
import platform
import queue as queues
import socket
import statistics
import subprocess
import sys
import time

CONFIGURATION = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../configs/bench/unet-resnet34-256.yaml")
LEARNING_RATE = 1e-4
# Mean and standard deviation of ImageNet's colours, as in the configuration.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_network():
    """The U-Net of segmentation_models_pytorch: torchvision's resnet34, five decoder blocks, a 3×3 head."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.relu = nn.ReLU(inplace=True)
            self.downsample = None
            if stride != 1 or inputs != outputs:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

        def forward(self, x):
            identity = x if self.downsample is None else self.downsample(x)
            y = self.relu(self.bn1(self.conv1(x)))
            return self.relu(self.bn2(self.conv2(y)) + identity)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            self.relu = nn.ReLU(inplace=True)
            self.maxpool = nn.MaxPool2d(3, 2, 1)
            inputs = 64
            for layer, count in enumerate((3, 4, 6, 3)):
                outputs = 64 << layer
                blocks = []
                for block in range(count):
                    blocks.append(Block(inputs, outputs, 2 if block == 0 and layer > 0 else 1))
                    inputs = outputs
                setattr(self, f"layer{layer + 1}", nn.Sequential(*blocks))

        def forward(self, x):
            features = [self.relu(self.bn1(self.conv1(x)))]
            x = self.maxpool(features[0])
            for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
                x = layer(x)
                features.append(x)
            return features

    def conv(inputs, outputs):
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))

    class DecoderBlock(nn.Module):
        def __init__(self, inputs, skip, outputs):
            super().__init__()
            self.conv1 = conv(inputs + skip, outputs)
            self.conv2 = conv(outputs, outputs)

        def forward(self, x, skip):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            if skip is not None:
                x = torch.cat([x, skip], dim=1)
            return self.conv2(self.conv1(x))

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = Encoder()
            inputs, blocks = 512, []
            for skip, outputs in zip((256, 128, 64, 64, 0), (256, 128, 64, 32, 16)):
                blocks.append(DecoderBlock(inputs, skip, outputs))
                inputs = outputs
            self.decoder = nn.ModuleList(blocks)
            self.head = nn.Conv2d(16, 1, 3, 1, 1)

        def forward(self, x):
            features = self.encoder(x)
            x = features.pop()
            for block in self.decoder:
                x = block(x, features.pop() if features else None)
            return self.head(x)

    return UNet()


def make_samples(count, size):
    """Grey images with a disc to find, as bytes, in memory."""
    import torch

    axis = torch.arange(size)
    images = torch.randint(0, 128, (count, 1, size, size), dtype=torch.uint8)
    masks = torch.zeros(count, 1, size, size)
    for index in range(count):
        x, y = torch.randint(size // 4, 3 * size // 4, (2,)).tolist()
        inside = (axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2 < (size // 8) ** 2
        images[index, 0][inside] += 96
        masks[index, 0][inside] = 1
    return images, masks


def make_batch(images, masks, mean, deviation):
    """Flips, brightens, normalises, and makes the three equal channels."""
    import torch

    batch = images.to(torch.float32).mul_(1 / 255)
    batch = torch.where(torch.rand(len(batch), 1, 1, 1) < 0.3,
                        (batch + torch.rand(len(batch), 1, 1, 1) * 0.4 - 0.2).clamp_(0, 1), batch)
    if torch.rand(()) < 0.5:
        batch, masks = batch.flip(3), masks.flip(3)
    batch = (batch - mean) / deviation
    return batch.contiguous(memory_format=torch.channels_last), masks.contiguous()


def loss_of(logits, masks):
    from torch.nn import functional

    probabilities = logits.sigmoid()
    dice = (2 * (probabilities * masks).sum() + 1) / (probabilities.sum() + masks.sum() + 1)
    return functional.binary_cross_entropy_with_logits(logits, masks) + 1 - dice


def torch_rank(rank, port, mode, options, queue):
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    torch.manual_seed(rank)
    network = make_network().to(memory_format=torch.channels_last).train()
    parameters = sum(p.numel() for p in network.parameters())
    model = network
    if options["workers"] > 1:
        dist.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=options["workers"])
        parallel = torch.nn.parallel.DistributedDataParallel
        # Running statistics need not travel in each step; the option has another name since 2.13.
        names = inspect.signature(parallel).parameters
        option = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
        model = parallel(network, gradient_as_bucket_view=True, **{option: False})
    if mode == "compile":
        model = torch.compile(model)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    size, microbatch = options["size"], options["microbatch_size"]
    images, masks = make_samples(16 * microbatch, size)
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    deviation = torch.tensor(DEVIATION).view(1, 3, 1, 1)

    instants = []
    for step in range(options["warm_ups"] + options["steps"]):
        chosen = torch.randint(0, len(images), (microbatch,))
        inputs, targets = make_batch(images[chosen], masks[chosen], mean, deviation)
        loss = loss_of(model(inputs), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if not torch.isfinite(loss):
            raise SystemExit(f"PyTorch: the loss is {loss.item()} in step {step}")
        instants.append(time.monotonic())
    first = options["warm_ups"]
    seconds = [b - a for a, b in zip(instants[first - 1:], instants[first:])]
    if options["workers"] > 1:
        # A step is as long as the slowest process takes.
        slowest = torch.tensor(seconds, dtype=torch.float64)
        dist.all_reduce(slowest, op=dist.ReduceOp.MAX)
        seconds = slowest.tolist()
        dist.destroy_process_group()
    if rank == 0:
        queue.put((seconds, parameters))


def run_torch(mode, options):
    import torch.multiprocessing as mp

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = mp.get_context("spawn")
    queue = context.Queue()
    ranks = [context.Process(target=torch_rank, args=(rank, port, mode, options, queue))
             for rank in range(options["workers"])]
    try:
        for rank in ranks:
            rank.start()
        while True:
            try:
                seconds, parameters = queue.get(timeout=1)
                break
            except queues.Empty:
                if any(rank.exitcode not in (None, 0) for rank in ranks):
                    sys.exit(f"PyTorch ({mode}) ended with {[rank.exitcode for rank in ranks]}.")
        for rank in ranks:
            rank.join()
    finally:
        for rank in ranks:
            if rank.is_alive():
                rank.terminate()
    return figures(seconds, options), parameters


def figures(seconds, options):
    median = statistics.median(seconds)
    return {"step_s": median, "step_s_min": min(seconds), "step_s_max": max(seconds),
            "images_per_second": options["workers"] * options["microbatch_size"] / median}


def run_pleura(program, options):
    command = [program, "bench", "train", CONFIGURATION, "--workers", str(options["workers"]), "--threads", "1",
               "--steps", str(options["steps"]), "--warm-ups", str(options["warm_ups"]),
               "--set", f"data.size={options['size']}",
               "--set", f"training.microbatch_size={options['microbatch_size']}", "--json", "-"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def processor():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def commit():
    done = subprocess.run(["git", "-C", os.path.dirname(os.path.abspath(__file__)), "describe", "--always", "--dirty"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip() or None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pleura", default=".build/release/pleura")
    parser.add_argument("--workers", type=int, default=2, help="processes, each with one compute thread")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20, help="counted steps of a round")
    parser.add_argument("--warm-ups", type=int, default=2, help="steps before those")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--microbatch-size", type=int, default=4)
    parser.add_argument("--compile", action="store_true", help="run torch.compile as well")
    parser.add_argument("--cores", help="cores for both, as in 0,1; all by default")
    parser.add_argument("--json", help="where to write the figures; - for standard output")
    arguments = parser.parse_args()
    if min(arguments.workers, arguments.rounds, arguments.steps, arguments.warm_ups, arguments.microbatch_size) < 1:
        parser.error("workers, rounds, steps, warm-ups and the microbatch's size are at least 1")
    if arguments.size < 64 or arguments.size % 32 != 0:
        parser.error("--size is a multiple of 32 from 64 on")
    if arguments.cores:
        os.sched_setaffinity(0, {int(core) for core in arguments.cores.split(",")})
    options = {"workers": arguments.workers, "steps": arguments.steps, "warm_ups": arguments.warm_ups,
               "size": arguments.size, "microbatch_size": arguments.microbatch_size}

    import torch

    load = os.getloadavg()[0]
    modes = ["eager", "compile"] if arguments.compile else ["eager"]
    runs = {name: [] for name in ["pleura", *modes]}
    for number in range(arguments.rounds):
        for name in runs:
            print(f"round {number + 1} of {arguments.rounds}: {name}", file=sys.stderr)
            if name == "pleura":
                runs[name].append(run_pleura(arguments.pleura, options))
            else:
                run, parameters = run_torch(name, options)
                runs[name].append(run)

    speeds = {name: [run["images_per_second"] for run in rounds] for name, rounds in runs.items()}
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    best = max(modes, key=medians.get)
    ratios = [a / b for a, b in zip(speeds["pleura"], speeds[best])]
    report = {
        "benchmark": "training beside PyTorch", "date": datetime.date.today().isoformat(), **options,
        "rounds": arguments.rounds, "network": "unet/resnet34", "torch_parameters": parameters,
        "pleura": commit(), "torch": torch.__version__, "python": platform.python_version(),
        "machine": platform.platform(), "processor": processor(), "processors": len(os.sched_getaffinity(0)),
        "load_1m_before": load, "torch_mode": best, "images_per_second": medians,
        "ratio": medians["pleura"] / medians[best], "ratio_min": min(ratios), "ratio_max": max(ratios), "runs": runs,
    }
    if arguments.json:
        text = json.dumps(report, indent=2) + "\n"
        if arguments.json == "-":
            print(text, end="")
            return
        with open(arguments.json, "w") as file:
            file.write(text)
    print(f"{report['network']} at {arguments.size}, {arguments.workers} workers, microbatches of "
          f"{arguments.microbatch_size}, {arguments.rounds} rounds of {arguments.steps} steps")
    print(f"{report['processor']}, {report['processors']} processors, load {load:.1f} before; torch {torch.__version__}, "
          f"{parameters / 1e6:.1f} M parameters; pleura {report['pleura']}")
    print("                  images/s   (rounds)            step ms   (all steps)")
    for name, rounds in runs.items():
        title = name if name == "pleura" else f"PyTorch {name}"
        steps = [run["step_s"] for run in rounds]
        print(f"{title:16s}{medians[name]:10.2f}   {min(speeds[name]):7.2f} to {max(speeds[name]):7.2f}"
              f"{statistics.median(steps) * 1e3:10.1f}   {min(r['step_s_min'] for r in rounds) * 1e3:.1f} to "
              f"{max(r['step_s_max'] for r in rounds) * 1e3:.1f}")
    print(f"pleura / PyTorch {best}: {report['ratio']:.3f}, {report['ratio_min']:.3f} to {report['ratio_max']:.3f} "
          "by rounds")


if __name__ == "__main__":
    main()
