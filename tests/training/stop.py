"""Stops a training at a step, as Ctrl-C does."""

import signal

import pytest

from tfrec.training.epoch_end import ValidateAndSave


def stop_at(patch: pytest.MonkeyPatch, epoch: int, step: int, number: signal.Signals = signal.SIGINT) -> None:
    """A signal comes while this step (both count from 0) is under way."""

    if signal.getsignal(number) is signal.SIG_IGN:  # As of what a shell runs in the background.
        signal.signal(number, signal.default_int_handler)

    def stop(self: ValidateAndSave, batch: int, logs: object = None) -> None:
        if (self.epoch, self.state.step + batch) == (epoch, step):
            signal.raise_signal(number)

    patch.setattr(ValidateAndSave, "on_train_batch_begin", stop)
