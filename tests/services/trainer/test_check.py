"""Whether a model can be trained: asked before a run."""

import json

from services.trainer.check import problem_of


def test_a_model_is_trainable_or_says_why_not(tmp_path, tiny_model, make_tokenizer):
    assert problem_of(tiny_model) is None
    bare = tmp_path / "bare"
    bare.mkdir()
    assert problem_of(bare) == f"{bare} holds no *.safetensors weights"
    (bare / "model.safetensors").touch()
    assert "config or tokenizer does not load" in str(problem_of(bare))
    (bare / "config.json").write_text('{"model_type": "vit"}')
    make_tokenizer().save_pretrained(bare)
    assert "is not a causal language model" in str(problem_of(bare))
    (bare / "config.json").write_text((tiny_model / "config.json").read_text())
    make_tokenizer(lambda template: template.replace("'<|im_end|>' + ", "")).save_pretrained(bare)
    assert "no end-of-turn token follows" in str(problem_of(bare))
    marker = "<|im_start|>"
    make_tokenizer(lambda template: template.replace("'<|im_end|>' + ", f"'{marker}' + ")).save_pretrained(bare)
    assert problem_of(bare) is None, "a special token behind the answer is its end"
    make_tokenizer(lambda template: template.replace("'<|im_end|>' + ", "'%' + ")).save_pretrained(bare)
    assert "no end-of-turn token follows" in str(problem_of(bare))
    ends = make_tokenizer().convert_tokens_to_ids("%")  # no special one, and the generation configuration says so
    (bare / "generation_config.json").write_text(json.dumps({"eos_token_id": [ends]}))
    assert problem_of(bare) is None
