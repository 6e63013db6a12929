#!/usr/bin/env python3
"""Every kernel of a training step beside the limit that binds it, and beside PyTorch's operator on the same shape.

    benchmarks/kernels.py [--only CONFIG ...] [--precisions fp32,bf16] [--variant avx512] [--core 0] [--rounds 2]
                          [--steps 5] [--share 0.01] [--pleura .build/release/pleura] [--json PATH] [--markdown PATH]

CONFIG is the name of a configuration in configs/bench; all five rows of train.py without. In each round pleura runs
whole steps on one core (`pleura bench kernels`), then PyTorch's operators (operators.py) run on the same core, each
alone, on the shapes of the kernels that take at least `--share` of a step: one call to warm up, then `--steps`. Figures
are medians; times of the rounds are averaged. pleura's kernels run within their steps, on what the kernel before left in
the caches; PyTorch's operators run on the same memory again and again, which favours PyTorch.

Limits are those of one core, measured in the same runs: multiply-adds in registers (dot products of bfloat16 in bf16)
and a copy. The fraction is that of the limit that binds. GFLOP/s and fraction count a convolution's direct
multiply-adds, so that Winograd's can be above 100 %; beside it in brackets stands the fraction in the multiply-adds
that Winograd's products really are. Ratios are PyTorch's time over pleura's: above 1, pleura is faster.

Kernels under 70 % of their limit and over 2 % of a step are named with what holds them back, each shape alone and then
each kernel over all its shapes.

`--variant avx2` forces the AVX2 kernels, takes unet-resnet34-256 in fp32 without PyTorch, and lists its convolutions
beside the limit of AVX2. Results go to benchmarks/results/kernels.json and .md, or kernels-avx2.json and .md; with
`--only` or `--precisions` to the paths given.
"""

import argparse
import collections
import datetime
import json
import os
import re
import statistics
import sys
import time

from common import HERE, PROGRAM, commit, processor, run, write
from train import CONFIGURATIONS, ROWS

GOAL = 0.7
NAMED_SHARE = 0.02
AVX2_GOAL = 0.75
AVX2_ROW = "unet-resnet34-256"


def run_pleura(arguments, name, precision):
    command = [arguments.pleura, "bench", "kernels", "--config", os.path.join(CONFIGURATIONS, f"{name}.yaml"), "--steps",
               str(arguments.steps), "--set", f"precision={precision}", "--json", "-"]
    report = json.loads(run(command, {"PLEURA_KERNELS": arguments.variant}))
    if report["kernels"] != arguments.variant:
        sys.exit(f"pleura ran its {report['kernels']} kernels where {arguments.variant} were asked for.")
    return report


def key_of(row):
    return row["operation"], row["phase"], row["shape"]


def average(reports):
    """One report of several, by the means of their times; rows by operation, phase and shape."""
    steps = [report["configurations"][0] for report in reports]
    found = collections.defaultdict(list)
    for step in steps:
        for row in step["rows"]:
            found[key_of(row)].append(row)
    limits = {key: statistics.mean(report["limits"][key] for report in reports) for key in reports[0]["limits"]}
    step = statistics.mean(step["step_s"] for step in steps)
    rows = []
    for same in found.values():
        first = same[0]
        seconds = statistics.mean(row["median_s"] for row in same)
        # Rates of the mean time: operations and bytes are the same in all.
        gflops, gigabytes = (first[key] * first["median_s"] / seconds for key in ("gflops", "gb_s"))
        rows.append({key: first[key] for key in ("operation", "phase", "shape", "calls")} | {
            "median_s": seconds, "share_of_step": first["calls"] * seconds / step, "gflops": gflops, "gb_s": gigabytes,
            "fraction_of_limit": max(gflops / limits["fma_limit_gflops"], gigabytes / limits["copy_limit_gb_s"])})
    rows.sort(key=lambda row: -row["share_of_step"])
    return {"step_s": step, "limits": limits, "rows": rows}


def time_operator(choices, calls):
    """Seconds of the fastest of the functions: the median of `calls` after one."""
    medians = []
    for function in choices:
        function()
        seconds = []
        for _ in range(calls):
            begin = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - begin)
        medians.append(statistics.median(seconds))
    return min(medians)


