"""Texts that nobody marked, in which detectors find marks all the same: repetitive, padded, formal, foreign.

For tests and benchmarks; deterministic, up to what a version of Python ships. ``NAMES`` holds those that are here:
made or shipped with Python, and as ``shared/FILE`` those of the collection beside the repository, where there is one.

python tests/text_corpora.py     shows how each begins
"""

import base64
import inspect
import random
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

from markai.attacks.text.excerpts import reference

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data" / "text"
LENGTH = 100_000  # characters, of those that are made; 20 to 100 texts of 200 to 1,000 tokens

LOG = (
    "INFO  worker {n} finished job {job} in {ms} ms",
    "INFO  worker {n} is waiting for jobs",
    "WARN  worker {n} retries job {job}: the connection was reset by the peer",
)
MAIL = """Subject: Your order {order} has been shipped

Dear {name},

Thank you for your order {order} of {day}. We have shipped {count} items today. You can follow the parcel under
https://example.com/parcels/{order}. If anything is missing, please answer to this message within 14 days.

Kind regards,
Your {shop} team

This message was sent to you because you have an account with us. Please do not print it unless you have to.
"""
PEOPLE = [
    "Anna",
    "Ben",
    "Chen",
    "Dana",
    "Emeka",
    "Fatima",
    "Goran",
    "Hana",
    "Ivan",
    "Jin",
    "Kofi",
    "Leila",
    "Mateo",
    "Nora",
    "Omar",
    "Priya",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
SHOPS = ("bookshop", "garden", "music", "bicycle")
# Clauses that are common in each language, put together at random: few characters, and the same pairs over and over.
CLAUSES = {
    "Chinese": (
        "今天天气很好 我们一起去图书馆看书 他说明天会下雨 这个问题还没有解决 请把门关上 公司去年的收入增加了 "
        "研究人员发现了一种新的方法 孩子们在公园里玩 火车晚点了半个小时 市场上的价格又上涨了 她正在学习写字 "
        "会议将在下个月举行 如果需要帮助请与我们联系 这本书是我最喜欢的 城市的交通越来越方便"
    ),
    "Japanese": (
        "今日はとても寒いです 昨日新しい本を買いました 電車が少し遅れています 会議は来週の月曜日に行われます "
        "この問題はまだ解決していません 子どもたちは公園で遊んでいる 彼女は毎朝コーヒーを飲みます "
        "研究者は新しい方法を見つけた 窓を開けてください 市場の価格がまた上がりました 駅まで歩いて十分です"
    ),
    "Korean": (
        "오늘은 날씨가 아주 좋습니다/우리는 함께 도서관에 갔다/회의는 다음 달에 열릴 예정이다/"
        "기차가 삼십 분 늦게 도착했다/"
        "이 문제는 아직 해결되지 않았다/아이들이 공원에서 놀고 있다/연구자들은 새로운 방법을 찾아냈다/"
        "도움이 필요하시면 연락해 주십시오/시장의 가격이 다시 올랐다/그는 매일 아침 신문을 읽는다"
    ),
}


def lines() -> str:
    """Five lines, over and over: a chorus, or a model that has got stuck."""
    verse = "\n".join(f"This is line {number} of the chorus, and it comes again." for number in range(1, 6))
    return _filled(lambda _: verse + "\n")


def padded() -> str:
    """A batch as it is printed: sentences of different length, each filled up to 512 with the padding token."""
    sentences = iter(reference().replace("\n", " ").split(". "))
    return _filled(lambda rng: f"{next(sentences)}. ".ljust(rng.randrange(40, 200)) + "<|endoftext|>" * 36 + "\n")


def log() -> str:
    """The log of a server: a few sentences with other numbers in them."""

    def line(rng: Random) -> str:
        said = rng.choice(LOG).format(n=rng.randrange(8), job=rng.randrange(10**5), ms=rng.randrange(5000))
        return f"2026-11-{rng.randrange(1, 31):02} {rng.randrange(24):02}:{rng.randrange(60):02} {said}\n"

    return _filled(line)


def code() -> str:
    """Python's own source: four modules of its library."""
    return "\n\n".join(inspect.getsource(module) for module in (random, textwrap, inspect, base64))


def mail() -> str:
    """The same message to many people."""

    def message(rng: Random) -> str:
        person, day, shop = rng.choice(PEOPLE), rng.choice(DAYS), rng.choice(SHOPS)
        return (
            MAIL.format(name=person, day=day, shop=shop, order=rng.randrange(10**6), count=rng.randrange(2, 9)) + "\n"
        )

    return _filled(message)


def cjk() -> str:
    """Chinese, Japanese and Korean, a paragraph each in turn."""
    clauses = {language: text.split("/" if language == "Korean" else " ") for language, text in CLAUSES.items()}
    marks = {"Chinese": "，。", "Japanese": "、。", "Korean": (", ", ". ")}

    def paragraphs(rng: Random) -> str:
        return "".join(
            "".join(rng.choice(clauses[language]) + rng.choice(marks[language]) for _ in range(20)) + "\n\n"
            for language in CLAUSES
        )

    return _filled(paragraphs)


def base64_lines() -> str:
    """Attachments: random bytes in base64, 76 characters a line."""
    return _filled(lambda rng: base64.encodebytes(rng.randbytes(57)).decode())


def numbers() -> str:
    """A table with commas: a counter, a date, prices, and many zeros."""

    def row(rng: Random) -> str:
        cells = [f"{rng.expovariate(0.01):.2f}" if rng.random() < 0.4 else "0.00" for _ in range(8)]
        return f"{rng.randrange(1, 400)},2026-{rng.randrange(1, 13):02}-01,{','.join(cells)}\n"

    return _filled(row)


def zeros() -> str:
    """One character, and nothing else."""
    return "0" * LENGTH


def prose() -> str:
    """What people wrote: the reference of the Python language."""
    return reference()


MADE: dict[str, Callable[[], str]] = {
    "lines": lines,
    "padded": padded,
    "log": log,
    "code": code,
    "mail": mail,
    "cjk": cjk,
    "base64": base64_lines,
    "numbers": numbers,
    "zeros": zeros,
    "prose": prose,
}
NAMES = (*MADE, *(f"shared/{path.name}" for path in sorted(SHARED.glob("*.txt"))))


@cache
def adversarial(name: str) -> str:
    """Return the text of that name, one of ``NAMES``: 80,000 characters or more, but for a few of the shared ones.

    Raises:
        KeyError: if there is none.
    """
    if name in MADE:
        return MADE[name]()
    if name not in NAMES:
        raise KeyError(f"no text {name!r} - there are {', '.join(NAMES)}")
    return (SHARED / name.removeprefix("shared/")).read_text("utf-8")


def _filled(part: Callable[[Random], str]) -> str:
    """Return parts until there are ``LENGTH`` characters, all from one seed."""
    rng, parts, length = Random(1), [], 0
    while length < LENGTH:
        parts.append(part(rng))
        length += len(parts[-1])
    return "".join(parts)


if __name__ == "__main__":
    for each in NAMES:
        text = adversarial(each)
        print(f"{each:32} {len(text):9,}  {text[:70]!r}")
