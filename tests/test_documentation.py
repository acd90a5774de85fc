"""README and docs/: each command is run by a test or taken by the real command line, each key and message is real."""

import argparse
import ast
import inspect
import json
import re
import shlex
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from lightning.pytorch import Trainer
from torch import nn

from restore_lightning import networks, tasks
from restore_lightning.callbacks import LastCheckpoint
from restore_lightning.commands import COMMANDS, TRAINER_VERBS
from restore_lightning.data.config import EvaluationConfig, FactorConfig
from restore_lightning.data.module import RestorationData
from restore_lightning.inference import InferenceSettings
from restore_lightning.shipped_configs import FOLDER
from restore_lightning.shipped_weights import shipped_networks
from scripts.documentation import pages

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md")))]
TESTED = {
    "README.md": "test_quickstart.py",
    "docs/all_in_one.md": "test_all_in_one.py",
    "docs/data.md": "test_training_pages.py",
    "docs/demo.md": "test_pages.py",
    "docs/export.md": "test_pages.py",
    "docs/large_images.md": "test_training_pages.py",
    "docs/leaks.md": "test_pages.py",
    "docs/multi_branch.md": "test_training_pages.py",
    "docs/own_factor.md": "test_own_factor.py",
    "docs/photographs.md": "test_training_pages.py",
    "docs/quickstart.md": "test_quickstart.py",
    "docs/reproduce.md": "test_reproduce.py",
    "docs/scores.md": "test_training_pages.py",
    "docs/single_factor.md": "test_training_pages.py",
    "docs/sweeps.md": "test_training_pages.py",
    "docs/training.md": "test_training_pages.py",
    "docs/weights.md": "weights/test_documentation.py",
}
"""Page -> the module that runs its commands."""
TUTORIALS = ("docs/first_photos.md", "docs/own_network.md", "docs/passes.md")
TESTED |= {page: "test_tutorials.py" for page in TUTORIALS if page in PAGES}
ACCEPTED = {
    "docs/cluster.md": "each needs a job's number; tests/slurm submits, signals and resumes these jobs on a real Slurm",
    "docs/container.md": "tests have no container engine; test_dockerfile.py replays the Dockerfile",
    "docs/multi_branch.md": "its searches are many runs; the others are run by test_training_pages.py",
}
"""Page -> why commands of it are parsed here."""
BASES = {"docs/own_factor.md": None} | dict.fromkeys(("docs/training.md", "docs/weights.md"), "aio3_nafnet.yaml")
"""Page -> the config that its pieces of YAML change, where it is not quickstart.yaml; None: they are whole configs."""
OTHERS = {
    *("source", "export", "tail", "cat", "cp", "sed", "mkdir", "tar", "$EDITOR", "wandb", "pip", "pre-commit"),
    *("docker", "apptainer", "squeue", "scancel", "scontrol", "sbatch"),
}
"""Programs that are not ours, and of which nothing is tested."""


