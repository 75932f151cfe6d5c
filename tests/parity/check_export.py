#!/usr/bin/env python3
"""Loads a RegNetY-400MF trunk that `seer checkpoint export` wrote under each library's names, and compares features.

  check_export.py TORCHVISION.safetensors TIMM.safetensors HUGGINGFACE.safetensors

Needs torch, torchvision, timm and transformers, so it is run by hand. Every tensor must find its place (strict loading),
and the features of the three may differ by at most 1e-5 of the largest.
"""
import sys

import timm
import torch
import torchvision
from safetensors.torch import load_file
from transformers import RegNetConfig, RegNetModel

if len(sys.argv) != 4:
    sys.exit(__doc__)
torchvision_model = torchvision.models.regnet_y_400mf()
torchvision_model.fc = torch.nn.Identity()
timm_model = timm.create_model("regnety_004", num_classes=0)
hugging_face_model = RegNetModel(RegNetConfig(
    layer_type="y", depths=[1, 3, 6, 6], hidden_sizes=[48, 104, 208, 440], groups_width=8, embedding_size=32))
models = [torchvision_model, timm_model, hugging_face_model]
for model, file in zip(models, sys.argv[1:]):
    model.load_state_dict(load_file(file), strict=True)
    model.eval()

torch.manual_seed(0)
images = torch.randn(2, 3, 96, 96)
with torch.no_grad():
    reference, second, third = models[0](images), models[1](images), models[2](images).pooler_output.flatten(1)
largest = reference.abs().max().item()
print(f"features {tuple(reference.shape)}, largest {largest:.3f}")
for name, features in (("timm", second), ("huggingface", third)):
    difference = (reference - features).abs().max().item()
    print(f"torchvision beside {name}: largest difference {difference:.2e}")
    if not difference <= 1e-5 * largest:
        sys.exit(f"{name} differs")
