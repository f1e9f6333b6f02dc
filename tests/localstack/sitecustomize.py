"""LocalStack 4.14 takes `warnings.deprecated` for granted, which Python 3.12 does not have yet."""

import warnings

if not hasattr(warnings, "deprecated"):
    from typing_extensions import deprecated

    warnings.deprecated = deprecated
