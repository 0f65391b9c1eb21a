import pytest
import torch

from diffusion import checkpoint
from diffusion.audio.codec import LogMelCodec
from diffusion.audio.griffin_lim import GriffinLim
from diffusion.cli import main
from diffusion.data.dataset import Features
from diffusion.evaluation.clips import gather, generated, real
from diffusion.evaluation.command import evaluate, train_classifier

SETTINGS = {"guidance_scales": (1.0, 2.0), "clips": 2, "control_clips": 1, "steps": 2, "batch": 3, "cpu": True}


@pytest.fixture(scope="module")
def report(invented_data, ear_folder, invented_checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    text = evaluate(invented_data, ear_folder, invented_checkpoint, out, **SETTINGS)
    return out, text


def test_the_report_holds_every_set_and_its_pictures(report):
    out, text = report
    assert (out / "report.md").read_text(encoding="utf-8") == text
    for name in ("generated, guidance 1", "generated, guidance 2", "real, test", "real, train", "shuffled", "held"):
        assert name in text
    lines = (out / "report.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 6
    assert len({line.count(",") - line.count(", ") for line in lines}) == 1
    assert {path.name for path in out.glob("sheet-*.png")} == {
        f"sheet-generated-guidance-{scale}.png" for scale in (1, 2)
    }
    assert len(list(out.glob("confusion-*.png"))) == 6
    for line in text.splitlines():
        if line.startswith("- ["):
            assert (out / line.split("(")[1].rstrip(")")).stat().st_size > 1000


def test_the_distance_of_the_reference_to_itself_is_zero(report):
    _, text = report
    row = next(line for line in text.split("## Distance")[1].splitlines() if line.startswith("| real, test"))
    assert [cell.strip() for cell in row.split("|")][2:4] in (["0.00", "0.00"], ["-0.00", "-0.00"])


def test_a_report_goes_on_where_it_was_interrupted(
    report, invented_data, ear_folder, invented_checkpoint, tmp_path, monkeypatch
):
    out, text = report
    files = sorted(path.relative_to(out) for path in (out / "clips").rglob("*.safetensors"))
    for path in files[: len(files) // 2]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes((out / path).read_bytes())
    (tmp_path / files[0]).write_bytes((out / files[0]).read_bytes()[:100])  # as a full disk leaves it
    assert evaluate(invented_data, ear_folder, invented_checkpoint, tmp_path, **SETTINGS) == text
    assert (tmp_path / "report.csv").read_bytes() == (out / "report.csv").read_bytes()


def test_an_interrupted_set_makes_only_what_is_missing(invented_data, tmp_path):
    recipe = real(Features(invented_data, "test"), 2, 64, 0)
    codec = LogMelCodec(decoder=GriffinLim(1))
    made = []

    def counted(rows):
        made.append(rows)
        return recipe.make(rows)

    watched = type(recipe)(recipe.name, recipe.style, recipe.ensemble, recipe.settings, counted)

    def interrupted(batches):
        yield from batches[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gather(watched, codec, tmp_path, batch=3, progress=interrupted)
    resumed = gather(watched, codec, tmp_path, batch=3)
    assert made == [range(0, 3), range(3, 6), range(6, 8)]
    whole = gather(recipe, codec, tmp_path / "whole", batch=3)
    for name in ("features", "heard", "grid", "pitch_classes"):
        assert torch.equal(getattr(resumed, name), getattr(whole, name))
    assert not list(tmp_path.rglob("*.part"))


def test_clips_belong_to_their_seed_not_to_their_batch(invented_checkpoint):
    model = checkpoint.load(invented_checkpoint)
    bounds = LogMelCodec().bounds

    def make(seed, rows):
        return generated(model, 2, guidance_scale=1.5, steps=2, seed=seed, bounds=bounds).make(rows)

    together = make(0, range(0, 4))
    apart = torch.cat([make(0, range(0, 2)), make(0, range(2, 4))])
    torch.testing.assert_close(together, apart, atol=0.05, rtol=0)  # bfloat16 in batches of other sizes
    assert not torch.allclose(together, make(1, range(0, 4)), atol=0.05)
    assert together.min() >= bounds[0]
    assert together.max() <= bounds[1]


def test_real_clips_are_spread_over_performances(invented_data):
    features = Features(invented_data, "test")
    recipe = real(features, 5, 64, 0)
    assert torch.equal(torch.bincount(2 * recipe.style + recipe.ensemble), torch.full((4,), 5))
    clips = recipe.make(range(20))
    assert len({clip.numpy().tobytes() for clip in clips}) == 20
    with pytest.raises(ValueError, match="frames: got 161"):
        real(features, 1, 161, 0)


def test_the_command_trains_and_evaluates(invented_data, tmp_path, capsys):
    train_classifier(
        invented_data, tmp_path / "ear", 0, frames=64, width=2, steps=2, batch=4, round_trips=0, check_steps=1
    )
    assert "real clips of the test split: ensemble" in capsys.readouterr().out
    folders = ["--data", str(invented_data), "--classifier", str(tmp_path / "ear"), "--out", str(tmp_path)]
    main(["evaluate", *folders, "--clips", "1", "--control-clips", "1"])
    assert "control, one held chord" in capsys.readouterr().out
    assert not list(tmp_path.glob("sheet-*"))  # nothing was generated


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "o"], "classifier, out: name a folder"),
        (["--clips", "0"], "clips: got 0"),
        (["--guidance-scale", "0.5"], "guidance_scale: got"),
        (["--seed", "-1"], "seed: got -1"),
        (["--classifier", "nowhere", "--out", "o"], "nowhere has no file classifier.json"),
        (["--classifier", "EAR", "--out", "o", "--data", "nowhere"], "no features in nowhere"),
        (["--classifier", "EAR", "--out", "o", "--checkpoint", "nowhere"], "checkpoint nowhere: no file"),
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
