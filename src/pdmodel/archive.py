"""Arrays on disk, to the bit: one ``.npz`` file with its own checksum, and no pickle.

The checksum covers every byte of the file and stands where a zip archive has its comment, so that
`numpy.load` reads the file as any other.
"""

import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pdmodel.files import digest, whole

ABOUT = "about"
"""Entry of an archive that says, in JSON, what it is."""
DIGEST = 64
"""Characters of a checksum."""
MARK = DIGEST.to_bytes(2, "little")
"""Length of the comment of a zip archive, which ends the archive if there is none."""


class DamagedError(Exception):
    """A file is not the one that was written, or holds something else than it should."""


def write(path: Path, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays, and what they are, into a file; whole or not at all.

    Raises
    ------
    OSError
        If the system does not take it.
    TypeError
        If an array holds objects.
    """
    if strange := sorted(name for name, array in arrays.items() if array.dtype.hasobject):
        raise TypeError(f"{strange[0]} holds objects, not numbers; they cannot be kept.")
    buffer = io.BytesIO()
    label = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez(buffer, **{ABOUT: label}, **arrays)  # pyright: ignore[reportArgumentType]  # a name is never allow_pickle
    body = buffer.getvalue()[: -len(MARK)] + MARK
    whole(path, body + digest(body).encode())


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read an archive back: what it is, and its arrays.

    Raises
    ------
    DamagedError
        If a single bit differs from what was written, or it is no archive of ours.
    """
    content = path.read_bytes()
    body = content[:-DIGEST]
    if body[-len(MARK) :] != MARK or digest(body).encode() != content[-DIGEST:]:
        raise DamagedError("its checksum is wrong")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = dict(archive)
        return json.loads(arrays.pop(ABOUT).tobytes()), arrays
    except (ValueError, LookupError, OSError) as problem:
        raise DamagedError("it is no archive of arrays") from problem


def is_key(leaf: Any) -> bool:
    """Whether a leaf is an array of typed random keys."""
    return isinstance(leaf, Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def plain(leaf: Any) -> np.ndarray:
    """Give a leaf as an array of numbers; random keys as what they are made of."""
    return np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)


def flattened(tree: Any, prefix: str) -> dict[str, np.ndarray]:
    """Give the leaves of a pytree as named arrays, in the order that JAX has them."""
    leaves, _ = jax.tree.flatten(tree)
    return {f"{prefix}{k}": plain(leaf) for k, leaf in enumerate(leaves)}


def places(tree: Any) -> list[str]:
    """Where in a pytree each leaf stands, in the same order."""
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]


def into[T](like: T, arrays: Mapping[str, np.ndarray], prefix: str, *, rows: bool = False) -> T:
    """Put named arrays in the places of the leaves of a pytree of the same shapes.

    Parameters
    ----------
    like : pytree
        Of arrays, or of their shapes.
    arrays : mapping of str to ndarray
        As `flattened` gives them.
    prefix : str
    rows : bool
        Whether the first axis may have another length, and the leaves are to be NumPy's.

    Raises
    ------
    DamagedError
        If shapes or kinds of numbers differ.
    """

    def one(k: int, leaf: Any) -> Any:
        found = arrays.get(f"{prefix}{k}")
        wanted = jax.eval_shape(jax.random.key_data, leaf) if is_key(leaf) else leaf
        if found is None or found.dtype != wanted.dtype:
            raise DamagedError("it holds other arrays than this fit has")
        if found.shape[int(rows) :] != wanted.shape[int(rows) :]:
            raise DamagedError("it holds arrays of another shape than this fit has")
        if is_key(leaf):
            return jax.random.wrap_key_data(jnp.asarray(found), impl=jax.random.key_impl(leaf))
        return found if rows else jnp.asarray(found)

    leaves, structure = jax.tree.flatten(like)
    return jax.tree.unflatten(structure, [one(k, leaf) for k, leaf in enumerate(leaves)])


# ---------------------------------------------------------------- values of any structure


def described(tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Describe nested dicts, lists and named tuples in JSON; their arrays go into `arrays`.

    Raises
    ------
    TypeError
        If something in it cannot be kept.
    """
    name = f"array{len(arrays)}"
    if isinstance(tree, Array):
        arrays[name] = plain(tree)
        return {"jax": name} | ({"impl": str(jax.random.key_impl(tree))} if is_key(tree) else {})
    if isinstance(tree, np.ndarray | np.generic):
        arrays[name] = np.asarray(tree)
        return {"numpy": name} if isinstance(tree, np.ndarray) else {"number": name}
    if tree is None or isinstance(tree, bool | int | float | str):
        return {"value": tree}
    if isinstance(tree, Mapping) and all(isinstance(name, str) for name in tree):
        return {"dict": [[name, described(one, arrays)] for name, one in tree.items()]}
    if isinstance(tree, tuple | list):
        of = [described(one, arrays) for one in tree]
        kind = type(tree)
        if kind in (tuple, list):
            return {kind.__name__: of}
        if _named_tuple(kind.__module__, kind.__name__) is kind:
            return {"named": [kind.__module__, kind.__name__], "of": of}
    raise TypeError(f"a {type(tree).__name__} cannot be kept in a checkpoint")


def rebuilt(spec: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Build again what `described` took apart; named tuples are of pdmodel, and loaded already."""
    match spec:
        case {"value": value}:
            return value
        case {"dict": pairs}:
            return {name: rebuilt(one, arrays) for name, one in pairs}
        case {"list": of} | {"tuple": of}:
            return (list if "list" in spec else tuple)(rebuilt(one, arrays) for one in of)
        case {"named": [module, name], "of": of}:
            if kind := _named_tuple(module, name):
                return kind(*(rebuilt(one, arrays) for one in of))
        case {"jax": name, "impl": impl}:
            return jax.random.wrap_key_data(jnp.asarray(arrays[name]), impl=impl)
        case {"jax": name}:
            return jnp.asarray(arrays[name])
        case {"numpy": name}:
            return arrays[name]
        case {"number": name}:
            return arrays[name][()]
    raise DamagedError("it is described in a way that is not known")


def _named_tuple(module: str, name: str) -> Any:
    """Find a named tuple of pdmodel in what is loaded; None if it is none."""
    found = getattr(sys.modules.get(module), name, None)
    ours = module.partition(".")[0] == __name__.partition(".")[0]
    known = ours and isinstance(found, type) and issubclass(found, tuple)
    return found if known and hasattr(found, "_fields") else None


def names_of(leaves: Sequence[str]) -> str:
    """Digest of the places of leaves, by which another structure shows."""
    return digest("\n".join(leaves).encode())
