"""Writes the committed corpus: `python -m fuzz.seeds`. What the fuzzer found (`found-*`) is left alone."""

from __future__ import annotations

from fuzz.running import CORPUS
from fuzz.targets import TARGETS


def main() -> None:
    """Write one file per seed."""
    for name, target in TARGETS.items():
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if not old.name.startswith("found-"):
                old.unlink()
        for seed, data in target.seeds().items():
            (folder / seed).write_bytes(data)


if __name__ == "__main__":
    main()
