#!/usr/bin/env python3
"""What a second rank costs: a step of two ranks of one thread each beside the step of one rank of one thread, with the
same batch a rank. Also beside two such ranks in gangs of their own at once, which share the machine and nothing else.

    python3 gang_step.py --engine path/to/step_bench [--rounds 5] [--steps 5] [--preset regnety_200mf] [--batch 32]
                         [--crops 2x96,4x48] [--prototypes 300] [--norm-group 0] [--bucket-mib 2]
                         [--precision fp32|bf16]

Runs them in turns, as a busy machine is busy for all, and compares the best round of each. Needs two cores that
nothing else uses: otherwise the figure says nothing, and the program warns. Prints a row for bench/results, and
how much of the gradients' all-reduces lay over the backward pass. --norm-group 1 leaves batch statistics to each rank.
Buckets are smaller than jobs have by default (25 MiB), as all gradients of the small trunk fit in one of those, and
nothing would overlap.
"""
import argparse
import json
import os
import subprocess
import sys


def run(args, ranks, processes=1):
    """The report of the slowest of so many processes at once, each with a gang of its own."""
    command = [args.engine, args.precision, str(args.steps), f"preset={args.preset}", f"batch={args.batch}",
               f"crops={args.crops}", f"prototypes={args.prototypes}", "threads=1", f"ranks={ranks}",
               f"norm_group={args.norm_group}", f"bucket_mib={args.bucket_mib}"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    # A gang that does not meet, or hangs, must not hang the benchmark.
    outputs = [process.communicate(timeout=600)[0] for process in running]
    if any(process.returncode for process in running):
        sys.exit("the engine failed")
    return max(map(json.loads, outputs), key=lambda report: report["step_seconds"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--preset", default="regnety_200mf")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--crops", default="2x96,4x48")
    parser.add_argument("--prototypes", type=int, default=300)
    parser.add_argument("--norm-group", type=int, default=0)
    parser.add_argument("--bucket-mib", type=int, default=2)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    args = parser.parse_args()

    cores = len(os.sched_getaffinity(0))
    if cores < 2:
        print(f"warning: {cores} core, so the ranks share it", file=sys.stderr)
    if os.getloadavg()[0] > 0.5:
        print(f"warning: the machine is busy (load {os.getloadavg()[0]:.1f}): run it again when it is idle",
              file=sys.stderr)
    one, pair, two = [], [], []
    for _ in range(args.rounds):
        one.append(run(args, 1))
        pair.append(run(args, 1, processes=2))
        two.append(run(args, 2))
    best_one, best_pair, best_two = (min(reports, key=lambda r: r["step_seconds"]) for reports in (one, pair, two))
    ratio = best_two["step_seconds"] / best_one["step_seconds"]
    print(f"{args.preset}, {args.precision}, {args.batch} images a rank, crops {args.crops}, "
          f"{args.prototypes} prototypes, "
          f"norm group {args.norm_group or 'all'}, buckets of {args.bucket_mib} MiB; "
          f"{args.rounds} rounds of {args.steps} steps in turns, the best of each")
    for name, reports in (("1 rank", one), ("2 gangs of 1 rank", pair), ("2 ranks", two)):
        print(f"{name:<17} x 1 thread  {min(r['step_seconds'] for r in reports):.4f} s a step   "
              f"(all: {', '.join('%.4f' % r['step_seconds'] for r in reports)})")
    print(f"ratio               {ratio:.3f}; beside two ranks that know nothing of each other "
          f"{best_two['step_seconds'] / best_pair['step_seconds']:.3f}")
    print(f"of it blocked       {best_two['communication']:.4f} s a step in collectives")
    print(f"gradients           {best_two['gradient_seconds']:.4f} s a step in all-reduces, "
          f"{best_two['overlap_ratio']:.0%} of it while a segment ran backward")
    print(f"| {args.precision} | {args.norm_group or 'all'} | {best_one['step_seconds']:.4f} s | "
          f"{best_pair['step_seconds']:.4f} s | {best_two['step_seconds']:.4f} s | {ratio:.3f} | {best_two['overlap_ratio']:.0%} |")


if __name__ == "__main__":
    main()
