"""Weights of several models mixed into one."""
