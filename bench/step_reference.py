#!/usr/bin/env python3
"""The step of step_bench.cc in Python: torchvision's RegNet, channels last, SwAV as in main_swav.py, LARC as in apex.

    python3 step_reference.py [--engine path/to/step_bench] [--precision fp32|bf16] [--steps 20] [--rounds 3]
                              [--preset regnety_400mf] [--batch 16] [--crops 2x160,4x96] [--prototypes 300]
                              [--threads 2] [--modes eager,compile] [--memory] [--device cpu|cuda]

Prints its mean step seconds; with --engine it also runs that program, in turns with itself, and prints both and the
ratio to the quickest mode (above 1: the engine is faster). compile is torch.compile of the network; compiling is not
timed; max-autotune is its mode of that name, with CUDA graphs. With --memory it compares peak resident memory with recompute instead: the engine's beside
torch.utils.checkpoint's checkpoint_sequential cut at the engine's segments, each in a process of its own.
Needs torch and torchvision.
"""
import argparse
import json
import resource
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential
from torchvision.models import regnet

WARM_UP, HIDDEN, DIM = 3, 2048, 128
PRESETS = {  # depth, w_0, w_a, w_m, group_width
    "regnety_200mf": (13, 24, 36.44, 2.49, 8),
    "regnety_400mf": (16, 48, 27.89, 2.09, 8),
    "regnety_800mf": (14, 56, 38.84, 2.4, 16),
    "regnety_16gf": (18, 200, 106.23, 2.48, 112),
    "regnety_128gf": (27, 456, 160.83, 2.52, 264),
}


class Network(nn.Module):
    def __init__(self, preset, prototypes, recompute=False):
        super().__init__()
        params = regnet.BlockParams.from_init_params(*PRESETS[preset], se_ratio=0.25)
        self.recompute = recompute
        self.trunk = regnet.RegNet(params, norm_layer=nn.BatchNorm2d, activation=nn.ReLU)
        width = self.trunk.fc.in_features
        self.trunk.fc = nn.Identity()
        self.projection_head = nn.Sequential(nn.Linear(width, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(inplace=True),
                                             nn.Linear(HIDDEN, DIM))
        self.prototypes = nn.Linear(DIM, prototypes, bias=False)

    def features(self, x):
        if not self.recompute:
            return self.projection_head(self.trunk(x))
        blocks = [block for stage in self.trunk.trunk_output for block in stage]
        pool = nn.Sequential(self.trunk.avgpool, nn.Flatten())
        chain = nn.Sequential(self.trunk.stem, *blocks, pool, self.projection_head)
        return checkpoint_sequential(chain, len(chain), x, use_reentrant=False)

    def forward(self, inputs):
        features = torch.cat([self.features(x) for x in inputs])
        features = F.normalize(features.float(), dim=1, p=2)
        with torch.autocast(features.device.type, enabled=False):
            return features, self.prototypes(features)


@torch.no_grad()
def sinkhorn(out):
    samples, prototypes = out.shape
    q = torch.exp(out / 0.05).t()
    q /= q.sum()
    for _ in range(3):
        q /= q.sum(dim=1, keepdim=True)
        q /= prototypes
        q /= q.sum(dim=0, keepdim=True)
        q /= samples
    return (q * samples).t()


def larc(optimizer, decay=1e-6, trust=0.001, eps=1e-8):
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if parameters[0].is_cuda:  # apex's loop asks the GPU for two numbers a parameter: the same numbers without waiting
        gradients = [p.grad for p in parameters]
        norms, gradient_norms = (torch.stack(torch._foreach_norm(list_)) for list_ in (parameters, gradients))
        rates = trust * norms / (gradient_norms + norms * decay + eps)
        whole = (norms != 0) & (gradient_norms != 0)
        with torch.no_grad():
            torch._foreach_add_(gradients, parameters, alpha=decay)
            torch._foreach_mul_(gradients, list(torch.where(whole, rates, torch.ones_like(rates)).unbind()))
        return
    with torch.no_grad():
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                param_norm, grad_norm = torch.norm(p.data), torch.norm(p.grad.data)
                if param_norm != 0 and grad_norm != 0:
                    p.grad.data += decay * p.data
                    p.grad.data *= trust * param_norm / (grad_norm + param_norm * decay + eps)


def step(model, forward, optimizer, batch, samples, bf16):
    device = model.prototypes.weight.device
    mean = torch.tensor([0.485, 0.456, 0.406], device=device).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], device=device).view(1, 3, 1, 1)
    batch = [pixels.to(device, non_blocking=True) for pixels in batch]
    inputs = [pixels.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std) for pixels in batch]
    with torch.no_grad():
        model.prototypes.weight.copy_(F.normalize(model.prototypes.weight, dim=1, p=2))
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
        _, scores = forward(inputs)
    views = len(scores) // samples
    loss = 0
    for crop in range(2):
        codes = sinkhorn(scores[samples * crop:samples * (crop + 1)].detach())
        subloss = 0
        for other in (v for v in range(views) if v != crop):
            logits = scores[samples * other:samples * (other + 1)] / 0.1
            subloss -= torch.mean(torch.sum(codes * F.log_softmax(logits, dim=1), dim=1))
        loss = loss + subloss / (views - 1)
    loss = loss / 2
    optimizer.zero_grad()
    loss.backward()
    larc(optimizer)
    optimizer.step()
    return loss.item()


