"""Enrichment: what PubMed knows of an article and its XML does not say, fetched over NCBI's E-utilities."""
