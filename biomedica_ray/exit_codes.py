"""Exit codes of every command, as docs/troubleshooting.md lists them; imports nothing, as all of them need it."""

DONE, FAILED, MISUSED = 0, 1, 2

INTERRUPTED, TERMINATED = 130, 143
"""What a shell expects: 128 + the signal's number for a process that was told to stop."""
