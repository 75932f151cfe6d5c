#!/usr/bin/env python3
"""Claim: SwAV learns. Over several seeds, k-NN on held-out images with the trained trunk beats the same trunk at random
initialisation by a margin larger than the spread over seeds; a collapsed run is seen in the metrics.

    python3 bench/learning.py [--recipe recipes/digits-200mf.yaml] [--seeds 0,1,2] [--set KEY=VALUE ...] [--collapsed KEY=VALUE]
                              [--curve STEPS]

Uses a local cluster of its own in a temporary folder: 2 workers, real processes, the command line of a release build
(SEER_BIN_DIR, default build/release/bin). The pools "digits" and "digits-test" are scikit-learn's labelled digits, every
fifth held out; --cifar DIR makes the pools "cifar" and "cifar-test" of cifar10-*.tar shards in DIR instead. Prints a
table and, last, one JSON object; --curve STEPS also the k-NN of a checkpoint every so many steps. Exit code 1: the claim
does not hold.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Cluster:
    """A local cluster in `folder`, stopped when the block ends."""

    def __init__(self, folder):
        self.seer_program = pathlib.Path(os.environ.get("SEER_BIN_DIR", ROOT / "build/release/bin")) / "seer"
        self.environment = dict(os.environ, SEER_HOME=str(folder / "home"), SEER_CONFIG=str(folder / "config.yaml"))

    def __enter__(self):
        self.seer("cluster", "up", "--workers", "2")
        return self

    def __exit__(self, *_):
        self.seer("cluster", "down")

    def seer(self, *arguments):
        result = subprocess.run([self.seer_program, *arguments], env=self.environment, capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"seer {' '.join(map(str, arguments))}: exit {result.returncode}\n{result.stderr}")
        return result.stdout

    def pool(self, name, *sources):
        self.seer("pool", "create", name)
        self.seer("pool", "ingest", name, *sources)

    def knn(self, job, pool, *options):
        """Top-1 ratio of the first k of the job's evaluation."""
        answer = self.seer("eval", "knn", job, "--train-pool", pool, "--test-pool", f"{pool}-test", "-o", "json", *options)
        return json.loads(answer)["evalResult"]["knn"][0]["top1Ratio"]

    def train(self, recipe, name, settings):
        """The job's description after it ended, and the seconds that it took."""
        start = time.monotonic()
        options = [word for setting in settings for word in ("--set", setting)]
        job = self.seer("job", "submit", str(recipe), "--name", name, *options, "--wait", "-o", "name").split()[0]
        return json.loads(self.seer("job", "describe", job, "-o", "json")), time.monotonic() - start


def make_digits(folder, cluster):
    data = next(pathlib.Path(deps()).glob("lib/python3*/site-packages/sklearn/datasets/data/digits.csv.gz"))
    subprocess.run([sys.executable, ROOT / "deploy/make-digits", data, folder / "digits"], check=True)
    for pool, part in (("digits", "train"), ("digits-test", "test")):
        cluster.pool(pool, str(folder / "digits" / part), "--labels-from-folders")


def make_cifar(shards, cluster):
    for pool, part in (("cifar", "train"), ("cifar-test", "test")):
        cluster.pool(pool, *sorted(str(path) for path in shards.glob(f"cifar10-{part}-*.tar")))


def deps():
    return os.environ.get("SEER_DEPS") or subprocess.run(
        [ROOT / "deploy/deps", "--no-system"], check=True, capture_output=True, text=True).stdout.split()[-1]


def row(job, seconds, random, trained):
    progress = job["progress"]
    prototypes = int(job["spec"]["loss"]["swav"]["prototypes"])
    return {"seed": int(job["spec"].get("seed", 0)), "steps": int(progress["step"]), "seconds": round(seconds),
            "first_loss": job["firstLoss"], "loss": progress["loss"], "ln_k": math.log(prototypes),
            "prototypes_used": progress.get("prototypesUsedRatio", 0), "entropy": progress.get("assignmentEntropyNats", 0),
            "feature_std": progress.get("featureStd", 0), "knn_random": random, "knn_trained": trained}


def show(name, r):
    print(f"{name:<12} {r['steps']:>5} {r['seconds']:>6} {r['first_loss']:>7.3f} {r['loss']:>7.3f} {r['loss'] / r['ln_k']:>7.3f} "
          f"{100 * r['prototypes_used']:>6.0f} {r['entropy']:>8.3f} {r['feature_std']:>8.4f} "
          f"{100 * r['knn_random']:>7.2f} {100 * r['knn_trained']:>8.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=pathlib.Path, default=ROOT / "recipes/digits-200mf.yaml")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="over the recipe")
    parser.add_argument("--collapsed", action="append", default=[], metavar="KEY=VALUE",
                        help="one more run with this over the recipe, which is meant to collapse")
    parser.add_argument("--curve", type=int, default=0, metavar="STEPS", help="evaluate a checkpoint every so many steps")
    parser.add_argument("--cifar", type=pathlib.Path, metavar="DIR")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="seer-learning-") as name, Cluster(pathlib.Path(name)) as cluster:
        pool = "cifar" if args.cifar else "digits"
        make_cifar(args.cifar, cluster) if args.cifar else make_digits(pathlib.Path(name), cluster)

        kept = [f"checkpoint.everySteps={args.curve}", "checkpoint.keepLast=100000"] if args.curve else []

        def run(label, settings):
            job, seconds = cluster.train(args.recipe, label, [*settings, *kept])
            result = row(job, seconds, cluster.knn(label, pool, "--random"), cluster.knn(label, pool))
            show(label, result)
            if args.curve:
                result["curve"] = {step: cluster.knn(label, pool, "--step", str(step))
                                   for step in range(args.curve, result["steps"] + 1, args.curve)}
                print("  " + "  ".join(f"{step}: {100 * ratio:.1f}" for step, ratio in result["curve"].items()), flush=True)
            return result

        print(" ".join([args.recipe.name, *args.set]) + f", pool {pool}")
        print("run          steps      s    loss      to  / ln K used %  entropy feat.std  random  trained  (k-NN top-1, %)", flush=True)
        rows = [run(f"seed-{seed}", [*args.set, f"seed={seed}"]) for seed in args.seeds.split(",")]
        collapsed = run("collapsed", [*args.set, *args.collapsed]) if args.collapsed else None

    trained, random = [r["knn_trained"] for r in rows], [r["knn_random"] for r in rows]
    margin = min(t - r for t, r in zip(trained, random))
    spread = max(max(trained) - min(trained), max(random) - min(random))
    holds = margin > spread
    print(f"smallest margin {100 * margin:.2f}, spread over seeds {100 * spread:.2f} (larger of trained and random, max - min): "
          f"{'holds' if holds else 'DOES NOT HOLD'}; mean {100 * statistics.mean(random):.2f} -> {100 * statistics.mean(trained):.2f}")
    print(json.dumps({"rows": rows, "collapsed": collapsed, "margin": margin, "spread": spread, "holds": holds}))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
