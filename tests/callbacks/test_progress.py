"""What stands behind the progress bar."""

import re

from tests.conftest import CONF


def test_the_bar_shows_the_last_logged_losses_and_the_score(restore, tmp_path):
    words = ("--trainer.enable_progress_bar", "true", "--trainer.default_root_dir", tmp_path)
    code, out, err = restore("fit", "--config", CONF / "single.yaml", *words)
    assert code == 0, err
    bar = [line for line in re.split(r"[\r\n]", out + err) if "4/4" in line][-1]
    assert re.search(r"rain=-?\d\.\d{3}, psnr=\d+", bar), bar
