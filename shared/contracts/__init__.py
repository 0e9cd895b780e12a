"""Every noun of longthought, as frozen pydantic records: pure data, no I/O, no import of anything else of ours."""
