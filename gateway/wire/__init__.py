"""What crosses HTTP, for both sides: CloudEvents, reply forms, signatures, patches.

Pure functions over bytes and frozen data. No I/O and no clock; imports `model` and `errors` only.
"""
