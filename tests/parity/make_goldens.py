#!/usr/bin/env python3
"""Writes the golden numbers that parity_test.cc compares the engine with.

    python3 make_goldens.py [folder]      needs torch, torchvision, PIL and numpy

Every number is computed in float64 by torch's and torchvision's own layers, or by a plain transcription of the
reference implementation that is named at the function, and stored in float32. The folder's files are committed: run
this again only to add a case, and review the change.
"""
import json
import math
import pathlib
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TF
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from torchvision.models import regnet, resnet


def save(folder, name, tensors):
    """The safetensors format, without its package: header length, JSON header, bytes."""
    header, data = {}, b""
    for key, tensor in tensors.items():
        raw = tensor.detach().to(torch.float32).contiguous().numpy().astype("<f4").tobytes()
        header[key] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    (folder / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def rounded(tensor):
    """float64 numbers that float32 holds exactly: what the engine reads is what was computed with here."""
    return tensor.to(torch.float32).to(torch.float64)


def random(generator, *shape):
    return rounded(torch.randn(*shape, generator=generator, dtype=torch.float64))


def sinkhorn(scores, epsilon, iterations, shares=None):
    """distributed_sinkhorn of facebookresearch/swav's main_swav.py for one view and one process: [B, K] -> [B, K].

    `shares` [K]: what the prototypes' marginals aim at, in place of 1 / K each.
    """
    q = torch.exp(scores / epsilon).t()  # K x B
    samples, prototypes = q.shape[1], q.shape[0]
    if shares is None:
        shares = torch.full((prototypes,), 1 / prototypes, dtype=q.dtype)
    q = q / q.sum()
    for _ in range(iterations):
        q = q / q.sum(dim=1, keepdim=True) * shares.unsqueeze(1)
        q = q / q.sum(dim=0, keepdim=True) / samples
    return (q * samples).t()


def swav(folder, generator):
    """Codes, loss and gradients: the training loop of main_swav.py, crop by crop."""
    views, assigned, samples, dim, prototypes, temperature = 5, 2, 12, 8, 10, 0.1
    features = rounded(F.normalize(random(generator, views, samples, dim), dim=2)).requires_grad_()
    weight = rounded(F.normalize(random(generator, prototypes, dim), dim=1)).requires_grad_()
    scores = features @ weight.t()
    loss, all_codes = 0, []
    for crop in range(assigned):
        with torch.no_grad():
            codes = sinkhorn(scores[crop], 0.05, 3)
        all_codes.append(codes)
        subloss = 0
        for other in (v for v in range(views) if v != crop):
            subloss -= torch.mean(torch.sum(codes * F.log_softmax(scores[other] / temperature, dim=1), dim=1))
        loss = loss + subloss / (views - 1)
    loss = loss / assigned
    loss.backward()
    save(folder, "swav", {"features": features, "prototypes": weight, "codes": torch.stack(all_codes), "loss": loss,
                          "features_grad": features.grad, "prototypes_grad": weight.grad})


def larc(folder, generator):
    """torch.optim.SGD under the loop of NVIDIA apex's parallel/LARC.py, three steps."""
    shapes = {"matrix": (6, 5), "kernel": (4, 2, 3, 3), "vector": (7,), "zero": (5,)}
    lrs, trust, decay, eps = [0.3, 0.5, 0.2], 0.02, 1e-2, 1e-8
    start = {k: random(generator, *s) if k != "zero" else torch.zeros(s, dtype=torch.float64) for k, s in shapes.items()}
    out = {f"start/{k}": v for k, v in start.items()}
    gradients = [{k: random(generator, *s) for k, s in shapes.items()} for _ in lrs]
    gradients[1]["matrix"].zero_()  # |g| = 0: apex then neither decays nor scales
    for step, by_name in enumerate(gradients):
        out.update({f"grad{step}/{k}": v for k, v in by_name.items()})
    for case, use_larc, clip, nesterov in (("scale", True, False, False), ("clip", True, True, False),
                                           ("sgd", False, False, False), ("nesterov", False, False, True)):
        parameters = {k: torch.nn.Parameter(v.clone()) for k, v in start.items()}
        sgd = torch.optim.SGD(parameters.values(), lr=1, momentum=0.9, nesterov=nesterov, weight_decay=0 if use_larc else decay)
        for lr, by_name in zip(lrs, gradients):
            for group in sgd.param_groups:
                group["lr"] = lr
            for key, p in parameters.items():
                p.grad = by_name[key].clone()
                param_norm, grad_norm = torch.norm(p.data), torch.norm(p.grad.data)
                if use_larc and param_norm != 0 and grad_norm != 0:
                    rate = trust * param_norm / (grad_norm + param_norm * decay + eps)
                    if clip:
                        rate = min(rate / lr, 1)
                    p.grad.data += decay * p.data
                    p.grad.data *= rate
            sgd.step()
        out.update({f"{case}/{k}": v for k, v in parameters.items()})
    save(folder, "larc", out)


def schedule(folder):
    """The lr_schedule array of main_swav.py."""
    base, start, final, warmup, total = 4.8, 0.3, 0.0048, 10, 50
    warm = np.linspace(start, base, warmup)
    t = np.arange(total - warmup)
    cosine = np.array([final + 0.5 * (base - final) * (1 + math.cos(math.pi * i / (total - warmup))) for i in t])
    save(folder, "schedule", {"lr": torch.from_numpy(np.concatenate([warm, cosine]))})


def regnet_y(folder, generator):
    """torchvision's RegNetY, small, in training mode on two resolutions one after the other, then in evaluation mode."""
    torch.manual_seed(5)
    params = regnet.BlockParams.from_init_params(depth=3, w_0=16, w_a=16.0, w_m=2.0, group_width=8, se_ratio=0.25)
    model = regnet.RegNet(params, norm_layer=torch.nn.BatchNorm2d, activation=torch.nn.ReLU).double()
    trunk_parity(folder, "regnet", model, 64, (32, 20), generator)


def trunk_parity(folder, name, model, width, sizes, generator):
    """Weights, outputs [4, width], gradients and running statistics of `model` without its classifier."""
    model.fc = torch.nn.Identity()
    with torch.no_grad():
        for p in model.parameters():  # norms away from 1 and 0, so that their gradients are tested
            if p.dim() == 1:
                p.add_(0.2 * random(generator, *p.shape))
            p.copy_(rounded(p))
    out = {f"weight/{k}": p.clone() for k, p in model.named_parameters()}
    model.train()
    for r, size in enumerate(sizes):
        x, dy = random(generator, 4, 3, size, size), random(generator, 4, width)
        y = model(x)
        y.backward(dy)
        out.update({f"x{r}": x, f"y{r}": y, f"dy{r}": dy})
    model.eval()
    out["eval"] = model(out["x0"])
    out.update({f"grad/{k}": p.grad for k, p in model.named_parameters()})
    out.update({f"buffer/{k}": b for k, b in model.named_buffers() if "running" in k})
    save(folder, name, out)


class ThinResNet(resnet.ResNet):
    """torchvision's ResNet with 4 instead of 64 channels in its stem, and all that follows narrower in proportion."""

    STEM = 4

    def _make_layer(self, block, planes, *rest, **named):
        if planes == 64:  # the first stage
            self.inplanes = self.STEM
            self.conv1 = torch.nn.Conv2d(3, self.STEM, 7, stride=2, padding=3, bias=False)
            self.bn1 = torch.nn.BatchNorm2d(self.STEM)
        return super()._make_layer(block, planes * self.STEM // 64, *rest, **named)


def resnet_thin(folder, generator):
    """A bottleneck ResNet with groups, small; otherwise as regnet_y."""
    torch.manual_seed(6)
    model = ThinResNet(resnet.Bottleneck, [2, 1, 1, 1], groups=2, width_per_group=32).double()
    trunk_parity(folder, "resnet", model, 128, (48, 40), generator)


def resnet_names(folder):
    """Names and shapes of torchvision's state_dict without classifier and batch counters: preset, name, sizes."""
    lines = []
    for preset in ("resnet50", "wide_resnet50_2", "resnext50_32x4d"):
        with torch.device("meta"):
            tensors = getattr(resnet, preset)().state_dict()
        lines += [f"{preset} {name} {'x'.join(map(str, tensor.shape))}" for name, tensor in tensors.items()
                  if not name.startswith("fc.") and not name.endswith("num_batches_tracked")]
    (folder / "resnet_names.txt").write_text("\n".join(lines) + "\n")


def norm(folder, generator):
    """BatchNorm2d over the whole batch; the engine's ranks hold 4, 1 and 3 samples of it."""
    layer = torch.nn.BatchNorm2d(6).double()
    with torch.no_grad():
        layer.weight.copy_(random(generator, 6))
        layer.bias.copy_(random(generator, 6))
    x = rounded(random(generator, 8, 6, 5, 4) * 2 + 3).requires_grad_()
    dy = random(generator, 8, 6, 5, 4)
    y = layer(x)
    y.backward(dy)
    save(folder, "norm", {"x": x, "dy": dy, "y": y, "dx": x.grad, "weight": layer.weight, "bias": layer.bias,
                          "dweight": layer.weight.grad, "dbias": layer.bias.grad,
                          "running_mean": layer.running_mean, "running_var": layer.running_var})


def color(folder, generator):
    """torchvision.transforms.functional, sample by sample. The first image has grey, black and white pixels."""
    x = rounded(torch.rand(4, 3, 9, 7, generator=generator, dtype=torch.float64))
    x[0, :, 0] = 0.5
    x[0, :, 1] = 0
    x[0, :, 2] = 1
    x = x.float()
    factors, shifts = [0.3, 1.7, 1.0, 0.0], [-0.2, 0.15, 0.5, 0.0]
    each = lambda f, values: torch.stack([f(image, v) for image, v in zip(x, values)])
    save(folder, "color", {"x": x, "factors": torch.tensor(factors), "shifts": torch.tensor(shifts),
                           "brightness": each(TF.adjust_brightness, factors), "contrast": each(TF.adjust_contrast, factors),
                           "saturation": each(TF.adjust_saturation, factors), "hue": each(TF.adjust_hue, shifts),
                           "grey": TF.rgb_to_grayscale(x), "solarize": TF.solarize(x, 0.5),
                           # Of the interior only: torchvision mirrors the border, the engine repeats it.
                           "blur": TF.gaussian_blur(x, [5, 5], [0.8, 0.8])})


def pil(folder, generator):
    """The same operations by PIL on 8-bit images, as main_swav.py's transforms apply them: waves with noise, [N, 3, H, W]
    in levels. PIL rounds or cuts each result to a level; its blur is three box filters in place of the Gaussian."""
    size = 24
    y, x = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")
    waves = torch.stack([torch.stack([torch.sin(2 * math.pi * (a * x + b * y) + c) for a, b, c in image])
                         for image in [[(1, 0.5, 0), (0.5, 1, 1), (2, 0, 2)], [(3, 1, 0), (0, 2, 0.5), (1, 1, 4)]]])
    noise = torch.rand(waves.shape, generator=generator) * 2 - 1
    images = [Image.fromarray(((0.5 + 0.35 * w + 0.15 * n) * 255).permute(1, 2, 0).to(torch.uint8).numpy())
              for w, n in zip(waves, noise)]
    levels = lambda results: torch.stack([torch.tensor(np.array(r), dtype=torch.float32).permute(2, 0, 1) for r in results])
    each = lambda f, values: levels([f(image, v) for image, v in zip(images, values)])
    factors, shifts, sigmas = [0.6, 1.5], [-0.15, 0.2], [0.5, 1.7]
    save(folder, "pil", {
        "x": levels(images), "factors": torch.tensor(factors), "shifts": torch.tensor(shifts), "sigmas": torch.tensor(sigmas),
        "brightness": each(lambda i, v: ImageEnhance.Brightness(i).enhance(v), factors),
        "contrast": each(lambda i, v: ImageEnhance.Contrast(i).enhance(v), factors),
        "saturation": each(lambda i, v: ImageEnhance.Color(i).enhance(v), factors), "hue": each(TF.adjust_hue, shifts),
        "grey": levels([i.convert("L").convert("RGB") for i in images]),
        "solarize": levels([ImageOps.solarize(i, 128) for i in images]),
        "blur": each(lambda i, v: i.filter(ImageFilter.GaussianBlur(v)), sigmas)})


def optimizers(folder, generator):
    """Ten steps of torch.optim.AdamW, of LARS, and of either on gradients that torch.nn.utils.clip_grad_norm_ clips.

    LARS is the optimizer of facebookresearch/barlowtwins' main.py, of which VISSL's is a copy. A parameter that is
    frozen for the first steps has no gradient there, as in main_swav.py.
    """
    shapes = {"matrix": (6, 5), "kernel": (4, 2, 3, 3), "vector": (7,), "zero": (5,), "frozen": (3, 4)}
    lrs, decay, eta, max_norm, frozen_steps = [0.02 * (i + 1) for i in range(10)], 0.03, 0.02, 8.0, 3
    start = {k: random(generator, *s) if k != "zero" else torch.zeros(s, dtype=torch.float64) for k, s in shapes.items()}
    out = {f"start/{k}": v for k, v in start.items()}
    out["lr"] = torch.tensor(lrs, dtype=torch.float64)
    gradients = []
    for step in range(len(lrs)):  # norms around 12 and 5 in turn: clipped and not clipped
        gradients.append({k: rounded(random(generator, *s) * (1.0 if step % 2 == 0 else 0.4)) for k, s in shapes.items()})
    gradients[1]["kernel"].zero_()
    for step, by_name in enumerate(gradients):
        out.update({f"grad{step}/{k}": v for k, v in by_name.items()})

    def lars(parameters, momenta, lr, exclude):
        for key, p in parameters.items():
            if p.grad is None:
                continue
            dp = p.grad
            if not (exclude and p.ndim == 1):
                dp = dp.add(p, alpha=decay)
                param_norm, update_norm = torch.norm(p), torch.norm(dp)
                one = torch.ones_like(param_norm)
                dp = dp.mul(torch.where(param_norm > 0., torch.where(update_norm > 0, eta * param_norm / update_norm, one), one))
            momenta[key].mul_(0.9).add_(dp)
            p.add_(momenta[key], alpha=-lr)

    clipped = []
    for case, kind, exclude, clip in (("adamw", "adamw", False, False), ("adamw_exclude", "adamw", True, False),
                                      ("adamw_clip", "adamw", False, True), ("lars", "lars", False, False),
                                      ("lars_exclude", "lars", True, False), ("lars_clip", "lars", True, True)):
        parameters = {k: torch.nn.Parameter(v.clone()) for k, v in start.items()}
        momenta = {k: torch.zeros_like(v) for k, v in start.items()}
        adamw = torch.optim.AdamW([{"params": [p], "weight_decay": 0 if exclude and p.ndim == 1 else decay}
                                   for p in parameters.values()], lr=1, betas=(0.8, 0.95), eps=1e-6)
        norms = []
        for step, (lr, by_name) in enumerate(zip(lrs, gradients)):
            for key, p in parameters.items():
                p.grad = None if key == "frozen" and step < frozen_steps else by_name[key].clone()
            if clip:
                norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), max_norm))
            for group in adamw.param_groups:
                group["lr"] = lr
            with torch.no_grad():
                adamw.step() if kind == "adamw" else lars(parameters, momenta, lr, exclude)
        out.update({f"{case}/{k}": v for k, v in parameters.items()})
        if clip:
            clipped.append(torch.stack(norms))
        if kind == "lars":
            out.update({f"{case}_momentum/{k}": v for k, v in momenta.items()})
        else:
            out.update({f"{case}_exp_avg/{k}": adamw.state[p]["exp_avg"] for k, p in parameters.items()})
            out.update({f"{case}_exp_avg_sq/{k}": adamw.state[p]["exp_avg_sq"] for k, p in parameters.items()})
            out.update({f"{case}_step/{k}": adamw.state[p]["step"] for k, p in parameters.items()})
    assert torch.equal(*clipped) and clipped[0].min() < max_norm < clipped[0].max()
    out["norms"] = clipped[0]
    save(folder, "optimizers", out)


