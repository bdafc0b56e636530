"""Ids of `spiece.model` as this program makes them, against the Python library `sentencepiece`.

    check_sentencepiece.py TOKENS DATA        compare (TOKENS: the example program `tokens`)
    check_sentencepiece.py --write            write the small model and what the library makes of texts, for the tests

Compared are the small model of the tests, one of mT5's kind and size (250,100 pieces, nmt_nfkc, bytes), and T5's own where DATA
has it, whose ids are compared with those of `tokenizer.json` as well. Exits with 1 where any id differs.
"""
import contextlib
import csv
import io
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

import sentencepiece as spm

TESTS = pathlib.Path(__file__).resolve().parent.parent / "train/tests/sentencepiece"
EXTRA = [f"\u2581<extra_id_{n}>" for n in reversed(range(100))]
# Written otherwise by one rule, by the longer one of two, to a space, to nothing.
RULES = {"\ufb01": "fi", "\uff76": "\u30ab", "\uff76\uff9e": "\u30ac", "e\u0301": "\u00e9", "\u00a0": " ", "\u3000": " ",
         "\u00ad": "", "\u2026": "...", "\t": " "}
WORDS = ("am montag regnet es im norden und im süden scheint die sonne morgen schnee wind wolken the signer says hello to "
         "all of you ďakujem pekne ľúbim ťa šťastný život čaj žena kôň").split()
TEXTS = ["am montag regnet es im norden.", "", " ", "  zwei  leere\u00a0 stellen \t", "ﬁsch\u2026", "\uff76\uff9e\uff76",
         "cafe\u0301 café", "weich\u00adzeichen", "ďakujem pekne, ľúbim ťa!", "你好 世界", "emoji 🙂🙂 done", "\u2581am\u2581 \u2581",
         "a<sign>b <sign> c", "\u2581<extra_id_3> and <extra_id_3>", "</s> <unk> <0x41>", "x\u0000y", "ẞ\u0323\u0302 Ǆ", "ÄÖÜ äöü ß",
         "the signer says hello to all of you", "nordenundsüden schneewolken windsonne", "\uff9e\u0301", "\n"]


def train(sentences, **options):
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(sentences), model_writer=model, model_type="unigram", pad_id=0,
                                   eos_id=1, unk_id=2, bos_id=-1, byte_fallback=True, minloglevel=2, **options)
    return model.getvalue()


def sentences(words, count):
    draw = random.Random(1)
    return [" ".join(draw.choices(words, k=draw.randint(3, 12))) for _ in range(count)]


def small():
    points = lambda text: " ".join(f"{ord(c):X}" for c in text)
    # The name of the rules' file is in the model.
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        pathlib.Path("rules.tsv").write_text("".join(f"{points(a)}\t{points(b)}\n" for a, b in RULES.items()))
        return train(sentences(WORDS, 400), vocab_size=420, hard_vocab_limit=False, normalization_rule_tsv="rules.tsv",
                     user_defined_symbols=["<sign>", *EXTRA[-4:]])


def field(number, content):
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def piece(text, score, kind=None):
    of_kind = b"" if kind is None else bytes([3 << 3, kind])
    return field(1, field(1, text.encode()) + bytes([2 << 3 | 5]) + struct.pack("<f", score) + of_kind)


def enlarged(model, size=250_100):
    """`model` with so many pieces: words of random letters. The test makes the same ones."""
    letters = "abcdefghijklmnopqrstuvwxyzäöüßčšžľ"
    seen = {own.piece for own in read(model)}
    parts, state = [model], 1
    while len(seen) < size:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        bits = state >> 16
        text = "\u2581" * (bits & 1) + "".join(letters[(bits >> (6 + 6 * i)) % 64 % len(letters)] for i in range(2 + (bits >> 1) % 4))
        if text not in seen:
            seen.add(text)
            parts.append(piece(text, -(8192 + (bits >> 32) % 8192) / 1024))
    return b"".join(parts)


def read(model):
    from sentencepiece import sentencepiece_model_pb2 as pb2
    proto = pb2.ModelProto()
    proto.ParseFromString(model)
    return proto.pieces


def library(model):
    return spm.SentencePieceProcessor(model_proto=model)


def write():
    model = small()
    TESTS.mkdir(exist_ok=True)
    (TESTS / "small.model").write_bytes(model)
    plain, large = library(model), library(enlarged(model))
    cases = []
    for text in TEXTS:
        ids = plain.encode(text)
        cases.append({"text": text, "ids": ids, "ids_enlarged": large.encode(text), "decoded": plain.decode(ids)})
    said = {"made_by": f"sentencepiece {spm.__version__}", "command": "just write-sentencepiece", "cases": cases}
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    said = json.dumps({key: value for key, value in said.items() if key != "cases"}, indent=1)[:-2]
    (TESTS / "small.json").write_text(f'{said},\n "cases": [\n{lines}\n ]\n}}\n')
    print(f"{len(model)} bytes, {len(cases)} texts")


