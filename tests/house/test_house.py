"""The house rules that a script can check: who may include whom, job files for all, texts without slips."""
from __future__ import annotations

import re
import subprocess
import tomllib
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ORDER = ("core", "device", "kernels", "program", "ops", "symmetry", "layers", "models", "methods", "optimise", "data",
         "parallel", "run", "cli")
INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]tether/(\w+)/', re.M)


def sources() -> list[Path]:
    return [path for top in ("include/tether", "src") for path in sorted((ROOT / top).rglob("*"))
            if path.suffix in (".hpp", ".cpp", ".cu", ".cuh")]


class House(unittest.TestCase):
    def test_folders_include_only_folders_above(self) -> None:
        found = sources()
        self.assertGreater(len(found), 50)
        for path in found:
            room = path.relative_to(ROOT / ("include/tether" if "include" in path.relative_to(ROOT).parts else "src")).parts[0]
            if room not in ORDER:
                continue  # src/main.cpp
            for used in INCLUDE.findall(path.read_text()):
                self.assertIn(used, ORDER, f"{path}: tether/{used} is no folder of the house")
                self.assertLessEqual(ORDER.index(used), ORDER.index(room), f"{path}: {room} must not know {used}")

    def test_every_source_opens_with_what_it_is(self) -> None:
        for path in sources():
            with self.subTest(path=path.name):
                first = path.read_text().split("\n", 1)[0]
                self.assertTrue(first.startswith(("//", "#include")), f"{path}: opens with {first!r}")
        for path in sorted((ROOT / "include").rglob("*.hpp")):
            self.assertTrue(path.read_text().startswith("//"), f"{path}: a header opens with what it is")

    def test_job_files_are_toml_and_name_a_file_that_jobs_share(self) -> None:
        jobs = sorted((ROOT / "jobs").rglob("*.toml"))
        self.assertGreater(len(jobs), 5)
        for path in jobs:
            with self.subTest(path=path.name):
                job = tomllib.loads(path.read_text())
                if path.parent.name == "sweeps":
                    self.assertTrue((path.parent / job["base"]).is_file(), "a sweep names its job file")
                else:
                    self.assertIn("model", job)

    def test_commands_of_the_readme_are_there(self) -> None:
        text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
        named = set(re.findall(r"(?<![\w/.-])((?:jobs|tests|scripts|analysis|cmake|data|slurm|\.ci)/[\w./-]*\w)", text))
        made = {"slurm/site.sh", "data/nbody.h5", "data/gravity.h5"}
        for name in sorted(named - made):
            with self.subTest(name=name):
                self.assertTrue((ROOT / name).exists(), f"{name} is named but not there")

    def test_scripts_are_executable_and_valid(self) -> None:
        for name in ("jobs/run", "tests/run", ".ci/run", "scripts/prepare", "scripts/check", "scripts/fuzz", "slurm/submit"):
            path = ROOT / name
            self.assertTrue(path.stat().st_mode & 0o111, name)
            self.assertEqual(subprocess.run(["bash", "-n", path], check=False).returncode, 0, name)


if __name__ == "__main__":
    unittest.main()
