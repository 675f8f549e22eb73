"""Annotation: embed figures, cluster the embeddings, and label figures through their clusters."""