def measure(arguments, name, precision):
    import operators

    reports, peers = [], collections.defaultdict(list)
    for number in range(arguments.rounds):
        print(f"{name}, {precision}, round {number + 1} of {arguments.rounds}", file=sys.stderr)
        reports.append(run_pleura(arguments, name, precision))
        if arguments.variant == "avx2":
            continue
        for row in reports[-1]["configurations"][0]["rows"]:
            # Once chosen in the first round, a row stays.
            if row["share_of_step"] >= arguments.share if number == 0 else key_of(row) in peers:
                choices = operators.make(operators.Row(row), precision)
                if choices:
                    peers[key_of(row)].append(time_operator(choices, arguments.steps))
    result = {"configuration": name, "precision": precision, **average(reports)}
    for row in result["rows"]:
        parsed = operators.Row(row)
        row["torch_s"] = statistics.mean(peers[key_of(row)]) if peers[key_of(row)] else None
        row["executed_fraction"] = None
        convolution = parsed.convolution
        if precision == "fp32" and convolution and convolution.uses_winograd:
            row["executed_fraction"] = row["gflops"] * convolution.executed_share / result["limits"]["fma_limit_gflops"]
        row["class"] = kernel_class(parsed, convolution)
    for row in result["rows"]:
        row["pair_s"] = pair_seconds(row, result["rows"])
        row["ratio"] = row["torch_s"] / (row["pair_s"] or row["median_s"]) if row["torch_s"] else None
    return result


def pair_seconds(row, rows):
    """Both halves of a normalisation's gradient, which are one operator of PyTorch: the row's time and the mean of the
    other half's calls on as many elements with the same activation; None elsewhere."""
    halves = {"BatchNormalizationSums": "BatchNormalizationBackward",
              "BatchNormalizationBackward": "BatchNormalizationSums"}
    if row["operation"] not in halves:
        return None

    def load(row):
        return row["shape"].split(" → ")[0], re.findall("ReLU|Swish", row["shape"])

    others = [other for other in rows if other["operation"] == halves[row["operation"]] and load(other) == load(row)]
    calls = sum(other["calls"] for other in others)
    return row["median_s"] + sum(other["calls"] * other["median_s"] for other in others) / calls if calls else None


def kernel_class(parsed, convolution):
    """The kernel that does the row, over all its shapes."""
    name = parsed.operation.removesuffix("Instruction")
    if convolution is None:
        return name + (f", {parsed.activation}" if parsed.activation else "")
    name = name.removeprefix("Grouped")
    if convolution.groups == convolution.inputs == convolution.outputs and convolution.groups > 1:
        return name + ", depthwise"
    if convolution.groups > 1:
        return name + ", grouped"
    if min(convolution.inputs, convolution.outputs) < 8:
        return name + (", head" if convolution.outputs < 8 else ", stem")
    if convolution.kernel == 1:
        return name + ", 1×1"
    return name + (", 3×3 stride 1" if convolution.stride == 1 and convolution.dilation == 1 else ", other dense")


def classes(rows):
    """Kernels over all their shapes: share, and the fraction of the limit weighted by time."""
    found = collections.defaultdict(list)
    for row in rows:
        found[row["class"]].append(row)
    result = []
    for name, same in found.items():
        share = sum(row["share_of_step"] for row in same)
        if share > 0:
            fraction = sum(row["share_of_step"] * row["fraction_of_limit"] for row in same) / share
            result.append({"class": name, "calls": sum(row["calls"] for row in same), "share_of_step": share,
                           "fraction_of_limit": fraction})
    return sorted(result, key=lambda entry: -entry["share_of_step"])


