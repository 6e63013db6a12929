#!/usr/bin/env python3
"""How fast a run is with one worker that computes several times slower, and whether its weights are the same bits.

    benchmarks/slow.py [--pleura .build/release/pleura] [--config configs/demo.yaml] [--factor 4] [--workers 2 3]
                       [--microbatches 16] [--steps 40] [--images 96] [--size 128] [--set FIELD=VALUE ...]
                       [--json benchmarks/results/slow.json] [--markdown benchmarks/results/slow.md]

The slow worker computes each microbatch FACTOR times: once from the start, once from the middle of the run on, where the
steps before it are left out and those in which the coordinator learns of it are not. A run without it gives the hash.

The ideal of a step is what all workers would reach if they computed all the time and microbatches could be cut at will:
the sum of the images a second that each of them reports of that step, by the time of its samples and computation alone.
Whole microbatches reach less: the best split of M of them at these speeds is the second bound. The last column is what an
equal split would reach. All come from the same steps, so that what else runs on the machine counts on both sides. With more workers than cores
the ideal is out of reach: who waits gives its core to others, whose speed then counts in it.
"""

import argparse
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

from common import HERE, PROGRAM, make_shards, run, settings, steps, write


class Run:
    """A coordinator and workers, one for each entry of `faults`."""

    def __init__(self, arguments, folder, shards, name, faults):
        self.directory, self.log = os.path.join(folder, name), os.path.join(folder, name + ".log")
        command = [arguments.pleura, "launch", arguments.config, "--no-local-workers", "--bind", "tcp://127.0.0.1:*",
                   "--workers", str(len(faults)), "--set", f"run.directory={self.directory}", "--set",
                   f"data.shards={shards}", "--set", f"training.microbatches={arguments.microbatches}", "--set",
                   f"training.steps={arguments.steps}", "--set", "training.epochs=100000", "--set",
                   "validation.every_epochs=0", "--set", "checkpoint.every_steps=0"]
        command += settings(arguments.set)
        with open(self.log, "w") as log:
            self.coordinator = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        deadline = time.time() + 60
        while True:
            with open(self.log) as log:
                found = re.search(r"--coordinator (tcp://\S+:\d+)\s", log.read())
            if found:
                break
            if time.time() > deadline or self.coordinator.poll() is not None:
                sys.exit(f"The coordinator of {name} does not listen; see {self.log}.")
            time.sleep(0.01)
        self.workers = []
        for number, fault in enumerate(faults):
            with open(f"{self.log}.{number}", "w") as log:
                self.workers.append(subprocess.Popen(
                    [arguments.pleura, "worker", "--coordinator", found.group(1), "--threads", "1"]
                    + (["--fault", fault] if fault else []), stdout=subprocess.DEVNULL, stderr=log))

    def finish(self, arguments):
        if self.coordinator.wait() != 0:
            with open(self.log) as log:
                sys.exit(f"A run ended with {self.coordinator.returncode}:\n{log.read()}")
        for worker in self.workers:
            worker.wait()
        return json.loads(run([arguments.pleura, "inspect", self.directory, "--json", "-"]))["state_sha256"]


def best_split(microbatches, costs):
    """The shortest time of whole microbatches, in the unit of the costs."""
    times = sorted(round_ * cost for cost in costs for round_ in range(1, microbatches + 1))
    return next(time for time in times
                if sum(int(time / cost * (1 + 1e-9)) for cost in costs) >= microbatches)


def measure(arguments, folder):
    shards = make_shards(arguments.pleura, folder, arguments.images, arguments.size)
    slow, results, hashes = f"slow={arguments.factor}", [], set()
    for workers in arguments.workers:
        hashes.add(Run(arguments, folder, shards, f"even-{workers}", [None] * workers).finish(arguments))
        half = arguments.steps // 2
        for name, fault, first in (("from the start", slow, 5), (f"from step {half} on", f"{slow}@{half}", half)):
            both = Run(arguments, folder, shards, f"mix-{workers}-{first}", [None] * (workers - 1) + [fault])
            hashes.add(both.finish(arguments))
            with open(both.log) as log:
                named = re.findall(r"worker \d+ on host \S+ is slow.*", log.read())
            records = steps(both.directory)[first:]
            seconds = sum(record["seconds"] for record in records)
            images = sum(record["images"] for record in records)
            ideal = whole = equal = 0.0
            shares = []
            for record in records:
                # Seconds of a microbatch, by worker; one thread each.
                size = record["images"] / arguments.microbatches
                costs = [size * (share["data_s"] + share["compute_s"]) / share["images"]
                         for share in record["workers"] if share["images"]]
                bound = arguments.microbatches / sum(1 / cost for cost in costs)
                ideal, whole = ideal + bound, whole + best_split(arguments.microbatches, costs)
                equal += max(costs) * -(-arguments.microbatches // workers)
                shares.append(bound / record["seconds"])
            results.append({
                "workers": workers, "slow": name, "ideal_images_per_s": images / ideal,
                "whole_microbatches_images_per_s": images / whole, "measured_images_per_s": images / seconds,
                "equal_split_images_per_s": images / equal, "share_of_ideal": ideal / seconds,
                "share_of_whole_microbatches": whole / seconds, "median_share_of_ideal": statistics.median(shares),
                "median_step_s": statistics.median(record["seconds"] for record in records),
                "images_of_the_last_step": [share["images"] for share in records[-1]["workers"]],
                "named": named[-1] if named else None,
            })
    return {"rows": results, "equal_hashes": len(hashes) == 1, "state_sha256": sorted(hashes)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pleura", default=PROGRAM)
    parser.add_argument("--config", default=os.path.join(HERE, "../configs/demo.yaml"))
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--microbatches", type=int, default=16)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--json")
    parser.add_argument("--markdown")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, folder)
    result |= {"factor": arguments.factor, "microbatches": arguments.microbatches, "steps": arguments.steps,
               "size": arguments.size, "config": os.path.basename(arguments.config), "cores": os.cpu_count(),
               "date": datetime.date.today().isoformat()}
    lines = [f"# One worker {arguments.factor} times slower, {arguments.microbatches} microbatches a step", "",
             f"{result['config']}, images of {arguments.size} × {arguments.size}, {arguments.steps} steps, "
             f"{result['cores']} cores, one thread a worker; {result['date']}. Made by `benchmarks/slow.py`, which says "
             "what is measured.", "",
             "| workers | slow | ideal, images/s | whole microbatches | measured | of the ideal | median of steps | "
             "of whole microbatches | equal split |", "|---|---|---|---|---|---|---|---|---|"]
    for row in result["rows"]:
        lines.append("| {workers} | {slow} | {ideal_images_per_s:.1f} | {whole_microbatches_images_per_s:.1f} | "
                     "{measured_images_per_s:.1f} | {share_of_ideal:.0%} | {median_share_of_ideal:.0%} | "
                     "{share_of_whole_microbatches:.0%} | {equal_split_images_per_s:.1f} |".format(**row))
    lines += ["", f"Hashes of all runs equal: {'yes' if result['equal_hashes'] else 'NO'}."]
    for row in result["rows"]:
        lines.append(f"\nThe log with {row['workers']} workers, slow {row['slow']}: `{row['named']}`.")
    print("\n".join(lines))
    write(arguments.json, json.dumps(result, indent=2))
    write(arguments.markdown, "\n".join(lines))
    if not result["equal_hashes"] or any(
            row["share_of_ideal"] < 0.85 for row in result["rows"] if row["workers"] <= result["cores"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
