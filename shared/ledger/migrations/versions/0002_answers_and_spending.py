"""Answers of endpoints, to be given again, and what a run may spend."""

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
