"""The first tables: runs, snapshots, checkpoints, evaluations, releases, promotions, champions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("use_case", sa.String(), nullable=False),
        sa.Column("preset", sa.String(), nullable=False),
        sa.Column("config_digest", sa.String(), nullable=False),
        sa.Column("code_revision", sa.String(), nullable=False),
        sa.Column("config", postgresql.JSONB(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        schema="overnight",
    )
    op.create_table(
        "checkpoints",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("base_model", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("parents", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("metrics", postgresql.JSONB(), nullable=False),
        sa.Column("notes", postgresql.JSONB(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["overnight.runs.id"], name=op.f("fk_checkpoints_run_id")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_checkpoints")),
        schema="overnight",
    )
    op.create_table(
        "snapshots",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("counts", postgresql.JSONB(), nullable=False),
        sa.Column("skipped", postgresql.JSONB(), nullable=False),
        sa.Column("parents", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("notes", postgresql.JSONB(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["overnight.runs.id"], name=op.f("fk_snapshots_run_id")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_snapshots")),
        schema="overnight",
    )
    op.create_table(
        "evaluations",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("candidate", sa.String(), nullable=False),
        sa.Column("incumbent", sa.String(), nullable=False),
        sa.Column("entrants", postgresql.JSONB(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["candidate"], ["overnight.checkpoints.sha256"], name=op.f("fk_evaluations_candidate")
        ),
        sa.ForeignKeyConstraint(
            ["incumbent"], ["overnight.checkpoints.sha256"], name=op.f("fk_evaluations_incumbent")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["overnight.runs.id"], name=op.f("fk_evaluations_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
        schema="overnight",
    )
    op.create_index(
        op.f("ix_evaluations_candidate"), "evaluations", ["candidate"], unique=False, schema="overnight"
    )
    op.create_table(
        "releases",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("checkpoint", sa.String(), nullable=False),
        sa.Column("release_check", sa.String(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint"], ["overnight.checkpoints.sha256"], name=op.f("fk_releases_checkpoint")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["overnight.runs.id"], name=op.f("fk_releases_run_id")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_releases")),
        schema="overnight",
    )
    op.create_index(
        op.f("ix_releases_checkpoint"), "releases", ["checkpoint"], unique=False, schema="overnight"
    )
    op.create_table(
        "promotions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("use_case", sa.String(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("candidate", sa.String(), nullable=False),
        sa.Column("incumbent", sa.String(), nullable=False),
        sa.Column("evaluation", sa.String(), nullable=False),
        sa.Column("snapshot", sa.String(), nullable=True),
        sa.Column("release", sa.String(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("previous_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "action IN ('promoted', 'kept', 'rolled back')", name=op.f("ck_promotions_action")
        ),
        sa.ForeignKeyConstraint(
            ["candidate"], ["overnight.checkpoints.sha256"], name=op.f("fk_promotions_candidate")
        ),
        sa.ForeignKeyConstraint(
            ["evaluation"], ["overnight.evaluations.id"], name=op.f("fk_promotions_evaluation")
        ),
        sa.ForeignKeyConstraint(
            ["incumbent"], ["overnight.checkpoints.sha256"], name=op.f("fk_promotions_incumbent")
        ),
        sa.ForeignKeyConstraint(
            ["previous_id"], ["overnight.promotions.id"], name=op.f("fk_promotions_previous_id")
        ),
        sa.ForeignKeyConstraint(
            ["release"], ["overnight.releases.sha256"], name=op.f("fk_promotions_release")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["overnight.runs.id"], name=op.f("fk_promotions_run_id")),
        sa.ForeignKeyConstraint(
            ["snapshot"], ["overnight.snapshots.sha256"], name=op.f("fk_promotions_snapshot")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
        sa.UniqueConstraint("sha256", name=op.f("uq_promotions_sha256")),
        schema="overnight",
    )
    op.create_index(
        "ix_promotions_use_case_slot_id",
        "promotions",
        ["use_case", "slot", "id"],
        unique=False,
        schema="overnight",
    )
    op.create_table(
        "champions",
        sa.Column("use_case", sa.String(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("checkpoint", sa.String(), nullable=False),
        sa.Column("release", sa.String(), nullable=True),
        sa.Column("promotion_id", sa.BigInteger(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint"], ["overnight.checkpoints.sha256"], name=op.f("fk_champions_checkpoint")
        ),
        sa.ForeignKeyConstraint(
            ["promotion_id"], ["overnight.promotions.id"], name=op.f("fk_champions_promotion_id")
        ),
        sa.ForeignKeyConstraint(
            ["release"], ["overnight.releases.sha256"], name=op.f("fk_champions_release")
        ),
        sa.PrimaryKeyConstraint("use_case", "slot", name=op.f("pk_champions")),
        schema="overnight",
    )


def downgrade() -> None:
    op.drop_table("champions", schema="overnight")
    op.drop_index("ix_promotions_use_case_slot_id", table_name="promotions", schema="overnight")
    op.drop_table("promotions", schema="overnight")
    op.drop_index(op.f("ix_releases_checkpoint"), table_name="releases", schema="overnight")
    op.drop_table("releases", schema="overnight")
    op.drop_index(op.f("ix_evaluations_candidate"), table_name="evaluations", schema="overnight")
    op.drop_table("evaluations", schema="overnight")
    op.drop_table("snapshots", schema="overnight")
    op.drop_table("checkpoints", schema="overnight")
    op.drop_table("runs", schema="overnight")
