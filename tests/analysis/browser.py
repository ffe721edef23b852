"""A headless Chromium over a page: what the page is once its script ran, and what the script complained of."""
from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
BINARY = os.environ.get("CHROMIUM") or next((found for name in NAMES if (found := shutil.which(name))), "")
# A view is given in the address; the page must need no network: every name resolves to nothing.
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
         "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--v=0")


def opened(page: Path, view: str = "", *flags: str) -> tuple[str, list[str]]:
    """The document as text, and the console's lines."""
    with tempfile.TemporaryDirectory() as profile:
        command = [BINARY, *FLAGS, f"--user-data-dir={profile}", *(flags or ("--dump-dom",)), f"file://{page}{view}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              start_new_session=True) as process:
            try:
                out, error = process.communicate(timeout=120)
            finally:
                try:  # its children outlive a timeout
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if process.returncode:
            raise AssertionError(f"{BINARY} ended with {process.returncode}: {error[-2000:]}")
    return out, re.findall(r"CONSOLE.*", error)


def screenshot(page: Path, picture: Path, width: int = 1200, height: int = 1600, view: str = "") -> list[str]:
    return opened(page, view, f"--screenshot={picture}", f"--window-size={width},{height}")[1]
