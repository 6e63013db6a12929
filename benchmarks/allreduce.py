#!/usr/bin/env python3
"""All-reduce of one vector between processes of one machine: pleura beside torch.distributed over Gloo.

    benchmarks/allreduce.py [--pleura .build/release/pleura] [--workers 2] [--bytes 1M,4M,25M,98M]
                            [--rounds 3] [--iterations 10] [--json PATH]

Both run in the same call, alternating for `--rounds` rounds, with the same sizes and the same meaning of a sample: from
the instant at which all processes begin to the one at which the last has all sums in private memory. Both verify
the sums of every sample outside the time. Needs PyTorch. Prints a table with the ratio Gloo / pleura (above 1: pleura
is faster), or JSON.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import sys
import time

from common import PROGRAM, run, write

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def byte_count(text):
    return int(text[:-1]) * UNITS[text[-1].upper()] if text[-1].upper() in UNITS else int(text)


def gloo_rank(rank, workers, port, sizes, iterations, warm_ups, queue):
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=workers)
    results = {}
    for size in sizes:
        count = size // 4
        base = torch.arange(count, dtype=torch.int64).remainder(1021).to(torch.float32) - 510
        tensor = torch.empty(count)
        samples = []
        for iteration in range(warm_ups + iterations):
            torch.add(base, rank + iteration, out=tensor)
            start = torch.zeros(1, dtype=torch.int64)
            dist.barrier()
            if rank == 0:
                start[0] = time.monotonic_ns() + 2_000_000
            dist.broadcast(start, 0)
            begin = int(start.item())
            while time.monotonic_ns() < begin:
                pass
            dist.all_reduce(tensor)
            end = torch.tensor([time.monotonic_ns()], dtype=torch.int64)
            expected = workers * base + (workers * iteration + workers * (workers - 1) // 2)
            wrong = int((tensor != expected).sum())
            if wrong:
                raise SystemExit(f"Gloo: {wrong} of {count} sums are wrong on rank {rank}")
            dist.all_reduce(end, op=dist.ReduceOp.MAX)
            if iteration >= warm_ups:
                samples.append((int(end.item()) - begin) * 1e-9)
        results[size] = samples
    if rank == 0:
        queue.put(results)
    dist.destroy_process_group()


def gloo(workers, sizes, iterations, warm_ups):
    import torch.multiprocessing as mp

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    ranks = [
        context.Process(target=gloo_rank, args=(rank, workers, port, sizes, iterations, warm_ups, queue), daemon=True)
        for rank in range(workers)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(600)
        if rank.exitcode != 0:
            sys.exit(f"A Gloo process ended with {rank.exitcode}.")
    return {size: (statistics.median(samples), min(samples)) for size, samples in queue.get().items()}


def pleura(program, workers, sizes, iterations, warm_ups, transport):
    command = [program, "bench", "allreduce", "--workers", str(workers), "--bytes", ",".join(map(str, sizes)),
               "--iterations", str(iterations), "--warm-ups", str(warm_ups), "--transport", transport, "--json", "-"]
    return {
        row["bytes"]: (row["median_s"], row["min_s"], row["in_place"]["median_s"])
        for row in json.loads(run(command))["rows"]
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pleura", default=PROGRAM)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--bytes", default="1M,4M,25M,98M")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--warm-ups", type=int, default=3)
    parser.add_argument("--json", help="where to write the figures; - for standard output")
    options = parser.parse_args()
    sizes = [byte_count(text) for text in options.bytes.split(",")]

    runs = {"gloo": [], "shared-memory": [], "zeromq": []}
    for _ in range(options.rounds):
        runs["gloo"].append(gloo(options.workers, sizes, options.iterations, options.warm_ups))
        for transport in ("shared-memory", "zeromq"):
            runs[transport].append(
                pleura(options.pleura, options.workers, sizes, options.iterations, options.warm_ups, transport))

    import torch

    report = {
        "benchmark": "allreduce beside Gloo", "workers": options.workers, "rounds": options.rounds,
        "iterations": options.iterations, "torch": torch.__version__, "machine": platform.platform(),
        "processors": os.cpu_count(), "load_1m": os.getloadavg()[0], "rows": [],
    }
    for size in sizes:
        gloo_s = statistics.median(figures[size][0] for figures in runs["gloo"])
        gloo_min_s = min(figures[size][1] for figures in runs["gloo"])
        row = {"bytes": size, "gloo_s": gloo_s, "gloo_min_s": gloo_min_s}
        for transport in ("shared-memory", "zeromq"):
            name = transport.replace("-", "_")
            row[f"{name}_s"] = statistics.median(figures[size][0] for figures in runs[transport])
            row[f"{name}_min_s"] = min(figures[size][1] for figures in runs[transport])
            row[f"{name}_in_place_s"] = statistics.median(figures[size][2] for figures in runs[transport])
            row[f"{name}_ratio"] = gloo_s / row[f"{name}_s"]
            row[f"{name}_min_ratio"] = gloo_min_s / row[f"{name}_min_s"]
        report["rows"].append(row)

    write(options.json, json.dumps(report, indent=2))
    if options.json != "-":
        print(f"{options.workers} workers, torch {report['torch']}, {report['processors']} processors, "
              f"load {report['load_1m']:.1f}, medians of {options.rounds} rounds")
        print("                     medians                                         |  minima")
        print("       bytes     Gloo ms   shared ms    ratio   ZeroMQ ms    ratio |     Gloo   shared    ratio   ZeroMQ"
              "    ratio")
        for row in report["rows"]:
            print(f"{row['bytes']:12d}{row['gloo_s'] * 1e3:12.2f}{row['shared_memory_s'] * 1e3:12.2f}"
                  f"{row['shared_memory_ratio']:9.2f}{row['zeromq_s'] * 1e3:12.2f}{row['zeromq_ratio']:9.2f} |"
                  f"{row['gloo_min_s'] * 1e3:9.2f}{row['shared_memory_min_s'] * 1e3:9.2f}"
                  f"{row['shared_memory_min_ratio']:9.2f}{row['zeromq_min_s'] * 1e3:9.2f}"
                  f"{row['zeromq_min_ratio']:9.2f}")


if __name__ == "__main__":
    main()
