"""All that the workflow asks of params.yaml at one scale, and the files that its jobs read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from entropic_ot.data.weights import PUBLISHED
from entropic_ot.experiments.config import (
    ArraysProblem,
    ClassifierConfig,
    ComputeConfig,
    EvaluationConfig,
    ProblemConfig,
    ReferenceConfig,
    RunConfig,
    image_problem,
    to_json,
)
from entropic_ot.experiments.generator_config import (
    EncodingJob,
    GeneratorSource,
    TrainedGenerator,
    training_job,
)
from entropic_ot.experiments.page_config import PageConfig, PageFigure
from entropic_ot.experiments.params.schema import FigureParams
from entropic_ot.experiments.paths import WEIGHTS, Layout, dataset_name, generator_of
from entropic_ot.files import write_text
from entropic_ot.metrics.registry import PUBLISHED_WEIGHTS


def weights_path(name: str) -> Path:
    """Where the published weights of this name lie: effnet, inception, lpips."""
    return WEIGHTS / PUBLISHED[name].name


@dataclass(frozen=True)
class Run:
    """A run and the files that its jobs need."""

    config: RunConfig
    needs: frozenset[str]
    """What its metrics need: lenet (the classifier), effnet, inception, lpips, reference."""
    reference: ReferenceConfig | None
    """The large discrete plan that a metric compares with; None when none does."""

    @property
    def case(self) -> str:
        return self.config.case

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def dataset(self) -> str | None:
        return dataset_name(self.config.problem)

    @property
    def needs_classifier(self) -> bool:
        return "lenet" in self.needs

    @property
    def weights(self) -> list[Path]:
        """Files of published weights that its evaluation reads."""
        return [weights_path(name) for name in PUBLISHED_WEIGHTS if name in self.needs]

    @property
    def data_files(self) -> list[Path]:
        """What the training reads besides its configuration."""
        return Layout(self.config.scale).data_files(self.config.problem)


@dataclass(frozen=True)
class Params:
    """All that the workflow asks of params.yaml at one scale."""

    scale: str
    runs: list[Run]
    evaluations: dict[str, EvaluationConfig]
    classifier: ClassifierConfig
    figure_params: dict[str, FigureParams]
    left_out: list[str]
    generators: dict[str, GeneratorSource]
    """All of params.yaml; `used_generators` are those of the runs."""
    compute: ComputeConfig

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.scale)

    @cached_property
    def cases(self) -> list[str]:
        return list(dict.fromkeys(run.case for run in self.runs))

    @cached_property
    def datasets(self) -> dict[str, ProblemConfig]:
        """Prepared data sets by folder name: those of the runs, and what generators learn."""
        problems = [image_problem(run.config.problem) for run in self.runs]
        problems += [
            source.images
            for source in self.generators.values()
            if isinstance(source, TrainedGenerator)
        ]
        named = ((dataset_name(problem), problem) for problem in problems)
        return {name: problem for name, problem in named if name is not None}

    @cached_property
    def used_generators(self) -> list[str]:
        """Generators of the runs' latent problems, each once."""
        names = (generator_of(run.config.problem) for run in self.runs)
        return list(dict.fromkeys(name for name in names if name is not None))

    @cached_property
    def encoded(self) -> list[tuple[str, str]]:
        """(generator, data set) for the generators of the runs that are trained here: what each
        learns is also what shows how well it can be encoded."""
        sources = {name: self.generators[name] for name in self.used_generators}
        pairs = (
            (name, dataset_name(source.images))
            for name, source in sources.items()
            if isinstance(source, TrainedGenerator)
        )
        return [(name, dataset) for name, dataset in pairs if dataset is not None]

    @cached_property
    def needs_classifier(self) -> bool:
        return any(run.needs_classifier for run in self.runs)

    @cached_property
    def references(self) -> list[ReferenceConfig]:
        """The large discrete plans that metrics compare with, each once."""
        plans = (run.reference for run in self.runs)
        return list({(r.case, r.name): r for r in plans if r is not None}.values())

    @cached_property
    def figures(self) -> dict[str, list[Run]]:
        """The runs behind each figure; figures with an experiment left out are not made.

        An experiment on the user's own arrays needs no entry in params.yaml: where no figure shows
        it, there is one by its own name.
        """
        chosen = {}
        for name, figure in self.figure_params.items():
            runs = [r for r in self.runs if r.config.experiment in figure.experiments]
            if {r.config.experiment for r in runs} == set(figure.experiments):
                chosen[name] = runs
        shown = {run.config.experiment for runs in chosen.values() for run in runs}
        for run in self.runs:
            name = run.config.experiment
            if isinstance(run.config.problem, ArraysProblem) and name not in shown:
                chosen.setdefault(name, []).append(run)
        return chosen

    def notebook_of(self, figure: str) -> str:
        """The notebook that draws this figure, in workflow/notebooks: its own, or own_data."""
        params = self.figure_params.get(figure)
        return "own_data" if params is None else params.notebook

    def caption_of(self, figure: str) -> str:
        """What this figure shows, in one sentence without its full stop."""
        params = self.figure_params.get(figure)
        own_data = "The learned plans of your own data for each epsilon"
        return own_data if params is None else params.caption

    @cached_property
    def page(self) -> PageConfig:
        """What the results page shows."""
        figures = [self._page_figure(name, runs) for name, runs in self.figures.items()]
        used = {name: self.generators[name] for name in self.used_generators}
        evaluations = {case: self.evaluations[case] for case in self.cases}
        shown = dataclasses.replace(self, generators=used, evaluations=evaluations)
        return PageConfig(
            scale=self.scale,
            figures=(*figures, *self._generator_figures()),
            # Those of the sampling stand in the evaluation's too.
            settings=tuple(
                str(path)
                for path in _config_texts(shown)
                if path not in map(self.layout.sampling_config, self.cases)
            ),
        )

    def _page_figure(self, name: str, runs: list[Run]) -> PageFigure:
        figures, notebooks = self.layout.figures, self.layout.notebooks
        return PageFigure(
            name=name,
            caption=self.caption_of(name),
            experiments=tuple(dict.fromkeys(run.config.experiment for run in runs)),
            picture=str(figures / f"{name}.png"),
            files=(str(figures / f"{name}.pdf"), str(notebooks / f"{name}.html")),
        )

    def _generator_figures(self) -> list[PageFigure]:
        """Samples of each generator that is trained here, and what it makes of its images."""
        figures = []
        for name, dataset in self.encoded:
            users = (r.config for r in self.runs if generator_of(r.config.problem) == name)
            experiments = tuple(dict.fromkeys(config.experiment for config in users))
            samples = self.layout.generator(name).with_name("samples.png")
            figures += [
                PageFigure(
                    name=f"{name}-samples",
                    caption=f"Samples of the generator {name}, which is trained here",
                    experiments=experiments,
                    picture=str(samples),
                    files=(),
                ),
                PageFigure(
                    name=f"{name}-encoded",
                    caption=f"Images of {dataset} and what {name} makes of their encodings",
                    experiments=experiments,
                    picture=str(self.layout.encoding_figure(name, dataset, ".png")),
                    files=(
                        str(self.layout.encoding_figure(name, dataset, ".pdf")),
                        str(self.layout.encoding_notebook(name, dataset, ".html")),
                    ),
                ),
            ]
        return figures


