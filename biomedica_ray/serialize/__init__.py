"""From figures to a dataset: WebDataset shards, the same as Parquet, and a dataset card."""
