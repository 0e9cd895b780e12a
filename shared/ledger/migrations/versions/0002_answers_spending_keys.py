"""Answers of endpoints, to be given again; what a run may spend; records found by their keys."""

from alembic import op
import sqlalchemy as sa

revision = '0002'
down_revision = '0001'


def upgrade() -> None:
    op.create_table('answers',
    sa.Column('key', sa.String(length=64), nullable=False),
    sa.Column('body', sa.JSON(), nullable=False),
    sa.Column('created_at', sa.Float(), nullable=False),
    sa.PrimaryKeyConstraint('key')
    )
    with op.batch_alter_table('runs', schema=None) as batch_op:
        batch_op.add_column(sa.Column('spend_cap', sa.Float(), nullable=True))
        batch_op.add_column(sa.Column('spent', sa.Float(), nullable=False, server_default='0'))
        batch_op.add_column(sa.Column('held', sa.Float(), nullable=False, server_default='0'))
    with op.batch_alter_table('usage', schema=None) as batch_op:
        batch_op.add_column(sa.Column('cached', sa.Integer(), nullable=False, server_default='0'))
    with op.batch_alter_table('records', schema=None) as batch_op:
        batch_op.create_index('records_by_key', ['run_id', 'stage', 'kind', 'key', 'published'], unique=False)
