"""All audits of a competition's data and folds, before anything is trained; each says what it looked at, or why not."""

from __future__ import annotations

import numpy as np

from goldfold.data.image_checks import are_windows
from goldfold.experiment.fits import Experiment, fold_numbers
from goldfold.experiment.fits.same_folds import seen_of_scored_folds
from goldfold.experiment.setup import Prepared
from goldfold.optional_parts import LabelColumns
from goldfold.params import Role, values
from goldfold.sequences import windows
from goldfold.trust import audits
from goldfold.trust.audits import Check, Finding, made, mask_sizes, not_made
from goldfold.trust.audits.fits import teachers
from goldfold.trust.audits.windows import sample_of
from goldfold.trust.table_audits import of_tables
from goldfold.trust.thumbnails import thumbnails

MOST_COMPARED = 20_000  # images that are compared with one another, about 20 s of one core; of more, a sample
READ_IN_TRAINING = 2_000  # images that a run reads for it; if more are not kept yet, it compares a sample of this size


def of_data(found: Prepared, most_read: int = READ_IN_TRAINING) -> list[Check]:
    """Audit data, folds and parameters. most_read: images that are read to look for near-duplicates."""
    experiment = found.experiment
    checks = [_rules(experiment), *_folds(found), *_labels(experiment), *_inputs(found)]
    checks += of_tables(experiment.competition, experiment.tables, experiment.folds, found.contents[0])
    shape = mask_sizes.predicted(experiment.recipe, experiment.params, experiment.runtime.classes)
    stale = audits.stale_data(found.name, found.workspace.changed_inputs(found.name))
    return [
        *checks,
        _recordings(found),
        _near_duplicates(found, most_read),
        _overlapping_windows(experiment),
        mask_sizes.ceiling(experiment.tables.train, shape),
        made("raw files and data.py against the prepared rows", ["stale_data"], stale),
        _labels_of_models(found),
    ]


def _labels_of_models(found: Prepared) -> Check:
    """Rows that a teacher labels, and extra rows that only a model can have labeled."""
    what, codes = "rows whose label came from a model", ["pseudo_label_leak", "no_pseudo_labels"]
    experiment, lessons, own = found.experiment, found.experiment.lessons, len(found.loaded.train)
    train, test = experiment.tables.train, experiment.tables.test
    start = experiment.starts_from
    if lessons is None and len(train) == own and start is None:
        why = "there are no teachers and no extra rows, and tables do not say who labeled them"
        started = f"'{experiment.loop.init_from}' was looked at before the fits started from it"
        return not_made(what, codes, started if experiment.loop.init_from else why)
    extra, (contents, of_test) = train["id"].iloc[own:], found.contents
    findings = teachers.labeled_test_rows(contents.iloc[own:], extra, of_test, test["id"], "path" in train)
    if lessons is not None:
        findings += teachers.leaking_teachers(lessons.facts, lessons.distill.predictions if lessons.distill else None)
    if start is not None:
        findings += teachers.leaking_teachers({"init_from": seen_of_scored_folds(start)}, None)
    if lessons is not None and lessons.pseudo and lessons.unlabeled is not None:
        counts = {fold: len(lessons.sure(fold)) for fold in fold_numbers(experiment.protocol, experiment.folds)}
        unsure = teachers.no_pseudo_labels(counts, len(lessons.unlabeled), lessons.pseudo.threshold)
        findings += audits.merge_places(unsure)
    return made(what, codes, findings)


def _rules(experiment: Experiment) -> Check:
    what, codes, rules = "rules of the competition", ["rule_broken"], experiment.competition.rules
    if not rules:
        return not_made(what, codes, "the competition declares no `rules`")
    return made(what, codes, audits.rule_broken(rules, experiment.params))


def _folds(found: Prepared) -> list[Check]:
    """Rows, contents, groups and neighbors in time on both sides of folds, and copies in the test table."""
    experiment = found.experiment
    competition, data, folds = experiment.competition, experiment.tables, experiment.folds
    (contents, test_contents), ids = found.contents, data.train["id"]
    files = "path" in data.train
    shared = audits.shared_contents(folds, contents, ids, files=files)
    copies = audits.copies_in_test(contents, ids, test_contents, data.test["id"], files)
    checks = [
        made("rows on both sides of a fold", ["shared_rows"], audits.shared_rows(folds)),
        made("equal contents on both sides of a fold", ["shared_contents"], shared),
        made("copies of training samples in the test table", ["copies_in_test"], copies),
    ]
    what, codes = "groups on both sides of a fold", ["shared_groups"]
    if competition.group:
        checks.append(made(what, codes, audits.shared_groups(folds, data.train[competition.group])))
    else:
        checks.append(not_made(what, codes, "the competition declares no `group`"))
    return [*checks, *_neighbors(experiment)]


def _neighbors(experiment: Experiment) -> list[Check]:
    """Near-duplicates in time across folds, and in the galleries of scored rows."""
    competition = experiment.competition
    close, retrieval = competition.neighbors, competition.metric.retrieval
    what = "near-duplicates in time on both sides of a fold", "near-duplicates in time in galleries"
    codes = ["neighbor_leakage"], ["neighbor_ranked"]
    why = "the competition declares no `neighbors`"
    if close is None:
        return [not_made(*each, why) for each in zip(what, codes, strict=True)]
    leaking = audits.neighbor_leakage(experiment.folds, experiment.tables.train, close)
    first = made(what[0], codes[0], leaking)
    if retrieval is None:
        return [first, not_made(what[1], codes[1], "the metric ranks no gallery")]
    ranked: list[Finding] = []
    for number in fold_numbers(experiment.protocol, experiment.folds):
        rows = experiment.tables.train.iloc[experiment.folds[number].validation].reset_index(drop=True)
        ranked += audits.neighbor_ranked(retrieval.pairs(rows), rows, close, f"fold {number}")
    return [first, made(what[1], codes[1], audits.merge_places(ranked))]


