"""Adds `warnings.deprecated`, which LocalStack 4.14 requires and Python 3.12 does not have."""

import warnings

if not hasattr(warnings, "deprecated"):
    from typing_extensions import deprecated

    warnings.deprecated = deprecated
