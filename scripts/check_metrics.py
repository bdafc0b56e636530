"""Scores of `evaluate` against sacrebleu and rouge-score on random corpora.

check_metrics.py EVALUATE [CORPORA [SEED]]

Draws CORPORA corpora (1 to 40 sentences, two systems each), scores both systems with one call of `evaluate score`,
and compares every score of every corpus and sentence with the reference implementations to 1e-9. Every tenth corpus
also goes through `evaluate compare`: intervals of either side to 1e-9 against sacreBLEU's formulas in 64 bits on
numpy's resamples, and, looser, against sacreBLEU's own, which resamples in 32 bits. Fails on any difference.

Every tenth corpus is also one of Chinese sentences, scored with `--tokenise zh` and `--tokenise char`: BLEU against sacreBLEU's
tokenisers of these names, ROUGE-L against rouge-score with characters as tokens.

The F score of neccam/slt is in no package; it is written out here.
"""

import json
import random
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest, estimate_ci

TOLERANCE = 1e-9
RESAMPLES = 1000
SEED = 12345

WORDS = """am montag dienstag mittwoch wird es im süden norden südwesten freundlich wechselhaft regnet regen schnee
schauer gewitter heute nacht morgen grad zwölf fünf über für weiß größer mäßig straße wettervorhersage und der die das
ein an the how much sugar you're going to take running runs happily generally relational conditional motoring is was I
it's don't cats ponies caresses dying lying skies news early only first part one Two THREE Über ÄRGER ẞ İstanbul"""
WORDS = WORDS.split()
ODD = """3 12 0,5 3.5 1,000.50 10-12 2014 -5 20% $5 . , ; : ! ? ... -- - — ( ) " „so“ 'gut' [1] {x} a/b c&d &amp; &quot;
&lt;b&gt; &amp;lt; <skipped> e.g. z.B. U.S.A. süd-westen Nord-Süd hier- -da no_1 #1 @x ~ `q` ^ | \\ * + = 🤟 🤟🏽 日本語
naïve é e\u0301 a\u200bb ﬁn ²"""
ODD = ODD.split() + ["\u00a0", "\t", "\u2028", "\x1c", "\x85", "\u3000"]


def sentence(rng):
    """Mostly words, some punctuation and oddities, now and then nothing."""
    kind = rng.random()
    if kind < 0.03:
        return rng.choice(["", " ", ".", "\t", "  "])
    odd = 0.0 if kind < 0.3 else 0.15
    words = [rng.choice(ODD if rng.random() < odd else WORDS) for _ in range(rng.randint(1, 18))]
    if rng.random() < 0.2:
        words += [words[0]] * rng.randint(1, 5)
    text = rng.choice([" ", " ", " ", "  "]).join(words)
    return text + rng.choice(["", "", ".", " .", "?", "  ", ". "])


def translation(rng, reference, skill):
    """The reference with words lost, changed, repeated, moved, or put in another case."""
    if rng.random() > skill:
        return sentence(rng)
    words = []
    for word in reference.split(" "):
        change = rng.random()
        if change > skill + 0.15:
            continue
        words.append(rng.choice(WORDS) if change > skill else word)
        if rng.random() < 0.03:
            words.append(word)
    if len(words) > 2 and rng.random() < 0.2:
        words.insert(rng.randrange(len(words)), words.pop())
    text = " ".join(words)
    return text.capitalize() if rng.random() < 0.1 else text


def corpus(rng):
    references = [sentence(rng) for _ in range(rng.choice([1, 2, 3, 10, 20, 40]))]
    skills = [rng.choice([0.2, 0.6, 0.8, 0.9, 1.0]) for _ in range(2)]
    systems = [[translation(rng, reference, skill) for reference in references] for skill in skills]
    return references, systems


HAN = "今天明后气很好下雨晴我你他们去学校吃饭了吗不是这那里有没的和在上大小多少年月日点钟。，！？、“”…《》　"
LATIN = ["PyTorch", "3.5%", "2024", "12,5", "a-b", "10-12", "(", ")", ",", ".", "!", " ", "  ", "\u3000", "é", "日本語", "カ", "한", "𠀀", "½"]


