"""Nothing that is read can run code: no pickles, no eval, no shell, no loader that would do one of these for others."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("addon", "backend", "bridge", "benchmarks", "tools", "tests")

MODULES = {
    **dict.fromkeys(("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"), "a pickle"),
    **dict.fromkeys(("xml", "plistlib"), "XML, whose entities grow without bounds or name other files"),
    **dict.fromkeys(("xmlrpc", "code", "codeop"), "a way to run code"),
}
"""Whose import alone is refused, and why."""

CALLS = {
    **dict.fromkeys(("eval", "exec", "compile", "__import__", "execfile", "breakpoint"), "runs code"),
    **dict.fromkeys(("builtins.eval", "builtins.exec", "builtins.compile", "runpy.run_path"), "runs code"),
    **dict.fromkeys(("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"), "asks a shell"),
    **dict.fromkeys(("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"), "makes any object"),
    **dict.fromkeys(("torch.jit.load", "torch.hub.load", "torch.package.PackageImporter"), "runs a model's code"),
    **dict.fromkeys(("shutil.unpack_archive", "logging.config.listen"), "writes or runs what it is given"),
}
METHODS = {
    **dict.fromkeys(("recv_pyobj", "send_pyobj", "read_pickle", "to_pickle"), "a pickle"),
    "extractall": "writes wherever the archive says",
    "load_extension": "runs a library",
    "enable_load_extension": "runs libraries",
}
"""Whatever they are called on."""

WANTED = {
    "torch.load": ("weights_only", True, "a pickle"),
    "from_pretrained": ("trust_remote_code", False, "runs a model's code"),
}
"""Calls that are right with one argument only. ``from_pretrained``: where it is given."""

REFUSED = {"shell": True, "allow_pickle": True, "trust_remote_code": True, "weights_only": False}
"""Arguments that are never given so, nor by a variable."""


def sources() -> list[Path]:
    found = [ROOT / "__init__.py"]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts]
    return found


def faults(text: str) -> list[tuple[str, int, str]]:
    """(what, line, why) of all that is not allowed in a source."""
    tree = ast.parse(text)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                first = each.name.split(".")[0]
                names[each.asname or first] = each.name if each.asname else first
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    return [fault for node in ast.walk(tree) for fault in _faults_of(node, names)]


def _faults_of(node: ast.AST, names: dict[str, str]) -> list[tuple[str, int, str]]:
    if isinstance(node, ast.Import):
        return [(each.name, node.lineno, why) for each in node.names if (why := MODULES.get(each.name.split(".")[0]))]
    if isinstance(node, ast.ImportFrom):
        why = MODULES.get((node.module or "").split(".")[0]) if not node.level else None
        return [(str(node.module), node.lineno, why)] if why else []
    if not isinstance(node, ast.Call):
        return []
    called = _called(node.func, names)
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    found = []
    if called in CALLS:
        found.append((called, node.lineno, CALLS[called]))
    if method in METHODS:
        found.append((method, node.lineno, METHODS[method]))
    given = {each.arg: each.value.value if isinstance(each.value, ast.Constant) else "?" for each in node.keywords}
    for wanted, (argument, value, why) in WANTED.items():
        if called == wanted and given.get(argument) is not value:
            found.append((called, node.lineno, why))
    for argument, value in REFUSED.items():
        if argument in given and given[argument] in (value, "?"):
            found.append((f"{argument}={given[argument]}", node.lineno, "must not be given so"))
    return found


def _called(function: ast.expr, names: dict[str, str]) -> str:
    """Its whole name, whatever it was imported as; "" for what is no plain name."""
    parts = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        return ""
    known = names.get(function.id, function.id)
    name = ".".join([known, *reversed(parts)])
    return name.replace("numpy.", "np.")


def test_no_source_of_ours_can_run_what_it_reads():
    found = []
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        for what, line, why in faults(path.read_text("utf-8")):
            found.append(f"{name}:{line}: {what} ({why})")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import xml.etree.ElementTree as tree",
        "eval(text)",
        "exec(text)",
        "__import__(name)",
        "import os\nos.system(text)",
        "from os import system as run\nrun(text)",
        "import subprocess\nsubprocess.run(text, shell=True)",
        "import subprocess\nsubprocess.run(text, shell=how)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "from torch import load\nload(path)",
        "import yaml\nyaml.load(text)",
        "Model.from_pretrained(path, trust_remote_code=True)",
        "socket.recv_pyobj()",
        "archive.extractall(folder)",
    ],
)
def test_what_can_run_code_is_found(text):
    assert faults(text)


@pytest.mark.parametrize(
    "text",
    [
        "network.eval()",
        "re.compile(text)",
        "import torch\ntorch.load(path, weights_only=True)",
        "import numpy as np\nnp.load(path)",
        "import subprocess\nsubprocess.run(words)",
        "Model.from_pretrained(path, trust_remote_code=False)",
        "from .pickle import jar",
    ],
)
def test_what_only_looks_like_it_is_not(text):
    assert not faults(text)
