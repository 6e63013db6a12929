"""The PyTorch side of train.py: one process a worker with one thread, on segmentation_models_pytorch's networks.

Channels-last with oneDNN, the fused Adam; bf16 is autocast, with the losses in fp32; above one worker
DistributedDataParallel over Gloo. A step is everything between two updates: taking the samples from memory, a flip and
a change of brightness, forward, BCE + Dice, backward, all-reduce, Adam.
"""

import inspect
import queue as queues
import resource
import socket
import statistics
import time

LEARNING_RATE = 1e-4
# Mean and standard deviation of ImageNet's colours, as in the configurations.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Failure(Exception):
    """A process of PyTorch's side ended early; its own message stands on standard error."""


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def import_networks():
    """Bytes that importing the networks' package takes: code that a program with plain modules would not load.

    What PyTorch itself loads when it first trains is in memory before, so that it does not count.
    """
    import torch

    layer = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(layer.parameters(), fused=True)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    before = resident_bytes()
    import segmentation_models_pytorch  # noqa: F401

    return resident_bytes() - before


def make_network(load):
    import segmentation_models_pytorch as smp

    classes = {"unet": smp.Unet, "deeplabv3plus": smp.DeepLabV3Plus, "fpn": smp.FPN}
    return classes[load["architecture"]](load["encoder"], encoder_weights=None)


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


def rank_main(rank, port, mode, load, queue):
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    imports = import_networks()
    torch.manual_seed(rank)
    network = make_network(load).to(memory_format=torch.channels_last).train()
    parameters = sum(p.numel() for p in network.parameters())
    model = network
    if load["workers"] > 1:
        dist.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=load["workers"])
        parallel = torch.nn.parallel.DistributedDataParallel
        # Running statistics need not travel in each step; the option has another name since 2.13.
        names = inspect.signature(parallel).parameters
        option = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
        # An EfficientNet carries a classifier's convolution that a segmenter does not use.
        unused = load["encoder"].startswith("efficientnet")
        model = parallel(network, gradient_as_bucket_view=True, find_unused_parameters=unused, **{option: False})
    if mode == "compile":
        model = torch.compile(model)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    size, microbatch = load["size"], load["microbatch_size"]
    images, masks = make_samples(4 * microbatch, size)
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    deviation = torch.tensor(DEVIATION).view(1, 3, 1, 1)

    instants = []
    for step in range(load["warm_ups"] + load["steps"]):
        chosen = torch.randint(0, len(images), (microbatch,))
        inputs, targets = make_batch(images[chosen], masks[chosen], mean, deviation)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=load["precision"] == "bf16"):
            logits = model(inputs)
        loss = loss_of(logits.float(), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if not torch.isfinite(loss):
            raise SystemExit(f"PyTorch: the loss is {loss.item()} in step {step}")
        instants.append(time.monotonic())
    first = load["warm_ups"]
    seconds = [b - a for a, b in zip(instants[first - 1:], instants[first:])]
    if load["workers"] > 1:
        # A step is as long as the slowest process takes.
        slowest = torch.tensor(seconds, dtype=torch.float64)
        dist.all_reduce(slowest, op=dist.ReduceOp.MAX)
        seconds = slowest.tolist()
        dist.destroy_process_group()
    if rank == 0:
        queue.put((seconds, parameters, imports, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def run(mode, load):
    """Figures of one round: step times, images per second, the peak memory of a process, and the parameters.

    `peak_bytes` is without the `imports_bytes` that the networks' package takes. Raises `Failure` where a process ends
    before it has figures.
    """
    import torch.multiprocessing as mp

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = mp.get_context("spawn")
    queue = context.Queue()
    ranks = [context.Process(target=rank_main, args=(rank, port, mode, load, queue)) for rank in range(load["workers"])]
    try:
        for rank in ranks:
            rank.start()
        while True:
            try:
                seconds, parameters, imports, peak = queue.get(timeout=1)
                break
            except queues.Empty:
                if any(rank.exitcode not in (None, 0) for rank in ranks):
                    raise Failure(f"PyTorch ({mode}) ended with {[rank.exitcode for rank in ranks]}") from None
        for rank in ranks:
            rank.join()
    finally:
        for rank in ranks:
            if rank.is_alive():
                rank.terminate()
    return {"steps_s": seconds, "images_per_second": images_per_second(seconds, load), "peak_bytes": peak - imports,
            "imports_bytes": imports, "parameters": parameters}


def images_per_second(seconds, load):
    return load["workers"] * load["microbatch_size"] / statistics.median(seconds)
