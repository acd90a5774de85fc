"""Tables of scores, and the report page."""

from restore_lightning.reports.charts import ImageScores
from restore_lightning.reports.page import page
from restore_lightning.reports.pictures import Pass, Picture, picture, strip
from restore_lightning.reports.tables import mean_scores, method_table, score_tables, set_table, subset_table

__all__ = [
    "ImageScores",
    "Pass",
    "Picture",
    "mean_scores",
    "method_table",
    "page",
    "picture",
    "score_tables",
    "set_table",
    "strip",
    "subset_table",
]