# What holds a kernel back: a pattern of its class, the precision or variant (None: any), a pattern of its shape, and the
# reason. Found by reading the kernels and by comparing times over shapes and precisions, without counters of the processor.
# The first that fits is taken.
REASONS = [
    (r"^BatchNormalization\w+, Swish", None, "",
     "Swish, not memory: it makes as many elements a second (about 3 · 10⁹) in bf16, with half the bytes, as in "
     "fp32, and on maps within the caches as on larger ones. The polynomial of the exponential and a division take "
     "some 20 cycles for 16 elements; the gradient's two passes compute both anew instead of storing a map."),
    (r"^BatchNormalizationForward", None, "",
     "It reads x twice, for the statistics and to normalise, where the limit counts it once: a map that leaves the "
     "caches between gets at most two thirds of a copy. In bf16 bytes halve, and widening, rounding and the "
     "additions of 64 pixels each into Double stay."),
    (r"^BatchNormalizationApplication", None, "",
     "In bf16 widening and rounding take as long as the memory; small maps pay the call."),
    (r"^BatchNormalizationSums", None, "",
     "Sums of 64 pixels go to Double, lane by lane and 64 channels at a time: the same work in bf16 as in fp32 for "
     "half the bytes, and strips of 128 or 256 bytes of each pixel do not read as fast as a copy."),
    (r"^BatchNormalizationBackward", "bf16", "",
     "Two maps are widened and one rounded: arithmetic in the place of bytes."),
    (r"^ConvolutionWeightGradient, grouped", None, "",
     "Groups of 4 to 32 channels leave 4 (by permutation) or 8 (by broadcasts) sums in registers, as many loads and "
     "permutations as multiply-adds, and 4 chains do not hide the latency of one. bf16 is widened to fp32, so its "
     "time is the same, against the limit of dot products."),
    (r"^Convolution\w+, grouped", None, "",
     "Groups of 4 to 32 channels use each loaded value a few times only: a load or permutation for nearly every "
     "multiply-add; in bf16 they are multiplied in fp32, against the limit of dot products."),
    (r"depthwise", None, "",
     "9 or 25 multiply-adds an element: loads of shifted pixels bind, neither the multiply-adds nor a copy. bf16 is "
     "widened for each tap."),
    (r"^ConvolutionForward.*Winograd", "fp32", "×3072 →",
     "256 tiles share 3072 × 256 weights, which are transformed anew for each of two blocks of tiles, since all "
     "would take 50 MB: transforms and their memory take as long as the products."),
    (r"Winograd", None, "",
     "Transforms of patches, sums and weights are additions that do not count; they cost the same for few channels "
     "as for many, so that 16 to 64 channels on one side (or few tiles for many weights) leave products the smaller "
     "part."),
    (r"^ConvolutionWeightGradient, 1×1", "fp32", "1632|960|672|336|192|144|272|160|112|56|24",
     "Tiles of 12 × 32 channels do not divide 24, 56, 112, 160 or 272, and a run of 256 pixels is the whole map at "
     "16 × 16: each tile begins and ends once for few multiply-adds."),
    (r"^ConvolutionWeightGradient, 1×1", "fp32", "",
     "A tile walks 256 pixels and takes 48 and 128 bytes of each. Where channels are a power of two or nearly, 4 to "
     "8 KiB from pixel to pixel, these lines fall into few sets of both caches and are fetched more often than once; "
     "in the EfficientNet 24, 56, 112 and 272 channels leave tiles of 12 × 32 partly empty."),
    (r"^ConvolutionInputGradient, 1×1", None, "added",
     "64 to 256 multiply-adds for each sum that is then added to a map larger than the caches: the tile waits for "
     "lines of the destination, 128 bytes of each pixel at a time, that nothing has fetched before."),
    (r"^ConvolutionWeightGradient, stem$", None, "",
     "A row of 7 taps × 3 channels is 21 inputs, so the second tile of 12 is a quarter empty; a run is two rows of 128 "
     "columns, so that each tile begins, and adds to the gradient, once for 256 multiply-adds."),
    (r"stem$", None, "",
     "Three channels: a row of 7 taps is a chain of only 21 multiply-adds, at whose end the pointers of the whole tile are "
     "loaded anew, after a copy of x with its padding. AVX2's smaller tile (6 × 16 in the place of 12 × 32) pays that as "
     "often for a quarter of the work."),
    (r"head$", None, "",
     "One output channel: one multiply-add for each load (16 input channels in the lanes), and the lanes of every "
     "pixel are added up at its end."),
    (r"^ConvolutionInputGradient, 1×1", None, "s2",
     "Three of four pixels of dx have no tap: writing zeros (or adding) to them takes more than the multiply-adds."),
    (r"^Convolution\w+, 1×1", None, "s2",
     "One pixel in four is read, but every line of two rows is touched; with 64 to 256 multiply-adds an element it "
     "is memory that is waited for."),
    (r"^Dropout", None, "",
     "Ten rounds of Philox for each four elements: arithmetic, not memory."),
    (r"^Optimizer", None, "",
     "Four streams are read and three written, with a square root and a division an element; the norm reads the "
     "gradients once more."),
]


def reason(name, precision, shape=""):
    for pattern, wanted, within, text in REASONS:
        if re.search(pattern, name) and wanted in (None, precision) and re.search(within, shape):
            return text
    return "not analysed"


