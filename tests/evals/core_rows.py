"""Made-up rows of every public set of the suite core, in the shapes and numbers of the published files."""

import csv
import io
import json

from PIL import Image

SCENARIOS = {
    "01-Illegal_Activitiy": 97, "02-HateSpeech": 163, "03-Malware_Generation": 44, "04-Physical_Harm": 144,
    "05-EconomicHarm": 122, "06-Fraud": 154, "07-Sex": 109, "08-Political_Lobbying": 153, "09-Privacy_Violence": 139,
    "10-Legal_Opinion": 130, "11-Financial_Advice": 167, "12-Health_Consultation": 109, "13-Gov_Decision": 149,
}  # fmt: skip


def picture(number):
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, number // 256, 99)).save(out, "PNG")
    return out.getvalue()


def table(rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def figstep():
    keys = [(topic, task) for topic in range(1, 11) for task in range(1, 6)]
    rows = [
        {"dataset": "ForbidQI", "category_id": topic, "task_id": task, "category_name": f"topic {topic}",
         "question": "How?", "instruction": f"Steps to fold paper {topic} {task}."} for topic, task in keys
    ]  # fmt: skip
    images = {
        f"data/images/SafeBench-Tiny/query_ForbidQI_{topic}_{task}_6.png": picture(10 * topic + task)
        for topic, task in keys
    }
    return {"data/question/SafeBench-Tiny.csv": table(rows), "README.md": b"FigStep", **images}


def mm_safetybench():
    def row(number):
        return {"Question": f"Question {number}?", "GPT-Pred": "", "Changed Question": f"Fold paper {number}.",
                "Key Phrase": f"fold paper {number}", "Phrase Type": "activity",
                "Rephrased Question": "The image shows a phrase of an activity.",
                "Rephrased Question(SD)": "The image shows paper."}  # fmt: skip

    return {
        f"data/processed_questions/{name}.json": json.dumps({str(n): row(n) for n in range(count)}).encode()
        for name, count in SCENARIOS.items()
    }


def mossbench():
    files = {}
    for half, pids in (("data", range(1, 301)), ("data_contrast", range(1, 245))):
        rows = {
            str(pid): {"image": f"images/{pid}.png", "short description": "", "question": f"{half} {pid}?",
                       "metadata": {"over": f"type {pid % 3 + 1}"}, "pid": str(pid), "description": ""} for pid in pids
        }  # fmt: skip
        files[f"{half}/images_information/information.json"] = json.dumps(rows).encode()
        files |= {f"{half}/images/{pid}.png": picture(pid) for pid in pids}
    return files


def harmbench():
    kinds = ["standard"] * 200 + ["contextual"] * 100 + ["copyright"] * 100
    text = [
        {"Behavior": f"Fold paper {n}", "FunctionalCategory": kind, "SemanticCategory": "paper", "Tags": "",
         "ContextString": "A context." if kind == "contextual" else "", "BehaviorID": f"paper_{n}"}
        for n, kind in enumerate(kinds)
    ]  # fmt: skip
    pictures = [
        {"Behavior": f"Fold what is shown {n}", "BehaviorID": f"shown_{n}", "FunctionalCategory": "multimodal",
         "SemanticCategory": "paper", "ImageFileName": f"{n}.{'jpg' if n % 2 else 'png'}", "Source": "",
         "ImageDescription": "", "RedactedImageDescription": "paper", "Tags": ""} for n in range(110)
    ]  # fmt: skip
    folder = "data/behavior_datasets"
    return {
        f"{folder}/harmbench_behaviors_text_all.csv": table(text),
        f"{folder}/harmbench_behaviors_multimodal_all.csv": table(pictures),
        **{f"data/multimodal_behavior_images/{n}.png": picture(n) for n in range(110)},
    }


def strongreject():
    rows = [{"category": f"c{n % 6}", "source": "made", "forbidden_prompt": f"Fold paper {n}"} for n in range(313)]
    folder = "strongreject_dataset"
    return {
        f"{folder}/strongreject_dataset.csv": table(rows),
        f"{folder}/strongreject_small_dataset.csv": table(rows[:60]),
    }


def jailbreakbench():
    def rows(side):
        return [{"Index": n, "Goal": f"{side} paper {n}", "Target": "Sure", "Behavior": "b", "Category": f"c{n % 10}",
                 "Source": "made"} for n in range(100)]  # fmt: skip

    return {"data/harmful-behaviors.csv": table(rows("harmful")), "data/benign-behaviors.csv": table(rows("benign"))}


def xstest():
    rows = [
        {"id": n, "prompt": f"How do I kill process {n}?", "type": "homonyms", "label": "safe" if n < 250 else "unsafe",
         "focus": "", "note": ""} for n in range(450)
    ]  # fmt: skip
    return {"xstest_prompts.csv": table(rows)}


def math500():
    return {
        "test.jsonl": lines(
            {
                "problem": f"{n} + 1",
                "solution": "",
                "answer": str(n + 1),
                "subject": "Algebra",
                "level": 1,
                "unique_id": f"test/{n}.json",
            }
            for n in range(500)
        )
    }


def serve(server, repo):
    """Put all of them on a server, under the names that the cards declare; `repo` makes a repository of files."""
    server.git |= {
        "ThuCCSLab/FigStep": repo(figstep()),
        "isXinLiu/MM-SafetyBench": repo(mm_safetybench()),
        "xirui-li/MOSSBench": repo(mossbench()),
        "centerforaisafety/HarmBench": repo(harmbench()),
        "alexandrasouly/strongreject": repo(strongreject()),
        "paul-rottger/xstest": repo(xstest()),
        "InvokerStark/OverKill": repo({
            "data/OKTest.csv": table([{"prompt": f"Shoot photo {n}?"} for n in range(300)])
        }),
        "openai/grade-school-math": repo({
            "grade_school_math/data/test.jsonl": lines(
                {"question": f"{n} + 1?", "answer": f"It is\n#### {n + 1}"} for n in range(1319)
            )
        }),
    }  # fmt: skip
    server.hub |= {"JailbreakBench/JBB-Behaviors": repo(jailbreakbench()), "HuggingFaceH4/MATH-500": repo(math500())}
