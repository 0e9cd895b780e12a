"""The Celery application: a doorbell. One queue per service; a message is the name of a work item and nothing else.

Messages are acknowledged on receipt and there is no result backend: what is lost here, the conductor rings again
(shared/ledger is the
truth). Settings follow what was measured on Celery 5.7 with Redis: prefetching off (warm shutdown hangs otherwise),
reconnect for ever.
"""

import structlog
from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError

from shared.contracts.stages import Service
from shared.settings import settings

TASK = "longthought.work"

app = Celery("longthought", broker=settings().broker_url, set_as_current=True)
app.conf.update(
    task_queues=[Queue(service.value) for service in Service],
    task_default_queue=Service.COMPILER.value,
    task_ignore_result=True,
    task_acks_late=False,
    task_track_started=True,
    result_backend=None,
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    worker_send_task_events=True,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_connection_timeout=5,
    broker_transport_options={
        "global_keyprefix": "longthought:",
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "retry_on_timeout": True,
    },
)

log = structlog.get_logger()


def ring(item_id: str, service: str) -> bool:
    """Sends an item's name to its queue. False if the broker is away: the item stays marked as rung and is rung again later."""
    try:
        app.send_task(TASK, args=(item_id,), queue=service, retry=False)
    except OperationalError as error:
        log.warning("broker away", item=item_id, error=str(error))
        return False
    return True