def _labels(experiment: Experiment) -> list[Check]:
    """Classes that training rows lack, rows without any label, and object classes of the test rows alone."""
    competition, data, folds = experiment.competition, experiment.tables, experiment.folds
    labels, classes = experiment.recipe.labels, experiment.runtime.classes
    what, codes = "classes that the training rows of a fold lack", ["untrained_class"]
    if isinstance(labels, LabelColumns):
        several = data.train[list(labels.columns)]
        checks = [
            made(what, codes, audits.untrained_classes(folds, several, labels.columns)),
            made("rows without any label", ["rows_without_labels"], audits.rows_without_labels(several)),
        ]
    elif labels and classes and labels.column in data.train:
        checks = [made(what, codes, audits.untrained_classes(folds, data.train[labels.column], classes))]
    else:
        checks = [not_made(what, codes, "the recipe predicts no classes")]
    what, codes = "classes of objects in the test table alone", ["unseen_class"]
    if column := competition.object_class:
        return [*checks, made(what, codes, audits.unseen_classes(data.train[column], data.test[column]))]
    return [*checks, not_made(what, codes, "the competition declares no `object_class`")]


def _inputs(found: Prepared) -> list[Check]:
    """Texts, images and masks that a recipe reads."""
    experiment, checks = found.experiment, []
    data, texts = experiment.tables, [each for each in values(experiment.params, Role.TEXT).values() if each]
    what, codes = "rows without a text", ["missing_texts"]
    if texts:
        missing = [each for text in texts for each in audits.missing_texts(text, data.train, data.test)]
        checks.append(made(what, codes, missing))
    else:
        checks.append(not_made(what, codes, "the recipe reads no texts"))
    image_codes = ["broken_images", "dark_sixteen_bit", "animated_images"]
    mask_codes = ["empty_masks", "mask_orientation_unclear", "lossy_masks", "single_valued_masks", "many_valued_masks"]
    if found.images is None:
        why = "the tables have no images"
        return [*checks, not_made("images, decoded", image_codes, why), not_made("masks, decoded", mask_codes, why)]
    on_broken, targets = experiment.protocol.on_broken, experiment.competition.targets
    every = audits.images_and_masks(found.images, data.train, targets, on_broken)
    of_masks = [each for each in every if each.code in mask_codes]
    checks.append(made("images, decoded", image_codes, [each for each in every if each.code not in mask_codes]))
    if "mask_path" in data.train:
        return [*checks, made("masks, decoded", mask_codes, of_masks)]
    return [*checks, not_made("masks, decoded", mask_codes, "the train table has no `mask_path`")]


def _recordings(found: Prepared) -> Check:
    """Broken, silent and clipped recordings, and their sample rates."""
    what, codes = "recordings, decoded", ["broken_audio", "silent_audio", "clipped_audio", "several_sample_rates"]
    if found.sounds is None:
        return not_made(what, codes, "the tables have no audio files")
    return made(what, codes, audits.recordings(found.sounds, found.experiment.protocol.on_broken))


def _near_duplicates(found: Prepared, most_read: int) -> Check:
    """Thumbnails are kept by content in data/cache, but those of private images, which are read every time."""
    experiment, files = found.experiment, found.images or found.sounds
    names, codes = ("recordings", "near_duplicate_audio") if found.sounds else ("images", "near_duplicate_images")
    train, what = experiment.tables.train, f"near-duplicate {names} on both sides of a fold"
    if files is None:
        return not_made(what, ["near_duplicate_images", "near_duplicate_audio"], "the tables have no images or sounds")
    kept = found.workspace.cache / "thumbnails" / f"{found.name}.npz"
    contents = found.contents[0].tolist()
    images, positions = thumbnails(
        train["path"].tolist(),
        contents,
        None if experiment.competition.private_images else kept,
        MOST_COMPARED,
        most_read,
    )
    if len(images) < 2:
        return not_made(what, [codes], f"fewer than 2 {names} can be decoded")
    if len(images) < len(train) - len(files.broken("train")):
        command = f"make audit COMP={found.name} reads up to {MOST_COMPARED:,}"
        what += f", {len(images):,} of {len(train):,} in a sample" + (
            f": {command}" if most_read < MOST_COMPARED else ""
        )
    audit = audits.near_duplicate_audio if found.sounds else audits.near_duplicate_images
    findings = audit(images, positions, experiment.folds, train["id"], found.contents[0])
    return made(what, [codes], findings)


def _overlapping_windows(experiment: Experiment) -> Check:
    """Read the windows of the train table, of many a sample."""
    what, codes = "frames of one recording on both sides of a fold", ["overlapping_windows"]
    train = experiment.tables.train
    if not are_windows(train):
        return not_made(what, codes, "the tables have no windows (.npz) in `path`")
    if len(train) > MOST_COMPARED:
        what += f", {MOST_COMPARED:,} of {len(train):,} windows in a sample"
    compared = sample_of(len(train), MOST_COMPARED)
    features = [np.empty((0, 1))] * len(train)
    for place in compared:
        window = windows.read(train["path"].iloc[place])
        features[place] = window.features[window.valid]
    return made(what, codes, audits.overlapping_windows(features, experiment.folds, train["id"]))
