"""UWM: negate the weights of an encoder that matter more for unsafe than for safe inputs."""

from ._uwm import UWMConfig, align

__all__ = ["UWMConfig", "align"]
