#!/usr/bin/env python3
"""Loads weights that the engine exported under each library's names into that library, and compares features.

  export_features FOLDER && check_export.py FOLDER

Needs torch, torchvision, timm, transformers and classy_vision (whose networks VISSL wraps), so it is run by hand. Every
tensor must find its place (strict loading), and the features may differ from the engine's by at most 1e-5 of the largest.
SwAV's ResNet is no package: its names are torchvision's behind "module.", and so is what it computes.
"""
import pathlib
import sys

import timm
import torch
import torchvision
from classy_vision.models.regnet import RegNetY400mf
from safetensors.torch import load_file
from transformers import RegNetConfig, RegNetModel, ResNetConfig, ResNetModel


def load(module, weights):
    module.load_state_dict(weights, strict=True)
    return module.eval()


def without(prefix, weights):
    return {name[len(prefix):]: tensor for name, tensor in weights.items() if name.startswith(prefix)}


def plain(model):
    """The pooled features of a torchvision network."""
    model.fc = torch.nn.Identity()
    return model


def vissl_regnet():
    """vissl/models/trunks/regnet.py: stem and stages of ClassyVision's network, renamed."""
    model = RegNetY400mf()
    blocks = {"conv1": model.stem}
    for number, (_, stage) in enumerate(model.trunk_output.named_children(), 2):
        blocks[f"res{number}"] = stage
    return torch.nn.Sequential(torch.nn.ModuleDict(blocks))


def vissl_resnet():
    """vissl/models/trunks/resnext.py: the parts of torchvision's network."""
    model = torchvision.models.resnet50()
    names = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    return torch.nn.Sequential(torch.nn.ModuleDict({name: getattr(model, name) for name in names}))


def vissl_features(make, weights, images):
    blocks = load(make(), {"0." + name: tensor for name, tensor in without("trunk._feature_blocks.", weights).items()})
    for block in blocks[0].values():
        images = block(images)
    return images.mean((2, 3))


def projection(weights, features):
    """SwAV's head (src/resnet50.py, vissl/models/heads/swav_prototypes_head.py) on the trunk's features."""
    hidden, width = weights["0.weight"].shape
    head = load(torch.nn.Sequential(torch.nn.Linear(width, hidden), torch.nn.BatchNorm1d(hidden), torch.nn.ReLU(),
                                    torch.nn.Linear(hidden, weights["3.weight"].shape[0])), weights)
    return torch.nn.functional.normalize(head(features), dim=1)


REGNET = RegNetConfig(
    layer_type="y", depths=[1, 3, 6, 6], hidden_sizes=[48, 104, 208, 440], groups_width=8, embedding_size=32)
CHECKS = {
    "regnety_400mf-torchvision": lambda w, x: load(plain(torchvision.models.regnet_y_400mf()), w)(x),
    "regnety_400mf-timm": lambda w, x: load(timm.create_model("regnety_004", num_classes=0), w)(x),
    "regnety_400mf-huggingface": lambda w, x: load(RegNetModel(REGNET), w)(x).pooler_output.flatten(1),
    "regnety_400mf-vissl": lambda w, x: vissl_features(vissl_regnet, w, x),
    "resnet50-torchvision": lambda w, x: load(plain(torchvision.models.resnet50()), w)(x),
    "resnet50-timm": lambda w, x: load(timm.create_model("resnet50", num_classes=0), w)(x),
    "resnet50-huggingface": lambda w, x: load(ResNetModel(ResNetConfig()), w)(x).pooler_output.flatten(1),
    "resnet50-vissl": lambda w, x: vissl_features(vissl_resnet, w, x),
    "resnet50-swav": lambda w, x: load(plain(torchvision.models.resnet50()), {
        name: tensor for name, tensor in without("module.", w).items() if not name.startswith("pro")})(x),
}
HEADS = {"vissl": ("heads.0.projection_head.", "heads.0.prototypes0.weight"),
         "swav": ("module.projection_head.", "module.prototypes.weight")}


def compare(name, found, wanted):
    largest = wanted.abs().max().item()
    difference = (found - wanted).abs().max().item()
    print(f"{name}: {tuple(found.shape)}, largest {largest:.3f}, largest difference {difference:.2e}")
    return difference <= 1e-5 * largest


if len(sys.argv) != 2:
    sys.exit(__doc__)
folder = pathlib.Path(sys.argv[1])
good = True
with torch.no_grad():
    for name, features_of in CHECKS.items():
        trunk, names = name.split("-")
        engine = load_file(folder / f"{trunk}-features.safetensors")
        weights = load_file(folder / f"{name}.safetensors")
        features = features_of(weights, engine["images"])
        good &= compare(name, features, engine["trunk"])
        if names in HEADS:
            head, prototypes = HEADS[names]
            good &= compare(name + " head", projection(without(head, weights), features), engine["projection"])
            good &= weights[prototypes].shape[1] == engine["projection"].shape[1]
sys.exit(0 if good else "features differ")