class SmallSwav:
    """What train() trains: a RegNetY of torchvision, main_swav.py's head and prototypes, and the data of ten steps."""

    STEPS, BATCH, GROUPS, CROPS, ASSIGNED = 10, 16, 2, ((2, 16), (2, 8)), 2  # CROPS: views, pixels

    def __init__(self):
        torch.manual_seed(7)
        params = regnet.BlockParams.from_init_params(depth=2, w_0=8, w_a=8.0, w_m=2.0, group_width=8, se_ratio=0.25)
        self.trunk = regnet.RegNet(params, norm_layer=torch.nn.BatchNorm2d, activation=torch.nn.ReLU).double()
        width = self.trunk.fc.in_features
        self.trunk.fc = torch.nn.Identity()
        self.head = torch.nn.Sequential(torch.nn.Linear(width, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(),
                                        torch.nn.Linear(16, 8)).double()
        self.prototypes = torch.nn.Linear(8, 6, bias=False).double()
        self.parameters = dict(self.trunk.named_parameters())
        self.parameters.update({f"projection_head.{k}": p for k, p in self.head.named_parameters()})
        self.parameters["prototypes.weight"] = self.prototypes.weight
        with torch.no_grad():
            for p in self.parameters.values():
                p.copy_(rounded(p + 0.1 * torch.randn_like(p) if p.dim() == 1 else p))
        self.norms = [m for net in (self.trunk, self.head) for m in net.modules()
                      if isinstance(m, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d))]

    def buffers(self):
        named = [*self.trunk.named_buffers(), *((f"projection_head.{k}", b) for k, b in self.head.named_buffers())]
        return {k: b.clone() for k, b in named if "running" in k}

    @staticmethod
    def hashed(n):
        """murmur3's finaliser of uint32 numbers, lowest 7 bits."""
        n = n.astype(np.uint32)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            n = (n ^ (n >> np.uint32(shift))) * np.uint32(factor)
        return (n & np.uint32(127)).astype(np.int64)

    def images(self, step, first_view, views, size):
        """[views, BATCH, 3, size, size]: a colour of each sample plus noise of each number, as bytes, normalised."""
        view, sample, y, x, c = np.meshgrid(np.arange(first_view, first_view + views), np.arange(self.BATCH),
                                            np.arange(size), np.arange(size), np.arange(3), indexing="ij")
        sample = step * self.BATCH + sample
        pixels = self.hashed(sample * 3 + c) + self.hashed((((sample * 4 + view) * 16 + y) * 16 + x) * 3 + c + 1000000)
        x = torch.from_numpy(pixels).to(torch.float64) / 255
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        return ((x - mean) / std).permute(0, 1, 4, 2, 3)

    def features(self, step):
        """[views, BATCH, 8]. Each of the GROUPS has batch statistics of its own; the first one's become running ones."""
        by_group = []
        for group in range(self.GROUPS):
            for norm in self.norms:
                norm.momentum = 0.1 if group == 0 else 0.0
            count, outputs, first_view = self.BATCH // self.GROUPS, [], 0
            for views, size in self.CROPS:
                images = self.images(step, first_view, views, size)[:, group * count:(group + 1) * count]
                outputs.append(self.head(self.trunk(images.flatten(0, 1))).view(views, count, -1))
                first_view += views
            by_group.append(torch.cat(outputs))
        return F.normalize(torch.cat(by_group, dim=1), dim=2)


