"""How far something was read moves with what was read, or not at all."""

from core.store.engine import connection
from core.store.watermarks import move_watermark, watermark


def test_a_watermark_is_where_the_last_reader_ended(database):
    """None before the first; the last position after; each name its own."""
    with connection() as held:
        assert watermark(held, "app") is None
        move_watermark(held, "app", {"updated_at": "2026-11-01", "id": "a"})
        move_watermark(held, "other", {"id": 7})
        move_watermark(held, "app", {"updated_at": "2026-11-02", "id": "b"})
    with connection() as held:
        assert watermark(held, "app") == {"updated_at": "2026-11-02", "id": "b"}
        assert watermark(held, "other") == {"id": 7}


def test_it_moves_with_its_transaction(database):
    """What was read and then lost is read again."""
    with connection() as held:
        move_watermark(held, "app", {"page": 1})
    with connection() as held:
        move_watermark(held, "app", {"page": 2})
        held.rollback()
    with connection() as held:
        assert watermark(held, "app") == {"page": 1}
