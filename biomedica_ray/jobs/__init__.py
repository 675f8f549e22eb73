"""Ray jobs from the command line: submitting a stage to a cluster, following it, listing and stopping jobs."""
