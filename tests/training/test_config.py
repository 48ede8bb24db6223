"""Configurations: YAML and back, and what a typo says."""

import pytest

from shapewright.errors import InputError
from shapewright.methods import config_class, methods, presets
from shapewright.training.config import SECTIONS, PrepareConfig, RunConfig, TrainerConfig, read_run_config, to_yaml


@pytest.mark.parametrize("name", list(methods()))
def test_every_method_survives_yaml(name: str) -> None:
    config = RunConfig(
        method=name,
        data="somewhere",
        settings=config_class(name)(),
        seed=7,
        prepare=PrepareConfig(patch_size=(8, 16, 24), spacing=(1.0, 0.5, 0.5)),
        trainer=TrainerConfig(epochs=3),
    )
    assert read_run_config(to_yaml(config), config_class(name), "config.yaml") == config


@pytest.mark.parametrize("name", list(methods()))
def test_presets_name_existing_options(name: str) -> None:
    from shapewright.cli.options import run_config

    for preset in presets(name).values():
        config = run_config({"method": name, "data": "d", **preset})
        for section in set(preset) & set(SECTIONS):
            for option, value in preset[section].items():
                assert getattr(getattr(config, section), option) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: d", "lacks 'method'"),
        ("method: m\ndata: d\ntrainr: {}", "did you mean 'trainer'"),
        ("method: m\ndata: d\ntrainer: {epocs: 2}", "did you mean 'epochs'"),
        ("method: m\ndata: d\ntrainer: {epochs: many}", "epochs"),
        ("method: m\ndata: d\ntrainer: {schedule: cosin}", "schedule"),
        ("method: m\ndata: d\ntrainer: {epochs: 0}", "trainer.epochs must be at least 1"),
        ("method: m\ndata: d\ntrainer: {batch_size: -1}", "trainer.batch_size must be at least 1"),
        ("method: m\ndata: d\ntrainer: {steps_per_epoch: 0}", "trainer.steps_per_epoch must be at least 1"),
        ("method: m\ndata: d\ntrainer: {learning_rate: 0}", "trainer.learning_rate must be more than 0"),
        ("method: m\ndata: d\ntrainer: {warmup: 2}", "trainer.warmup must be at least 0 and at most 1"),
        ("method: m\ndata: d\ntrainer: {workers: -1}", "trainer.workers must be at least 0"),
        ("method: m\ndata: d\nsplit: {test: 1.0}", "split.test must be at least 0 and less than 1"),
        (
            "method: m\ndata: d\nsplit: {validation: 0.6, test: 0.6}",
            "split.validation . split.test must be less than 1",
        ),
        ("method: m\ndata: d\nprepare: {foreground_share: 2}", "prepare.foreground_share"),
        ("method: m\ndata: d\naugment: {rotate: -4}", "augment.rotate"),
        ("method: m\ndata: d\ninference: {overlap: 1}", "inference.overlap"),
        ("method: m\ndata: d\nseed: -1", "seed must be at least 0"),
        ("method: m\ndata: d\nsettings: {network: {dropout: 1.5}}", "network.dropout"),
        ("method: m\ndata: d\nsettings: {network: {width: -1}}", "network.width"),
        ("method: m\ndata: d\ntrainer: 3", "must be a mapping"),
        ("[1, 2]", "not the configuration of a run"),
    ],
)
def test_errors_name_the_option(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_run_config(text, config_class("supervised"), "config.yaml")
