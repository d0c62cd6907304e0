"""Tiny language models with random weights, saved as checkpoints are: for tests of whatever answers in words.

Their tokens are single bytes, so answers are nonsense that breaks characters at every place.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

START, END, PAD = "<|im_start|>", "<|im_end|>", "<|pad|>"
TEMPLATE = (
    "{% if tools %}tools:{% for tool in tools %}{{ tool['function']['name'] }} {% endfor %}\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}PICTURE{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
CONTEXT = 512


def byte_tokenizer(*markers: str, picture: str = "") -> Any:
    """A token for every byte and every marker; ``picture`` is what the template writes in a picture's place."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, extra_special_tokens=[START, *markers]
    )
    made.chat_template = TEMPLATE.replace("PICTURE", picture)
    return made


def _words(tokenizer: Any, **more: Any) -> dict[str, Any]:
    sizes = {**WORDS, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": CONTEXT}
    return {**sizes, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, **more}


def _saved(model: Any, tokenizer: Any, folder: Path) -> None:
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_llama(folder: Path) -> None:
    """Words alone."""
    tokenizer = byte_tokenizer()
    torch.manual_seed(1)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**_words(tokenizer)))
    model.lm_head.weight.data[tokenizer.eos_token_id] = 0  # never the likeliest: answers are as long as they may be
    _saved(model, tokenizer, folder)


def save_qwen3_vl(folder: Path) -> None:
    """Its processor has a part for videos, which needs torchvision."""
    markers = ["<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>"]
    tokenizer = byte_tokenizer(*markers, picture="".join(markers[:3]))
    start, image, end, video = tokenizer.convert_tokens_to_ids(markers)
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    config = transformers.Qwen3VLConfig(
        text_config=_words(tokenizer, rope_parameters=rope),
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "out_hidden_size": 32,
            "patch_size": 16, "deepstack_visual_indexes": [0], "num_position_embeddings": 64,
        },
        image_token_id=image, video_token_id=video, vision_start_token_id=start, vision_end_token_id=end,
    )  # fmt: skip
    torch.manual_seed(2)
    _saved(transformers.Qwen3VLForConditionalGeneration(config), tokenizer, folder)
    pixels = {"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
    Qwen2VLImageProcessorPil(patch_size=16, size=pixels).save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "Qwen3VLProcessor"}))


def save_idefics3(folder: Path) -> None:
    """SmolVLM's architecture: pictures are cut into tiles, and rows padded to the most of them."""
    tokenizer = byte_tokenizer(
        "<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>", picture="<image>"
    )
    config = transformers.Idefics3Config(
        text_config=transformers.LlamaConfig(**_words(tokenizer)),
        vision_config={**WORDS, "image_size": 32, "patch_size": 8},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(3)
    model = transformers.Idefics3ForConditionalGeneration(config)
    _saved(model, tokenizer, folder)
    looking = Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    transformers.Idefics3Processor(
        looking, tokenizer, image_seq_len=4, chat_template=tokenizer.chat_template
    ).save_pretrained(folder)


def save_gemma3(folder: Path) -> None:
    """Attention within a window, and among a picture's tokens in both directions."""
    tokenizer = byte_tokenizer("<start_of_image>", "<end_of_image>", "<image_soft_token>", picture="<start_of_image>")
    tokenizer.init_kwargs |= (named := {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>"})
    tokenizer.init_kwargs["eoi_token"] = "<end_of_image>"
    for name, token in {**named, "eoi_token": "<end_of_image>"}.items():
        setattr(tokenizer, name, token)
        setattr(tokenizer, f"{name}_id", tokenizer.convert_tokens_to_ids(token))
    config = transformers.Gemma3Config(
        text_config=_words(tokenizer, sliding_window=16, layer_types=["sliding_attention", "full_attention"]),
        vision_config={**WORDS, "image_size": 32, "patch_size": 8},
        mm_tokens_per_image=4,
        image_token_index=tokenizer.image_token_id,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
    )
    torch.manual_seed(4)
    _saved(transformers.Gemma3ForConditionalGeneration(config), tokenizer, folder)
    looking = Gemma3ImageProcessorPil(size={"height": 32, "width": 32})
    transformers.Gemma3Processor(
        looking, tokenizer, image_seq_length=4, chat_template=tokenizer.chat_template
    ).save_pretrained(folder)


def save_llava(folder: Path) -> None:
    """The oldest way: a picture's tokens are put where its marker stands."""
    tokenizer = byte_tokenizer("<image>", picture="<image>")
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(**_words(tokenizer)),
        vision_config=transformers.CLIPVisionConfig(**WORDS, image_size=32, patch_size=8, projection_dim=32),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
    )
    torch.manual_seed(5)
    _saved(transformers.LlavaForConditionalGeneration(config), tokenizer, folder)
    looking = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    transformers.LlavaProcessor(
        looking, tokenizer, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)  # fmt: skip


def save_captioner(folder: Path) -> None:
    """A picture in, a caption out."""
    tokenizer = byte_tokenizer()
    start = tokenizer.convert_tokens_to_ids(START)
    sees = transformers.ViTConfig(**WORDS, image_size=32, patch_size=8)
    writes = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=4, n_positions=24, is_decoder=True,
        add_cross_attention=True, bos_token_id=start, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        sees, writes, decoder_start_token_id=start, pad_token_id=tokenizer.pad_token_id
    )
    torch.manual_seed(6)
    _saved(transformers.VisionEncoderDecoderModel(config), tokenizer, folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


SAVE = {
    "llama": save_llama,
    "qwen3_vl": save_qwen3_vl,
    "idefics3": save_idefics3,
    "gemma3": save_gemma3,
    "llava": save_llava,
    "captioner": save_captioner,
}
SEEING: Sequence[str] = ("qwen3_vl", "idefics3", "gemma3", "llava")


def saved(name: str, folder: Path) -> Path:
    """The checkpoint of this name, under ``folder``."""
    transformers.utils.logging.disable_progress_bar()
    where = folder / name
    SAVE[name](where)
    return where
