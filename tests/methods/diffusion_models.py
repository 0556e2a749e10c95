"""Tiny random text-to-image models of the real architectures, made offline."""

import json
from pathlib import Path

import torch


def words(folder: Path) -> Path:
    """A CLIP tokenizer of single characters."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    signs = [chr(n) for n in range(97, 123)]
    tokens = ["<|startoftext|>", "<|endoftext|>", *signs, *(f"{s}</w>" for s in signs)]
    (folder / "vocab.json").write_text(json.dumps({token: n for n, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16).save_pretrained(folder)
    return folder


def text_config(projection: bool = False):
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, projection_dim=16, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip


def vae(channels: int):
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=channels, block_out_channels=(8, 16), norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, layers_per_block=1,
        use_quant_conv=channels == 4, use_post_quant_conv=channels == 4, scaling_factor=1.5,
        shift_factor=0.06 if channels == 16 else None,
    )  # fmt: skip


def sd1(folder: Path, prediction: str = "epsilon") -> Path:
    """Stable Diffusion 1.x in small."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16, attention_head_dim=4, norm_num_groups=4,
    )  # fmt: skip
    StableDiffusionPipeline(
        vae=vae(4), text_encoder=CLIPTextModel(text_config()),
        tokenizer=CLIPTokenizer.from_pretrained(words(folder.parent / "words")), unet=unet,
        scheduler=PNDMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, skip_prk_steps=True,
                                prediction_type=prediction, steps_offset=1),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)  # fmt: skip
    return folder


def sd3(folder: Path) -> Path:
    """Stable Diffusion 3 in small, without its third text encoder."""
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer

    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=16, num_layers=2, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=32, out_channels=16,
        pos_embed_max_size=16,
    )  # fmt: skip
    tokenizer = CLIPTokenizer.from_pretrained(words(folder.parent / "words"))
    StableDiffusion3Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae(16),
        text_encoder=CLIPTextModelWithProjection(text_config()), tokenizer=tokenizer,
        text_encoder_2=CLIPTextModelWithProjection(text_config()), tokenizer_2=tokenizer,
        text_encoder_3=None, tokenizer_3=None,
    ).save_pretrained(folder, safe_serialization=True)  # fmt: skip
    return folder


def pixel(folder: Path) -> Path:
    from counterpoise.models.diffusion import new_pixel_model, save_pixel_model

    model = new_pixel_model(["red", "blue", "star", "tree", "house"], size=16, channels=(8, 16), width=16)
    return save_pixel_model(model, folder)
