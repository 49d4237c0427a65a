"""What crosses HTTP, for both sides: CloudEvents, reply forms, signatures, patches. Pure functions, no I/O."""
