"""What the benchmarks share: the program, its output, phantoms to train on, and the machine they ran on."""

import json
import os
import platform
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "../.build/release/pleura")


def run(command, environment=None):
    """Runs a command to its end and returns what it has written; ends the benchmark with its words where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=os.environ | (environment or {}))
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout


def settings(changes):
    """`--set` before each FIELD=VALUE."""
    return [word for change in changes for word in ("--set", change)]


def make_shards(program, folder, images, size, folds=4, source_size=512, positives=(0.5, 4)):
    """Draws phantoms and puts them into shards; returns the shards' folder.

    `positives` is their share and the scale of their area, None for the program's own.
    """
    phantoms, shards = os.path.join(folder, "phantoms"), os.path.join(folder, "shards")
    share, scale = positives
    run([program, "synthesize", phantoms, "--images", str(images), "--size", str(source_size), "--seed", "1", "--positives",
         str(share)] + ([] if scale is None else ["--area-scale", str(scale)]))
    run([program, "shard", "--dicom", f"{phantoms}/dicom-images-train", "--labels", f"{phantoms}/train-rle.csv", "--size",
         str(size), "--folds", str(folds), "--output", shards])
    return shards


def whole_lines(path):
    """The whole lines of a file that another process may be writing; none where it is not there yet."""
    try:
        with open(path) as file:
            return [line for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return []


def steps(folder):
    """The records of a run's steps so far."""
    records = map(json.loads, whole_lines(os.path.join(folder, "metrics.jsonl")))
    return [record for record in records if record["kind"] == "step"]


def write(path, text):
    """Writes a result; nothing without a path, standard output for `-`."""
    if not path:
        return
    text = text.rstrip("\n") + "\n"
    if path == "-":
        sys.stdout.write(text)
        return
    with open(path, "w") as file:
        file.write(text)


def processor():
    """The processor's name."""
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def commit():
    """The commit that the scripts are of, with -dirty where files differ from it; None outside of a repository."""
    done = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip() or None