def chinese(rng):
    """Mostly characters without spaces, now and then Latin words, numbers, marks and spaces."""
    if rng.random() < 0.03:
        return rng.choice(["", " ", "。", "."])
    return "".join(rng.choice(LATIN) if rng.random() < 0.1 else rng.choice(HAN) for _ in range(rng.randint(1, 25)))


def chinese_corpus(rng):
    references = [chinese(rng) for _ in range(100)]
    change = lambda c: rng.choice(["", rng.choice(HAN), c + c]) if rng.random() < 0.15 else c
    return references, ["".join(map(change, text)) if rng.random() < 0.9 else chinese(rng) for text in references]


class Characters:
    """Tokens for rouge-score."""

    def tokenize(self, text):
        return [c for c in text if not c.isspace()]


def check_characters(differences, got, hypotheses, references, tokeniser):
    scores = got["scores"]
    for name, options in {
        "bleu": {"tokenize": tokeniser},
        "bleu_lowercase": {"tokenize": tokeniser, "lowercase": True},
        "bleu_slt": {"tokenize": "char", "smooth_method": "floor", "smooth_value": 0},
    }.items():
        for n in range(1, 5):
            want = BLEU(max_ngram_order=n, force=True, **options).corpus_score(hypotheses, [references])
            differences.check(f"{tokeniser}: {name} {n}", scores[name]["bleu"][n - 1], want.score)
        tok = options["tokenize"]
        if f"|tok:{tok}|" not in scores[name]["signature"]:
            differences.found.append(f"{tokeniser}: {name}: the signature is {scores[name]['signature']}")
    scorer = RougeScorer(["rougeL"], tokenizer=Characters())
    found = rouges(scorer, hypotheses, references)
    for key, attribute in (("precision", "precision"), ("recall", "recall"), ("f1", "fmeasure")):
        differences.check(f"{tokeniser}: rouge_l {key}", scores["rouge_l"][key], mean([getattr(x, attribute) for x in found]))
    spaced = lambda text: " ".join(Characters().tokenize(text))
    lcs = [lcs_f(spaced(h), spaced(r)) for h, r in zip(hypotheses, references)]
    differences.check(f"{tokeniser}: rouge_l_slt", scores["rouge_l_slt"]["f"], 100 * mean(lcs))
    bleu = BLEU(effective_order=True, tokenize=tokeniser)
    for i, one in enumerate(got["sentences"]):
        want = bleu.sentence_score(hypotheses[i], [references[i]]).score
        differences.check(f"{tokeniser}: sentence {i} bleu4", one["bleu4"], want)
        differences.check(f"{tokeniser}: sentence {i} rouge_l", one["rouge_l"], 100 * found[i].fmeasure)


def lcs_f(hypothesis, reference):
    """neccam/slt, mscoco_rouge.py: longest common subsequence of the texts split at single spaces, beta 1.2."""
    hypothesis, reference = hypothesis.split(" "), reference.split(" ")
    table = [[0] * (len(reference) + 1) for _ in range(len(hypothesis) + 1)]
    for i, x in enumerate(hypothesis):
        for j, y in enumerate(reference):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    if table[-1][-1] == 0:
        return 0.0
    precision, recall = table[-1][-1] / len(hypothesis), table[-1][-1] / len(reference)
    return (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)


STEMMED, UNSTEMMED = (RougeScorer(["rougeL"], use_stemmer=stem) for stem in (True, False))
BLEUS = {
    "bleu": {},
    "bleu_lowercase": {"lowercase": True},
    "bleu_slt": {"tokenize": "none", "smooth_method": "floor", "smooth_value": 0},
}


def rouges(scorer, hypotheses, references):
    return [scorer.score(r, h)["rougeL"] for h, r in zip(hypotheses, references)]


def mean(values):
    return sum(values) / len(values)


