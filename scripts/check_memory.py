"""The most memory that `extract` holds does not grow with the length of a video, nor with the number of clips.

    check_memory.py EXTRACT DATA

Small networks (`--preset tiny`), both streams, a face in every 25th frame looked for. Videos are made by ffmpeg, of a
real signer where DATA has one, else of a test picture, in which there is no face. Exits with 1 where a peak is more than
its limit times that of the shorter work; the last line is one JSON object of the ratios.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

extract, data = sys.argv[1:3]
signer = pathlib.Path(data, "sign/slovak_sentences/000.mp4")
detector = pathlib.Path(data, "weights/mobilenet0.25_Final.pth")


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True)


def video(place, name, size, seconds, of, times=1):
    """A video of `seconds`, and the same repeated `times` without coding it again."""
    source = ["-stream_loop", "-1", "-i", of] if of else ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25"]
    path = place / f"{name}.mp4"
    ffmpeg(*source, "-an", "-t", seconds, "-vf", f"scale={size.replace('x', ':')},setsar=1", "-r", 25, "-c:v", "libx264",
           "-preset", "ultrafast", "-pix_fmt", "yuv420p", path)
    if times == 1:
        return path, path
    ffmpeg("-stream_loop", times - 1, "-i", path, "-c", "copy", place / f"{name}-long.mp4")
    return path, place / f"{name}-long.mp4"


def peak(place, clips):
    """MiB at most, and frames stored."""
    (place / "clips.jsonl").write_text("".join(json.dumps(clip) + "\n" for clip in clips))
    with tempfile.TemporaryDirectory(dir=place) as out:
        command = [extract, "--dataset", place / "clips.jsonl", "--preset", "tiny", "--detect-every", 25, "--gpus", "cpu",
                   "--out", out, "--json"]
        if detector.is_file():
            command += ["--weights", place / "weights"]
        with open(place / "said", "w+") as said:
            child = subprocess.Popen(list(map(str, command)), stdout=said, stderr=subprocess.STDOUT)
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            said.seek(0)
            text = said.read()
        if child.returncode:
            sys.exit(f"{' '.join(map(str, command))}: exit code {child.returncode}\n{text}")
    # Log lines stand before the JSON.
    done = json.loads(text[text.index("\n{\n") + 1:])["all"]
    return used.ru_maxrss / 1024, done["frames"]


def compare(place, what, short, long, limit):
    (small, few), (large, many) = peak(place, short), peak(place, long)
    ratio = large / small
    fine = ratio <= limit
    print(f"{what}: {small:.0f} MiB for {few} frames, {large:.0f} MiB for {many}: {ratio:.2f} times, "
          f"{'at most' if fine else 'MORE THAN'} {limit}", flush=True)
    return ratio, fine


with tempfile.TemporaryDirectory(dir="target") as place:
    place = pathlib.Path(place)
    if detector.is_file():
        (place / "weights/retinaface").mkdir(parents=True)
        (place / "weights/retinaface" / detector.name).symlink_to(detector.resolve())
    signer = signer if signer.is_file() else None
    whole = lambda path: [{"id": "clip", "video": str(path.resolve())}]
    part = lambda path, n: {"id": f"clip{n}", "video": str(path.resolve()), "start": n % 45 / 5, "end": n % 45 / 5 + 0.2}
    results = {}
    short, long = video(place, "hd", "1280x720", 10, signer, 60)
    results["long"] = compare(place, "1280x720, 10 minutes against 10 seconds", whole(short), whole(long), 1.3)
    # The allocator's pools of all threads fill in steps, most of them within the first 300 clips.
    results["clips"] = compare(place, "2000 clips against 500", [part(short, n) for n in range(500)],
                               [part(short, n) for n in range(2000)], 1.1)
    short, long = video(place, "faceless", "1280x720", 10, None, 6)
    results["faceless"] = compare(place, "1280x720 without a face, 1 minute against 10 seconds", whole(short), whole(long), 1.3)
    short, long = video(place, "film", "3840x2160", 4, signer, 5)
    # Four seconds do not fill what a clip may hold at this size.
    results["film"] = compare(place, "3840x2160, 20 seconds against 4", whole(short), whole(long), 2.0)

print(json.dumps({name: round(ratio, 3) for name, (ratio, _) in results.items()}))
sys.exit(0 if all(fine for _, fine in results.values()) else 1)
