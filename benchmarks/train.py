#!/usr/bin/env python3
"""Training on the CPU: pleura beside PyTorch, whole steps, per core.

    benchmarks/train.py [CONFIG ...] [--precisions fp32,bf16] [--workers 1] [--rounds 2] [--steps 4] [--warm-ups 2]
                        [--compile] [--cores 0] [--pleura .build/release/pleura] [--json PATH] [--markdown PATH]

CONFIG is one of configs/bench/*.yaml; all five without. Each row runs both programs in the same call, alternating for
`--rounds` rounds, on the same network, size, microbatch and cores: one process with one compute thread a worker. The
PyTorch side is in peer.py; `--compile` runs it through torch.compile as well, and its best mode counts. Its samples lie
in memory and are only flipped and brightened; pleura reads shards and augments as its configuration says. Needs PyTorch
and segmentation_models_pytorch. Ratios above 1: pleura is faster. Memory is the peak resident set of one process.
"""

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import sys

import peer
from common import HERE, PROGRAM, commit, processor, run, write

CONFIGURATIONS = os.path.join(HERE, "../configs/bench")
ROWS = ("unet-resnet34-256", "unet-resnet34-512", "unet-se_resnext50_32x4d-512", "unet-efficientnet-b4-512",
        "deeplabv3plus-resnet50-512")


def read_load(path):
    """What the peer must know of a configuration."""
    with open(path) as file:
        text = file.read()

    def value(key):
        found = re.search(rf"^\s+{key}:\s*([^\s#]+)", text, re.MULTILINE)
        if not found:
            sys.exit(f"{path} has no {key}")
        return found.group(1)

    return {"architecture": value("architecture"), "encoder": value("encoder"), "size": int(value("size")),
            "microbatch_size": int(value("microbatch_size"))}


def run_pleura(program, path, load):
    command = [program, "bench", "train", path, "--workers", str(load["workers"]), "--threads", "1", "--steps",
               str(load["steps"]), "--warm-ups", str(load["warm_ups"]), "--set", f"precision={load['precision']}",
               "--json", "-"]
    report = json.loads(run(command))
    return {"images_per_second": report["images_per_second"], "step_s": report["step_s"],
            "step_s_min": report["step_s_min"], "step_s_max": report["step_s_max"], "gflops": report["gflops"],
            "limit_gflops": report["fma_limit_gflops"],
            "peak_bytes": max(worker["peak_rss_bytes"] for worker in report["workers"])}


def measure(path, precision, arguments):
    load = read_load(path) | {"workers": arguments.workers, "steps": arguments.steps, "warm_ups": arguments.warm_ups,
                              "precision": precision}
    modes = ["eager", "compile"] if arguments.compile else ["eager"]
    runs, failures = {name: [] for name in ["pleura", *modes]}, {}
    name = os.path.splitext(os.path.basename(path))[0]
    for number in range(arguments.rounds):
        for program in runs:
            print(f"{name}, {precision}, round {number + 1} of {arguments.rounds}: {program}", file=sys.stderr)
            if program == "pleura":
                runs[program].append(run_pleura(arguments.pleura, path, load))
            elif program not in failures:
                try:
                    runs[program].append(peer.run(program, load))
                except peer.Failure as failure:
                    # The row stands without a mode that cannot run it.
                    print(f"{name}, {precision}: {failure}", file=sys.stderr)
                    failures[program] = str(failure)
    modes = [mode for mode in modes if mode not in failures]
    if not modes:
        sys.exit(f"{name}, {precision}: no mode of PyTorch ran.")
    for mode in failures:
        del runs[mode]
    speeds = {program: [figures["images_per_second"] for figures in rounds] for program, rounds in runs.items()}
    medians = {program: statistics.median(values) for program, values in speeds.items()}
    best = max(modes, key=medians.get)
    ratios = [a / b for a, b in zip(speeds["pleura"], speeds[best])]
    memory = {program: max(figures["peak_bytes"] for figures in runs[program]) for program in ("pleura", best)}
    return {
        "row": name, **load, "torch_mode": best, "images_per_second": medians,
        "ratio": medians["pleura"] / medians[best], "ratio_min": min(ratios), "ratio_max": max(ratios),
        "peak_bytes": memory, "memory_ratio": memory["pleura"] / memory[best], "failures": failures, "runs": runs,
    }


def table(report):
    lines = [
        f"{report['processor']}, {report['processors']} processors, {report['workers']} worker(s) × 1 thread; torch "
        f"{report['torch']}; pleura {report['pleura']}; {report['date']}.",
        "",
        "| row | precision | pleura, images/s | PyTorch, images/s | ratio (by rounds) | memory, MB | PyTorch's, MB | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        speed, memory, best = row["images_per_second"], row["peak_bytes"], row["torch_mode"]
        others = [f"; {mode} {speed[mode]:.2f}" for mode in speed if mode not in ("pleura", best)]
        others += [f"; {mode} failed" for mode in row["failures"]]
        lines.append(
            f"| {row['row']}, {row['microbatch_size']} | {row['precision']} | {speed['pleura']:.2f} | {speed[best]:.2f} "
            f"({best}{''.join(others)}) | **{row['ratio']:.2f}** ({row['ratio_min']:.2f} to {row['ratio_max']:.2f}) "
            f"| {memory['pleura'] / 1e6:.0f} | {memory[best] / 1e6:.0f} | {row['memory_ratio']:.2f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configurations", nargs="*", metavar="CONFIG",
                        default=[os.path.join(CONFIGURATIONS, f"{row}.yaml") for row in ROWS])
    parser.add_argument("--pleura", default=PROGRAM)
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--workers", type=int, default=1, help="processes, each with one compute thread")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4, help="counted steps of a round")
    parser.add_argument("--warm-ups", type=int, default=2, help="steps before those")
    parser.add_argument("--compile", action="store_true", help="run torch.compile as well")
    parser.add_argument("--cores", help="cores for both, as in 0,1; all by default")
    parser.add_argument("--json", help="where to write the figures; - for standard output")
    parser.add_argument("--markdown", help="where to write the table")
    arguments = parser.parse_args()
    if min(arguments.workers, arguments.rounds, arguments.steps, arguments.warm_ups) < 1:
        parser.error("workers, rounds, steps and warm-ups are at least 1")
    precisions = arguments.precisions.split(",")
    if not set(precisions) <= {"fp32", "bf16"}:
        parser.error("--precisions takes fp32 and bf16")
    if arguments.cores:
        os.sched_setaffinity(0, {int(core) for core in arguments.cores.split(",")})

    import torch

    report = {
        "benchmark": "training beside PyTorch", "date": datetime.date.today().isoformat(), "pleura": commit(),
        "torch": torch.__version__, "python": platform.python_version(), "machine": platform.platform(),
        "processor": processor(), "processors": len(os.sched_getaffinity(0)), "load_1m_before": os.getloadavg()[0],
        "workers": arguments.workers, "rows": [],
    }
    for path in arguments.configurations:
        for precision in precisions:
            report["rows"].append(measure(path, precision, arguments))
            # What is there so far survives an interruption.
            if arguments.json != "-":
                write(arguments.json, json.dumps(report, indent=1))
    if arguments.json == "-":
        write("-", json.dumps(report, indent=1))
        return
    text = table(report)
    print(text)
    write(arguments.markdown, text)


if __name__ == "__main__":
    main()
