"""What importing costs: the package and the command line must not pull in what they do not need."""

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "lightning",
    "monai",
    "matplotlib",
    "scipy",
    "skimage",
    "SimpleITK",
    "nibabel",
    "jsonargparse",
    "rich",
)


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after running ``code``."""
    script = f"import sys\n{code}\nprint('|'.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.strip().splitlines()[-1].split("|"))


QUIET = "import io, contextlib\nfrom shapewright.cli.main import main\nwith contextlib.redirect_stdout(io.StringIO()): "


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        ("import shapewright", (*HEAVY, "numpy", "numba", "yaml")),
        ("import shapewright.methods; shapewright.methods.methods()", (*HEAVY, "numpy", "numba")),
        (f"{QUIET}main(['--help'])", (*HEAVY, "numpy", "numba", "yaml")),
        (f"{QUIET}main(['methods'])", (*HEAVY, "numpy", "numba")),
        (f"{QUIET}main(['train', '--help'])", ("torch", "lightning", "monai", "numba", "matplotlib", "scipy")),
        (
            f"{QUIET}main(['train', 'boundary-loss', '--help'])",
            ("torch", "lightning", "monai", "numba", "matplotlib", "scipy", "skimage"),
        ),
        ("import shapewright.losses, shapewright.losses.boundary", ("lightning", "monai", "matplotlib", "SimpleITK")),
        ("import shapewright.metrics.evaluation", ("torch", "lightning", "monai", "matplotlib", "SimpleITK")),
        ("import shapewright.report; shapewright.report.write_report", ("torch", "lightning", "monai")),
    ],
)
def test_nothing_heavy_is_loaded(code: str, forbidden: tuple[str, ...]) -> None:
    assert not loaded_by(code) & set(forbidden)


def test_every_room_is_reachable_and_lists_its_names() -> None:
    import shapewright

    for room in shapewright.ROOMS:
        module = getattr(shapewright, room)
        for name in getattr(module, "__all__", ()):
            assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        shapewright.nonsense  # noqa: B018
