"""Published tables of single prompts, one row each: where it is, what its columns mean, what to know of its numbers.

Without a column `id` the id is the number of the row in the published file.
"""

from counterpoise.data.sources import GitHub, Hub, Source, Take

from .._benchmark import REFUSAL_SCORERS, In
from ..own import Columns
from ._prompts import text_set

CORE, OVER_REFUSAL, SAFETY = In("core"), In("over-refusal"), In("safety")

JAILBREAKBENCH = Source(
    "jailbreakbench", "JailbreakBench, behaviours",
    Hub("JailbreakBench/JBB-Behaviors", "886acc352a31533ffbcf4ef22c744658688086fc"),
    (Take("data/harmful-behaviors.csv", "jailbreakbench/harmful-behaviors.csv",
          sha256="4a8ec6832056b631eb092dccc60d37a61c3d441268268888b3d006288afeffa1"),
     Take("data/benign-behaviors.csv", "jailbreakbench/benign-behaviors.csv")),
    licence="MIT",
)  # fmt: skip
JBB = {
    "citation": "Chao et al. 2024, JailbreakBench, NeurIPS, arXiv 2404.01318",
    "official": "Llama-3-70B judges jailbreaks, Llama-3-8B refusals",
    "rows": 100,
}
OR_BENCH = Hub("bench-llm/or-bench", "e36d8b80e81837c8a8f264bbb2a49f1b32c7e272")
OR = {
    "citation": "Cui et al. 2025, OR-Bench: An Over-Refusal Benchmark for Large Language Models, ICML, "
    "arXiv 2405.20947",
    "judge": "or-bench-rubric",
    "official": "gpt-4-turbo-2024-04-09 or Llama-3-70B: direct answer, direct refusal or indirect refusal",
}
TOGETHER = """Read the hard prompts with the toxic ones: across models the two rates go together (Spearman 0.89), so \
either alone says little."""
SALAD = Hub("OpenSafetyLab/Salad-Data")
SALAD_BENCH = {
    "citation": "Li et al. 2024, SALAD-Bench, Findings of ACL, arXiv 2402.05044",
    "official": "safety rate by MD-Judge, which reads question and answer",
    "judge": "md-judge",
}
STRONGREJECT = Source(
    "strongreject", "StrongREJECT and its small set",
    GitHub("alexandrasouly/strongreject", "f7cad6c17e624e21d8df2278e918ae1dddb4cb56"),
    (Take("strongreject_dataset/strongreject_dataset.csv", "strongreject/"),
     Take("strongreject_dataset/strongreject_small_dataset.csv", "strongreject/")),
    licence="MIT",
)  # fmt: skip
SOULY = {
    "citation": "Souly et al. 2024, A StrongREJECT for Empty Jailbreaks, NeurIPS, arXiv 2402.10260",
    "official": "(1 - refused) x (convincing + specific - 2) / 8 by GPT-4 with a rubric, or a fine-tuned Gemma-2B",
    "judge": "strongreject-rubric",
}
FORBIDDEN = """ASR on {} forbidden prompts in six categories, the share that is not refused. Not the
StrongREJECT score, which also asks how convincing and specific an answer is: judge the answers for that."""
WILDJAILBREAK = Source(
    "wildjailbreak", "WildJailbreak, evaluation part",
    Hub("allenai/wildjailbreak", "5ddc12a7894f842b0619b8e1c7ee496b198af009"),
    (Take("eval/eval.tsv", "wildjailbreak/eval.tsv"),),
    licence="ODC-BY, with AI2's terms", gate="accept AI2's terms",
)  # fmt: skip
ADVERSARIAL = {"adversarial_harmful": True, "adversarial_benign": False}
WILD = {
    "citation": "Jiang et al. 2024, WildTeaming at Scale, NeurIPS, arXiv 2406.18510",
    "official": "WildGuard judges compliance with harmful prompts and refusal of benign ones",
    "judge": "wildguard",
    "grouped": "no",
}

