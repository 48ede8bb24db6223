"""Adversarial training: objectives of discriminator and generator, penalties, and what keeps the two apart.

One loss and one optimiser train both players at once: the discriminator's loss sees the generator's output
**detached**, the generator's loss sees the discriminator **frozen**, so their sum sends to each player its own
gradient only. Both move from the same point (simultaneous updates) instead of one after the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from shapewright.errors import InputError, unknown
from shapewright.losses import _inputs

OBJECTIVES = ("non-saturating", "least-squares", "hinge")


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Treat the parameters of modules as constants; gradients still flow through to their inputs.

    Each parameter gets back the ``requires_grad`` that it had, also after an error. Buffers (running means of batch
    normalisation) are updated as usual in training mode.

    Examples
    --------
    >>> critic = nn.Linear(3, 1)
    >>> fake = torch.ones(2, 3, requires_grad=True)
    >>> with frozen(critic):
    ...     critic(fake).sum().backward()
    >>> fake.grad is not None, critic.weight.grad is None
    (True, True)
    """
    learned = [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


class AdversarialLoss(nn.Module):
    r"""The two objectives of a game in which a discriminator scores samples, real above fake.

    Parameters
    ----------
    objective
        With scores :math:`r` of real and :math:`f` of fake samples:

        ``non-saturating``: the discriminator minimises :math:`\log(1+e^{-r}) + \log(1+e^{f})`, the generator
        :math:`\log(1+e^{-f})`. The default, as in the original paper.
        ``least-squares``: :math:`\frac12 (r-1)^2 + \frac12 f^2` and :math:`\frac12 (f-1)^2`.
        ``hinge``: :math:`\max(0, 1-r) + \max(0, 1+f)` and :math:`-f`.

    Raises
    ------
    InputError
        Another objective.

    References
    ----------
    Goodfellow et al., "Generative adversarial nets", NeurIPS 2014; Mao et al., "Least squares generative adversarial
    networks", ICCV 2017; Lim and Ye, "Geometric GAN", 2017.

    Examples
    --------
    >>> loss = AdversarialLoss("least-squares")
    >>> loss.discriminator(torch.ones(4, 1), torch.zeros(4, 1)).item(), loss.generator(torch.zeros(4, 1)).item()
    (0.0, 0.5)
    """

    def __init__(self, objective: str = "non-saturating") -> None:
        super().__init__()
        if objective not in OBJECTIVES:
            raise unknown("adversarial objective", objective, OBJECTIVES)
        self.objective = objective

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the discriminator's loss of scores of any shape; ``fake`` must come from detached samples."""
        real, fake = _inputs.in_single_precision(real), _inputs.in_single_precision(fake)
        if self.objective == "non-saturating":
            return functional.softplus(-real).mean() + functional.softplus(fake).mean()
        if self.objective == "least-squares":
            return 0.5 * ((real - 1).square().mean() + fake.square().mean())
        return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()

    def generator(self, fake: Tensor) -> Tensor:
        """Return the generator's loss of scores given by a :func:`frozen` discriminator."""
        fake = _inputs.in_single_precision(fake)
        if self.objective == "non-saturating":
            return functional.softplus(-fake).mean()
        if self.objective == "least-squares":
            return 0.5 * (fake - 1).square().mean()
        return -fake.mean()

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the discriminator's loss."""
        return self.discriminator(real, fake)

    def extra_repr(self) -> str:
        """Return the objective, for ``print``."""
        return repr(self.objective)


def real_gradient_penalty(scores: Tensor, samples: Tensor) -> Tensor:
    r"""Return the R1 penalty :math:`\frac12 \mathrm{E} \lVert \nabla_x D(x) \rVert^2` at real samples.

    Parameters
    ----------
    scores
        The discriminator's scores [B, ...] of ``samples``, still attached to the graph.
    samples
        Its inputs [B, ...], which must require a gradient.

    Raises
    ------
    InputError
        ``samples`` does not require a gradient.

    References
    ----------
    Mescheder, Geiger, Nowozin, "Which training methods for GANs do actually converge?", ICML 2018.

    Examples
    --------
    >>> samples = torch.ones(2, 3, requires_grad=True)
    >>> real_gradient_penalty(2 * samples.sum(dim=1), samples).item()  # half of 3 * 2 ** 2
    6.0
    """
    if not samples.requires_grad:
        raise InputError("samples must require a gradient: call samples.requires_grad_() before the discriminator")
    (gradient,) = torch.autograd.grad(_inputs.in_single_precision(scores).sum(), samples, create_graph=True)
    return 0.5 * gradient.flatten(1).square().sum(dim=1).mean()


def known_binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of the entries whose target is known; 0 where none is.

    Parameters
    ----------
    logits
        Any shape.
    target
        The same shape, values in [0, 1]; NaN is unknown.

    Notes
    -----
    *Convention*: without NaN equals ``torch.nn.functional.binary_cross_entropy_with_logits``.

    Examples
    --------
    >>> logits = torch.zeros(1, 3)
    >>> print(f"{known_binary_cross_entropy(logits, torch.tensor([[1.0, 0.0, torch.nan]])):.4f}")
    0.6931
    """
    if logits.shape != target.shape:
        raise InputError(
            f"target must have the shape of logits, {tuple(logits.shape)}; got {tuple(target.shape)}. Entries that are "
            "not known are NaN"
        )
    known = ~target.isnan()
    logits = _inputs.in_single_precision(logits)
    values = functional.binary_cross_entropy_with_logits(logits, target.nan_to_num().to(logits.dtype), reduction="none")
    return values.masked_fill(~known, 0.0).sum() / known.sum().clamp_min(1)
