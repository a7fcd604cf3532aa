from __future__ import annotations

import pytest
import torch
from planewise.engines import AutocastInferer
from planewise.networks import EmbeddingNet, PredictiveCodingLearner, ProjectionHead, ResidualEncoder


def learner_of(side: int, axes: int, rows: int = 2) -> PredictiveCodingLearner:
    torch.manual_seed(0)
    network = EmbeddingNet(ResidualEncoder((4, 8), 2, "instance", axes))
    return PredictiveCodingLearner(network, ProjectionHead(8, 6, 5, "none"), side, rows, 7, axes).eval()


@pytest.mark.parametrize(("side", "axes"), [(3, 3), (4, 2)])
def test_scores_are_those_of_the_equations(side, axes):
    """The reference runs one context at a time through a GRU, with only its own sequence."""
    learner = learner_of(side, axes)
    patches = torch.rand(2, side**axes * 2, *[6] * axes)
    rows = [tuple(number // side**power % side for power in range(axes - 1, -1, -1)) for number in range(side**axes)]
    with torch.no_grad():
        scores = learner(patches)
        for image in range(2):
            z = [
                learner.projector(learner.network(patches[image, None, 2 * p : 2 * p + 2]))[0]
                for p in range(side**axes)
            ]
            expected = []
            for i, *rest in rows:
                pyramid = [
                    z[number]
                    for number, (u, *others) in enumerate(rows)
                    if u <= i and all(abs(v - j) <= i - u for v, j in zip(others, rest, strict=True))
                ]
                _, c = learner.context(torch.stack(pyramid)[None])
                for ahead in (1, 2):
                    if i + ahead < side:
                        predicted = learner.predictors[ahead - 1](c[0, 0])
                        expected.append([float(predicted @ other) for other in z])
            assert torch.allclose(scores[image], torch.tensor(expected), atol=1e-5)


@pytest.mark.parametrize(("side", "axes"), [(4, 3), (5, 2)])
def test_no_patch_of_a_predicted_row_is_in_the_context(side, axes):
    learner, row = learner_of(side, axes), side ** (axes - 1)
    embedded = torch.randn(2, side**axes, 5)
    with torch.no_grad():
        contexts = learner.contexts(embedded)
        for below in range(1, side):
            changed = embedded.clone()
            changed[:, below * row :] = torch.randn(2, (side - below) * row, 5)
            found = learner.contexts(changed)
            assert torch.equal(found[:, : below * row], contexts[:, : below * row])
            if below < side - 1:
                # contexts also depend on the patch's own embedding
                assert not torch.isclose(found[:, below * row :], contexts[:, below * row :]).all(dim=2).any()


def test_mixed_precision_is_finite_and_what_is_made_anew_is_no_weight():
    learner = learner_of(3, 3).train()
    scores = AutocastInferer("bfloat16")(torch.rand(2, 54, 6, 6, 6), learner)
    assert scores.dtype == torch.float32 and scores.isfinite().all()
    scores.square().mean().backward()
    assert all(weight.grad.isfinite().all() for weight in learner.parameters())
    assert {name.split(".")[0] for name in learner.state_dict()} == {"network", "projector", "context", "predictors"}
