"""What is left of a version that was closed."""

import gc
import weakref
from pathlib import Path

from tfrec.serving.servable import Servable


def test_a_closed_version_is_freed_without_the_garbage_collector(exports: Path) -> None:
    gc.disable()
    try:
        servable = Servable("adder", 1, exports / "adder" / "1")
        graph = weakref.ref(servable._session.graph)
        operation = weakref.ref(servable._session.graph.get_operations()[0])
        servable.close()
        del servable
        assert graph() is None
        assert operation() is None
    finally:
        gc.enable()