def slow(step):
    """What is under 70 % of its limit and over 2 % of a step: first shapes, then kernels over all their shapes."""
    lines = []
    for row in step["rows"]:
        if row["share_of_step"] > NAMED_SHARE and row["fraction_of_limit"] < GOAL:
            lines.append(f"- {row['operation']} {row['shape']}: {row['fraction_of_limit']:.0%} of its limit, "
                         f"{row['share_of_step']:.1%} of the step. {reason(row['class'], step['precision'], row['shape'])}")
        elif row["share_of_step"] > NAMED_SHARE and row["executed_fraction"] and row["executed_fraction"] < GOAL:
            lines.append(f"- {row['operation']} {row['shape']}: {row['fraction_of_limit']:.0%} of the limit in direct "
                         f"multiply-adds, but {row['executed_fraction']:.0%} in those that Winograd does; "
                         f"{row['share_of_step']:.1%} of the step. "
                         f"{reason(row['class'] + ', Winograd', step['precision'], row['shape'])}")
    for entry in classes(step["rows"]):
        if entry["share_of_step"] > NAMED_SHARE and entry["fraction_of_limit"] < GOAL:
            lines.append(f"- {entry['class']}, all {entry['calls']} calls together: {entry['fraction_of_limit']:.0%}, "
                         f"{entry['share_of_step']:.1%} of the step. {reason(entry['class'], step['precision'])}")
    return lines


def rate(row):
    return f"{row['gflops']:.0f} GFLOP/s" if row["gflops"] >= 1 else f"{row['gb_s']:.1f} GB/s"


def head(report):
    return (f"{report['processor']}, one core; torch {report['torch']}; pleura {report['pleura']}, {report['variant']}; "
            f"{report['date']}; load before {report['load_1m_before']:.1f}.")


def table(report):
    """The tables of all loads."""
    lines = [head(report), "",
             "PyTorch's operator runs alone on the same shape, with its tensors in the caches where they fit; pleura's "
             "kernel runs within its step. Fractions are those of the limit that binds, in direct multiply-adds; in "
             "brackets, in those that Winograd does. Ratios above 1: pleura is faster. †: both halves of the gradient "
             "of a batch normalisation against PyTorch's one operator.", ""]
    for step in report["loads"]:
        limits = step["limits"]
        lines += [f"## {step['configuration']}, {step['precision']}", "",
                  f"Step {step['step_s'] * 1e3:.0f} ms; limits {limits['fma_limit_gflops']:.0f} GFLOP/s and "
                  f"{limits['copy_limit_gb_s']:.1f} GB/s. Over {report['share'] * 100:g} % of the step:", "",
                  "| operation | shape | calls | share | ms a call | rate | of limit | PyTorch, ms | ratio |",
                  "|---|---|---|---|---|---|---|---|---|"]
        for row in step["rows"]:
            if row["share_of_step"] < report["share"]:
                continue
            executed = f" ({row['executed_fraction']:.0%})" if row["executed_fraction"] else ""
            peer_time = f"{row['torch_s'] * 1e3:.2f}" if row["torch_s"] else "–"
            ratio = f"{row['ratio']:.2f}" + ("†" if row["pair_s"] else "") if row["ratio"] else "–"
            lines.append(f"| {row['operation']} | {row['shape']} | {row['calls']} | {row['share_of_step']:.1%} "
                         f"| {row['median_s'] * 1e3:.2f} | {rate(row)} | {row['fraction_of_limit']:.0%}{executed} "
                         f"| {peer_time} | {ratio} |")
        lines += ["", f"### Under {GOAL:.0%} of the limit and over {NAMED_SHARE:.0%} of a step", ""]
        lines += slow(step) or ["None."]
        lines.append("")
    return "\n".join(lines).rstrip()


