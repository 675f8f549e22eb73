"""Tests of biomedica_ray.images."""
