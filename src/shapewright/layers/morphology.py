"""Morphology as a layer: the end of a network whose results are opened, thinned, or freed of holes."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from shapewright import morphology
from shapewright.arrays import AnyArray
from shapewright.boolean import Filter
from shapewright.errors import InputError, suggest, unknown

DOMAINS = ("probabilities", "logits")
OPERATORS = (
    *("erosion", "dilation", "opening", "closing", "white_tophat", "black_tophat", "gradient", "hit_or_miss"),
    *("skeletonize", "thin", "fill_holes", "simple_points"),
)


class SoftMorphology(nn.Module):
    """Apply a Boolean filter or a morphological operator to every channel of a network's result, differentiably.

    Parameters
    ----------
    operator
        A :class:`~shapewright.boolean.Filter`, or the name of an operator of :mod:`shapewright.morphology` such as
        ``"opening"`` or ``"skeletonize"``.
    *elements
        The operator's structuring elements, such as ``ball(2)``; none for a filter.
    domain
        ``"probabilities"``: maps in [0, 1] in and out. ``"logits"``: the layer applies the sigmoid (one channel) or the
        softmax (several) itself and returns logits, as every loss of this library takes them; their probabilities are
        the filtered ones, of several channels divided by their sum.
    channels
        Channels to filter; the others pass. By default all, except the background (channel 0) of several channels of
        logits.
    **options
        Passed on: ``outside=``, ``iterations=``, and ``semantics="exact" | "proxy"`` for a filter.

    Raises
    ------
    InputError
        Unknown operator, option or domain, a missing element, or channels that the input does not have.

    Notes
    -----
    The layer has no parameters. On the values 0 and 1 it computes exactly the binary operator.

    *Convention*: ``[B, K, *spatial]`` in and out; the border is that of the operator, by default 0 outside.

    References
    ----------
    Guzzi et al., "Differentiable soft morphological filters for medical image segmentation", MICCAI 2024.

    Examples
    --------
    >>> from shapewright.morphology import ball
    >>> layer = SoftMorphology("opening", ball(1), domain="logits")
    >>> layer
    SoftMorphology(opening, domain='logits')
    >>> network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), layer)
    >>> network(torch.rand(4, 1, 32, 32)).shape
    torch.Size([4, 2, 32, 32])
    """

    def __init__(
        self,
        operator: Filter | str,
        *elements: AnyArray,
        domain: str = "probabilities",
        channels: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if domain not in DOMAINS:
            raise unknown("domain", domain, DOMAINS)
        self.operator = operator
        self.elements = elements
        self.domain = domain
        self.channels = channels
        self.options = options
        self._function = _function(operator)
        accepted = list(inspect.signature(self._function).parameters)[1:]
        self._takes_spatial_dims = "spatial_dims" in accepted
        self._check_call(accepted)

    def forward(self, values: Tensor) -> Tensor:
        """Return the filtered probabilities or logits of ``values [B, K, *spatial]``, same shape and domain."""
        if values.ndim not in (4, 5) or not values.is_floating_point():
            raise InputError(
                "the input must be a floating-point tensor [B, K, *spatial] with 2 or 3 spatial axes; got "
                f"{values.dtype} of shape {tuple(values.shape)}"
            )
        chosen = self._channels(values.shape[1])
        if self.domain == "probabilities":
            return self._filtered(values, chosen)
        precise = values if values.dtype == torch.float64 else values.float()
        if values.shape[1] == 1:
            return torch.logit(self._filtered(torch.sigmoid(precise), chosen), eps=_smallest(precise)).to(values.dtype)
        filtered = self._filtered(torch.softmax(precise, dim=1), chosen)
        if values.shape[1] == 2 and len(chosen) == 1:  # the other class is the complement
            filtered = torch.stack([filtered[:, c] if c in chosen else 1 - filtered[:, 1 - c] for c in (0, 1)], dim=1)
        return filtered.clamp(min=_smallest(precise)).log().to(values.dtype)

    def extra_repr(self) -> str:
        """Name the operator and what differs from the defaults."""
        name = self.operator if isinstance(self.operator, str) else repr(self.operator)
        given: dict[str, Any] = {} if self.domain == "probabilities" else {"domain": self.domain}
        given |= {} if self.channels is None else {"channels": tuple(self.channels)}
        return ", ".join([name, *(f"{key}={value!r}" for key, value in (given | self.options).items())])

    def _filtered(self, probabilities: Tensor, chosen: list[int]) -> Tensor:
        options = dict(self.options)
        if self._takes_spatial_dims:
            options["spatial_dims"] = probabilities.ndim - 2
        if len(chosen) == probabilities.shape[1]:
            result: Tensor = self._function(probabilities, *self.elements, **options)
            return result
        filtered = iter(self._function(probabilities[:, chosen], *self.elements, **options).unbind(1))
        parts = [next(filtered) if c in chosen else probabilities[:, c] for c in range(probabilities.shape[1])]
        return torch.stack(parts, dim=1)

    def _channels(self, count: int) -> list[int]:
        if self.channels is None:
            return list(range(1 if self.domain == "logits" and count > 1 else 0, count))
        chosen = sorted(self.channels)
        if not chosen or len(set(chosen)) < len(chosen) or not all(0 <= channel < count for channel in chosen):
            raise InputError(f"channels must be distinct numbers between 0 and {count - 1}; got {tuple(self.channels)}")
        return chosen

    def _check_call(self, accepted: list[str]) -> None:
        """Raise where the operator does not take the elements and options, before the first image comes."""
        name = self.operator if isinstance(self.operator, str) else "a filter"
        for option in self.options:
            if option not in accepted:
                hint = suggest(option, accepted) or f". Accepted: {', '.join(accepted)}"
                raise InputError(f"{name} has no option {option!r}{hint}")
        try:
            inspect.signature(self._function).bind(None, *self.elements, **self.options)
        except TypeError as error:
            raise InputError(f"{name} cannot be called so: {error}; it takes {', '.join(accepted)}") from error


def _function(operator: Filter | str) -> Callable[..., Any]:
    if isinstance(operator, Filter):
        return operator
    if operator not in OPERATORS:
        raise unknown("operator", str(operator), OPERATORS)
    function: Callable[..., Any] = getattr(morphology, operator)
    return function


def _smallest(values: Tensor) -> float:
    """Return the probability below which logits end: the resolution of the numbers at 1."""
    return float(torch.finfo(values.dtype).eps)