def of_mt5(corpus):
    """nmt_nfkc, bytes, the extra tokens in the file, 250,100 pieces: those of a trained model, and parts of the corpus's and
    of random words."""
    draw = random.Random(2)
    words = [word for text in corpus for word in text.split()] + WORDS
    trained = train(sentences(words, 3000), vocab_size=1200, hard_vocab_limit=False, normalization_rule_name="nmt_nfkc")
    seen, parts = {own.piece for own in read(trained)}, [trained]

    def add(text, score, kind=None):
        if text not in seen and len(text.encode()) < 60:
            seen.add(text)
            parts.append(piece(text, score, kind))

    size = 250_000
    for word in sorted(set(words)):
        for begin in range(len(word)):
            for end in range(begin + 1, min(len(word), begin + 8) + 1):
                add("\u2581" * (begin == 0) + word[begin:end], -draw.uniform(7, 16))
    assert len(seen) < size
    planes = [(0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x17F), (0x400, 0x4FF), (0x5D0, 0x5EA), (0x620, 0x64A), (0x905, 0x939),
              (0xE01, 0xE30), (0x3041, 0x30FF), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3)]
    while len(seen) < size:
        low, high = draw.choice(planes)
        text = "".join(chr(draw.randint(low, high)) for _ in range(draw.randint(1, 4)))
        # The same score often, so that many ways are equally good.
        add("\u2581" * draw.randint(0, 1) + text, -draw.choice([8.5, 9.25, 11.0, 12.75, draw.uniform(7, 16)]))
    for text in EXTRA:
        add(text, 0.0, 4)
    return b"".join(parts)


def odd_texts(count):
    """Of characters that normalisation changes, and of spaces."""
    draw = random.Random(3)
    planes = [(0x0, 0x7F), (0x80, 0x24F), (0x300, 0x36F), (0x370, 0x5FF), (0x600, 0x6FF), (0x1100, 0x11FF), (0x2000, 0x206F),
              (0x2150, 0x218F), (0x2460, 0x24FF), (0x3000, 0x33FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFB4F),
              (0xFE70, 0xFFEF), (0x1F300, 0x1F6FF), (0x2F800, 0x2FA1F)]

    def character():
        if draw.random() < 0.3:
            return draw.choice("  aeio\u0301\u0302\u0323\u3099\uff9e\uff9f\u200d")
        return chr(draw.randint(*draw.choice(planes)))

    return ["".join(character() for _ in range(draw.randint(1, 30))) for _ in range(count)]


def shared_sentences(data):
    files = [*data.glob("annotations/phoenix14t/*.csv"), *data.glob("annotations/how2sign/*.csv"),
             *data.glob("sign/slovak_sentences/sentences.tsv")]
    found = []
    for file in sorted(files):
        with open(file, newline="", encoding="utf-8") as lines:
            rows = list(csv.reader(lines, delimiter="|" if "phoenix" in str(file) else "\t", quoting=csv.QUOTE_NONE))
        columns = [i for i, name in enumerate(rows[0]) if name in ("translation", "SENTENCE", "text_sk", "text_en")]
        found += [row[i] for row in rows[1:] for i in columns if i < len(row)]
    return found


def ours(program, file, texts):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([program, file], input=lines, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{program} {file}: {done.stdout}{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def main():
    program, data = sys.argv[1], pathlib.Path(sys.argv[2])
    corpus = shared_sentences(data)
    texts = TEXTS + corpus + odd_texts(30_000)
    print(f"sentencepiece {spm.__version__}; {len(corpus)} sentences of {data}, {len(texts) - len(corpus)} other texts")
    models = {"the tests' own": (TESTS / "small.model").read_bytes(), "of mT5's kind and size": of_mt5(corpus)}
    t5 = data / "tokenizers/t5/spiece.model"
    if t5.is_file():
        models["T5's"] = t5.read_bytes()
    failed = False

    def compare(what, got, want):
        nonlocal failed
        wrong = [i for i, (a, b) in enumerate(zip(got, want, strict=True)) if a != b]
        print(f"{what}: {len(want) - len(wrong)} of {len(want)} equal")
        for i in wrong[:5]:
            print(f"  {texts[i]!r}\n    {got[i]}\n    {want[i]}")
        failed |= bool(wrong)

    with tempfile.TemporaryDirectory() as place:
        for name, model in models.items():
            file = pathlib.Path(place, "spiece.model")
            file.write_bytes(model)
            reference = library(model)
            want = [ids + [reference.eos_id()] for ids in reference.encode(texts)]
            got = ours(program, file, texts)
            compare(f"model {name} ({reference.vocab_size()} pieces)", got, want)
            if name == "T5's":
                texts = corpus
                compare("T5's as tokenizer.json", ours(program, file, texts), ours(program, t5.with_name("tokenizer.json"), texts))
    print(json.dumps({"sentencepiece": spm.__version__, "failed": failed}))
    sys.exit(1 if failed else 0)


if sys.argv[1:] == ["--write"]:
    write()
else:
    main()
