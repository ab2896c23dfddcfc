"""A kept answer names what may have been deleted since it was given, and the generator takes it for new.
So a well-formed Idempotency-Key is sent once; what is sent again is tested in crates/tenantry/tests/it/api/repeated.rs."""

import re

import schemathesis

WELL_FORMED = re.compile(r"[!-~]{1,200}")
used = set()


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta and case.meta.generation.mode.is_negative:
        return  # refused before a kept answer is looked for; an edit would make a request of it that is whole again
    headers = case.headers or {}
    for name in [name for name in headers if name.lower() == "idempotency-key"]:
        key = headers[name]
        if isinstance(key, str) and WELL_FORMED.fullmatch(key):
            if key in used:
                headers[name] = f"{key}-{len(used)}"
            used.add(headers[name])
