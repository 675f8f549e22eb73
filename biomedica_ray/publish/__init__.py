"""``biomedica publish``: a dataset or a model of a store, put on the Hugging Face Hub or into a bucket for others."""