def table_avx2(report):
    """The convolutions of the first row against the limit of AVX2."""
    step = report["loads"][0]
    limit = step["limits"]["fma_limit_gflops"]
    rows = [row for row in step["rows"] if row["gflops"] >= 1]
    total = sum(row["share_of_step"] for row in rows)

    def mean(value):
        return sum(row["share_of_step"] * value(row) for row in rows) / total

    direct = mean(lambda row: row["gflops"] / limit)
    executed = mean(lambda row: row["executed_fraction"] or row["gflops"] / limit)
    lines = [head(report), "",
             f"{step['configuration']}, {step['precision']}, AVX2 kernels forced: {limit:.0f} GFLOP/s of fused "
             f"multiply-adds in 256-bit registers, measured in the same run. `direct` counts the multiply-adds of the "
             f"direct algorithm, so that Winograd's convolutions can be above 100 %; `executed` those that Winograd's products "
             f"really are (16 in the place of 36; its transforms are additions and do not count).", "",
             f"Weighted by time over all convolutions ({total:.0%} of the step): **{direct:.0%}** direct, "
             f"**{executed:.0%}** executed (goal: {AVX2_GOAL:.0%}).", "",
             "| operation | shape | calls | share | ms a call | GFLOP/s | direct | executed |",
             "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        fraction = row["gflops"] / limit
        lines.append(f"| {row['operation']} | {row['shape']} | {row['calls']} | {row['share_of_step']:.2%} "
                     f"| {row['median_s'] * 1e3:.2f} | {row['gflops']:.0f} | {fraction:.0%} "
                     f"| {row['executed_fraction'] or fraction:.0%} |")
    lines += ["", f"### Below {AVX2_GOAL:.0%} of the limit", ""]
    below = [row for row in rows if row["gflops"] / limit < AVX2_GOAL]
    for row in below:
        lines.append(f"- {row['operation']} {row['shape']}: {row['gflops'] / limit:.0%}, {row['share_of_step']:.2%} of the "
                     f"step. {reason(row['class'], 'fp32', row['shape'])}")
    lines += [] if below else ["None."]
    lines += ["", f"### Winograd's convolutions that do multiply-adds below {AVX2_GOAL:.0%} of the limit", ""]
    below = [row for row in rows if row["executed_fraction"] and row["executed_fraction"] < AVX2_GOAL]
    for row in below:
        lines.append(f"- {row['operation']} {row['shape']}: {row['executed_fraction']:.0%} executed, "
                     f"{row['gflops'] / limit:.0%} direct, {row['share_of_step']:.2%} of the step.")
    lines += ["", reason("Winograd", "fp32")] if below else ["None."]
    return "\n".join(lines)


def shortened(value):
    """Numbers with the five digits that a timing can have, so that the file stays small."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: shortened(part) for key, part in value.items()}
    return [shortened(part) for part in value] if isinstance(value, list) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="CONFIG", choices=ROWS, help="any number of times")
    parser.add_argument("--precisions", "--precision", default="fp32,bf16")
    parser.add_argument("--variant", default="avx512", choices=("avx512", "avx2"))
    parser.add_argument("--core", type=int, help="the core for both; the first that is allowed by default")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5, help="counted steps and calls of a round")
    parser.add_argument("--share", type=float, default=0.01, help="of a step, from which on a kernel is in the table")
    parser.add_argument("--pleura", default=PROGRAM)
    parser.add_argument("--json", help="where to write the figures; - for standard output")
    parser.add_argument("--markdown", help="where to write the tables")
    arguments = parser.parse_args()
    if min(arguments.rounds, arguments.steps) < 1:
        parser.error("rounds and steps are at least 1")
    precisions = arguments.precisions.split(",")
    if not set(precisions) <= {"fp32", "bf16"}:
        parser.error("--precisions takes fp32 and bf16")
    names = arguments.only or list(ROWS)
    if arguments.variant == "avx2":
        if arguments.only or arguments.precisions != "fp32,bf16":
            parser.error(f"--variant avx2 takes {AVX2_ROW} in fp32 alone")
        names, precisions = [AVX2_ROW], ["fp32"]
    if not arguments.only and arguments.precisions == "fp32,bf16":
        stem = os.path.join(HERE, "results/kernels-avx2" if arguments.variant == "avx2" else "results/kernels")
        arguments.json = arguments.json or stem + ".json"
        arguments.markdown = arguments.markdown or stem + ".md"
    load = os.getloadavg()[0]
    allowed = os.sched_getaffinity(0)
    core = min(allowed) if arguments.core is None else arguments.core
    if core not in allowed:
        parser.error(f"core {core} is not among those that this process may use: {sorted(allowed)}")
    os.sched_setaffinity(0, {core})

    import torch

    torch.set_num_threads(1)
    torch.manual_seed(1)
    report = {
        "benchmark": "kernels beside PyTorch's operators", "date": datetime.date.today().isoformat(),
        "pleura": commit(), "torch": torch.__version__, "processor": processor(), "load_1m_before": load,
        "variant": arguments.variant, "rounds": arguments.rounds, "steps": arguments.steps, "share": arguments.share,
        "loads": [],
    }
    for name in names:
        for precision in precisions:
            report["loads"].append(measure(arguments, name, precision))
    for step in report["loads"]:
        step["classes"] = classes(step["rows"])
    if arguments.json == "-":
        write("-", json.dumps(report, indent=1, ensure_ascii=False))
        return
    text = table_avx2(report) if arguments.variant == "avx2" else table(report)
    print(text)
    write(arguments.json, json.dumps(shortened(report), separators=(",", ":"), ensure_ascii=False))
    write(arguments.markdown, text)


if __name__ == "__main__":
    main()
