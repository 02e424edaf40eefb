"""A reward's components by their place in the spec, whose names stand in `reward_specs` once and for all; a view names them."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NAMED = """
CREATE VIEW overnight.reward_components AS
SELECT r.spec, r.subject, d.agent_type, part.place,
    s.spec #>> ARRAY['weights', d.agent_type, (part.place - 1)::text, '1'] AS name,
    CASE jsonb_typeof(part.value) WHEN 'number' THEN part.value::float8 END AS value,
    CASE jsonb_typeof(part.value) WHEN 'number' THEN 'observed' ELSE part.value #>> '{}' END AS status
FROM overnight.rewards r
JOIN overnight.reward_specs s ON s.number = r.spec
JOIN overnight.decisions d ON d.number = r.subject
CROSS JOIN jsonb_array_elements(r.components) WITH ORDINALITY AS part (value, place)
"""


def upgrade() -> None:
    op.execute("""
        UPDATE overnight.rewards SET components = (
            SELECT coalesce(jsonb_agg(CASE part.value ->> 2 WHEN 'observed' THEN part.value -> 1 ELSE part.value -> 2 END
                ORDER BY part.place), '[]')
            FROM jsonb_array_elements(components) WITH ORDINALITY AS part (value, place)
        )
    """)
    op.execute(NAMED)


def downgrade() -> None:
    op.execute("""
        UPDATE overnight.rewards r SET components = coalesce((
            SELECT jsonb_agg(jsonb_build_array(c.name, c.value, c.status) ORDER BY c.place)
            FROM overnight.reward_components c WHERE c.spec = r.spec AND c.subject = r.subject
        ), '[]')
    """)
    op.execute("DROP VIEW overnight.reward_components")
