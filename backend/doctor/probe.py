"""The process that loads the heavy libraries, for ``libraries.py``: a JSON line before and after each."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import msgspec

from .libraries import LOADED, Gpu, Kernels, Said, Torch


def main() -> None:
    """Try one after the other; whatever goes wrong with one, the next has its turn, unless the process ends."""
    lines = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print is not ours
    for name in LOADED:
        lines.write(msgspec.json.encode(Said(name)) + b"\n")
        lines.write(msgspec.json.encode(_tried(name)) + b"\n")


def _tried(name: str) -> Said:
    try:
        module = importlib.import_module(name)
        return Said(
            name,
            loaded=True,
            torch=_torch(module) if name == "torch" else None,
            kernels=_kernels() if name == "gsplat" else None,
            formats=module.get_string_attribute("format_list") if name == "OpenImageIO" else "",
        )
    except Exception as error:  # noqa: BLE001 (a library that is broken raises whatever it likes)
        first = str(error).strip().splitlines()[:1]
        return Said(name, error=f"{type(error).__name__}: {first[0] if first else 'no reason given'}"[:300])


def _torch(torch: ModuleType) -> Torch:
    cuda = torch.version.cuda or ""
    if not cuda:
        return Torch(str(torch.__version__))
    gpus: list[Gpu] = []
    why_not = ""
    try:
        torch.cuda.init()
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            gpus.append(Gpu(torch.cuda.get_device_name(number), torch.cuda.get_device_capability(number), total, free))
    except (RuntimeError, AssertionError) as error:
        why_not = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return Torch(str(torch.__version__), cuda, why_not, tuple(gpus), tuple(torch.cuda.get_arch_list()))


def _kernels() -> Kernels:
    """Where torch and gsplat look; nothing is built."""
    from torch.utils import cpp_extension

    root = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or cpp_extension.get_default_build_root())
    here = f"py{sys.version_info.major}{sys.version_info.minor}"
    built = [path for ending in ("so", "pyd", "lib") for path in root.glob(f"{here}*/gsplat_cuda/gsplat_cuda.{ending}")]
    compiler = "cl" if sys.platform == "win32" else os.environ.get("CXX") or sysconfig.get_config_var("CXX") or "c++"
    return Kernels(
        built=bool(built) or importlib.util.find_spec("gsplat.csrc") is not None,
        toolkit=bool(shutil.which("nvcc")) or _has_nvcc(cpp_extension.CUDA_HOME),
        ninja=cpp_extension.is_ninja_available(),
        compiler=any(shutil.which(name) for name in (compiler.split()[0], "c++", "g++")),
    )


def _has_nvcc(toolkit: str | None) -> bool:
    return bool(toolkit) and any((Path(toolkit) / "bin" / name).is_file() for name in ("nvcc", "nvcc.exe"))


if __name__ == "__main__":
    main()
