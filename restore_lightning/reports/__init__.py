"""Tables of scores."""

from restore_lightning.reports.tables import method_table, score_tables, set_table, subset_table

__all__ = ["method_table", "score_tables", "set_table", "subset_table"]
