import signal
import threading

import pytest

from tfrec.training.interruption import SIGNALS, Interruption

NUMBERS = pytest.mark.parametrize("number", SIGNALS)


@NUMBERS
def test_a_signal_interrupts_at_once_unless_it_can_wait(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Interruption() as interruption:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        assert not interruption.has_come
        interruption.can_wait = True
        signal.raise_signal(number)
        assert interruption.has_come
        with pytest.raises(KeyboardInterrupt):  # Whoever asks twice has no patience.
            signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_what_is_ignored_stays_ignored() -> None:
    """As `nohup` and a shell's `&` leave SIGINT."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGINT)
        assert not interruption.has_come
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_get_no_signals() -> None:
    handlers = []

    def enter() -> None:
        with Interruption():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)]
