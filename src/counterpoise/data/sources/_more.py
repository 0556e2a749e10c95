"""Sources that no benchmark reads: training rows that the methods' papers name, and labels that calibrate judges."""

from ._source import GB, MB, GitHub, Hub, Source, Take

VLGUARD_GATE = "research use; accept the terms of ys-zong/VLGuard"

MORE: tuple[Source, ...] = (
    Source(
        "mllm-safety-study", "Data bundle of rejection-mix (LLaVA-Med, VizWiz, ScienceQA, OCR-VQA, TextVQA and others)",
        Hub("palpit/MLLM-Safety-Study"), (Take("**", "mllm-safety-study/"),),
        licence="of its parts, mixed; research use", limit=60 * GB, serves=("rejection-mix",),
        note="It also holds MM-SafetyBench and XSTest, which are benchmarks here: do not train on those.",
    ),
    Source(
        "llava-mix665k", "LLaVA-v1.5 instruction mix (texts)", Hub("liuhaotian/LLaVA-Instruct-150K"),
        (Take("llava_v1_5_mix665k.json", "llava-mix665k/llava_v1_5_mix665k.json",
              sha256="ce959ce6e23073ee1cd1a8a2ef1c633768c10d4174327b8b2dc7113b91af6cf8"),),
        licence="of its parts, mixed; research use", serves=("rejection-mix", "mis", "vlguard"),
        note="Its images are those of COCO 2017, GQA, OCR-VQA, TextVQA and Visual Genome, each from its own site.",
    ),
    Source(
        "mis-train", "MIS, training set", Hub("Tuwhy/MIS_Train"),
        (Take("mis_train.json", "mis-train/mis_train.json"), Take("images.zip", "mis-train/images.zip")),
        licence="Apache-2.0", size=10_600 * MB, limit=14 * GB, serves=("mis",),
        note="images.zip stays packed (10.6 GB): unpack it where you train. Some rows have an empty answer.",
    ),
    Source(
        "vlguard-train", "VLGuard, training set", Hub("ys-zong/VLGuard"),
        (Take("train.json", "vlguard/train.json"), Take("train.zip", "vlguard/train.zip")),
        licence="not stated; research use", gate=VLGUARD_GATE, serves=("vlguard", "mis"),
    ),
    Source(
        "vlguard-clean-mix", "LLaVA-v1.5 mix without harmful rows, of VLGuard", Hub("ys-zong/VLGuard"),
        (Take("llava_v1_5_mix_clean.json", "vlguard/llava_v1_5_mix_clean.json"),),
        licence="not stated; research use", gate=VLGUARD_GATE, serves=("vlguard",),
    ),
    Source(
        "safety-tuned-llamas", "Safety-Tuned LLaMAs: safety instructions and evaluation sets",
        GitHub("vinid/safety-tuned-llamas", "36a4b8d5c2177ed165bf61f59b590161394f7f12"),
        (Take("data/training/safety_only_data_Instructions.json",
              "safety_tuned_llamas/safety_only_data_Instructions.json"),
         Take("data/evaluation/*.json", "safety_tuned_llamas/")),
        licence="CC BY-NC 4.0 (data)", serves=("safe-to-serve",),
    ),
    Source(
        "safety-tuned-llamas-mixes", "Safety-Tuned LLaMAs: ready mixes with Alpaca",
        GitHub("vinid/safety-tuned-llamas", "36a4b8d5c2177ed165bf61f59b590161394f7f12"),
        (Take("data/training/*.json", "safety_tuned_llamas/training/"),),
        licence="CC BY-NC 4.0 (data)", serves=("safe-to-serve",),
    ),
    Source(
        "pku-saferlhf", "PKU-SafeRLHF", Hub("PKU-Alignment/PKU-SafeRLHF"), (Take("data/**", "pku-saferlhf/"),),
        licence="CC BY-NC 4.0", serves=("safe-to-serve", "mis"),
    ),
    Source(
        "beavertails-v", "BeaverTails-V, training and evaluation pairs",
        Hub("saferlhf-v/BeaverTails-V", "ee19041205c720c0faea575de563de8a6a8f9094"),
        (Take("data/**", "beavertails-v/"),),
        licence="CC BY-NC 4.0", size=3_600 * MB, limit=8 * GB, serves=("safe-rlhf-v",),
        note="Two evaluation rows share an image with the training rows.",
    ),
    Source(
        "wildguardmix-train", "WildGuardMix, training set", Hub("allenai/wildguardmix"),
        (Take("train/wildguard_train.parquet", "wildguardmix/wildguard_train.parquet"),),
        licence="ODC-BY", gate="accept AI2's terms", serves=("saferoute",),
    ),
    Source(
        "multitaskbench", "Multitask-Bench: guarded fine-tuning tasks",
        GitHub("comnetsAD/LLMSafetyGuardrails", "dce2fa32e237578290970f592b02466e5b6b5e9b"),
        (Take("datasets/multitaskbench/multitaskbench.csv", "multitaskbench/multitaskbench.csv"),),
        licence="not stated; do not redistribute", serves=("multitask-audit",),
    ),
    Source(
        "visu-text", "ViSU-Text: safe and unsafe captions", Hub("aimagelab/ViSU-Text"),
        (Take("ViSU-Text_*.json", "visu-text/"),), licence="CC BY-NC 4.0 (not verified)", serves=("uwm",),
        note="Its unsafe images are withheld on purpose.",
    ),
    Source(
        "news-bias", "News bias pairs of SR_LLM", Hub("newsmediabias/news-bias-full-data"), (Take("**", "news-bias/"),),
        licence="CC BY-NC 4.0", gate="accept the authors' terms", serves=("sr-llm",),
    ),
    Source(
        "xstest-completions", "XSTest: five models' completions with two human annotations each",
        GitHub("paul-rottger/exaggerated-safety", "a3bb396ddc1939c6f264f17b7cf5b7a5d82833de"),
        (Take("model_completions/xstest_v2_completions_*.csv", "xstest/model_completions/"),),
        licence="CC BY 4.0", serves=("judge calibration",),
    ),
    # what judges ask in their authors' words, and what they compare with
    Source(
        "vlguard-judge", "VLGuard: the prompt of its win rate",
        GitHub("ys-zong/VLGuard", "ca9f00a0e1fd2a3c958f7b5abbcfbf990fa3a846"),
        (Take("gpt4_evaluator.py", "vlguard/gpt4_evaluator.py"),),
        licence="not stated; research use", serves=("judge vlguard-win",),
    ),
    Source(
        "mm-vet-judge", "MM-Vet: the prompt of its grader",
        GitHub("yuweihao/MM-Vet", "7d717c2f54a584b7ed363d66e6481ce1bf648538"),
        (Take("mm-vet_evaluator.py", "mm-vet/mm-vet_evaluator.py"),),
        licence="CC BY-NC 4.0", serves=("judge mm-vet-grader",),
    ),
    Source(
        "mossbench-judge", "MOSSBench: the prompt of its judge",
        GitHub("xirui-li/MOSSBench", "8d68b0614b39d8990a508e03d99975832f399db2"),
        (Take("MOSSBench/evaluation/evaluation_prompts.py", "mossbench/evaluation_prompts.py"),),
        licence="CC BY-SA 4.0; not for training", serves=("judge mossbench-judge",),
    ),
    Source(
        "siuo-judge", "SIUO: the two prompts of its judge",
        GitHub("sinwang20/SIUO", "59b660be6fa3ad68e810808ab3da0ba9ada27bc2"),
        (Take("eval/gpt-eval.py", "siuo/gpt-eval.py"),),
        licence="CC BY-NC 4.0", serves=("judge siuo-rubric",),
    ),
    Source(
        "jailbreakbench-judge", "JailbreakBench: the prompts of its judges", GitHub("JailbreakBench/jailbreakbench"),
        (Take("src/jailbreakbench/classifier.py", "jailbreakbench/classifier.py"),),
        licence="MIT", serves=("judges jailbreakbench-judge and jailbreakbench-refusal",),
    ),
    Source(
        "strongreject-judge", "StrongREJECT: the prompt of its fine-tuned judge", GitHub("dsbowen/strong_reject"),
        (Take("**/judge_templates.json", "strongreject/judge_templates.json"),),
        licence="MIT", serves=("judge strongreject-finetuned",),
    ),
    Source(
        "harmbench-judge", "HarmBench: prompts of its classifiers, and hashes of the works that it holds copyrighted",
        GitHub("centerforaisafety/HarmBench", "8e1604d1171fe8a48d8febecd22f600e462bdcdd"),
        (Take("eval_utils.py", "harmbench/eval_utils.py"),
         Take("data/copyright_classifier_hashes/*.pkl", "harmbench/copyright_classifier_hashes/")),
        licence="MIT", serves=("judges harmbench-cls and harmbench-multimodal-cls",),
    ),
)  # fmt: skip
