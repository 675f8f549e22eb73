"""Check: whether a store has all that its commit records say, and nothing else."""
