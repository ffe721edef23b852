"""The package's annotations hold: mypy, strict, over all of it."""
from __future__ import annotations

import importlib.util
import subprocess
import sys
import unittest

import support


class Types(unittest.TestCase):
    @unittest.skipUnless(importlib.util.find_spec("mypy") and importlib.util.find_spec("mypy.main"), "mypy is missing (pip install mypy)")
    def test_package_is_typed(self) -> None:
        done = subprocess.run([sys.executable, "-m", "mypy", "--cache-dir", support.ROOT / "build" / "mypy"],
                              cwd=support.ROOT / "analysis", capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