def train_run(frozen_all):
    """The loop of main_swav.py over SmallSwav under apex's LARC; with frozen_all nothing but the queue moves.

    Queue of two batches, filled from step 1; prototypes frozen for two steps, target shares k^-0.5; biases and norms'
    shifts with half the rate and neither decay nor LARC, prototypes with twice the rate. In float32 the same loop stays
    within 2e-6 of float64; with a trust of 0.02 and a rate of 1 it drifts by 1e-2, so that no bound would tell anything.
    """
    net, out = SmallSwav(), {}
    start, base, final, warmup, trust, decay = 0.1, 0.5, 0.01, 3, 0.005, 1e-3
    lrs = list(np.linspace(start, base, warmup))
    lrs += [final + 0.5 * (base - final) * (1 + math.cos(math.pi * t / (net.STEPS - warmup))) for t in range(net.STEPS - warmup)]
    shares = torch.arange(1, 7, dtype=torch.float64) ** -0.5
    shares /= shares.sum()
    out.update({f"start/{k}": p.clone() for k, p in net.parameters.items()})
    groups = []
    for key, p in net.parameters.items():
        scale = 0.5 if key.endswith(".bias") else 2 if key.startswith("prototypes") else 1
        groups.append({"params": [p], "scale": scale, "larc": not key.endswith(".bias"), "key": key})
    sgd = torch.optim.SGD(groups, lr=1, momentum=0.9)
    queue, losses, norms = torch.zeros(net.ASSIGNED, 0, 8, dtype=torch.float64), [], []
    for step, lr in enumerate(lrs[:4] if frozen_all else lrs):
        with torch.no_grad():
            net.prototypes.weight.copy_(F.normalize(net.prototypes.weight, dim=1))
        sgd.zero_grad()
        features = net.features(step)
        scores = net.prototypes(features)
        loss = 0
        for crop in range(net.ASSIGNED):
            with torch.no_grad():
                own = scores[crop].detach()
                if queue.shape[1] == 2 * net.BATCH:
                    own = torch.cat([net.prototypes(queue[crop]), own])
                codes = sinkhorn(own, 0.05, 3, shares)[-net.BATCH:]
            others = [v for v in range(len(scores)) if v != crop]
            loss = loss - sum(torch.mean(torch.sum(codes * F.log_softmax(scores[v] / 0.1, dim=1), dim=1))
                              for v in others) / len(others) / net.ASSIGNED
        loss.backward()
        if step < 2:
            net.prototypes.weight.grad = None
        losses.append(loss.detach())
        norms.append(torch.sqrt(sum(p.grad.square().sum() for p in net.parameters.values() if p.grad is not None)))
        if step >= 1:
            fresh = features[:net.ASSIGNED].detach()
            queue = torch.cat([fresh, queue], dim=1)[:, :2 * net.BATCH]
        if frozen_all:
            continue
        for group in sgd.param_groups:
            p, group["lr"] = group["params"][0], lr * group["scale"]
            if p.grad is None or not group["larc"]:
                continue
            w, g = torch.norm(p.data), torch.norm(p.grad)
            p.grad.add_(p.data, alpha=decay).mul_(trust * w / (g + w * decay + 1e-8))
        sgd.step()
    if frozen_all:
        return {f"grad/{k}": p.grad for k, p in net.parameters.items()}
    out.update({f"end/{k}": p for k, p in net.parameters.items()})
    out.update({f"buffer/{k}": b for k, b in net.buffers().items()})
    out.update({"lr": torch.tensor(lrs), "loss": torch.stack(losses), "gradient_norm": torch.stack(norms), "queue": queue})
    return out


