"""Tables of scores."""

from restore_lightning.reports.tables import mean_scores, method_table, score_tables, set_table, subset_table

__all__ = ["mean_scores", "method_table", "score_tables", "set_table", "subset_table"]
