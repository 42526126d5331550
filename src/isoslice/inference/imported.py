"""Import models from other places, ready to predict."""

from __future__ import annotations

from pathlib import Path

from isoslice.inference.model import Model
from isoslice.models.exchange.package import read_package


def import_bioimageio(path: str | Path) -> Model:
    """Read the model in a package of bioimage.io that isoslice exported.

    Nothing in the package is executed. The model is the one that was exported, with all that it
    knows, unless somebody changed its weights.

    Parameters
    ----------
    path
        The package, ``.zip``.

    Returns
    -------
    The model.

    Raises
    ------
    ModelError
        If it is no package, a damaged or malicious one, or another program's.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import isoslice
    >>> model = isoslice.Model.pretrained()
    >>> with TemporaryDirectory() as folder:
    ...     isoslice.export_bioimageio(model, Path(folder, "any.zip"))
    ...     same = isoslice.import_bioimageio(Path(folder, "any.zip"))
    >>> same.fingerprint == model.fingerprint
    True
    """
    bundle = read_package(path)
    return Model(bundle.config, bundle.network, bundle.info, bundle.head, bundle.trust)
