"""What the command line's parser says, in one line."""

import re

KNOWN_CLASSES = {
    "network": "MBN, DuRN, DRN, DIN, NAFNet, Restormer, PromptIR, or a dotted path, e.g. mynetwork.Net",
    "loss": "SSIML1, NegativePSNR, Charbonnier, or a dotted path, e.g. torch.nn.L1Loss",
}


def one_line(message: str) -> str:
    """The parser's message without the types that it tried in vain.

    >>> one_line("... Problem with given class_path 'a.Task': Option 'lrr' is not accepted - Expected a None")
    "a.Task: Option 'lrr' is not accepted"
    >>> one_line("Does not validate against ... Errors: - order [rain]: missing: haze - Expected a None")
    'order [rain]: missing: haze'
    >>> one_line("Does not validate ... Errors: - weights: rain has -1 - Expected a None Given value: {'rain': -1}")
    'weights: rain has -1'
    >>> one_line('... Parser key "loss": - Expected a path ... - Expected a dot import path string: L3 - Expected a')
    'loss L3: no class of this name; give SSIML1, NegativePSNR, Charbonnier, or a dotted path, e.g. torch.nn.L1Loss'
    """
    message = " ".join(message.split())
    unknown = re.search(r'.*Parser key "(\w+)": .*Expected a dot import path string: (\S+)', message)
    if unknown:
        known = KNOWN_CLASSES.get(unknown[1], "a dotted path, e.g. torch.optim.Adam")
        return f"{unknown[1]} {unknown[2]}: no class of this name; give {known}"
    unsuitable = re.search(
        r'.*Parser key "(\w+)": .*(Import path \S+ does not correspond to a subclass of \w+)', message
    )
    if unsuitable:
        return f"{unsuitable[1]}: {unsuitable[2]}"
    _, found, innermost = message.rpartition("Problem with given class_path '")
    name, _, problem = innermost.partition("': ")
    if found and problem:
        return f"{name}: {problem.partition(' - Expected a')[0]}"
    # What a task's constructor refuses.
    refused = message.partition("Errors: - ")[2].partition(" - Expected a")[0]
    return refused if message.startswith("Does not validate") and refused else message
