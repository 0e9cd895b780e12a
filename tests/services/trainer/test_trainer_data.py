"""Tokens, loss masks and the order of batches."""

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.trainer.data import (
    IGNORED,
    DataError,
    Encoded,
    check_length,
    check_mask,
    context_of,
    encode,
    end_tokens,
    schedule,
    shown,
)
from services.trainer.job import Sample, read_rows, write_rows

ANSWER = "<think>2 + 3</think>\nStep 1: 2 + 3 = 5.\nThe answer is 5."
SAMPLE = Sample(id="one", problem_id="one", prompt="What is 2 + 3?", completion=ANSWER)


def test_loss_is_on_the_whole_answer_and_the_end_of_the_turn(tokenizer):
    ends = end_tokens(tokenizer, None)
    encoded = encode(tokenizer, SAMPLE, ends)
    check_mask(tokenizer, SAMPLE, encoded, ends)
    text = shown(tokenizer, encoded)
    assert text == f"<|im_start|>user\n{SAMPLE.prompt}<|im_end|>\n<|im_start|>assistant\n⟦{SAMPLE.completion}<|im_end|>⟧"
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": SAMPLE.prompt}], add_generation_prompt=True, return_dict=False
    )
    assert encoded.input_ids[: len(prompt)] == prompt, "the model must learn after the very tokens it will be asked with"


@given(st.lists(st.text(min_size=1)))
@example(["one\u2028two", "\x85", "\u2029\n\r\x0b\x0c\x1c"])
def test_rows_come_back_whatever_their_texts_hold(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = [Sample(id=str(n), problem_id="p", prompt=text, completion=text) for n, text in enumerate(texts)]
    write_rows(path, rows)
    assert read_rows(path, Sample) == rows


def test_a_chat_is_rendered_turn_by_turn_and_its_last_answer_learned(tokenizer):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]
    turns += [{"role": "assistant", "content": "2."}, {"role": "user", "content": "2 + 3?"}]
    sample = Sample(id="one", problem_id="one", prompt="not this", chat=turns, completion="5.")
    ends = end_tokens(tokenizer, None)
    encoded = encode(tokenizer, sample, ends)
    check_mask(tokenizer, sample, encoded, ends)
    before = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in turns)
    assert shown(tokenizer, encoded) == f"{before}<|im_start|>assistant\n⟦5.<|im_end|>⟧"


ASSISTANT = "loop.last and message['role'] == 'assistant'"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("message['content'] +", "(message['content'].split('</think>') | last) +", "the chat template changes the answer"),
        ("message['content']", f"('x' if {ASSISTANT} else '') + message['content']", "the chat template changes the answer"),
        ("'<|im_end|>' + ", "", "no end-of-turn token follows"),
        ("'<|im_start|>' + message", "(' ' if loop.length > 1 else '') + '<|im_start|>' + message", "changes the prompt"),
        ("{% for", "{{ raise_exception('roles differ') }}{% for", "the chat template fails: TemplateError: roles differ"),
    ],
    ids=["strips thoughts", "adds words", "no end", "another prompt", "raises"],
)
def test_templates_that_would_train_on_something_else_are_refused(make_tokenizer, old, new, words):
    tokenizer = make_tokenizer(lambda template: template.replace(old, new))
    with pytest.raises(DataError, match=f"sample one: .*{words}"):
        encode(tokenizer, SAMPLE, end_tokens(tokenizer, None))


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        (lambda encoded: Encoded(encoded.input_ids, [IGNORED] * len(encoded.labels)), "would not learn to stop"),
        (lambda encoded: Encoded(encoded.input_ids[:-1], encoded.labels[:-1]), "would not learn to stop"),
        (lambda encoded: Encoded(encoded.input_ids, encoded.input_ids), "the loss is on"),
    ],
    ids=["empty mask", "no end", "prompt too"],
)
def test_a_wrong_mask_is_refused(tokenizer, cut, words):
    ends = end_tokens(tokenizer, None)
    with pytest.raises(DataError, match=words):
        check_mask(tokenizer, SAMPLE, cut(encode(tokenizer, SAMPLE, ends)), ends)


def test_an_answer_that_holds_the_end_of_a_turn_is_told_from_one_that_has_none(tokenizer):
    named = SAMPLE.model_copy(update={"completion": "A turn ends with <|im_end|> there.\nThe answer is 5."})
    with pytest.raises(DataError, match="sample one: its answer holds the end-of-turn token '<|im_end|>' itself"):
        encode(tokenizer, named, end_tokens(tokenizer, None))


def test_generation_may_end_at_more_tokens_than_the_tokenizers(tokenizer):
    extra = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    assert end_tokens(tokenizer, [extra, 7]) == {tokenizer.eos_token_id, extra, 7}
    assert end_tokens(tokenizer, extra) == {tokenizer.eos_token_id, extra}


@given(
    st.lists(st.integers(1, 900), min_size=1, max_size=60), st.integers(1, 12), st.sampled_from([0.5, 1, 2, 2.5]), st.integers(0, 3)
)
def test_a_schedule_is_fixed_whole_and_sorted_within_batches(lengths, batch, epochs, seed):
    order = schedule(lengths, batch, epochs, seed)
    assert order == schedule(lengths, batch, epochs, seed)
    steps = max(1, round(len(lengths) * epochs / batch))
    assert len(order) == steps * batch
    for at in range(0, len(order), batch):
        sizes = [lengths[place] for place in order[at : at + batch]]
        assert sizes == sorted(sizes, reverse=True)


@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 3))
def test_whole_epochs_show_every_sample_equally_often(batch, batches, epochs):
    count = batch * batches
    order = schedule(list(range(1, count + 1)), batch, epochs, 0)
    assert Counter(order) == dict.fromkeys(range(count), epochs)


def test_a_models_context_is_read_from_its_configuration():
    from transformers import BloomConfig, GPT2Config, LlamaConfig, Qwen2Config

    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    llama3 = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}
    llama3 |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    contexts = [
        (LlamaConfig(max_position_embeddings=4096), 4096),
        (GPT2Config(n_positions=1024), 1024),
        (BloomConfig(), None),  # positions without an end (ALiBi)
        (Qwen2Config(max_position_embeddings=32768, rope_scaling=yarn), 131072),
        (LlamaConfig(max_position_embeddings=131072, rope_scaling=llama3), 131072),
        (LlamaConfig(max_position_embeddings=2048, rope_scaling={"rope_type": "linear", "factor": 2.0}), 4096),
    ]
    assert [context_of(config) for config, _ in contexts] == [context for _, context in contexts]
    check_length(contexts[0][0], 4096)
    check_length(contexts[2][0], 10**6)
    with pytest.raises(
        DataError, match="max_length 4097 is more than the model's context of 4096 tokens .*: set max_length to 4096"
    ):
        check_length(contexts[0][0], 4097)
