import csv
import json
import re
import shutil
from dataclasses import replace

import pytest
import torch

from diffusion import checkpoint
from diffusion.cli import main
from diffusion.evaluation.command import train_classifier
from diffusion.evaluation.judge import evaluate
from diffusion.evaluation.marks import FEW, MANY
from diffusion.evaluation.plan import SECTIONS, Plan
from diffusion.theory import SCHEDULES

SMALL = Plan(
    clips=3,
    control_clips=3,
    curve_clips=8,
    evaluations=(2, FEW, MANY),
    guidance_scales=(1.0, 4.0),
    guidance_from=(-15.0, 0.0),
    samplers=("unipc", "heun"),
    lengths=(0.5, 1.0, 2.0),
    batch=5,
    resamples=20,
)


@pytest.fixture(scope="module")
def report(invented_data, ear_folder, invented_checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    text = evaluate(invented_data, ear_folder, invented_checkpoint, out, SMALL, vocoder="none", cpu=True)
    return out, text


@pytest.fixture(scope="module")
def real_report(invented_data, ear_folder, tmp_path_factory):
    """Real clips judged as if they were generated."""
    out = tmp_path_factory.mktemp("real")
    plan = Plan(clips=8, control_clips=8, resamples=50)
    text = evaluate(invented_data, ear_folder, None, out, plan, vocoder="none", cpu=True)
    return json.loads((out / "marks.json").read_text(encoding="utf-8")), text


def test_the_marks_come_first_and_say_what_was_measured(report):
    out, text = report
    assert (out / "report.md").read_text(encoding="utf-8") == text
    found = json.loads((out / "marks.json").read_text(encoding="utf-8"))
    table = text.split("## Marks")[1].split("##")[0]
    for name, mark in found["marks"].items():
        line = next(line for line in table.splitlines() if line.startswith(f"| {name} |"))
        assert line.rstrip(" |").endswith("holds" if mark["holds"] else "**fails**")
    assert text.index("## Marks") < text.index("## Accuracy") < text.index("## Samplers")
    for part in ("ensemble named", "style named", "over the floor, random ear", "diversity", "in tune", "memory"):
        assert part in text
    names = "\n".join(found["marks"])
    for ear in ("hand-made", "random", "trained"):
        assert f"Fréchet distance over the floor, {ear} ear" in names
        assert f"Fréchet distance at {FEW} over {MANY} evaluations, {ear} ear" in names
    assert "clips near to training music, more than of held-out clips" in names
    assert len(re.findall("control, .*: marks failed", names)) == 3


def test_a_network_that_knows_no_music_fails(report):
    marks = json.loads((report[0] / "marks.json").read_text(encoding="utf-8"))["marks"]
    assert not marks["ensemble named correctly"]["holds"]
    for ear in ("hand-made", "random", "trained"):
        assert not marks[f"Fréchet distance over the floor, {ear} ear"]["holds"]


def test_every_number_is_in_the_table(report):
    out, _ = report
    found = json.loads((out / "marks.json").read_text(encoding="utf-8"))
    with (out / "report.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["section"] for row in rows} == {"marks", "sets", "curves", "breaks"}
    by_place = {(row["section"], row["of"], row["measure"]): row for row in rows}
    assert len(by_place) == len(rows)
    for name, numbers in found["sets"].items():
        ratio = numbers["ears"]["trained"]["frechet_ratio"]
        row = by_place["sets", name, "ears / trained / frechet_ratio"]
        assert [float(row[end]) for end in ("value", "low", "high")] == [ratio[end] for end in ("value", "low", "high")]
    assert set(found["breaks"]) == set(SMALL.samplers)
    assert len(found["curves"]) == 3 + 2 + len(SMALL.guidance_from) + len(SMALL.rules) + 2 * 4 + len(SMALL.grids) + 3


def test_pictures_are_drawn(report):
    out, text = report
    links = re.findall(r"^- \[.*\]\((.*)\)$", text, re.M)
    assert {"sheet.png", "music.png", "memory.png", *(f"{name}.png" for name in SECTIONS[1:])} <= set(links)
    for name in links:
        assert (out / name).stat().st_size > 1000


def test_a_report_goes_on_where_it_was_interrupted(report, invented_data, ear_folder, invented_checkpoint, tmp_path):
    out, text = report
    files = sorted(path.relative_to(out) for path in (out / "clips").rglob("*.safetensors"))
    for path in files[: len(files) // 2]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes((out / path).read_bytes())
    (tmp_path / files[0]).write_bytes((out / files[0]).read_bytes()[:100])  # as a full disk leaves it
    kept = {path: (tmp_path / path).stat().st_mtime_ns for path in files[1 : len(files) // 2]}
    assert evaluate(invented_data, ear_folder, invented_checkpoint, tmp_path, SMALL, vocoder="none", cpu=True) == text
    for name in ("report.csv", "marks.json"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()
    assert {path: (tmp_path / path).stat().st_mtime_ns for path in kept} == kept


def test_a_schedule_that_does_not_end_in_noise_is_said_in_the_head(
    report, invented_data, ear_folder, invented_checkpoint, tmp_path
):
    out, text = report
    assert "is left, but sampling begins from pure noise" not in text
    made = checkpoint.load(invented_checkpoint)
    configuration = replace(made.configuration, schedule={"name": "quadratic"})
    checkpoint.save(tmp_path / "short", configuration, made.network.state_dict(), torch.float32)
    for path in (out / "clips").glob("real*"):
        shutil.copytree(path, tmp_path / "report" / "clips" / path.name)
    plan = replace(SMALL, sections=())
    text = evaluate(invented_data, ear_folder, tmp_path / "short", tmp_path / "report", plan, vocoder="none", cpu=True)
    assert SCHEDULES["quadratic"]().warning in text.partition("\n## ")[0]


def test_real_clips_pass_what_they_must(real_report):
    found, text = real_report
    marks = found["marks"]
    assert text.startswith("# Real clips, judged as if generated")
    for name, mark in marks.items():
        if "named correctly" in name or ("diversity" in name and "trained" in name):
            assert mark["high"] >= mark["threshold"], (name, mark)  # a small ear, trained for seconds
        else:
            assert mark["holds"], (name, mark)
    assert found["sets"]["real, train"]["ears"]["random"]["frechet_ratio"]["value"] == 1
    assert found["sets"]["real, test"]["ears"]["random"]["frechet"]["value"] == pytest.approx(0, abs=1e-3)
    assert found["sets"]["real, test"]["ears"]["random"]["frechet_undecoded"]["value"] > 0
    assert not found["curves"]


def test_controls_fail_and_say_in_what(real_report):
    found, text = real_report
    for kind in ("shuffled frames", "one held chord", "one clip repeated"):
        assert found["sets"][f"control, {kind}"]["failed"]
        assert f"| control, {kind} | refused |" in text
    repeated = found["sets"]["control, one clip repeated"]
    assert any("diversity" in name for name in repeated["failed"])
    assert repeated["style"]["value"] > 0.7  # nothing but its sameness gives it away


def test_the_training_music_is_found_in_the_memory(real_report):
    found, _ = real_report
    train, test = (found["sets"][f"real, {split}"]["nearest"]["quantile 0.5"] for split in ("train", "test"))
    assert train > 0.9
    assert train > test


def test_the_command_trains_and_evaluates(invented_data, tmp_path, capsys):
    train_classifier(
        invented_data, tmp_path / "ear", 0, frames=64, width=2, steps=2, batch=4, round_trips=0, check_steps=1
    )
    assert "real clips of the test split: ensemble" in capsys.readouterr().out
    folders = ["--data", str(invented_data), "--classifier", str(tmp_path / "ear"), "--out", str(tmp_path)]
    main(["evaluate", *folders, "--clips", "2", "--sections", "marks"])
    said = capsys.readouterr().out
    assert "## Marks" in said
    assert "vocoder vocoder (" in said  # the one that is shipped
    assert not (tmp_path / "sheet.png").exists()  # nothing was generated


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "o"], "classifier, out: name a folder"),
        (["--clips", "1"], "clips: got 1, need at least 2"),
        (["--control-clips", "9"], "control_clips: got 9, need at most 4"),
        (["--guidance-scale", "0.5"], "guidance_scale: got 0.5"),
        (["--evaluations", "0"], "evaluations: got 0"),
        (["--lengths", "0"], "length: got 0.0, need a positive number"),
        (["--samplers", "magic"], "sampler: got 'magic', allowed unipc"),
        (["--sections", "all"], f"sections: got 'all', allowed {', '.join(SECTIONS)}"),
        (["--seed", "-1"], "seed: got -1"),
        (["--seed", "4294"], "seed: got 4294, allowed 0 to 4293"),
        (["--classifier", "nowhere", "--out", "o"], "nowhere has no file classifier.json"),
        (["--classifier", "EAR", "--out", "o", "--data", "nowhere"], "no features in nowhere"),
        (["--classifier", "EAR", "--out", "o", "--checkpoint", "nowhere"], "checkpoint nowhere: no file"),
        (["--classifier", "EAR", "--out", "o", "--vocoder", "nowhere"], "checkpoint nowhere: no file"),
        (["--train-classifier", "o", "--data", "nowhere"], "no features in nowhere"),
    ],
)
def test_what_is_missing_is_one_line(arguments, message, ear_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message):
        main(["evaluate", *(str(ear_folder) if a == "EAR" else a for a in arguments)])


def test_a_checkpoint_with_other_labels_is_refused(invented_data, ear_folder, small_checkpoint, tmp_path):
    with pytest.raises(ValueError, match="has the labels style"):
        evaluate(invented_data, ear_folder, small_checkpoint, tmp_path)


def test_a_length_of_half_a_patch_is_refused_at_once(invented_data, ear_folder, invented_checkpoint, tmp_path):
    with pytest.raises(ValueError, match=r"length: 0\.1 times 64 frames, need a multiple of 4"):
        evaluate(invented_data, ear_folder, invented_checkpoint, tmp_path, Plan(lengths=(0.1,)))
    assert not any(tmp_path.iterdir())