CARDS = (
    text_set(
        "advbench", "AdvBench",
        Source(
            "advbench", "AdvBench, harmful behaviours",
            GitHub("llm-attacks/llm-attacks", "098262edf85f807224e70ecd87b9d83716bf6b73"),
            (Take("data/advbench/harmful_behaviors.csv", "advbench/harmful_behaviors.csv"),), licence="MIT",
        ),
        Columns("goal", harmful=True),
        rows=520,
        description="""ASR on 520 harmful instructions without an attack. Aligned models refuse nearly all of them and
        many repeat each other: seeds for attacks, a weak benchmark.""",
        citation="Zou et al. 2023, Universal and Transferable Adversarial Attacks on Aligned Language Models, "
        "arXiv 2307.15043",
        official="a list of refusal phrases: the scorer advbench-keywords",
        scorers=(*REFUSAL_SCORERS, "advbench-keywords:v1"),
    ),
    text_set(
        "do-not-answer", "Do-Not-Answer",
        Source(
            "do-not-answer", "Do-Not-Answer", Hub("LibrAI/do-not-answer"),
            (Take("data/train-*.parquet", "do_not_answer/data_en.parquet"),),
            licence="Apache-2.0 (code; the data's not verified)",
        ),
        Columns("question", id="id", harmful=True, group="risk_area"),
        also=("do_not_answer_en.csv",),
        rows=939,
        description="""ASR on 939 questions that a responsible model should not simply answer, by risk area. The authors
        count harmless answers, which need not be refusals (correcting a false premise is one); so does the judge
        do-not-answer-rubric.""",
        citation="Wang et al. 2023, Do-Not-Answer, Findings of EACL 2024, arXiv 2308.13387",
        judge="do-not-answer-rubric",
        official="GPT-4 sorts answers into six actions; the share of harmless ones",
    ),
    # the goals as they stand, without an attack; the cluster is the theme that both halves share (their Index)
    text_set(
        "jailbreakbench-harmful", "JailbreakBench", JAILBREAKBENCH,
        Columns(
            "Goal", id="Index", prefix="harmful-", harmful=True, cluster="Index", group="Category",
        ),
        file="jailbreakbench/harmful-behaviors.csv",
        description="""ASR on 100 harmful behaviours. No attack is applied. The halves share 100 themes: read them \
together.""",
        suites=(CORE, SAFETY),
        judge="jailbreakbench-judge",
        **JBB,
    ),
    text_set(
        "jailbreakbench-benign", "JailbreakBench", JAILBREAKBENCH,
        Columns(
            "Goal", id="Index", prefix="benign-", harmful=False, cluster="Index", group="Category",
        ),
        file="jailbreakbench/benign-behaviors.csv",
        description="""Over-refusal on 100 benign behaviours. No attack is applied. The halves share 100 themes: read \
them together.""",
        suites=(CORE,),
        judge="jailbreakbench-refusal",
        **JBB,
    ),
    text_set(
        "oktest", "OKTest",
        Source(
            "oktest", "OKTest", GitHub("InvokerStark/OverKill"), (Take("data/OKTest.csv", "oktest/OKTest.csv"),),
            licence="not stated; do not redistribute",
        ),
        Columns("prompt", harmful=False),
        rows=300,
        description="Over-refusal on 300 safe questions that contain words such as kill, shoot or smash.",
        citation="Shi et al. 2024, Navigating the OverKill in Large Language Models, arXiv 2401.17633",
        official="people, or a keyword list, decide whether the answer is accepted",
        checks=("I'm sorry, but I can't help with killing anything.", "Run `kill` with the process id to end it."),
        suites=(CORE, OVER_REFUSAL),
    ),
    text_set(
        "or-bench-hard-1k", "OR-Bench",
        Source(
            "or-bench-hard-1k", "OR-Bench, hard-1k", OR_BENCH,
            (Take("or-bench-hard-1k.csv", "or_bench/or-bench-hard-1k.csv",
                  sha256="a6e2f1166416efe5901f3bb05c47dc92ab3aca3acfe143693d38b8057d841e6d"),), licence="CC BY 4.0",
        ),
        Columns("prompt", harmful=False, group="category"),
        rows=1319,
        description=f"Over-refusal on 1,319 harmless prompts that strong models refuse. {TOGETHER}",
        suites=(OVER_REFUSAL,),
        **OR,
    ),
    text_set(
        "or-bench-toxic", "OR-Bench",
        Source(
            "or-bench-toxic", "OR-Bench, toxic", OR_BENCH,
            (Take("or-bench-toxic.csv", "or_bench/or-bench-toxic.csv"),), licence="CC BY 4.0",
        ),
        Columns("prompt", harmful=True, group="category"),
        rows=655,
        description=f"ASR on 655 toxic prompts of the same ten categories. {TOGETHER}",
        **OR,
    ),
    text_set(
        "salad-base", "SALAD-Bench",
        Source("salad-base", "SALAD-Bench", SALAD, (Take("base_set.json", "salad/base_set.json"),), "Apache-2.0"),
        Columns("question", id="qid", harmful=True, group="1-category"),
        rows=21_318,
        description="""ASR on 21,318 harmful questions in six domains; the authors report the safety rate, its
        complement, by their judge. The questions come from many older sets (column `source`): take care that none of
        them was trained on.""",
        suites=(SAFETY,),
        **SALAD_BENCH,
    ),
    # base questions put in other words; the published ids are those of the base questions, so none is used
    text_set(
        "salad-attack", "SALAD-Bench, attacked",
        Source(
            "salad-attack", "SALAD-Bench, attacked", SALAD,
            (Take("attack_enhanced_set.json", "salad/attack_enhanced_set.json",
                  sha256="389da12f029a7f0c4a562f753e1dd5e53aed46d873ef1f568919d9f4b72e7062"),), licence="Apache-2.0",
        ),
        Columns("augq", harmful=True, cluster="baseq", group="method"),
        rows=5000,
        description="ASR on base questions inside published jailbreaks, one row per attack method.",
        **SALAD_BENCH,
    ),
    text_set(
        "salad-defence", "SALAD-Bench, defended",
        Source(
            "salad-defence", "SALAD-Bench, defended", SALAD,
            (Take("defense_enhanced_set.json", "salad/defense_enhanced_set.json"),), licence="Apache-2.0",
        ),
        Columns("daugq", harmful=True, cluster="baseq", group="dmethod"),
        rows=200,
        description="""ASR on base questions with a published defence around them, one row per defence. Compare it with
        the same questions bare: what falls is the defence, not the model.""",
        **SALAD_BENCH,
    ),
    text_set(
        "strongreject", "StrongREJECT", STRONGREJECT,
        Columns("forbidden_prompt", harmful=True, group="category"),
        file="strongreject/strongreject_dataset.csv",
        rows=313,
        description=FORBIDDEN.format(313),
        suites=(CORE,),
        **SOULY,
    ),
    text_set(
        "strongreject-small", "StrongREJECT", STRONGREJECT,
        Columns("forbidden_prompt", harmful=True, group="category"),
        file="strongreject/strongreject_small_dataset.csv",
        rows=60,
        description=FORBIDDEN.format(60),
        **SOULY,
    ),
    # a prompt whose label people did not agree on has no side and counts in no rate
    text_set(
        "wildguardtest", "WildGuardTest (prompts)",
        Source(
            "wildguardtest", "WildGuardTest", Hub("allenai/wildguardmix"),
            (Take("test/wildguard_test.parquet", "wildguardtest/wildguard_test.parquet"),),
            licence="ODC-BY", gate="accept AI2's terms",
        ),
        Columns(
            "prompt", harmful="prompt_harm_label", sides={"harmful": True, "unharmful": False, "": None},
            group="adversarial", groups={"true": "adversarial", "false": "vanilla"},
        ),
        rows=1725,
        description="""ASR on its harmful and over-refusal on its unharmful prompts, vanilla and adversarial apart. The
        set was made for guards (F1 on prompts, answers and refusals); here its prompts are put to a chat model.""",
        citation="Han et al. 2024, WildGuard, NeurIPS, arXiv 2406.18495",
        official="F1 of a guard against people's labels; answers of chat models are judged by WildGuard",
        judge="wildguard",
        suites=(SAFETY, OVER_REFUSAL),
    ),
    text_set(
        "wildjailbreak-harmful", "WildJailbreak", WILDJAILBREAK,
        Columns("adversarial", harmful="data_type", sides=ADVERSARIAL, only=True, group="data_type"),
        rows=2000,
        description="ASR on 2,000 adversarial harmful prompts. Prompts imitate the tactics of real jailbreaks.",
        suites=(SAFETY,),
        **WILD,
    ),
    text_set(
        "wildjailbreak-benign", "WildJailbreak", WILDJAILBREAK,
        Columns("adversarial", harmful="data_type", sides=ADVERSARIAL, only=False, group="data_type"),
        rows=210,
        description="""Over-refusal on 210 adversarial prompts that ask for no harm. Prompts imitate the tactics of \
real jailbreaks.""",
        suites=(OVER_REFUSAL,),
        **WILD,
    ),
    text_set(
        "xstest", "XSTest",
        Source(
            "xstest", "XSTest, prompts", GitHub("paul-rottger/xstest", "d7bb5bd738c1fcbc36edd83d5e7d1b71a3e2d84d"),
            (Take("xstest_prompts.csv", "xstest/xstest_prompts.csv",
                  sha256="11783fb294ed017473ee53c207d71f2161c7672c8d0b037501e78387f801cb5a"),),
            licence="CC BY 4.0", size=38_719,
        ),
        Columns(
            "prompt", id="id", harmful="label", sides={"safe": False, "unsafe": True}, cluster="id", group="type",
        ),
        rows=450,
        revision="v2",
        description="""Over-refusal on 250 safe prompts whose words look unsafe, and ASR on their 200 unsafe contrasts.
        A refusal scorer separates refusals from everything else; the paper's partial refusals count as whatever the
        scorer makes of them.""",
        citation="Röttger et al. 2024, XSTest, NAACL, arXiv 2308.01263",
        official="people, or GPT-4, with three classes: full compliance, full refusal, partial refusal",
        judge="xstest-rubric",
        grouped="no",
        suites=(CORE, OVER_REFUSAL),
    ),
)  # fmt: skip
