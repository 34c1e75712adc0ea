"""Completions, docstrings and parameters of modules as an editor shows them, in JSON. jedi finds them without importing
the modules.

Python runs it without its site (`-S`), as an import hook of an editable install hides the package from jedi.
"""

import json
import sys

import jedi


def parameters(module: str, name: str, environment: jedi.api.environment.Environment) -> list[list[list[object]]]:
    """The parameters of each signature: name, kind, whether there is a default."""
    script = jedi.Script(f"import {module}\n{module}.{name}(", environment=environment)
    return [
        [[p.name, p.kind.name, "=" in p.to_string()] for p in signature.params] for signature in script.get_signatures()
    ]


def seen(module: str, environment: jedi.api.environment.Environment) -> dict[str, object]:
    found = jedi.Script(f"import {module}\n{module}.", environment=environment).complete()
    shown = [completion for completion in found if not completion.name.startswith("_")]
    return {
        completion.name: {
            "docstring": completion.docstring(raw=True),
            "signatures": [] if completion.type == "module" else parameters(module, completion.name, environment),
        }
        for completion in shown
    }


environment = jedi.InterpreterEnvironment()
print(json.dumps({module: seen(module, environment) for module in sys.argv[1:]}))
