"""Checks with pymerkle that each entry of an unpacked evidence bundle is in the tree of its checkpoint."""

import json
import sys
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

from pymerkle import InclusionProof, InvalidProof, verify_inclusion


def sides(index: int, size: int) -> list[int]:
    """Return, from the leaf up, whether the next hash stands to the left: 1 for left, 0 for right."""
    if size == 1:
        return []
    half = 1 << (size - 1).bit_length() - 1
    return [*sides(index, half), 0] if index < half else [*sides(index - half, size - half), 1]


def lines(name: str) -> list[bytes]:
    """Return the lines of a file, each of which ends in a line feed."""
    return [x.removesuffix(b"\n") for x in Path(name).read_bytes().splitlines(keepends=True)]


def hashed(text: bytes) -> bytes:
    """Return the hash that base64 holds; exit status 1 when it is not the one way to write it."""
    raw = b64decode(text, validate=True)
    if b64encode(raw) != text or len(raw) != 32:
        sys.exit(f"REFUSED: not a hash: {text.decode('ascii', 'replace')}")
    return raw


def main() -> None:
    """Check every entry, and end with exit status 1 at the first that is not in the tree."""
    _, size, root, *_ = Path("checkpoint.txt").read_text("utf-8").split("\n")
    entries, leaves, proofs = lines("entries.jsonl"), lines("leaves.jsonl"), lines("proofs.txt")
    for number, (entry, leaf, proof) in enumerate(zip(entries, leaves, proofs, strict=True), 1):
        said = json.loads(leaf)
        if sha256(entry).hexdigest() != said["payload"]:
            sys.exit(f"REFUSED: line {number} of entries.jsonl is not what its leaf says")
        base = sha256(b"\0" + leaf).digest()
        path = [base, *(hashed(x) for x in proof.split())]
        rule = [*sides(said["position"] - 1, int(size)), 0]
        given = InclusionProof("sha256", True, int(size), said["position"], rule, path)
        try:
            verify_inclusion(base, hashed(root.encode()), given, said["position"], int(size), "sha256")
        except InvalidProof as error:
            sys.exit(f"REFUSED: entry {said['position']}: {error}")
    sys.stdout.write(f"{len(entries)} entries are in the tree of {size} entries\n")


if __name__ == "__main__":
    main()
