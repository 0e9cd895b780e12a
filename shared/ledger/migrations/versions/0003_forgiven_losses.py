"""Losses that count no more against an item, since it did something that lasts after them."""

from alembic import op
import sqlalchemy as sa

revision = '0003'
down_revision = '0002'


def upgrade() -> None:
    with op.batch_alter_table('items', schema=None) as batch_op:
        batch_op.add_column(sa.Column('forgiven', sa.Integer(), nullable=False, server_default='0'))