def blocks(page: str) -> list[str]:
    """The commands of a page, block by block."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^ *```(?:bash|console|sh|shell)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


def commands(page: str) -> Iterator[list[str]]:
    """The words of each command, without variables before it, files that are written and what follows a pipe."""
    for block in blocks(page):
        block = re.sub(r'^python -c "[^"]*"', "python -c pass", block, flags=re.MULTILINE)
        script = re.sub(r" *<<'?EOF'?.*?^EOF$", "", block, flags=re.DOTALL | re.MULTILINE).replace("\\\n", " ")
        for line in script.splitlines():
            words = [word for word in shlex.split(line, comments=True) if word != "&"]
            while words and re.match(r"\w+=", words[0]):
                words.pop(0)
            for end in (">", "|"):
                words = words[: words.index(end)] if end in words else words
            if words:
                yield words


@pytest.mark.parametrize("page", PAGES)
def test_every_page_with_commands_has_its_test(page):
    if not blocks(page):
        assert page not in TESTED
        assert page not in ACCEPTED
        return
    assert page in TESTED or page in ACCEPTED, f"{page}: name the module that runs its commands in TESTED"
    if page in TESTED:
        source = (ROOT / "tests" / TESTED[page]).read_text(encoding="utf-8")
        assert re.search(rf'"(?:\S*/)?{Path(page).stem}(?:\.md)?"', source), f"{TESTED[page]} does not read {page}"
        assert taken_in_part(source) == []
        text = (ROOT / page).read_text(encoding="utf-8")
        fences = set(re.findall(r"^ *```(?:bash|console|sh|shell)$", text, re.MULTILINE))
        looked_for = {"```bash"} | ({"```console"} if page == "docs/weights.md" else set())
        assert fences <= looked_for, f"{TESTED[page]} looks for blocks that begin with {looked_for}"


def taken_in_part(source: str) -> list[str]:
    """Where a test takes blocks of a page by number, or passes over the rest of them.

    One that unpacks all blocks, or runs them as one script, fails for a block that it does not know.
    """
    return re.findall(r'\bblocks\("[^",]+"\)\[.*|.*\*_\)? = blocks\("[^",]+"\)', source)


def test_a_test_that_takes_a_part_of_a_page_is_found():
    whole = ('(a,) = blocks("x")', 'a, *others = blocks("x")', 'run("".join(blocks("x")))', 'blocks("x", "yaml")[0]')
    part = ['blocks("x")[0]', 'a, *_ = blocks("x")', '(a, *_) = blocks("x")']
    assert taken_in_part("\n".join((*whole, *part))) == part


@pytest.mark.slow
@pytest.mark.parametrize("page", ACCEPTED)
def test_commands_that_no_test_runs_are_accepted(page, restore, tmp_path, monkeypatch):
    """In a folder with the page's files and with the runs whose configs it goes on with."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / page).read_text(encoding="utf-8")
    for path in FOLDER.glob("*.yaml"):
        leave_config(yaml.safe_load(path.read_text(encoding="utf-8")))
    for name, written in re.findall(r"^cat > (\S+) <<'EOF'\n(.*?)^EOF$", text, re.DOTALL | re.MULTILINE):
        Path(name).write_text(written, encoding="utf-8")
    checked = 0
    for words in commands(page):
        for path in (Path(words[i + 1]) for i, word in enumerate(words[:-1]) if word == "--config"):
            if path.parts[0] == "runs" and not path.exists():  # of a run of another page
                path.parent.mkdir(parents=True)
                path.write_bytes((FOLDER / "mbn.yaml").read_bytes())
            elif not path.exists() and not (FOLDER / path).exists():  # a piece of YAML on the page
                path.write_text(re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[0], encoding="utf-8")
        checked += check(words, restore)
    assert checked


