"""What the tests of manifests share: programs of the environment, the chart's objects, the flags that programs take."""
import functools
import importlib.machinery
import importlib.util
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(os.environ["SEER_SOURCE_DIR"])
BIN = pathlib.Path(os.environ["SEER_BIN_DIR"])
TOOLS = pathlib.Path(os.environ["SEER_DEPS"]) / "bin"
CHART = ROOT / "deploy/helm/seer"
PROFILES = sorted(path.stem for path in (CHART / "profiles").glob("*.yaml"))


def load_script(path):
    """A script without the ending .py as a module."""
    loader = importlib.machinery.SourceFileLoader(path.name.replace("-", "_"), str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


render = load_script(ROOT / "deploy/kustomize/render")


def helm_template(*arguments, release="seer"):
    """Runs helm; (exit code, stdout, stderr)."""
    done = subprocess.run([TOOLS / "helm", "template", release, CHART, *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@functools.cache
def chart_objects(profile=None):
    """{(apiVersion, kind, name): object} of the chart, with its own values or a profile's."""
    arguments = ("--values", CHART / "profiles" / f"{profile}.yaml") if profile else ()
    return render.objects(render.template(TOOLS / "helm", *arguments))


@functools.cache
def flags_of(program):
    """The flags that the program's --help lists."""
    text = subprocess.run([BIN / program, "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^\s+(?:-\w,)?(--[a-z][a-z-]*)", text, re.MULTILINE))


# Flags of security that programs get from the change that brings TLS; none of them may be missing once one is there.
SECURITY_FLAGS = {"--auth", "--bootstrap-token-file", "--insecure", "--tls-cert", "--tls-key", "--tls-ca", "--tls-client-ca", "--token-file"}


def unknown_flags(program, arguments):
    """The flags among these arguments that the program does not take."""
    used = {argument.split("=")[0] for argument in arguments if argument.startswith("--")}
    known = flags_of(program)
    tolerated = set() if known & SECURITY_FLAGS else SECURITY_FLAGS | {"--coordinator"}  # which the data service asks about tokens
    return used - known - tolerated


def pods(objects):
    """(kind, name, pod spec, pod labels) of all that makes pods."""
    for (_, kind, name), o in objects.items():
        if kind in ("Deployment", "StatefulSet", "Job", "DaemonSet"):
            template = o["spec"]["template"]
            yield kind, name, template["spec"], template["metadata"]["labels"]


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"]


def objects_of(*arguments, release="seer"):
    """The chart's objects with these arguments of helm."""
    code, text, errors = helm_template(*arguments, release=release)
    assert code == 0, errors
    return render.objects({"all": text})


def selects(selector, labels):
    """Whether a label selector of Kubernetes takes an object with these labels."""
    meets = {"In": lambda e: labels.get(e["key"]) in e["values"], "NotIn": lambda e: labels.get(e["key"]) not in e["values"],
             "Exists": lambda e: e["key"] in labels, "DoesNotExist": lambda e: e["key"] not in labels}
    return selector.get("matchLabels", {}).items() <= labels.items() and all(meets[e["operator"]](e) for e in selector.get("matchExpressions", []))
