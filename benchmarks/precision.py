#!/usr/bin/env python3
"""Training curves of fp32 and bf16 over several seeds, on phantom radiographs.

    benchmarks/precision.py [--pleura .build/release/pleura] [--seeds 5] [--epochs 20] [--images 96] [--size 128]
                            [--folder FOLDER] [--json PATH] [--markdown PATH]

Trains configs/bench/precision.yaml (a U-Net with a ResNet34 encoder) once for each seed and precision on the same
shards, and compares the loss and the validation Dice by epoch. The noise is that between the seeds of fp32: bf16 is
within it where the difference of the means is below twice its standard error. Prints a table, or writes JSON and
Markdown.
"""

import argparse
import json
import math
import os
import statistics
import sys
import tempfile

from common import HERE, PROGRAM, make_shards, run, write

CONFIGURATION = os.path.join(HERE, "../configs/bench/precision.yaml")
PRECISIONS = ("fp32", "bf16")


def curves(folder):
    """The mean training loss and the validation Dice of each epoch."""
    losses, dice = {}, {}
    with open(os.path.join(folder, "metrics.jsonl")) as lines:
        for line in lines:
            record = json.loads(line)
            if record["kind"] == "step":
                losses.setdefault(record["epoch"], []).append(record["loss"])
            elif record["kind"] == "validation":
                dice[record["epoch"]] = record["positive_dice"]
    return [statistics.mean(losses[epoch]) for epoch in sorted(losses)], [dice[epoch] for epoch in sorted(dice)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pleura", default=PROGRAM)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--folder", help="where phantoms and runs are kept; a temporary one without")
    parser.add_argument("--json", help="write the figures as JSON to this path")
    parser.add_argument("--markdown", help="write the table to this path")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(options, options.folder or temporary)


def measure(options, folder):
    shards = os.path.join(folder, "shards")
    if not os.path.exists(os.path.join(shards, "dataset.json")):
        make_shards(options.pleura, folder, options.images, options.size)
    result = {precision: [] for precision in PRECISIONS}
    for seed in range(1, options.seeds + 1):
        for precision in PRECISIONS:
            directory = os.path.join(folder, f"{precision}-{seed}")
            if not os.path.exists(os.path.join(directory, "report.html")):
                run([options.pleura, "launch", CONFIGURATION, "--set", f"run.directory={directory}", "--set",
                     f"data.shards={shards}", "--set", f"run.seed={seed}", "--set", f"precision={precision}", "--set",
                     f"training.epochs={options.epochs}"])
            loss, dice = curves(directory)
            result[precision].append({"seed": seed, "loss": loss, "dice": dice})
            print(f"seed {seed}, {precision}: loss {loss[-1]:.4f}, validation Dice over the positives {dice[-1]:.4f}",
                  file=sys.stderr)
    text = table(result, options)
    print(text)
    write(options.markdown, text)
    write(options.json, json.dumps({"epochs": options.epochs, "images": options.images, "size": options.size,
                                    "runs": result}))


def table(result, options):
    epochs = range(len(result["fp32"][0]["loss"]))
    chosen = sorted({*(epoch for epoch in epochs if epoch % 4 == 3), epochs[-1]})
    lines = [
        f"Training of unet/resnet34 on {options.images} phantoms of {options.size} × {options.size}, {options.seeds} seeds:"
        " means (standard deviation over the seeds).",
        "",
        "| epoch | loss fp32 | loss bf16 | difference (2 standard errors) | Dice fp32 | Dice bf16 | difference "
        "(2 standard errors) |",
        "|---|---|---|---|---|---|---|",
    ]
    for epoch in chosen:
        cells = [str(epoch + 1)]
        for key in ("loss", "dice"):
            values = {p: [r[key][epoch] for r in result[p]] for p in PRECISIONS}
            for precision in PRECISIONS:
                cells.append(f"{statistics.mean(values[precision]):.4f} ({deviation(values[precision]):.4f})")
            # Seeds give both precisions the same start and the same samples: pairs.
            pairs = [b - a for a, b in zip(values["fp32"], values["bf16"])]
            error = 2 * deviation(pairs) / math.sqrt(len(pairs))
            cells.append(f"{statistics.mean(pairs):+.4f} ({error:.4f})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def deviation(values):
    return statistics.stdev(values) if len(values) > 1 else 0.0


if __name__ == "__main__":
    main()