def leave_config(config: dict) -> None:
    """Leave a run's config where `fit` does."""
    run = config.get("trainer", {}).get("default_root_dir")
    if run is not None and not Path(run).is_absolute():
        Path(run).mkdir(parents=True, exist_ok=True)
        Path(run, "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def check(words: list[str], restore) -> bool:
    """Whether a command is one of ours, which is accepted."""
    program, *rest = words
    if program in ("docker", "apptainer") and rest[0] == "run":
        image = next(i for i, word in enumerate(rest) if word == "restore.sif" or word.startswith("restore:"))
        return check(["restore", *rest[image + 1 :]], restore)
    if program == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words
        return True
    if program.startswith("slurm/") or any(word.startswith("slurm/") for word in rest):
        named = [word for word in words if word.startswith("slurm/") and not word.endswith(".log")]
        assert all((ROOT / word).is_file() for word in named), words
        return True
    if program == "python":
        if rest[0].endswith(".py"):
            assert (ROOT / rest[0]).is_file() or (ROOT / "docs" / rest[0]).is_file(), words
        return True
    if program != "restore":
        assert program in OTHERS, f"{words}: name the program in OTHERS, or test it"
        return False
    verb, *given = rest
    if verb in TRAINER_VERBS:
        code, out, err = restore(verb, *given, "--print_config")
        assert code == 0, (words, err)
        if verb == "fit":
            leave_config(yaml.safe_load(out))
    elif verb != "search":  # which hands on to `fit` what it does not know
        assert verb in COMMANDS, words
        import_module(f"restore_lightning.commands.{verb}").parser().parse_args(given)
    return True


def pieces(page: str) -> list[str]:
    """The texts of a page's blocks of YAML."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^ *```ya?ml\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def taken(restore, tmp_path, monkeypatch):
    """Page and piece -> what `fit` says of the config that it changes: exit code and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(page: str, piece: str) -> tuple[int, str]:
        Path("piece.yaml").write_text(piece, encoding="utf-8")
        base = BASES.get(page, "quickstart.yaml")
        code, _, err = restore("fit", *(("--config", base) if base else ()), "--config", "piece.yaml", "--print_config")
        return code, err

    yield run
    sys.modules.pop("my_degradations", None)


@pytest.mark.parametrize(("page", "number"), [(page, number) for page in PAGES for number in range(len(pieces(page)))])
def test_pieces_of_configs_are_accepted(page, number, taken):
    if page == "docs/own_factor.md":
        text = (ROOT / page).read_text(encoding="utf-8")
        Path("my_degradations.py").write_text(re.search(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[1])
    code, err = taken(page, pieces(page)[number])
    assert code == 0, err


@pytest.mark.parametrize(
    ("page", "key"),
    [("docs/data.md", "shards"), ("docs/multi_branch.md", "checkpoint"), ("docs/training.md", "samples_per_cycle")],
)
def test_a_misspelt_key_of_a_piece_is_refused(page, key, taken):
    (piece, *_) = [piece for piece in pieces(page) if f"{key}:" in piece]
    code, err = taken(page, piece.replace(f"{key}:", f"{key}x:", 1))
    assert code == 2
    assert f"{key}x" in err


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_imports_in_python_is_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for code in re.findall(r"^ *```python\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("restore_lightning"):
                module = import_module(node.module)
                assert [each.name for each in node.names if not hasattr(module, each.name)] == [], node.module


def arguments(*classes: type) -> set[str]:
    """The names that classes, or any of them, take."""
    return {name for cls in classes for name in inspect.signature(cls).parameters}


def words_in(text: str) -> Iterator[list[str]]:
    """The words of our commands anywhere in a text: in blocks, between backticks, behind `$(...)`."""
    for line in text.replace("\\\n", " ").splitlines():
        for command in re.findall(r"(?:^ *|`|; |\$\(|/bin/)(restore [a-z][^`]*)", line):
            yield re.split(r"[\s=]+", re.sub(r"'[^']*'|\"[^\"]*\"| #.*", "X", command))


def flags_of(parser: argparse.ArgumentParser) -> set[str]:
    """The names of a verb's flags, those of its subcommands too."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {flag for sub in action.choices.values() for flag in flags_of(sub)}
    return found


def unknown(words: list[str]) -> list[str]:
    """What of a command there is not: its verb, or flags of it."""
    _, verb, *given = [word.rstrip(".,:;)") for word in words]
    if verb not in COMMANDS and verb not in TRAINER_VERBS:
        return [verb]
    if verb in TRAINER_VERBS:
        taken = {"--config", "-c", "--ckpt_path", "--overwrite", "--help", "-h", "--print_config", "--seed_everything"}
        taken |= {"--model", "--data", "--trainer", "--model.help", "--return_predictions"}
    else:
        taken = flags_of(import_module(f"restore_lightning.commands.{verb}").parser())
    with_keys = verb in TRAINER_VERBS or verb == "search"  # which hands them on to `fit`
    flags = {word for word in given if re.match(r"--?[a-z]", word)} - taken
    return sorted(flag for flag in flags if not (with_keys and "." in flag and is_key(flag[2:].rstrip("+"))))


CARDS = [f"restore_lightning/shipped_weights/{name}/README.md" for name in shipped_networks()]


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "SECURITY.md", *CARDS])
def test_verbs_and_flags_that_a_page_names_are_there(page):
    """All of them, whether or not a test runs the command."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [(words, unknown(words)) for words in words_in(text)]
    assert [each for each in found if each[1]] == []


def test_a_verb_and_a_flag_that_are_not_there_are_found():
    text = "`restore aply photo.jpg`\nrestore fit --config mbn.yaml --data.rot x\n"
    text += "    restore apply w \\\n  --ouput x; restore shards pack a b c --szie 3"
    wanted = [["aply"], ["--data.rot"], ["--ouput", "--szie"]]
    assert [unknown(words) for words in words_in(text)] == wanted


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "SECURITY.md"])
def test_files_that_a_page_names_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    folders = "tests|docs|scripts|configs|restore_lightning|benchmarks|examples|slurm"
    named = {name.rstrip("./") for name in re.findall(rf"(?<![\w/.-])((?:{folders})/[\w./-]+)", text)}
    made_up = {name for name in named if re.search(r"[A-Z]{3}|\bmy_|\.log$", name)}
    assert [name for name in sorted(named - made_up) if not (ROOT / name).exists()] == []


def test_scores_of_the_shipped_networks_are_those_of_their_cards():
    text = (ROOT / "docs/weights.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| [\w-]+ \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", text, re.MULTILINE)
    told, untold = (
        json.loads((shipped_networks()[name] / "config.json").read_text(encoding="utf-8"))
        for name in ("mbn-small", "r-mbn-small")
    )
    assert rows == [
        tuple(f"{psnr:.2f}" for psnr in (one["degraded"]["psnr"], one["psnr"], other["psnr"]))
        for one, other in zip(told["scores"], untold["scores"], strict=True)
    ]
    assert f"{told['parameters']:,} and {untold['parameters']:,} parameters" in text


def is_key(name: str) -> bool:
    """Whether the parser knows a dotted name; below classes of the user's choice everything is allowed."""
    section, key, *deeper = name.split(".")
    if section == "checkpoint":
        return key in arguments(LastCheckpoint)
    if section == "trainer":
        return key in arguments(Trainer)
    if section == "data":
        if key in ("factors", "val_sets", "test_sets") and len(deeper) > 1:
            return deeper[1] in arguments(FactorConfig if key == "factors" else EvaluationConfig)
        return key in arguments(RestorationData)
    if key in ("init_args", "help", "class_path"):
        return True
    kinds = [each for each in vars(networks).values() if isinstance(each, type) and issubclass(each, nn.Module)]
    if deeper and key == "network":
        return deeper[0] in {*arguments(*kinds), "help", "init_args", "class_path"}
    if deeper and key == "inference":
        return deeper[0] in arguments(InferenceSettings)
    return key in arguments(tasks.MultiBranchTask, tasks.RecurrentTask, tasks.ImageToImageTask)


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md"])
def test_keys_that_a_page_names_are_there(page):
    text = re.sub(r"^ *```.*?^ *```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    named = re.findall(r"`(?:--)?((?:checkpoint|data|model|trainer)\.\w+(?:\.\w+)*)[`= \[]", text)
    keys = [name for name in named if not name.endswith((".py", ".safetensors"))]
    assert [name for name in keys if not is_key(name)] == []


def test_a_key_that_is_not_there_is_found():
    assert is_key("data.crop_size")
    assert is_key("data.factors.rain.minibatches")
    wrong = ("data.crop", "data.factors.rain.batches", "trainer.steps", "model.network.depth", "model.inference.tiles")
    assert not any(map(is_key, wrong))


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_lead_to_files_and_headings(page):
    """As on GitHub; `make docs` checks those of the site."""
    for _, target, _ in pages.LINK.findall((ROOT / page).read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page}: {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{page}: {target}"


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def templates() -> Iterator[str]:
    """The texts of the package, what is filled in as `.+?`: literals, f-strings, and those of the job scripts."""
    hole = re.compile(r"(?<!\\)%(?:s|d|\.\d\w|r)|\\\{\w*\\\}")
    for path in (ROOT / "restore_lightning").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [re.escape(part.value) if isinstance(part, ast.Constant) else ".+?" for part in node.values]
                yield "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 400:
                yield hole.sub(".+?", re.escape(node.value))
    for path in (ROOT / "slurm").glob("*.sh"):
        for told in re.findall(r'echo "(.+?)"', path.read_text(encoding="utf-8")):
            yield re.sub(r"\\\$\w+", ".+?", re.escape(told))


def messages() -> list[str]:
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    return [
        line
        for block in re.findall(r"^```text\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
    ]


def test_messages_of_troubleshooting_are_those_of_the_program():
    patterns = [re.compile(each) for each in templates() if len(each.replace(".+?", "")) >= 20]
    lines = messages()
    assert len(lines) > 12
    for line in lines:
        # Of a message that is put together from several texts one is enough, if it is a long one.
        found = max((len(each.pattern.replace(".+?", "")) for each in patterns if each.search(line)), default=0)
        assert found >= 20, line
    assert not any(each.search("the loss of rain is not funny in step 5") for each in patterns)
