"""Replays a Dockerfile in folders, without an engine and its images."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import dockerfile
from docker.utils.build import exclude_paths


@dataclass
class Stage:
    """A folder that stands for a stage's root, and what the instructions have said so far.

    Absolute paths in ENV, WORKDIR and COPY are taken from that folder.
    """

    root: Path
    variables: dict[str, str]
    workdir: Path
    settings: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def inside(self, path: str) -> Path:
        """A path of the image; a relative one starts at WORKDIR."""
        return self.root / path[1:] if path.startswith("/") else self.workdir / path

    def start(self, *words: str, user: int) -> subprocess.CompletedProcess:
        """What `docker run --user USER IMAGE WORDS` starts, with the image's environment and no other.

        Only root can be another user, who here may read everything, as Python may lie in root's home. Any other user
        stays who they are.
        """
        rights = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *rights]
        command = [*self.settings["ENTRYPOINT"], *(words or self.settings["CMD"])]
        return subprocess.run(
            become + command if os.geteuid() == 0 else command,
            cwd=self.workdir,
            env=self.variables | {"OMP_NUM_THREADS": "1"},  # xdist's processes share the cores
            capture_output=True,
            text=True,
            timeout=300,
        )


class Replay:
    """The Dockerfile of a folder, which is also its context.

    Gigabytes stay where they are: `pip install --requirement` is a dry run, which tells what would be installed
    (`resolved`), and the packages are those of this test.

    Args:
        source: The folder.
        scratch: An empty one.
    """

    def __init__(self, source: Path, scratch: Path) -> None:
        self.scratch = scratch
        self.arguments: dict[str, str] = {}
        self.instructions: dict[str, list[dockerfile.Command]] = {}
        self.skipped: list[str] = []
        self.resolved: dict[str, str] = {}
        self._stages: dict[str, Stage] = {}
        for command in dockerfile.parse_file(str(source / "Dockerfile")):
            if command.cmd == "ARG" and not self.instructions:
                self.arguments |= dict(value.split("=", 1) for value in command.value)
            elif command.cmd == "FROM":
                base, *alias = command.value
                name = alias[-1] if alias else "final"
                # Its base's instructions once more, not a copy: a virtual environment stays where it was made.
                self.instructions[name] = list(self.instructions.get(base, []))
            else:
                self.instructions[name].append(command)
        self.context = scratch / "context"
        for path in context(source):
            copy(source / path, self.context / path)

    def stage(self, name: str = "final") -> Stage:
        """A stage, built at its first use."""
        if name not in self._stages:
            root = self.scratch / name
            (root / "tmp").mkdir(parents=True)
            (root / "tmp").chmod(0o1777)
            path = f"{sys.base_prefix}/bin:/usr/bin:/bin"  # the Python of this test, without its environment
            self._stages[name] = stage = Stage(root, {"PATH": path}, root)
            for command in self.instructions[name]:
                self._follow(command, stage)
        return self._stages[name]

    def _follow(self, command: dockerfile.Command, stage: Stage) -> None:
        match command.cmd:
            case "ENV":
                for key, value in zip(command.value[::2], command.value[1::2], strict=True):
                    here = f"{stage.root}{value}" if value.startswith("/") else value
                    stage.variables[key] = Template(here).substitute(stage.variables)
            case "WORKDIR":
                stage.workdir = stage.inside(command.value[0])
                stage.workdir.mkdir(parents=True, exist_ok=True)
            case "COPY":
                self._copy(command, stage)
            case "RUN":
                self._run(command.value[0], stage)
            case "USER" | "ENTRYPOINT" | "CMD":
                stage.settings[command.cmd] = command.value
            case _:
                raise ValueError(f"line {command.start_line}: this replay knows no {command.cmd}")

    def _copy(self, command: dockerfile.Command, stage: Stage) -> None:
        *sources, target = command.value
        options = dict(flag.split("=", 1) for flag in command.flags)
        other = options.pop("--from", None)
        if options:
            raise ValueError(f"line {command.start_line}: this replay knows no {', '.join(options)}")
        for source in sources:
            path = self.stage(other).inside(source) if other else self.context / source
            copy(path, stage.inside(target) / (path.name if target.endswith("/") and path.is_file() else ""))

    def _run(self, command: str, stage: Stage) -> None:
        if command.startswith("apt-get "):
            self.skipped.append(command)
            return
        if re.search(r"(^|[\s=\"'])/", command):
            raise ValueError(f"an absolute path would leave the folder: {command}")
        # pip's settings and cache are this machine's.
        machine = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
        variables = {key: value for key, value in stage.variables.items() if key != "PIP_NO_CACHE_DIR"}
        report = stage.root / "report.json"
        if "--requirement" in command:
            variables |= {"PIP_DRY_RUN": "1", "PIP_REPORT": str(report)}
        subprocess.run(["/bin/sh", "-c", command], cwd=stage.workdir, env=machine | variables, check=True, timeout=600)
        if report.is_file():
            items = (item["metadata"] for item in json.loads(report.read_text())["install"])
            self.resolved |= {item["name"]: item["version"] for item in items}
            (site,) = Path(variables["VIRTUAL_ENV"]).glob("lib/python*/site-packages")
            (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))


def context(source: Path) -> list[str]:
    """The files that a folder's .dockerignore lets through."""
    patterns = [line for line in (source / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    sent = exclude_paths(source, patterns) - {"Dockerfile", ".dockerignore"}  # always sent, never copied here
    return sorted(path for path in sent if (source / path).is_file())


def copy(source: Path, target: Path) -> None:
    """A file, or what is in a folder."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
