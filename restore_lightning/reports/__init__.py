"""What a test found: `scores.json`, tables as text, the page. `scores_json` is read without torch."""
