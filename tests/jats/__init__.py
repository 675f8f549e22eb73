"""Tests of biomedica_ray.jats."""
