#!/usr/bin/env python3
"""The step of step_bench.cc in Python: torchvision's RegNet, channels last, SwAV as in main_swav.py, LARC as in apex.

    python3 step_reference.py [--engine path/to/step_bench] [--precision fp32|bf16] [--steps 20] [--rounds 3]

Prints its mean step seconds; with --engine it also runs that program, in turns with itself, and prints both and the
ratio (above 1: the engine is faster). Needs torch and torchvision.
"""
import argparse
import json
import subprocess
import time

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import regnet

WARM_UP, BATCH, CROPS, HIDDEN, DIM, PROTOTYPES = 3, 64, ((2, 32), (2, 32)), 2048, 128, 3000


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        params = regnet.BlockParams.from_init_params(depth=13, w_0=24, w_a=36.44, w_m=2.49, group_width=8, se_ratio=0.25)
        self.trunk = regnet.RegNet(params, norm_layer=nn.BatchNorm2d, activation=nn.ReLU)
        width = self.trunk.fc.in_features
        self.trunk.fc = nn.Identity()
        self.projection_head = nn.Sequential(nn.Linear(width, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(inplace=True),
                                             nn.Linear(HIDDEN, DIM))
        self.prototypes = nn.Linear(DIM, PROTOTYPES, bias=False)

    def forward(self, inputs):
        features = torch.cat([self.projection_head(self.trunk(x)) for x in inputs])
        features = F.normalize(features.float(), dim=1, p=2)
        with torch.autocast("cpu", enabled=False):
            return features, self.prototypes(features)


@torch.no_grad()
def sinkhorn(out):
    q = torch.exp(out / 0.05).t()
    q /= q.sum()
    for _ in range(3):
        q /= q.sum(dim=1, keepdim=True)
        q /= PROTOTYPES
        q /= q.sum(dim=0, keepdim=True)
        q /= BATCH
    return (q * BATCH).t()


def larc(optimizer, decay=1e-6, trust=0.001, eps=1e-8):
    with torch.no_grad():
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                param_norm, grad_norm = torch.norm(p.data), torch.norm(p.grad.data)
                if param_norm != 0 and grad_norm != 0:
                    p.grad.data += decay * p.data
                    p.grad.data *= trust * param_norm / (grad_norm + param_norm * decay + eps)


def step(model, optimizer, batch, bf16):
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    inputs = [pixels.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std) for pixels in batch]
    with torch.no_grad():
        model.prototypes.weight.copy_(F.normalize(model.prototypes.weight, dim=1, p=2))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        _, scores = model(inputs)
    views = sum(v for v, _ in CROPS)
    loss = 0
    for crop in range(2):
        codes = sinkhorn(scores[BATCH * crop:BATCH * (crop + 1)].detach())
        subloss = 0
        for other in (v for v in range(views) if v != crop):
            logits = scores[BATCH * other:BATCH * (other + 1)] / 0.1
            subloss -= torch.mean(torch.sum(codes * F.log_softmax(logits, dim=1), dim=1))
        loss = loss + subloss / (views - 1)
    loss = loss / 2
    optimizer.zero_grad()
    loss.backward()
    larc(optimizer)
    optimizer.step()
    return loss.item()


def reference(bf16, steps):
    torch.manual_seed(0)
    model = Network().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.6, momentum=0.9)
    batch = [torch.randint(0, 256, (views * BATCH, size, size, 3), dtype=torch.uint8) for views, size in CROPS]
    for i in range(WARM_UP + steps):
        if i == WARM_UP:
            start = time.perf_counter()
        step(model, optimizer, batch, bf16)
    return (time.perf_counter() - start) / steps


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    python, engine = [], []
    for _ in range(args.rounds):  # in turns: a busy machine is busy for both
        python.append(reference(args.precision == "bf16", args.steps))
        if args.engine:
            out = subprocess.run([args.engine, args.precision, str(args.steps)], check=True, capture_output=True, text=True)
            engine.append(json.loads(out.stdout))
    print(f"precision        {args.precision}, 1 thread, {args.rounds} rounds of {args.steps} steps, the best round of each")
    print(f"pytorch eager    {min(python):.4f} s a step   (all: {', '.join(f'{s:.4f}' for s in python)})")
    if engine:
        best = min(engine, key=lambda r: r["step_seconds"])
        print(f"engine           {best['step_seconds']:.4f} s a step   "
              f"(all: {', '.join('%.4f' % r['step_seconds'] for r in engine)})")
        print("engine's phases  " + ", ".join(f"{k} {best[k]:.4f}" for k in ("augment", "forward", "loss", "backward", "optimizer")))
        print(f"ratio            {min(python) / best['step_seconds']:.3f}")


if __name__ == "__main__":
    main()
