"""Settings of every process, from the environment (prefix `LONGTHOUGHT_`): the only difference between a laptop and a cluster."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """One process's settings. `longthought up` sets them for its children; Kubernetes sets them from a ConfigMap and a Secret."""

    model_config = SettingsConfigDict(env_prefix="LONGTHOUGHT_", frozen=True)

    database_url: str = "sqlite:///longthought.db"
    """SQLAlchemy URL of the ledger: `sqlite:///...` or `postgresql+psycopg://...`."""
    broker_url: str = "redis://127.0.0.1:6379/0"
    artifacts_url: str = "file:///tmp/longthought/artifacts"
    """fsspec URL under which checkpoints and exports lie."""
    cache_dir: Path = Path("~/.cache/longthought")
    """Converted models and the like: can be deleted at any time."""

    device: str = "local"
    """Name of the device that this process's engines and trainings use; processes of one name take turns on it."""
    slots: int = 64
    """Work items that a worker holds at once."""
    lease_seconds: float = 30.0
    renew_seconds: float = 5.0
    window: int = 128
    """Items of one queue that are rung or running at once: more than its workers' slots, so that a free slot finds the next one
    waiting."""
    ring_again_seconds: float = 10.0
    """An item rung so long ago and not claimed is rung again."""
    conductor_interval: float = 0.5
    engine_change_seconds: float = 45.0
    """What a change of the engine set costs; fairness changes a pool's set no sooner than after ten times this."""
    engine_start_seconds: float = 300.0
    """An engine that has not answered after so long has failed to start."""
    engine_args: str = ""
    """Further arguments of the local vLLM server, as on a command line."""
    engine_log_dir: Path = Path("~/.cache/longthought/logs")
    """Folder of the local engines' logs, one file an engine."""
    accelerate_dir: Path | None = None
    """Folder of the accelerate configurations that train stages name; None: `recipes/accelerate` of the checkout."""
    engine_requests: Path | None = None
    """A file to which every request to a local engine is appended, a line of JSON each: to see what was asked."""
    engine_kv_gib: int = 2
    """On a CPU: GiB of memory for keys and values of all engines of a set together (SmolLM2: 22.5 kB a token, in fp32 45)."""
    cpu_dtype: Literal["", "bfloat16", "float32"] = ""
    """On a CPU: the type that models train and are served in; '': bf16 where the processor multiplies it itself, else fp32."""
    engine_gpu_memory: float = 0.9
    """On a GPU: share of its memory for all engines of a set together."""
    shared_devices: str = ""
    """Queues that share one device and thus one engine set, as `searcher,evaluator`; several groups joined by `;`."""
    metrics_port: int | None = None
    bootstrap_api_key: str | None = Field(default=None, repr=False)
    """The gateway registers this key when it starts (`longthought up` makes one)."""
    log_level: str = "info"
    log_format: str = "console"
    """`console` or `json`."""


@lru_cache
def settings() -> Settings:
    """This process's settings, read once."""
    return Settings()
