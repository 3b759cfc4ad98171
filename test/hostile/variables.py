"""Print every variable that this ansible-core says means something to it: options of plugins, settings and magic variables."""

import json

from ansible import constants
from ansible.plugins import loader

KINDS = ("become", "cache", "callback", "connection", "inventory", "shell", "strategy", "vars")

names = {name for known in constants.MAGIC_VARIABLE_MAPPING.values() for name in known}
names.update(constants.COMMON_CONNECTION_VARS, constants.INTERNAL_STATIC_VARS, constants.RESTRICTED_RESULT_KEYS)
for kind in KINDS:
    for plugin in getattr(loader, kind + "_loader").all(class_only=True):
        names.update(constants.config.get_plugin_vars(kind, plugin._load_name))
for setting in constants.config.get_configuration_definitions().values():
    names.update(one["name"] for one in setting.get("vars") or [])
print(json.dumps(sorted(names)))
