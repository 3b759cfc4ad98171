# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""YAML whose scalars are texts, spelled as they were written.

A password of digits is no number: YAML 1.1 would make 342391 of 01234567, 45030 of 12:30:30 and True of yes.
"""

from __future__ import annotations

import yaml


class Texts(yaml.SafeLoader):
    """Reads every scalar as text but null, and knows merge keys."""


Texts.yaml_implicit_resolvers = {
    first: kept for first, all_of in yaml.SafeLoader.yaml_implicit_resolvers.items()
    if (kept := [one for one in all_of if one[0] in ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")])
}


def load(text):
    """Return the document. Errors are yaml.YAMLError."""
    return yaml.load(text, Loader=Texts)
