"""One typed config per stage, and how it is read from YAML and the command line.

Unknown keys and wrong values are errors, found before any work starts. The resolved config is stored with each run.
"""

from biomedica_ray.config.base import ConfigError, StageConfig
from biomedica_ray.config.command_line import load, parser
from biomedica_ray.config.data import DedupeConfig, EnrichConfig, ExtractConfig, SelectConfig, SerializeConfig
from biomedica_ray.config.labelling import AnnotateConfig, SheetsConfig, VotesConfig
from biomedica_ray.config.pipeline import CONFIGS, STAGES, PipelineConfig, validate
from biomedica_ray.config.training import EvaluateConfig, MergeConfig, ReportConfig, TrainConfig

__all__ = [
    "CONFIGS",
    "STAGES",
    "AnnotateConfig",
    "ConfigError",
    "DedupeConfig",
    "EnrichConfig",
    "EvaluateConfig",
    "ExtractConfig",
    "MergeConfig",
    "PipelineConfig",
    "ReportConfig",
    "SelectConfig",
    "SerializeConfig",
    "SheetsConfig",
    "StageConfig",
    "TrainConfig",
    "VotesConfig",
    "load",
    "parser",
    "validate",
]
