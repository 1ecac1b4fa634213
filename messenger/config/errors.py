"""One exception for everything that is wrong with the settings; its text names the place, the fault and the cure."""


class ConfigError(Exception):
    """The settings cannot be used. The text is for the operator: one line for each fault, never a value of a secret."""
