"""The type that a processor computes fast, from what the kernel tells of it."""

import pytest

from shared import cpu
from shared.settings import Settings


@pytest.mark.parametrize(
    ("told", "dtype"),
    [
        pytest.param("model name\t: Xeon\nflags\t\t: fpu avx2 avx512f avx512_bf16\n", "bfloat16", id="x86 with AVX-512 BF16"),
        pytest.param("flags\t\t: fpu avx2 amx_bf16 amx_tile\n", "bfloat16", id="x86 with AMX"),
        pytest.param("flags\t\t: fpu avx2 fma\nflags\t\t: fpu avx2 fma\n", "float32", id="x86 with AVX2 alone"),
        pytest.param("Features\t: fp asimd bf16 i8mm\n", "bfloat16", id="Arm with bf16"),
        pytest.param("Features\t: fp asimd\n", "float32", id="Arm without"),
        pytest.param("model name\t: bf16\n", "float32", id="says nothing of features"),
    ],
)
def test_the_processors_flags_decide(tmp_path, monkeypatch, told, dtype):
    (tmp_path / "cpuinfo").write_text(told)
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
    assert cpu.fast_dtype() == dtype


def test_without_the_kernels_word_fp32_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "nothing here")
    assert cpu.fast_dtype() == "float32"


def test_a_setting_overrules_the_processor(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "nothing here")
    monkeypatch.setattr(cpu, "settings", lambda: Settings(cpu_dtype="bfloat16"))
    assert cpu.fast_dtype() == "bfloat16"
