"""Pretraining CLIP on the shards by streaming: order, samples, model, checkpoints and the loop on Ray Train."""
