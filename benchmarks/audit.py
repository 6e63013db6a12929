#!/usr/bin/env python3
"""What audits cost: the time of a step by the share of microbatches that two workers compute.

    benchmarks/audit.py [--pleura .build/release/pleura] [--config configs/demo.yaml] [--rates 0 0.01 0.1 1]
                        [--microbatches 16] [--steps 120] [--repeats 3] [--images 96] [--size 128] [--set FIELD=VALUE ...]
                        [--json benchmarks/results/audit.json] [--markdown benchmarks/results/audit.md]

Runs of equal length, one after the other, the rates taking turns; the figure of a rate is the time of all its steps but
the first five of each run, over its steps.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout


def steps(folder):
    with open(os.path.join(folder, "metrics.jsonl")) as lines:
        return [record for record in map(json.loads, lines) if record["kind"] == "step"]


def measure(arguments, folder):
    phantoms, shards = os.path.join(folder, "phantoms"), os.path.join(folder, "shards")
    run([arguments.pleura, "synthesize", phantoms, "--images", str(arguments.images), "--size", "512", "--seed", "1",
         "--positives", "0.5", "--area-scale", "4"])
    run([arguments.pleura, "shard", "--dicom", f"{phantoms}/dicom-images-train", "--labels", f"{phantoms}/train-rle.csv",
         "--size", str(arguments.size), "--folds", "4", "--output", shards])
    seconds = {rate: [] for rate in arguments.rates}
    hashes = set()
    for repeat in range(arguments.repeats):
        for rate in arguments.rates:
            directory = os.path.join(folder, f"run-{repeat}-{rate}")
            command = [arguments.pleura, "launch", arguments.config, "--workers", "2", "--set",
                       f"run.directory={directory}", "--set", f"data.shards={shards}", "--set",
                       f"training.microbatches={arguments.microbatches}", "--set", f"training.steps={arguments.steps}",
                       "--set", "training.epochs=100000", "--set", "validation.every_epochs=0", "--set",
                       "checkpoint.every_steps=0", "--set", "audit.minimum_steps=0", "--set", f"audit.rate={rate}"]
            for change in arguments.set:
                command += ["--set", change]
            run(command)
            seconds[rate].append(statistics.mean(record["seconds"] for record in steps(directory)[5:]))
            hashes.add(json.loads(run([arguments.pleura, "inspect", directory, "--json", "-"]))["state_sha256"])
    base = statistics.mean(seconds[arguments.rates[0]])
    return {"rows": [{"rate": rate, "mean_step_s": statistics.mean(seconds[rate]), "runs_s": seconds[rate],
                      "cost": statistics.mean(seconds[rate]) / base - 1} for rate in arguments.rates],
            "equal_hashes": len(hashes) == 1}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pleura", default=os.path.join(HERE, "../.build/release/pleura"))
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
             "| audit.rate | mean step, ms | each run | cost |", "|---|---|---|---|"]
    for row in result["rows"]:
        lines.append(f"| {row['rate']:g} | {1000 * row['mean_step_s']:.1f} | "
                     + ", ".join(f"{1000 * value:.1f}" for value in row["runs_s"]) + f" | {row['cost']:+.1%} |")
    lines += ["", f"Hashes of all runs equal: {'yes' if result['equal_hashes'] else 'NO'}."]
    print("\n".join(lines))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(result, file, indent=2)
            file.write("\n")
    if arguments.markdown:
        with open(arguments.markdown, "w") as file:
            file.write("\n".join(lines) + "\n")
    if not result["equal_hashes"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