def write_configs(params: Params) -> list[Path]:
    """Write the resolved configuration of every run and case; only files whose text changed.

    Files of runs that are no longer in params.yaml are removed. Returns the files that belong.
    """
    texts = config_texts(params)
    for path, text in texts.items():
        if not path.exists() or path.read_text() != text:
            write_text(path, text)
    for ending in ("json", "txt"):
        for path in (params.layout.root / "config").rglob(f"*.{ending}"):
            if path not in texts:
                path.unlink()
    return list(texts)


def config_texts(params: Params) -> dict[Path, str]:
    """What `write_configs` writes: path -> text."""
    page = {params.layout.page_config: to_json(params.page)}
    return _config_texts(params) | _list_texts(params) | page


def _list_texts(params: Params) -> dict[Path, str]:
    """The files that commands on many runs read, as lists: a command line would be too short."""
    layout, figures = params.layout, params.figures.items()
    lists = {
        layout.metrics_list: [layout.metrics(run.case, run.name) for run in params.runs],
        layout.logs_list: [layout.log(run.case, run.name) for run in params.runs],
    } | {
        layout.samples_list(name): [layout.samples(run.case, run.name) for run in runs]
        for name, runs in figures
    }
    return {path: "".join(f"{file}\n" for file in files) for path, files in lists.items()}


def _config_texts(params: Params) -> dict[Path, str]:
    layout, texts = params.layout, {}
    for run in params.runs:
        texts[layout.run_config(run.case, run.name)] = to_json(run.config)
    for case, evaluation in params.evaluations.items():
        texts[layout.evaluation_config(case)] = to_json(evaluation)
        texts[layout.sampling_config(case)] = to_json(evaluation.sampling)
    for reference in params.references:
        path = layout.reference_config(reference.case, reference.name)
        texts[path] = to_json(reference)
    for dataset, problem in params.datasets.items():
        texts[layout.data_config(dataset)] = to_json(problem)
    for name, source in params.generators.items():
        scale, compute = params.scale, params.compute
        if isinstance(source, TrainedGenerator):
            job = training_job(name, source, scale=scale, compute=compute)
            texts[layout.generator_config(name)] = to_json(job)
        encoding = EncodingJob(scale=scale, name=name, encoding=source.encoding, compute=compute)
        texts[layout.encoding_config(name)] = to_json(encoding)
    if params.needs_classifier:
        texts[layout.classifier_config] = to_json(params.classifier)
    return texts
