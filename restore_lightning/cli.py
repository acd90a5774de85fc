"""The command `restore`: dispatches on the verb, so that help comes before torch is imported."""

import io
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module

from restore_lightning import __version__
from restore_lightning.commands import COMMANDS, TRAINER_VERBS
from restore_lightning.errors import UserError, did_you_mean, shortened_error, shortened_text
from restore_lightning.io.addresses import without_secrets
from restore_lightning.runs.exits import leave
from restore_lightning.runs.signals import receiving_signals

HELP = """usage: restore VERB ...

train and score, by a config:
  fit        train              restore fit --config quickstart.yaml
  validate   score the validation images
  test       score the test images: a table and scores.json
  predict    write the test images restored
             --config C.yaml [--key value ...]; C.yaml is a file or a shipped config
{configs}
             fit --ckpt_path last goes on where the run stopped, --overwrite starts it over;
             Ctrl-C, SIGTERM and SIGUSR1 stop it after the next step, saved, with exit code 130, 143 and 138

use a trained network:
  apply      restore image files and folders          restore apply WEIGHTS PHOTO --output DIR
             WEIGHTS, here and elsewhere: a checkpoint, a bundle's folder, a shipped network, hub:owner/name[@revision],
             or spandrel:FILE, a network that the package spandrel knows
  demo       a page on this machine to try photos on    restore demo WEIGHTS
  export     an ONNX file, or one of torch.export, that runs without this package
             restore export WEIGHTS OUT.onnx --factor rain
  convert    a checkpoint that the papers' authors published -> one of ours
             restore convert DRN authors.pth drn.ckpt
  score      PSNR and SSIM of two folders, as the papers compute them
             restore score RESTORED CLEAN --protocol matlab-y
  table      a table of the papers beside your scores   restore table drn-1 --results runs

share a trained network:
  bundle     safetensors, config and model card in a folder   restore bundle CHECKPOINT FOLDER
  push       upload a bundle to the Hugging Face hub          restore push FOLDER hub:owner/name
  weights    the networks that are shipped or cached by name

choose an architecture:
  search     the recurrent order, or the levels of the output branches

prepare data:
  shards     data sets in their published layouts -> tar shards, read without decoding
             restore shards pack gopro ROOT OUT   | layouts | info OUT | verify OUT | leaks TRAIN --test TEST
  mix        write a set of images with mixed degradations   restore mix OUT --root CLEAN_WITH_DEPTH

restore VERB --help tells more. RESTORE_DEBUG=1 shows tracebacks.
"""


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        args: Words after `restore`; None: those of the process.

    Returns:
        Exit code: 0, 2 for a wrong call, 1 for a run that failed, 128 + N for training that signal N stopped.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files need not be text that it can show
            stream.reconfigure(errors="backslashreplace")
    code = _exit_code(list(sys.argv[1:] if args is None else args))
    if args is None:
        leave(code)
    return code


def _exit_code(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        import textwrap

        from restore_lightning.shipped_configs import shipped

        indent = " " * 13
        configs = textwrap.fill(f"({', '.join(shipped())})", 100, initial_indent=indent, subsequent_indent=indent)
        print(HELP.format(configs=configs), end="")
        return 0 if words else 2
    if words[0] == "--version":
        print(__version__)
        return 0
    try:
        return _run(words)
    except SystemExit as stop:  # a signal; argparse, after --help or an error of its own
        if isinstance(stop.__context__, KeyboardInterrupt):  # Lightning makes it an error
            print("restore: interrupted", file=sys.stderr)
            return 130
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        print("restore: interrupted", file=sys.stderr)
        return 130
    except UserError as error:
        _debug(error)
        _say(words[0], " ".join(str(error).split()))
        return error.exit_code
    except Exception as error:
        _debug(error)
        if isinstance(error, OSError) and isinstance(error.filename, str) and error.strerror:
            _say(words[0], f"{shortened_text(error.filename, 300)}: {error.strerror}")
            return 1
        _say(words[0], f"{shortened_error(error)} (RESTORE_DEBUG=1 shows where)")
        return 1


def _say(verb: str, line: str) -> None:
    """Tell the user why a command ends; what they typed may hold secrets."""
    print(f"restore {verb}: {without_secrets(line)}", file=sys.stderr)


def _run(words: list[str]) -> int:
    verb, *rest = words
    if verb in TRAINER_VERBS:
        # Before torch is imported, which takes seconds.
        with receiving_signals() if verb == "fit" else nullcontext():
            from restore_lightning.commands.trainer import run

            return run(verb, rest)
    if verb in COMMANDS:
        if rest.count("--") > 1:  # argparse makes lists of the second one
            raise UserError("-- stands twice: once is enough, what follows is no flag")
        return int(import_module(f"restore_lightning.commands.{verb}").run(rest))
    verbs = (*TRAINER_VERBS, *COMMANDS)
    raise UserError(f"unknown verb {verb!r}: choose one of {', '.join(verbs)}{did_you_mean(verb, verbs)}")


def _debug(error: Exception) -> None:
    if os.environ.get("RESTORE_DEBUG") == "1":
        raise error
