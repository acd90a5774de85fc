"""What an exported file says of itself."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, Self

INPUT, OUTPUT = "image", "restored"
"""Names of the graph's input and output."""
UNCLAMPED = "unclamped"
"""Name of ONNX's second output: the first before it is clamped, for means over several calls."""
KEY = "restore_lightning"
"""Key of the file's metadata under which its description is kept, as JSON; the others are for people."""
Precision = Literal["float32", "fp16", "bf16"]


@dataclass(frozen=True)
class Description:
    """What an exported file does.

    Args:
        network: Name of the network's class.
        removes: The factor, or several in the order of the passes, as "jpeg, haze".
        channels: Of the images that it takes.
        scale: How many times larger the restored image is.
        multiple: Sides that it restores without padding are multiples of so many pixels,
        minimum: and so large at least. 1 and 1 where passes differ in it.
        padded: It pads other sizes itself; else it takes no other.
        precision: That it computes in. Its input and output are float32.
    """

    network: str
    removes: str
    channels: int
    scale: int
    multiple: int
    minimum: int
    padded: bool
    precision: Precision

    def metadata(self) -> dict[str, str]:
        """Name -> text, to be kept in the file."""
        sides = "of any size" if self.padded else f"sides multiples of {self.multiple} from {self.minimum} pixels on"
        colours = "RGB" if self.channels == 3 else f"{self.channels} channels"
        shape = f"float32 (batch, {self.channels}, height, width), {colours}, 0 to 1"
        larger = "" if self.scale == 1 else f", {self.scale} times larger"
        return {
            KEY: json.dumps(asdict(self)),
            INPUT: f"input: {shape}, {sides}",
            OUTPUT: f"output: {shape}{larger}",
            "use": f"{self.network}, removes {self.removes}: 8-bit pixels / 255 as {INPUT}; {OUTPUT} * 255, rounded",
        }

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Self:
        """The description that is in a file's metadata.

        Raises:
            ValueError: There is none.
        """
        try:
            found = cls(**json.loads(metadata[KEY]))
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError("it was not written by restore export") from error
        numbers = (found.channels, found.scale, found.multiple, found.minimum)
        if not all(type(number) is int and number > 0 for number in numbers) or not isinstance(found.removes, str):
            raise ValueError("its description is damaged")
        return found
