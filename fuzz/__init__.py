"""Coverage-guided fuzzing of everything that reads bytes from outside.

    python -m fuzz all --seconds 15
    python -m fuzz reply --again fuzz/crashes/reply-crash-…

`targets` holds what is fuzzed and the laws that must hold, `corpus` the inputs to start from. The targets know
nothing of the fuzzer, so that the tests can run each of them over its corpus without one.
"""
