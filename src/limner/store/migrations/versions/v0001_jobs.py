"""Jobs, images, keys, the ledger and webhook deliveries."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create everything."""
    _jobs()
    _images()
    _accounts()
    _deliveries()


def _partial(name: str, table: str, columns: list[str | sa.TextClause], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("warnings", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("weight_s", sa.Double, nullable=False),
        sa.Column("rank", sa.Double, nullable=False),
        sa.Column("created_at_s", sa.Double, nullable=False),
        sa.Column("deadline_at_s", sa.Double, nullable=False),
        sa.Column("started_at_s", sa.Double),
        sa.Column("ended_at_s", sa.Double),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("crashes", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("lease_until_s", sa.Double),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("cancel_error", sa.Text),
        sa.Column("reserve_micro", sa.BigInteger, nullable=False),
        sa.Column("cost_micro", sa.BigInteger, nullable=False),
        sa.Column("device_s", sa.Double, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("hook_url", sa.Text),
        sa.Column("hook_secret", sa.Text),
    )
    _partial("jobs_claim", "jobs", ["model", sa.text("priority DESC"), "rank", "seq"], "status = 'queued'")
    _partial("jobs_rank", "jobs", ["rank"], "status = 'queued'")
    _partial("jobs_deadline", "jobs", ["deadline_at_s"], "status = 'queued'")
    _partial("jobs_running", "jobs", ["worker"], "status = 'running'")
    _partial("jobs_live", "jobs", ["owner", "ended_at_s"], "ended_at_s IS NULL")
    _partial("jobs_costs", "jobs", ["model", "ended_at_s"], "status = 'finished'")
    op.create_index("jobs_created", "jobs", ["created_at_s", "seq"])
    op.create_index("jobs_owner", "jobs", ["owner", "created_at_s", "seq"])
    op.create_table(
        "owners", sa.Column("owner", sa.Text, primary_key=True), sa.Column("finish_tag", sa.Double, nullable=False)
    )
    op.create_table(
        "idempotency",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("created_at_s", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("owner", "key"),
    )
    op.create_index("idempotency_created", "idempotency", ["created_at_s"])


def _images() -> None:
    op.create_table(
        "images",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("width_px", sa.Integer, nullable=False),
        sa.Column("height_px", sa.Integer, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("created_at_s", sa.Double, nullable=False),
        sa.Column("expires_at_s", sa.Double, nullable=False),
    )
    for column in ("job_id", "key", "expires_at_s"):
        op.create_index(f"ix_images_{column}", "images", [column])
    op.create_index("images_created", "images", ["created_at_s", "id"])
    op.create_index("images_owner", "images", ["owner", "created_at_s", "id"])


def _accounts() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False, unique=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("models", sa.Text, nullable=False),
        sa.Column("local_only", sa.Boolean, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("jobs_per_minute", sa.Integer),
        sa.Column("concurrency", sa.Integer),
        sa.Column("balance_micro", sa.BigInteger),
        sa.Column("reserved_micro", sa.BigInteger, nullable=False),
        sa.Column("created_at_s", sa.Double, nullable=False),
        sa.Column("revoked_at_s", sa.Double),
        sa.Column("last_used_at_s", sa.Double),
    )
    op.create_table(
        "ledger",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, unique=True),
        sa.Column("model", sa.Text),
        sa.Column("images", sa.Integer, nullable=False),
        sa.Column("device_s", sa.Double, nullable=False),
        sa.Column("amount_micro", sa.BigInteger, nullable=False),
        sa.Column("created_at_s", sa.Double, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_index("ledger_key", "ledger", ["key_id", "created_at_s"])


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("secret", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at_s", sa.Double),
        sa.Column("created_at_s", sa.Double, nullable=False),
        sa.Column("delivered_at_s", sa.Double),
        sa.Column("given_up_at_s", sa.Double),
        sa.Column("error", sa.Text),
    )
    op.create_index("ix_deliveries_job_id", "deliveries", ["job_id"])
    _partial("deliveries_due", "deliveries", ["next_at_s"], "next_at_s IS NOT NULL")
