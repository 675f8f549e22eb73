"""From shards to samples to batches, in an order that can be resumed anywhere."""