class Peer:
    """The network and its step in one mode: eager or compile."""

    def __init__(self, args, mode, recompute=False):
        torch.manual_seed(0)
        self.bf16, self.samples = args.precision == "bf16", args.batch
        self.model = Network(args.preset, args.prototypes, recompute)
        self.model = self.model.to(args.device, memory_format=torch.channels_last).train()
        compiled = {"compile": "default", "max-autotune": "max-autotune"}
        self.forward = torch.compile(self.model, mode=compiled[mode]) if mode in compiled else self.model
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.6, momentum=0.9)
        groups = [map(int, group.split("x")) for group in args.crops.split(",")]
        self.batch = [torch.randint(0, 256, (views * args.batch, size, size, 3), dtype=torch.uint8,
                                    pin_memory=args.device == "cuda")
                      for views, size in groups]

    def seconds(self, steps):
        for i in range(WARM_UP + steps):
            if i == WARM_UP:
                start = time.perf_counter()
            step(self.model, self.forward, self.optimizer, self.batch, self.samples, self.bf16)
        mean = (time.perf_counter() - start) / steps
        if self.batch[0].is_pinned():
            torch.cuda.empty_cache()  # for the engine, whose turn is next
        return mean


def engine_report(args, *more):
    command = [args.engine, args.precision, str(args.steps), *more, f"preset={args.preset}", f"batch={args.batch}",
               f"crops={args.crops}", f"prototypes={args.prototypes}", f"threads={args.threads}",
               f"device={args.device}"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak_rss_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compare_memory(args):
    """Prints the peak of both sides; the peer runs in a child of this program, as imports count for it."""
    child = subprocess.run([sys.executable, *sys.argv, "--memory-peer"], check=True, capture_output=True, text=True)
    peer, engine = json.loads(child.stdout), engine_report(args, "recompute")
    print(f"peak resident memory, {args.precision}, recompute everywhere")
    print(f"checkpoint_sequential  {peer['peak']:.0f} MiB ({peer['imported']:.0f} MiB of it before the network was built)"
          f", {peer['seconds']:.4f} s a step")
    print(f"engine                 {engine['peak_rss_mib']:.0f} MiB, {engine['step_seconds']:.4f} s a step")
    print(f"engine / peer          {engine['peak_rss_mib'] / peer['peak']:.3f}")


def compare_time(args):
    peers = {mode: Peer(args, mode) for mode in args.modes.split(",")}
    seconds, engine = {mode: [] for mode in peers}, []
    for _ in range(args.rounds):  # in turns: a busy machine is busy for all
        for mode, peer in peers.items():
            seconds[mode].append(peer.seconds(args.steps))
        if args.engine:
            engine.append(engine_report(args))
    print(f"{args.preset}, {args.batch} images, crops {args.crops}, {args.prototypes} prototypes")
    print(f"precision        {args.precision}, threads {args.threads}, {args.rounds} rounds of {args.steps} steps, "
          "the best round of each")
    for mode, times in seconds.items():
        print(f"pytorch {mode:8} {min(times):.4f} s a step   (all: {', '.join(f'{s:.4f}' for s in times)})")
    if engine:
        best = min(engine, key=lambda r: r["step_seconds"])
        print(f"engine           {best['step_seconds']:.4f} s a step   "
              f"(all: {', '.join('%.4f' % r['step_seconds'] for r in engine)})")
        print("engine's phases  " + ", ".join(f"{k} {best[k]:.4f}" for k in ("augment", "forward", "loss", "backward", "optimizer")))
        print(f"ratio            {min(map(min, seconds.values())) / best['step_seconds']:.3f}")
        if args.device == "cuda":
            peak = max(torch.cuda.max_memory_allocated() / 2**20, 0)
            print(f"images a second  engine {args.batch / best['step_seconds']:.1f}; "
                  f"{best['gflops_per_second'] / 1000:.1f} TFLOP/s of the network's products; "
                  f"tensors' peak {best['peak_device_mib']:.0f} MiB, of the modes before {peak:.0f} MiB")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preset", choices=PRESETS, default="regnety_200mf")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--crops", default="2x32,2x32")
    parser.add_argument("--prototypes", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--modes", default="eager", help="of eager, compile and max-autotune, with a comma between")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--memory-peer", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.device == "cuda":  # as the engine: fp32 is fp32, and shapes never change
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = True, False
    if args.memory_peer:
        imported = peak_rss_mib()
        seconds = Peer(args, "eager", recompute=True).seconds(args.steps)
        print(json.dumps({"imported": imported, "peak": peak_rss_mib(), "seconds": seconds}))
    elif args.memory:
        if not args.engine:
            parser.error("--memory needs --engine")
        compare_memory(args)
    else:
        compare_time(args)


if __name__ == "__main__":
    main()
