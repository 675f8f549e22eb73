"""Curation: which figures of a store a query selects, and how many of each kind."""
