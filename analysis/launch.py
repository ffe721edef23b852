"""Starts a command of the analysis (report, export, compare) under a Python that has what it needs: where
the one that was found first lacks something but the distribution's has it, that one is used.
"""
import importlib
import importlib.util
import os
import sys
from pathlib import Path

DISTRIBUTION = "/usr/bin/python3"
ALWAYS = ("h5py", "numpy", "matplotlib")


def ensure(name: str, *further: str) -> int:
    """Goes on under another Python where this one lacks something; 2, with a message, where none has it."""
    needs = (*ALWAYS, *further)
    missing = [package for package in needs if importlib.util.find_spec(package) is None]
    if missing or sys.version_info < (3, 11):
        if os.path.realpath(sys.executable) != os.path.realpath(DISTRIBUTION) and os.access(DISTRIBUTION, os.X_OK):
            os.execv(DISTRIBUTION, [DISTRIBUTION, *sys.argv])
        lacks = f"lacks {', '.join(missing)}" if missing else f"is version {sys.version.split()[0]}, 3.11 is needed"
        print(f"{name}: {sys.executable} {lacks}; on Debian or Ubuntu: "
              f"apt-get install python3 {' '.join(f'python3-{package}' for package in needs)}", file=sys.stderr)
        return 2
    return 0


def launch(name: str, *further: str) -> int:
    """Runs tether_analysis.NAME.command. further: packages needed besides h5py, numpy and matplotlib."""
    if code := ensure(name, *further):
        return code
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    return importlib.import_module(f"tether_analysis.{name}").command(sys.argv[1:])
