"""What the bridge says each lift reads is what its fit reads."""

from cyclorama.backend.lift.settings import NAMED
from cyclorama.bridge.settings import BY_DESCENT, UNREAD_BY_LIFT


def test_a_loss_s_network_can_be_chosen_exactly_where_the_loss_counts():
    for lift in BY_DESCENT:
        unread, weights = UNREAD_BY_LIFT[lift], NAMED[lift].weights
        assert ("perceptual_checkpoint" in unread) == (weights.lpips == 0)
        assert ("semantic_checkpoint" in unread) == (weights.semantic == 0)


def test_steps_can_be_chosen_exactly_where_there_are_some():
    for lift, settings in NAMED.items():
        assert (lift in BY_DESCENT) == (settings.iterations > 0) == ("iterations" not in UNREAD_BY_LIFT[lift])
