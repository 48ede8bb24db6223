"""``shapewright scribble``: from strokes on one image to a mask in one piece."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shapewright.cli.main import OK
from shapewright.cli.parsers import Parser, say
from shapewright.errors import InputError, check_number

if TYPE_CHECKING:
    from shapewright.data import Image
    from shapewright.methods.path_connected import ConnectedFit


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = Parser(
        "scribble",
        "Turn a few strokes on an image into a mask that is one piece without holes. Writes the mask, a probability\n"
        "map and a picture. Strokes are a PNG of the image's size (green: object, red: background), an NPZ, a label\n"
        "map (1 object, 2 background, 3... further objects), or points as CSV or JSON; or draw them in a browser.",
        "examples:\n  shapewright scribble knee.png --scribbles strokes.png -o mask.png\n"
        "  shapewright scribble heart.nii.gz --scribbles points.csv -o heart_mask.nii.gz\n"
        "  shapewright scribble knee.png --serve",
    )
    parser.add_argument("image", type=Path, help="image file, 2D or 3D")
    parser.add_argument("--scribbles", type=Path, help="the strokes; with --serve, to begin with")
    parser.add_argument("-o", "--out", type=Path, help="the mask's file (default: IMAGE_mask beside the image)")
    parser.add_argument("--serve", action="store_true", help="open a page on this computer to draw strokes on")
    parser.add_argument("--port", type=int, default=0, help="of the page (default: any free one)")
    parser.add_argument("--no-browser", action="store_true", help="with --serve: print the address only")
    parser.add_argument("--teacher", choices=("walks", "network", "none"), default="walks", help="(default: walks)")
    parser.add_argument("--steps", type=int, default=300, help="steps of the fit (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    options = parser.parse_args(argv)
    check_number("--steps", options.steps, minimum=1)
    check_number("--seed", options.seed, minimum=0, maximum=2**63 - 1)
    check_number("--port", options.port, minimum=0, maximum=65535)
    if options.scribbles is None and not options.serve:
        raise InputError("give strokes with --scribbles, or draw them with --serve")

    from shapewright.data import read_image
    from shapewright.data.strokes import read_strokes
    from shapewright.training.connected_config import FitConfig

    image = read_image(options.image)
    out = options.out or default_output(options.image)
    check_output(out, options.image, image, options.scribbles)
    strokes = read_strokes(options.scribbles, image.spatial_shape) if options.scribbles else None
    settings = FitConfig(teacher=options.teacher, steps=options.steps)
    if options.serve:
        return serve(image, strokes, out, settings, options)

    from shapewright.methods.path_connected import fit_scribbles

    assert strokes is not None
    try:
        fit = fit_scribbles(image.array, strokes, seed=options.seed, settings=settings)
    except InputError as error:
        raise InputError(f"{options.image} with {options.scribbles}: {error}") from error
    if fit.warning:
        sys.stderr.write(f"warning: {fit.warning}\n")
    say(*(str(path) for path in write_results(out, image, strokes, fit)))
    return OK


def default_output(image: Path) -> Path:
    """Return ``NAME_mask`` beside the image, in its format where that can hold labels."""
    from shapewright.data.formats import stem_of
    from shapewright.training.predict import result_suffix

    return image.with_name(f"{stem_of(image)}_mask{result_suffix(image)}")


def check_output(out: Path, path: Path, image: "Image", scribbles: Path | None = None) -> None:
    """Refuse a file that cannot be written, before anybody draws or waits."""
    from shapewright.data.formats import suffix_of

    ending = suffix_of(out)
    if ending in (None, ".jpg", ".jpeg", ".bmp", ".gif", ".dcm") or (ending == ".png" and image.spatial_dims == 3):
        accepted = ".nii.gz, .tif or .npz" if image.spatial_dims == 3 else ".png, .tif, .nii.gz or .npz"
        raise InputError(f"--out must end in {accepted}; got {out}")
    for given, what in ((path, "image"), (scribbles, "strokes")):
        for result in results(out):
            if given is not None and result.resolve() == given.resolve():
                raise InputError(f"--out {out} would replace the {what}, {given}; choose another name")
    for result in results(out):
        if result.is_dir():
            raise InputError(f"--out {out}: {result} is a folder")
    if not out.resolve().parent.is_dir():
        raise InputError(f"--out {out}: the folder {out.parent} does not exist")


def results(out: Path) -> tuple[Path, Path, Path]:
    """Return the paths of mask, probability map and picture."""
    from shapewright.data.formats import stem_of, suffix_of

    ending = suffix_of(out)
    soft = out.with_name(f"{stem_of(out)}_probabilities{'.npz' if ending == '.png' else ending}")
    return out, soft, out.with_name(f"{stem_of(out)}_overlay.png")


def write_results(out: Path, image: "Image", strokes: Any, fit: "ConnectedFit") -> list[Path]:
    """Write the mask, the probability map and the picture; return their paths."""
    import numpy as np
    from PIL import Image as Pillow

    from shapewright.data import write_image, write_labels
    from shapewright.data.formats.files import writing
    from shapewright.report.overlay import overlay

    _, soft, picture = results(out)
    labels = fit.labels
    write_labels(out, labels, like=image)
    probabilities = fit.probabilities if fit.region.objects > 1 else fit.probabilities[None]
    write_image(soft, probabilities.astype(np.float32), like=image)
    with writing(picture) as temporary:
        Pillow.fromarray(overlay(image.array, labels, strokes)).save(temporary, format="PNG")
    return [out, soft, picture]


def serve(image: "Image", strokes: Any, out: Path, settings: Any, options: Any) -> int:
    """Offer the page until Ctrl-C."""
    import webbrowser

    from shapewright.methods.path_connected.serve import ScribbleServer

    server = ScribbleServer(
        image.array,
        strokes=strokes,
        settings=settings,
        seed=options.seed,
        port=options.port,
        save=lambda drawn, fit: [str(path) for path in write_results(out, image, drawn, fit)],
    )
    say(f"draw at {server.address}", f"Save writes {out}; end with Ctrl-C")
    if not options.no_browser:
        webbrowser.open(server.address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        say("", "closed")
    finally:
        server.server_close()
    return OK
