"""How configs are read: what all of them have in common, and a config from YAML and the command line.

Each stage's config class is in the stage's room. Unknown keys and wrong values are errors, found before any work
starts. The resolved config is stored with each run.
"""

from biomedica_ray.config.base import NAME, OF_A_RUN, STAGES, ConfigError, Name, StageConfig, validate

__all__ = ["NAME", "OF_A_RUN", "STAGES", "ConfigError", "Name", "StageConfig", "validate"]
