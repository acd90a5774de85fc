"""The model card of a bundle, from what its config.json says."""

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

LICENCES = frozenset(
    """
    afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m bsd
    bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0
    cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0
    creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 gemma gfdl gpl gpl-2.0
    gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail
    openrail++ osl-3.0 pddl postgresql unknown unlicense wtfpl zlib
    """.split()  # noqa: SIM905
)
"""The hub's identifiers of licences; it refuses other words, unless they are the name of one that is "other"."""
LICENCE_UNKNOWN = "not stated"
"""What is said where nobody has given a licence."""


def factor_flag(config: Mapping[str, Any]) -> str:
    """What `restore apply` needs beside a bundle: a factor, where its network is told one of several."""
    return f" --factor {shlex.quote(config['factors'][0])}" if config.get("told") and len(config["factors"]) > 1 else ""


def told_text(config: Mapping[str, Any]) -> str:
    """What a network must be told, and what it removes."""
    if factor_flag(config):
        return f"told the factor: {', '.join(config['factors'])}"
    in_order = f"{', '.join(config['order'])} in this order" if config.get("order") else ", ".join(config["factors"])
    return f"told nothing: removes {in_order}"


def card_text(config: Mapping[str, Any], called: str = "FOLDER") -> str:
    """The card: a header in YAML that the hub reads, and the same for people.

    Args:
        config: Of a bundle.
        called: What command lines call the bundle.
    """
    name = str(config["network"]["class_path"]).rpartition(".")[2]
    title = f"R-{name}" if config.get("order") else name  # as `RecurrentTask` calls its results
    removes = ", ".join(config["factors"])
    header = {
        **_licence(config.get("licence")),
        "library_name": "restore-lightning",
        "pipeline_tag": "image-to-image",
        "tags": ["image-restoration", *sorted({part.strip() for one in config["factors"] for part in one.split(",")})],
        "metrics": ["psnr", "ssim"],
    }
    told = "It is told which." if config.get("told") else "" if config.get("order") else "It is told nothing."
    order = f"It removes {', '.join(config['order'])} in this order, told nothing." if config.get("order") else ""
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# {title}: {removes}",
        " ".join(
            filter(None, [f"A network of {config['parameters']:,} parameters that removes {removes}.", told, order])
        ),
        "It takes and gives images in [0, 1], with channels in the order"
        f" {str(config['colour']).upper()}.\n\n"
        f"```bash\nrestore apply {called} PHOTO{factor_flag(config)} --output restored\n```",
        f"## Trained on\n\n{_trained_on(config)}",
        f"## Scores\n\n{_scores(config.get('scores') or [])}",
        *([str(config["notes"])] if config.get("notes") else []),
        f"## Files\n\n`model.safetensors`, {config['bytes']:,} bytes, sha256 `{config['sha256']}`.\n"
        "`config.json` says how the network is built.",
        f"## Licence\n\n{config.get('licence') or LICENCE_UNKNOWN}",
    ]
    return "\n\n".join(parts) + "\n"


def score_line(score: Mapping[str, Any]) -> str:
    """One set's scores, for a line: "Rain12 36.15 dB / 0.9605 (matlab-y, 12 images)"."""
    return one_line(
        f"{score.get('set')} {_number(score.get('psnr'), 2)} dB / {_number(score.get('ssim'), 4)}"
        f" ({score.get('protocol')}, {score.get('images')} images)"
    )


def one_line(text: str) -> str:
    """A text that others wrote, without line breaks and what else a terminal would obey."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _licence(text: str | None) -> dict[str, str]:
    """As the hub's header spells it: an identifier, or "other" and the name."""
    if not text or text == LICENCE_UNKNOWN:
        return {"license": "unknown"}
    word = text.lower()
    name = re.sub(r"[^a-z0-9.]+", "-", word).strip("-.") or "other"
    known = next((one for one in (word, name) if one in LICENCES), None)
    return {"license": known} if known else {"license": "other", "license_name": name}


def _trained_on(config: Mapping[str, Any]) -> str:
    lines = [str(config[key]) for key in ("trained_on", "repository") if config.get(key)]
    data = dict(config.get("data") or {})
    if data and not any(map(_inline, (data.get("root"), data.get("folders"), data.get("shards")))):
        lines.append("Procedural scenes, degraded by restore-lightning.")
    lines += [f"- {key}: {text}" for key, value in data.items() if (text := _inline(value))]
    if config.get("step"):
        lines.append(f"- optimiser steps: {config['step']}; weights: {config.get('weights') or 'current'}")
    return "\n".join(lines) or "Not recorded."


def _scores(scores: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        f"| {' | '.join(_cell(score.get(key)) for key in ('set', 'factor', 'protocol', 'images'))}"
        f" | {_pair(score.get('degraded') or {})} | {_pair(score)} | {_cell(score.get('inference'))} |"
        for score in scores
    ]
    if not rows:
        return "None recorded: restore test was not run beside this checkpoint."
    head = "| set | factor | protocol | images | degraded, dB / SSIM | restored, dB / SSIM | inference |"
    return "\n".join([head, "|---" * 7 + "|", *rows])


def _pair(scores: Mapping[str, Any]) -> str:
    return f"{_number(scores.get('psnr'), 2)} / {_number(scores.get('ssim'), 4)}"


def _number(value: Any, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "-"


def _cell(value: Any) -> str:
    """For a table of Markdown."""
    return "-" if value is None else one_line(str(value)).replace("|", r"\|")


def _inline(value: Any) -> str:
    """Plain values in one line, without those that say nothing."""
    if value is None or value is False:
        return ""
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {text}" for key, item in value.items() if (text := _inline(item)))
    if isinstance(value, list | tuple):
        return ", ".join(text for item in value if (text := _inline(item)))
    return one_line(str(value))