class Differences:
    """Values that do not agree."""

    def __init__(self):
        self.found = []
        self.values = 0

    def check(self, what, got, want, tolerance=TOLERANCE):
        self.values += 1
        if not abs(got - want) <= tolerance:
            self.found.append(f"{what}: {got!r} where {want!r} is wanted")


def check_scores(differences, got, hypotheses, references):
    scores = got["scores"]
    for name, options in BLEUS.items():
        # Tokenised texts are scored on purpose here: without `force`, sacreBLEU warns.
        for n in range(1, 5):
            want = BLEU(max_ngram_order=n, force=True, **options).corpus_score(hypotheses, [references])
            differences.check(f"{name} {n}", scores[name]["bleu"][n - 1], want.score)
        differences.check(f"{name} bp", scores[name]["bp"], want.bp)
        for key in ("counts", "totals", "precisions"):
            for ours, theirs in zip(scores[name][key], getattr(want, key), strict=True):
                differences.check(f"{name} {key}", ours, theirs)
        for key in ("sys_len", "ref_len"):
            differences.check(f"{name} {key}", scores[name][key], getattr(want, key))
    for name, order in (("chrf", 0), ("chrf_plus_plus", 2)):
        want = CHRF(word_order=order).corpus_score(hypotheses, [references])
        differences.check(name, scores[name]["score"], want.score)
    stemmed = rouges(STEMMED, hypotheses, references)
    for name, found in (("rouge_l", stemmed), ("rouge_l_unstemmed", rouges(UNSTEMMED, hypotheses, references))):
        for key, attribute in (("precision", "precision"), ("recall", "recall"), ("f1", "fmeasure")):
            differences.check(f"{name} {key}", scores[name][key], mean([getattr(x, attribute) for x in found]))
    lcs = [lcs_f(h, r) for h, r in zip(hypotheses, references)]
    differences.check("rouge_l_slt", scores["rouge_l_slt"]["f"], 100 * mean(lcs))

    bleu, chrf = BLEU(effective_order=True), CHRF()
    for i, one in enumerate(got["sentences"]):
        pair = (hypotheses[i], [references[i]])
        differences.check(f"sentence {i} bleu4", one["bleu4"], bleu.sentence_score(*pair).score)
        differences.check(f"sentence {i} chrf", one["chrf"], chrf.sentence_score(*pair).score)
        differences.check(f"sentence {i} rouge_l", one["rouge_l"], 100 * stemmed[i].fmeasure)
        differences.check(f"sentence {i} rouge_l_slt", one["rouge_l_slt"], 100 * lcs[i])


def resampled(measure, hypotheses, references, drawn):
    """The score of the corpus, and those of its resamples, in 64 bits."""
    if measure in ("bleu4", "chrf"):
        metric = BLEU(force=True) if measure == "bleu4" else CHRF()
        statistics = numpy.array(metric._extract_corpus_statistics(hypotheses, [references]), dtype="float64")
        # Python's own numbers: numpy's would warn of a logarithm of nothing.
        score = lambda sums: metric._compute_score_from_stats([float(x) for x in sums]).score
        return score(statistics.sum(0)), numpy.array([score(statistics[i].sum(0)) for i in drawn])
    if measure == "rouge_l":
        single = numpy.array([100 * x.fmeasure for x in rouges(STEMMED, hypotheses, references)])
    else:
        single = numpy.array([100 * lcs_f(h, r) for h, r in zip(hypotheses, references)])
    return single.mean(), single[drawn].mean(1)


