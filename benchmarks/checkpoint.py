#!/usr/bin/env python3
"""What checkpoints cost a training: the demo's model with a checkpoint every 50 steps and without any.

    benchmarks/checkpoint.py [CONFIG] [--pleura .build/release/pleura] [--every 50] [--steps 400] [--rounds 3]
                             [--window 5] [--json PATH] [--markdown PATH]

Both runs of a round train the same steps, one after the other, and end with the same weights or the script fails. Two
figures come out, each as a share of the training time:

- `windows`: the time by which the steps that begin within a checkpoint (the `--window` steps after each) are longer than
  the median of the other steps of the same run. It sees a stall and is hardly moved by a machine whose speed drifts.
- `runs`: the median over the rounds of the whole time with checkpoints over the whole time without. It sees everything,
  and is as sharp as the machine is quiet.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile

from common import HERE, PROGRAM, make_shards, run, steps, write


def step_seconds(folder):
    return {record["step"]: record["seconds"] for record in steps(folder)}


def train(options, configuration, shards, folder, every):
    run([options.pleura, "launch", configuration, "--set", f"run.directory={folder}", "--set", f"data.shards={shards}",
         "--set", f"training.steps={options.steps}", "--set", "validation.every_epochs=0", "--set",
         "checkpoint.keep_best=0", "--set", "checkpoint.every_minutes=0", "--set", f"checkpoint.every_steps={every}"])
    state = json.loads(run([options.pleura, "inspect", folder, "--json", "-"]))["state_sha256"]
    newest = max(name for name in os.listdir(f"{folder}/checkpoints") if name.startswith("step-"))
    return step_seconds(folder), state, os.path.getsize(f"{folder}/checkpoints/{newest}")


def stall(seconds, every, window):
    """The extra seconds of the steps after each checkpoint, and all seconds. The first step starts processes."""
    counted = {step: value for step, value in seconds.items() if step > 2}
    # Step 49 commits the 50th state; the checkpoint of that state is taken while step 50 is computed.
    after = {step + offset for step in range(every, max(counted), every) for offset in range(window)}
    usual = statistics.median(value for step, value in counted.items() if step not in after)
    extra = sum(value - usual for step, value in counted.items() if step in after)
    first = [value - usual for step, value in counted.items() if step % every == 0 and step >= every]
    return extra / sum(counted.values()), usual, statistics.median(first)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("configuration", nargs="?", default=os.path.join(HERE, "../configs/demo.yaml"))
    parser.add_argument("--pleura", default=PROGRAM)
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=int, default=5)
    parser.add_argument("--json", help="write the figures as JSON to this path")
    parser.add_argument("--markdown", help="write the table to this path")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        shards = make_shards(options.pleura, folder, 96, 128, source_size=256, positives=(0.5, None))
        rounds = []
        for number in range(options.rounds):
            kinds = [options.every, 0]
            # Each kind is first in turn.
            found = {every: train(options, options.configuration, shards, f"{folder}/{number}-{every}", every)
                     for every in (kinds if number % 2 == 0 else reversed(kinds))}
            (with_them, state, size), (without, other, _) = found[options.every], found[0]
            if state != other:
                sys.exit(f"checkpoints have changed the weights: {state} and {other}")
            share, usual, first = stall(with_them, options.every, options.window)
            none, _, _ = stall(without, options.every, options.window)
            total = [sum(v for step, v in seconds.items() if step > 2) for seconds in (with_them, without)]
            rounds.append({"windows": share, "windows_without": none, "runs": total[0] / total[1] - 1,
                           "step_seconds": usual, "first_step_extra_seconds": first, "checkpoint_bytes": size})
            print(f"round {number + 1}: {json.dumps(rounds[-1])}", file=sys.stderr)
    text = table(options, rounds)
    print(text)
    write(options.markdown, text)
    write(options.json, json.dumps({"every": options.every, "steps": options.steps, "window": options.window,
                                    "rounds": rounds}, indent=1))


def table(options, rounds):
    def cell(key, scale=100, unit=" %", digits=2):
        values = [round_[key] * scale for round_ in rounds]
        return f"{statistics.median(values):.{digits}f}{unit} ({min(values):.{digits}f} to {max(values):.{digits}f})"

    return "\n".join([
        f"A checkpoint of {rounds[0]['checkpoint_bytes'] / 1e6:.1f} MB every {options.every} steps, {options.steps} steps, "
        f"{options.rounds} rounds: median (least to most).", "",
        "| figure | value |", "|---|---|",
        f"| a step | {cell('step_seconds', 1000, ' ms', 1)} |",
        f"| longer step at a checkpoint | {cell('first_step_extra_seconds', 1000, ' ms', 1)} |",
        f"| cost by the {options.window} steps after each checkpoint | {cell('windows')} |",
        f"| the same steps without checkpoints | {cell('windows_without')} |",
        f"| cost by whole runs | {cell('runs')} |",
    ])


if __name__ == "__main__":
    main()
