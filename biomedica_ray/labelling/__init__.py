"""What annotators say of clusters, and how it reaches figures."""