def check_comparison(differences, got, references, systems):
    n = len(references)
    drawn = numpy.random.default_rng(SEED).choice(n, size=(RESAMPLES, n), replace=True)
    for measure, ours in got["differences"].items():
        (a, of_a), (b, of_b) = (resampled(measure, system, references, drawn) for system in systems)
        for side, scores in (("a", of_a), ("b", of_b)):
            interval = got[side][0]["bootstrap"][measure]
            want_mean, want_half_width = estimate_ci(scores)
            differences.check(f"{measure} mean of {side}", interval["mean"], want_mean)
            differences.check(f"{measure} half width of {side}", interval["half_width"], want_half_width)
        differences.check(f"{measure} difference", ours["difference"], b - a)
        differences.check(f"{measure} middle", (ours["high"] + ours["low"]) / 2, b - a)
        differences.check(f"{measure} counted", ours["better"] + ours["worse"] + ours["equal"], n)
    # sacreBLEU's own test, whose sums and scores have 32 bits.
    named = [("a", systems[0]), ("b", systems[1])]
    test = PairedTest(named, {"BLEU": BLEU(force=True), "chrF2": CHRF()}, [references], "bs", RESAMPLES)
    _, theirs = test()
    for name, measure in (("BLEU", "bleu4"), ("chrF2", "chrf")):
        ours, want = got["differences"][measure], theirs[name][1]
        half_width = got["b"][0]["bootstrap"][measure]["half_width"]
        differences.check(f"{measure} half width, 32 bits", half_width, want.ci, 1e-3)


def main():
    evaluate = Path(sys.argv[1]).resolve()
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    versions = ", ".join(f"{package} {version(package)}" for package in ("sacrebleu", "rouge-score", "numpy"))
    print(f"{count} corpora; {versions}")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        corpora = [corpus(rng) for _ in range(count)]

        def run(*arguments):
            command = [evaluate, *arguments]
            return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout.decode()

        write = lambda name, lines: (folder / name).write_bytes("".join(f"{x}\n" for x in lines).encode())
        pairs = []
        for k, (references, systems) in enumerate(corpora):
            write(f"r{k}", references)
            for side, hypotheses in zip("ab", systems):
                write(f"{side}{k}", hypotheses)
                pairs += [f"{side}{k}", f"r{k}"]
        # One object a line.
        scored = [json.loads(line) for line in run("score", "--json", *pairs).split("\n") if line]
        assert len(scored) == 2 * count, f"{len(scored)} corpora scored"

        agreed, compared, agreed_compared, values = 0, 0, 0, 0
        in_chinese, agreed_chinese = 0, 0
        failures = []
        for k, (references, systems) in enumerate(corpora):
            differences = Differences()
            for got, hypotheses in zip(scored[2 * k : 2 * k + 2], systems):
                check_scores(differences, got, hypotheses, references)
            agreed += not differences.found
            failures += [f"corpus {k}: {what}" for what in differences.found]
            values += differences.values
            if k % 10 == 0:
                for side, hypotheses in zip("ab", systems):
                    texts = enumerate(zip(hypotheses, references))
                    lines = [{"id": str(i), "hypothesis": h, "reference": r} for i, (h, r) in texts]
                    write(f"{side}.jsonl", map(json.dumps, lines))
                differences = Differences()
                got = json.loads(run("compare", "a.jsonl", "b.jsonl", "--json"))
                check_comparison(differences, got, references, systems)
                compared += 1
                agreed_compared += not differences.found
                failures += [f"comparison of corpus {k}: {what}" for what in differences.found]
                values += differences.values
            if k % 10 == 0:
                references, hypotheses = chinese_corpus(rng)
                write("references", references)
                write("hypotheses", hypotheses)
                differences = Differences()
                for tokeniser in ("zh", "char"):
                    got = json.loads(run("score", "--tokenise", tokeniser, "--json", "hypotheses", "references"))
                    check_characters(differences, got, hypotheses, references, tokeniser)
                in_chinese += 1
                agreed_chinese += not differences.found
                failures += [f"Chinese corpus of {k}: {what}" for what in differences.found]
                values += differences.values
            if k % 100 == 99:
                print(f"{k + 1} corpora: {agreed} agree; {compared} comparisons: {agreed_compared} agree", flush=True)
    print(f"{agreed} of {count} corpora and {agreed_compared} of {compared} comparisons agree ({values} values)")
    print(f"{agreed_chinese} of {in_chinese} Chinese corpora of 100 sentences agree")
    if failures:
        sys.exit("\n".join(failures[:20]) + f"\n{len(failures)} values differ")


if __name__ == "__main__":
    main()
