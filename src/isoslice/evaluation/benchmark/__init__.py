"""The benchmark: methods, data, scores, tables and figures of the paper, run again."""