def train(folder):
    """Ten steps, and the gradients of the fourth where no weight has moved."""
    save(folder, "train", {**train_run(False), **train_run(True)})


def scaler(folder):
    """torch.amp.GradScaler around torch.optim.SGD, with gradients that are infinite or not a number at some steps."""
    generator = torch.Generator().manual_seed(2104)
    start = {"matrix": random(generator, 3, 4), "vector": random(generator, 5)}
    parameters = {k: torch.nn.Parameter(v.to(torch.float32)) for k, v in start.items()}
    out = {f"start/{k}": v for k, v in start.items()}
    sgd = torch.optim.SGD(parameters.values(), lr=0.1, momentum=0.9)
    grad_scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)
    scales = []
    for step in range(14):
        spoiled = {2: math.inf, 3: math.nan, 9: -math.inf}.get(step)
        grad_scaler.scale(torch.zeros(()))  # makes the scale
        scales.append(grad_scaler.get_scale())
        for key, p in parameters.items():
            gradient = random(generator, *p.shape)
            if spoiled is not None and key == "vector":
                gradient[1] = spoiled
            out[f"grad{step}/{key}"] = gradient
            p.grad = gradient.to(torch.float32) * scales[-1]
        grad_scaler.step(sgd)
        grad_scaler.update()
        out.update({f"after{step}/{k}": p.clone() for k, p in parameters.items()})
    scales.append(grad_scaler.get_scale())
    out["scales"] = torch.tensor(scales)
    save(folder, "scaler", out)


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "golden"
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(2103)
    swav(folder, generator)
    larc(folder, generator)
    schedule(folder)
    regnet_y(folder, generator)
    norm(folder, generator)
    color(folder, generator)
    optimizers(folder, generator)
    resnet_thin(folder, generator)
    resnet_names(folder)
    train(folder)
    scaler(folder)
    pil(folder, generator)


if __name__ == "__main__":
    main()
