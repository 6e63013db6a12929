#!/usr/bin/env python3
"""What audits cost: the time of a step by the share of microbatches that two workers compute.

    benchmarks/audit.py [--pleura .build/release/pleura] [--config configs/demo.yaml] [--rates 0 0.01 0.1 1]
                        [--microbatches 16] [--steps 120] [--repeats 3] [--images 96] [--size 128] [--set FIELD=VALUE ...]
                        [--json benchmarks/results/audit.json] [--markdown benchmarks/results/audit.md]

Runs of equal length, one after the other, the rates taking turns; the figure of a rate is the time of all its steps but
the first five of each run, over its steps. Beside it stands the processor time of all the run's processes, their start
and end included, which other programs on the machine disturb less.
"""

import argparse
import datetime
import json
import os
import resource
import statistics
import sys
import tempfile

from common import HERE, PROGRAM, make_shards, run, settings, steps, write


def measure(arguments, folder):
    shards = make_shards(arguments.pleura, folder, arguments.images, arguments.size)
    seconds = {rate: [] for rate in arguments.rates}
    processor = {rate: [] for rate in arguments.rates}
    hashes = set()
    for repeat in range(arguments.repeats):
        for rate in arguments.rates:
            directory = os.path.join(folder, f"run-{repeat}-{rate}")
            command = [arguments.pleura, "launch", arguments.config, "--workers", "2", "--set",
                       f"run.directory={directory}", "--set", f"data.shards={shards}", "--set",
                       f"training.microbatches={arguments.microbatches}", "--set", f"training.steps={arguments.steps}",
                       "--set", "training.epochs=100000", "--set", "validation.every_epochs=0", "--set",
                       "checkpoint.every_steps=0", "--set", "audit.minimum_steps=0", "--set", f"audit.rate={rate}"]
            command += settings(arguments.set)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            run(command)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            processor[rate].append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
            seconds[rate].append(statistics.mean(record["seconds"] for record in steps(directory)[5:]))
            hashes.add(json.loads(run([arguments.pleura, "inspect", directory, "--json", "-"]))["state_sha256"])
    base = statistics.median(seconds[arguments.rates[0]])
    idle = statistics.median(processor[arguments.rates[0]])
    return {"rows": [{"rate": rate, "median_step_s": statistics.median(seconds[rate]), "steps_s": seconds[rate],
                      "cost": statistics.median(seconds[rate]) / base - 1, "processor_s": processor[rate],
                      "processor_cost": statistics.median(processor[rate]) / idle - 1} for rate in arguments.rates],
            "equal_hashes": len(hashes) == 1}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pleura", default=PROGRAM)
    parser.add_argument("--config", default=os.path.join(HERE, "../configs/demo.yaml"))
    parser.add_argument("--rates", type=float, nargs="+", default=[0, 0.01, 0.1, 1])
    parser.add_argument("--microbatches", type=int, default=16)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--json")
    parser.add_argument("--markdown")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, folder)
    result |= {"microbatches": arguments.microbatches, "steps": arguments.steps, "repeats": arguments.repeats,
               "size": arguments.size, "config": os.path.basename(arguments.config), "set": arguments.set,
               "cores": os.cpu_count(), "date": datetime.date.today().isoformat()}
    lines = ["# What audits cost", "",
             f"{result['config']}{' with ' + ', '.join(arguments.set) if arguments.set else ''}, images of {arguments.size} "
             f"× {arguments.size}, {arguments.microbatches} microbatches, 2 workers of one thread, {result['cores']} cores; "
             f"{arguments.repeats} runs of {arguments.steps} steps each; {result['date']}. Made by `benchmarks/audit.py`.", "",
             "| audit.rate | step, ms | each run | cost | processor time, s | cost |", "|---|---|---|---|---|---|"]
    for row in result["rows"]:
        lines.append(f"| {row['rate']:g} | {1000 * row['median_step_s']:.1f} | "
                     + ", ".join(f"{1000 * value:.0f}" for value in row["steps_s"]) + f" | {row['cost']:+.1%} | "
                     + ", ".join(f"{value:.1f}" for value in row["processor_s"]) + f" | {row['processor_cost']:+.1%} |")
    lines += ["", f"Hashes of all runs equal: {'yes' if result['equal_hashes'] else 'NO'}."]
    print("\n".join(lines))
    write(arguments.json, json.dumps(result, indent=2))
    write(arguments.markdown, "\n".join(lines))
    if not result["equal_hashes"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
