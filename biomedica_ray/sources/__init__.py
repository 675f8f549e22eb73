"""Where articles come from: PMC's bucket, or packages on a disk or in object storage. No Ray inside."""
