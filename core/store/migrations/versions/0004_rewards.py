"""The reward ledger, and what keeps it honest; two views by the names that the apps used."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TRAINED_MODELS = """
CREATE VIEW overnight.trained_models AS
SELECT c.sha256 AS model_id, c.base_model, c.method, c.path AS storage_path, c.metrics AS eval_metrics,
       c.run_id, h.use_case, h.slot, r.sha256 AS release,
       CASE WHEN h.checkpoint IS NOT NULL THEN 'deployed' WHEN p.candidate IS NOT NULL THEN 'archived' ELSE 'trained' END
           AS status,
       h.since AS deployed_at, c.created_at
FROM overnight.checkpoints c
LEFT JOIN overnight.champions h ON h.checkpoint = c.sha256
LEFT JOIN (SELECT DISTINCT candidate FROM overnight.promotions WHERE action = 'promoted') p ON p.candidate = c.sha256
LEFT JOIN LATERAL (
    SELECT sha256 FROM overnight.releases WHERE checkpoint = c.sha256 ORDER BY created_at DESC LIMIT 1
) r ON true
"""
"""A checkpoint is a trained model: 'deployed' where it is a slot's champion, 'archived' where it was once."""

TRAINING_BATCHES = """
CREATE VIEW overnight.training_batches AS
SELECT s.sha256 AS batch_id, c.sha256 AS model_id, c.base_model, s.kind, s.counts, s.skipped, s.stale_since, c.metrics,
       c.run_id, s.created_at, c.created_at AS completed_at
FROM overnight.checkpoints c JOIN overnight.snapshots s ON s.sha256 = ANY (c.parents)
"""
"""A training batch is a snapshot that a checkpoint was trained on."""


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("process", sa.BigInteger(), nullable=False),
        sa.Column("process_started", sa.Float(), nullable=False),
        sa.Column("acquired_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
        schema="overnight",
    )
    op.create_table(
        "reward_specs",
        sa.Column("number", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("use_case", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("spec", postgresql.JSONB(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_reward_specs")),
        sa.UniqueConstraint("use_case", "version", name=op.f("uq_reward_specs_use_case_version")),
        schema="overnight",
    )
    op.create_table(
        "watermarks",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", postgresql.JSONB(), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_watermarks")),
        schema="overnight",
    )
    op.create_table(
        "quarantine",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["overnight.runs.id"], name=op.f("fk_quarantine_run_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_quarantine")),
        sa.UniqueConstraint(
            "source",
            "external_id",
            "reason",
            "sha256",
            name=op.f("uq_quarantine_source_external_id_reason_sha256"),
        ),
        schema="overnight",
    )
    op.create_table(
        "reward_nights",
        sa.Column("spec", sa.Integer(), nullable=False),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("stratum", sa.String(), nullable=False),
        sa.Column("figures", postgresql.JSONB(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["overnight.runs.id"], name=op.f("fk_reward_nights_run_id")),
        sa.ForeignKeyConstraint(
            ["spec"], ["overnight.reward_specs.number"], name=op.f("fk_reward_nights_spec")
        ),
        sa.PrimaryKeyConstraint("spec", "night", "stratum", name=op.f("pk_reward_nights")),
        schema="overnight",
    )
    op.create_table(
        "rewards",
        sa.Column("spec", sa.Integer(), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("components", postgresql.JSONB(), nullable=False),
        sa.Column("total", sa.Double(), nullable=False),
        sa.Column("normalized", sa.Double(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('pending', 'final')", name=op.f("ck_rewards_status")),
        sa.CheckConstraint("normalized BETWEEN 0 AND 1", name=op.f("ck_rewards_normalized")),
        sa.CheckConstraint("total BETWEEN -5 AND 5", name=op.f("ck_rewards_total")),
        sa.ForeignKeyConstraint(["spec"], ["overnight.reward_specs.number"], name=op.f("fk_rewards_spec")),
        sa.PrimaryKeyConstraint("spec", "subject", name=op.f("pk_rewards")),
        schema="overnight",
    )
    op.create_index(
        "ix_rewards_pending",
        "rewards",
        ["spec", "due_at"],
        unique=False,
        schema="overnight",
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "snapshot_subjects",
        sa.Column("snapshot", sa.String(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("spec", sa.Integer(), nullable=False),
        sa.Column("subjects", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot"], ["overnight.snapshots.sha256"], name=op.f("fk_snapshot_subjects_snapshot")
        ),
        sa.ForeignKeyConstraint(
            ["spec"], ["overnight.reward_specs.number"], name=op.f("fk_snapshot_subjects_spec")
        ),
        sa.PrimaryKeyConstraint("snapshot", "part", name=op.f("pk_snapshot_subjects")),
        schema="overnight",
    )
    op.create_index(
        op.f("ix_snapshot_subjects_spec"), "snapshot_subjects", ["spec"], unique=False, schema="overnight"
    )
    op.add_column(
        "snapshots", sa.Column("stale_since", sa.DateTime(timezone=True), nullable=True), schema="overnight"
    )
    op.execute(TRAINED_MODELS)
    op.execute(TRAINING_BATCHES)


def downgrade() -> None:
    op.execute("DROP VIEW overnight.training_batches")
    op.execute("DROP VIEW overnight.trained_models")
    op.drop_column("snapshots", "stale_since", schema="overnight")
    op.drop_index(op.f("ix_snapshot_subjects_spec"), table_name="snapshot_subjects", schema="overnight")
    op.drop_table("snapshot_subjects", schema="overnight")
    op.drop_index(
        "ix_rewards_pending",
        table_name="rewards",
        schema="overnight",
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.drop_table("rewards", schema="overnight")
    op.drop_table("reward_nights", schema="overnight")
    op.drop_table("quarantine", schema="overnight")
    op.drop_table("watermarks", schema="overnight")
    op.drop_table("reward_specs", schema="overnight")
    op.drop_table("leases", schema="overnight")
