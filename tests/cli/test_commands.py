"""The command line as a user types it: results, messages, exit codes."""

import io
import json
import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from shapewright.cli import main as entry
from shapewright.cli.main import COMMANDS, INTERNAL, INTERRUPTED, NOT_HELD, OK, USAGE, main


@pytest.fixture(scope="module")
def run(volumes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run trained by the command line."""
    out = tmp_path_factory.mktemp("cli") / "run"
    arguments = ["train", "supervised", "--data", str(volumes), "--out", str(out), "--preset", "toy"]
    assert main([*arguments, "--split.validation", "0.2"]) == OK
    return out


def test_training_ends_with_scores_and_a_report(run: Path) -> None:
    assert (run / "report.html").stat().st_size > 10_000
    assert (run / "evaluation" / "cases.csv").exists()
    summary = json.loads((run / "evaluation" / "summary.json").read_text())["summary"]
    assert {"dice", "hd95", "assd", "surface_dice"} <= set(summary["foreground"])


def test_prediction_keeps_geometry_and_is_not_repeated(
    run: Path, volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = volumes / "images" / "case_0.nii.gz"
    arguments = ["predict", str(run), str(image), "--out", str(tmp_path / "masks"), "--probabilities"]
    assert main(arguments) == OK
    result = tmp_path / "masks" / "case_0.nii.gz"
    assert capsys.readouterr().out.strip() == str(result)
    found, original = nibabel.load(result), nibabel.load(image)
    assert found.shape == original.shape
    assert np.array_equal(found.affine, original.affine)
    probabilities = nibabel.load(tmp_path / "masks" / "case_0_probabilities.nii.gz")
    assert np.allclose(np.asarray(probabilities.dataobj).sum(axis=-1), 1, atol=1e-4)
    before = result.stat().st_mtime_ns
    assert main(arguments) == OK
    assert result.stat().st_mtime_ns == before
    assert main([*arguments, "--overwrite"]) == OK
    assert result.stat().st_mtime_ns > before


def test_images_that_cannot_be_read_are_named_after_the_others_are_labelled(
    run: Path, volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "a_broken.nii.gz").write_bytes(b"no image")
    (images / "b_good.nii.gz").write_bytes((volumes / "images" / "case_0.nii.gz").read_bytes())
    (images / "c_empty.nii.gz").write_bytes(b"")
    assert main(["predict", str(run), str(images), "--out", str(tmp_path / "masks")]) == USAGE
    output = capsys.readouterr()
    assert output.out.strip() == str(tmp_path / "masks" / "b_good.nii.gz")
    assert [file.name for file in (tmp_path / "masks").iterdir()] == ["b_good.nii.gz"]
    assert "a_broken.nii.gz" in output.err
    assert "c_empty.nii.gz" in output.err
    assert "2 of 3 images could not be labelled" in output.err


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_a_run_is_not_resumed_twice_at_once(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from shapewright.training.lock import run_lock

    with run_lock(run):
        assert main(["train", "--resume", str(run)]) == USAGE
    assert f"{run} is being trained by another process" in capsys.readouterr().err


def test_evaluate_reads_masks_as_people_write_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from skimage.io import imsave

    for name in ("found", "black_and_white", "sparse"):
        (tmp_path / name).mkdir()
    mask = np.zeros((20, 24), np.uint8)
    mask[4:12, 6:16] = 1
    sparse = np.where(np.arange(24) < 12, mask, 255).astype(np.uint8)
    imsave(tmp_path / "found" / "a.png", mask, check_contrast=False)
    np.savez(tmp_path / "found" / "a_probabilities.npz", np.stack([1 - mask, mask]).astype(np.float32))
    imsave(tmp_path / "black_and_white" / "a.png", mask * 255, check_contrast=False)
    imsave(tmp_path / "sparse" / "a.png", sparse, check_contrast=False)
    assert main(["evaluate", str(tmp_path / "found"), str(tmp_path / "black_and_white"), "--out", str(tmp_path)]) == OK
    assert json.loads((tmp_path / "summary.json").read_text())["summary"]["foreground"]["dice"]["mean"] == 1
    arguments = ["evaluate", str(tmp_path / "found"), str(tmp_path / "sparse"), "--out", str(tmp_path)]
    for more in ([], ["--binary"]):
        assert main([*arguments, "--ignore", "255", *more]) == OK
        summary = json.loads((tmp_path / "summary.json").read_text())["summary"]
        assert {label: metrics["dice"]["mean"] for label, metrics in summary.items()} == {
            (more and "foreground") or "1": 1
        }
    capsys.readouterr()


def test_evaluate_two_folders(volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = volumes / "labels"
    assert main(["evaluate", str(truth), str(truth), "--out", str(tmp_path), "--labels", "low=1,high=2"]) == OK
    output = capsys.readouterr().out
    assert "low" in output
    assert "1.000" in output
    summary = json.loads((tmp_path / "summary.json").read_text())["summary"]
    assert set(summary) == {"low", "high", "foreground"}
    assert summary["low"]["dice"]["mean"] == 1.0
    assert summary["low"]["hd95"]["mean"] == 0.0


def test_report_compares_runs(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "other")
    assert main(["report", str(run), str(tmp_path / "other"), "--out", str(tmp_path / "both.html")]) == OK
    assert (tmp_path / "both.html").exists()


def test_doctor_and_lists(volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == OK
    assert "torch build" in capsys.readouterr().out
    assert main(["doctor", str(volumes)]) == OK
    broken = tmp_path / "broken"
    for part in ("images", "labels"):
        (broken / part).mkdir(parents=True)
        (broken / part / "a.nii.gz").write_bytes(b"no")
    assert main(["doctor", str(broken)]) == NOT_HELD
    assert "a.nii.gz" in capsys.readouterr().out
    assert main(["methods", "--format", "names"]) == OK
    names = capsys.readouterr().out.split()
    assert names == sorted(names)
    assert main(["methods", "--format", "json"]) == OK
    assert [method["name"] for method in json.loads(capsys.readouterr().out)] == names
    assert main(["describe", "boundary-loss"]) == OK
    assert "Kervadec" in capsys.readouterr().out


def test_print_config_can_be_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from shapewright.cli.options import parse_run

    options = ["--data", "d", "--trainer.epochs", "7", "--settings.network.width", "8", "--prepare.spacing", "[2,1,1]"]
    assert main(["print-config", "boundary-loss", *options]) == OK
    file = tmp_path / "run.yaml"
    file.write_text(capsys.readouterr().out)
    from_file, _ = parse_run(["--config", str(file)])
    from_options, _ = parse_run(["boundary-loss", *options])
    assert from_file == from_options
    assert from_file.trainer.epochs == 7
    override, _ = parse_run(["boundary-loss", "--config", str(file), "--trainer.epochs", "9"])
    assert override.trainer.epochs == 9


def test_help_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == OK
    overview = capsys.readouterr().out
    for command in COMMANDS:
        assert command in overview
        assert main([command, "--help"]) == OK
        assert "usage" in capsys.readouterr().out
    assert main(["completion", "bash"]) == OK
    assert "boundary-loss" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "did you mean 'train'"),
        (["train", "bondary-loss", "--data", "d"], "did you mean 'boundary-loss'"),
        (["train", "supervised", "--data", "d", "--trainer.epocs", "3"], "did you mean '--trainer.epochs'"),
        (["train", "supervised", "--data", "d", "--trainer.epoch", "3"], "did you mean '--trainer.epochs'"),
        (["train", "supervised", "--data", "d", "--trainer.epochs", "many"], "trainer.epochs must be of type int"),
        (["train", "supervised", "--data", "d", "--trainer.schedule", "x"], "trainer.schedule must be one of 'cosine'"),
        (["train", "supervised", "--data", "d", "--preset", "fsat"], "did you mean 'fast'"),
        (["train", "supervised"], "--data is missing"),
        (["train", "supervised", "--data", "{tmp}/none"], "none"),
        (["train", "supervised", "--data", "{tmp}"], "{tmp}"),
        (["train", "supervised", "--config", "{tmp}/none.yaml"], "none.yaml"),
        (["train", "supervised", "--data", "d", "--out", "/dev/null/x"], "/dev/null is a file"),
        (["train", "--resume", "{tmp}"], "not a run's folder"),
        (["train", "--resume", "{tmp}/none"], "no such folder"),
        (["predict", "{tmp}", "{tmp}/x.nii.gz", "--out", "{tmp}/o"], "x.nii.gz does not exist"),
        (["predict", "{tmp}/w.safetensors", "{tmp}", "--out", "{tmp}/o"], "w.safetensors"),
        (["evaluate", "{tmp}/a", "{tmp}/b"], "not a folder"),
        (["evaluate", "{tmp}"], "not a run's folder"),
        (["evaluate", "{tmp}", "--topology", "--labels", "a=1"], "--labels, --topology: only for two folders"),
        (["evaluate", "{tmp}", "{tmp}", "--split", "val"], "--split is only for a run"),
        (["evaluate", "{tmp}", "{tmp}", "--labels", "a=1,a=2"], "every name once"),
        (["report", "{tmp}"], "{tmp}"),
        (["reproduce", "nonsense"], "unknown method"),
        (["reproduce", "boundary-loss", "--seeds", "a"], "--seeds"),
        (["reproduce", "boundary-loss", "--seeds", "-1"], "--seeds must be at least 0"),
        (["describe", "nonsense"], "unknown method"),
        (["doctor", "{tmp}/none"], "none"),
        (["methods", "--fromat", "json"], "did you mean '--format'"),
    ],
)
def test_mistakes_get_one_clear_sentence(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [argument.format(tmp=tmp_path) for argument in arguments]
    code = main(given)
    captured = capsys.readouterr()
    assert code in (USAGE, NOT_HELD)
    assert message.format(tmp=tmp_path) in captured.err + (captured.out if given[0] == "doctor" else "")
    assert "Traceback" not in captured.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer: 3", "'trainer' in the configuration must hold options by name; got 3"),
        ("trainer: {epochs: two}", "trainer.epochs must be a number; got 'two'"),
        ("method: [1]", "unknown method '[1]'"),
        ("trainer: {epocs: 2}", "did you mean 'trainer.epochs'"),
        ("trainer: [", "is not YAML"),
    ],
)
def test_mistakes_in_a_configuration(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = text if text.startswith("method") else f"method: supervised\n{text}"
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert main(["train", "--data", "d", "--config", "-"]) == USAGE
    assert message in capsys.readouterr().err
    (tmp_path / "config.yaml").write_text(text)
    assert main(["train", "--resume", str(tmp_path)]) == USAGE


def test_a_checkpoint_of_another_architecture(
    run: Path, volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from shapewright.training.checkpoint import load_checkpoint, save_checkpoint

    original = load_checkpoint(run / "checkpoints" / "best.safetensors")
    weights = {**original.state["state_dict"], "surplus": torch.zeros(1)}
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, {"state_dict": weights}, config=original.config, task=original.task)
    image = volumes / "images" / "case_0.nii.gz"
    assert main(["predict", str(other), str(image), "--out", str(tmp_path / "o")]) == USAGE
    assert "another architecture" in capsys.readouterr().err


def test_an_image_of_another_rank(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(run), str(pictures / "images" / "p0.png"), "--out", str(tmp_path / "o")]) == USAGE
    assert "p0.png" in capsys.readouterr().err


def test_letters_that_the_terminal_lacks_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(entry, "_dispatch", lambda _: sys.stdout.write("Größe"))
    main(["methods"])
    terminal.flush()
    assert terminal.buffer.getvalue() == rb"Gr\xf6\xdfe"


def test_output_may_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["methods"]) == OK


def test_an_interrupt_says_how_to_continue_where_there_is_something_to_continue(
    run: Path, volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shapewright.training.cases.load_cases", interrupt)
    assert main(["train", "supervised", "--data", str(volumes), "--out", str(tmp_path / "new")]) == INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"
    assert main(["train", "--resume", str(run)]) == INTERRUPTED
    assert f"continue with: shapewright train --resume {run}" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_missing(run: Path, volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["predict", str(run), str(volumes / "images"), "--out", str(tmp_path / "o"), "--device", "cuda"]
    assert main(arguments) == USAGE
    assert "--device is 'cuda'" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_failures_become_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: BaseException) -> None:
        def dispatch(arguments: list[str]) -> int:
            raise error

        monkeypatch.setattr(entry, "_dispatch", dispatch)

    for error, code, text in (
        (KeyboardInterrupt(), INTERRUPTED, "interrupted"),
        (OSError(28, "No space left on device", "/full/disk"), USAGE, "/full/disk: No space left on device"),
        (PermissionError(13, "Permission denied", "/root/x"), USAGE, "/root/x: Permission denied"),
        (RuntimeError("boom"), INTERNAL, "--debug"),
    ):
        fail(error)
        assert main(["methods"]) == code
        captured = capsys.readouterr().err
        assert text in captured
        assert "Traceback" not in captured
    fail(RuntimeError("boom"))
    assert main(["methods", "--debug"]) == INTERNAL
    assert "Traceback" in capsys.readouterr().err
