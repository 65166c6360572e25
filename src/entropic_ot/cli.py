"""The command line: parses, dispatches to entropic_ot.commands, turns errors into one message.

Nothing heavy is imported before a command is chosen, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from entropic_ot import launch
from entropic_ot.errors import EntropicOTError
from entropic_ot.metrics.registry import PUBLISHED_WEIGHTS
from entropic_ot.stopping import Terminated, stop_signals


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="entropic-ot",
        description="Entropic neural optimal transport: the steps of the workflow, one by one. "
        "`snakemake --cores 8 --resources gpu=1 all` chains them; each also runs on its own.",
    )
    parser.add_argument("--traceback", action="store_true", help="show where an error was raised")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    def path(p: argparse.ArgumentParser, flag: str, text: str) -> None:
        p.add_argument(flag, type=Path, required=True, metavar="PATH", help=text)

    def params(p: argparse.ArgumentParser) -> None:
        p.add_argument(
            "--params", type=Path, default=Path("params.yaml"), help="default: params.yaml"
        )
        p.add_argument("--scale", help="smoke, laptop or paper; default: the one in params.yaml")

    def processes(p: argparse.ArgumentParser) -> None:
        p.add_argument(
            "--processes",
            type=int,
            metavar="N",
            help=f"in N processes by torchrun, a GPU each where there are GPUs; the results "
            f"differ in rounding alone. Default: {launch.VARIABLE}, or 1",
        )

    params(command("configure", "resolve params.yaml into one JSON file per run"))
    p = command(
        "fetch", "get raw data or weights: present, mirror folder (EOT_MIRROR), public sources"
    )
    p.add_argument(
        "dataset",
        choices=[
            "mnist",
            "msci",
            "cifar10",
            "orl",
            "celeba",
            "afhq",
            "afhqdog",
            *PUBLISHED_WEIGHTS,
        ],
    )
    p.add_argument("--dim", type=int, choices=[50, 100], default=50, help="of msci")
    path(p, "--out", "mnist: the pointer file to write; else the folder (weights: data/weights)")
    p = command("convert", "write the generator of a StyleGAN2-ADA pickle as safetensors")
    path(p, "--pickle", "network pickle (.pkl); it is read as data, nothing in it is executed")
    path(p, "--out", "file to write (.safetensors)")
    p = command("prepare", "write the training and test arrays of a data set")
    path(p, "--config", "results/<scale>/config/data/<dataset>.json")
    path(p, "--out", "folder to write to")
    p = command("classifier", "train the independent digit classifier")
    path(p, "--config", "results/<scale>/config/classifier.json")
    path(p, "--out", "folder to write to")
    p = command("train", "train one run, or go on training it")
    path(p, "--config", "results/<scale>/config/<case>/<run>.json")
    path(p, "--out", "folder of the finished run")
    path(p, "--work", "folder of its checkpoints while it trains; resumed from")
    processes(p)
    p = command("train-generator", "train one StyleGAN2 generator, or go on training it")
    path(p, "--config", "results/<scale>/config/generators/<name>.json")
    path(p, "--out", "folder to write generator.safetensors, samples.png and the log to")
    path(p, "--work", "folder of checkpoints and samples while it trains; resumed from")
    processes(p)
    p = command("encode", "encode images as points of a generator's latent space (w)")
    path(p, "--config", "results/<scale>/config/generators/<name>.json")
    path(p, "--generator", "generator.safetensors, trained or converted")
    path(p, "--data", "folder of the prepared data set")
    path(p, "--out", "file to write (.npz): w and the error of each image")
    path(p, "--work", "folder of the encoder and of what is encoded so far; resumed from")
    p = command("sample", "sample a trained run")
    path(p, "--config", "the run's JSON file")
    path(p, "--sampling", "results/<scale>/config/<case>/sampling.json")
    path(p, "--run", "folder of the finished run")
    path(p, "--out", "samples file to write (.npz)")
    processes(p)
    p = command("reference", "compute two large discrete plans that samples are compared with")
    path(p, "--config", "results/<scale>/config/<case>/reference-<eps>.json")
    path(p, "--out", "file to write (.npz)")
    p = command("evaluate", "compute the metrics of a run's samples")
    path(p, "--config", "the run's JSON file")
    path(p, "--evaluation", "results/<scale>/config/<case>/evaluation.json")
    path(p, "--run", "folder of the finished run")
    path(p, "--samples", "its samples file")
    path(p, "--out", "metrics file to write (.json)")
    p.add_argument(
        "--reference", type=Path, metavar="PATH", help="the plans that `reference` wrote, if needed"
    )
    p = command("table", "gather metrics files into metrics.csv, over_time.csv, metrics.{md,json}")
    p.fromfile_prefix_chars = "@"
    p.add_argument(
        "--logs", type=Path, nargs="*", default=[], metavar="PATH",
        help="log.jsonl of each of these runs, in the same order: makes losses.csv too",
    )  # fmt: skip
    path(p, "--out", "folder to write to")
    p.add_argument(
        "metrics", type=Path, nargs="*",
        help="metrics files; @FILE, here and for --logs: those that FILE names, one a line",
    )  # fmt: skip
    p = command("pages", "write results.html, runs.html and settings.html: whole by themselves")
    path(p, "--config", "results/<scale>/config/page.json")
    path(p, "--metrics", "metrics.csv")
    path(p, "--paper-values", "workflow/paper_values.yaml")
    path(p, "--overview", "the figure of all comparisons (.png)")
    path(p, "--templates", "workflow/pages")
    path(p, "--out", "folder to write to")
    p = command("summary", "one line per result: what was made, where, what is missing")
    params(p)
    p.add_argument(
        "--succeeded",
        action="store_true",
        help="the workflow just ended well: what is missing was not asked for, and is only counted",
    )
    p.add_argument(
        "--failed", action="store_true", help="it did not end well: what is missing is only counted"
    )
    p = command("progress", "what is done, rule by rule, and how far each running training is")
    params(p)
    p.add_argument("--follow", action="store_true", help="again every 2 seconds, until Ctrl-C")
    p = command("curves", "curves of trainings, finished or running, as TensorBoard's event files")
    params(p)
    p.add_argument(
        "runs", nargs="*", metavar="RUN", help="case/run, with * and ? as in a shell; default: all"
    )
    p.add_argument("--out", type=Path, metavar="PATH", help="default: results/<scale>/curves")
    p.add_argument("--follow", action="store_true", help="go on as they train, until Ctrl-C")
    p.add_argument("--serve", action="store_true", help="the same, and show them by TensorBoard")
    command("schema", "print the JSON Schema of params.yaml")
    return parser


def _run(args: argparse.Namespace) -> None:
    if args.command == "configure":
        from entropic_ot.commands.configure import configure

        configure(args.params, args.scale)
    elif args.command == "fetch":
        from entropic_ot.commands import fetch

        if args.dataset == "mnist":
            fetch.fetch_mnist(args.out)
        elif args.dataset in PUBLISHED_WEIGHTS:
            fetch.fetch_published_weights(args.out, args.dataset)
        elif args.dataset == "msci":
            fetch.fetch_msci(args.out, args.dim)
        else:
            fetch.fetch_images(args.dataset, args.out)
    elif args.command == "convert":
        from entropic_ot.commands.convert import convert

        convert(args.pickle, args.out)
    elif args.command == "prepare":
        from entropic_ot.commands.prepare import prepare

        prepare(args.config, args.out)
    elif args.command == "classifier":
        from entropic_ot.commands.classifier import train_classifier

        train_classifier(args.config, args.out)
    elif args.command == "train":
        from entropic_ot.commands.train import train

        train(args.config, args.out, args.work)
    elif args.command == "train-generator":
        from entropic_ot.commands.train_generator import train_generator

        train_generator(args.config, args.out, args.work)
    elif args.command == "encode":
        from entropic_ot.commands.encode import encode

        encode(args.config, args.generator, args.data, args.out, args.work)
    elif args.command == "sample":
        from entropic_ot.commands.sample import sample

        sample(args.config, args.sampling, args.run, args.out)
    elif args.command == "evaluate":
        from entropic_ot.commands.evaluate import evaluate

        evaluate(args.config, args.evaluation, args.run, args.samples, args.out, args.reference)
    elif args.command == "reference":
        from entropic_ot.commands.reference import reference

        reference(args.config, args.out)
    elif args.command == "table":
        from entropic_ot.commands.table import table

        table(args.metrics, args.out, logs=args.logs)
    elif args.command == "pages":
        from entropic_ot.commands.pages import pages

        pages(args.config, args.metrics, args.paper_values, args.overview, args.templates, args.out)
    elif args.command == "summary":
        from entropic_ot.commands.summary import summary

        summary(args.params, args.scale, succeeded=args.succeeded, failed=args.failed)
    elif args.command == "progress":
        from entropic_ot.commands.progress import progress

        progress(args.params, args.scale, follow=args.follow)
    elif args.command == "curves":
        from entropic_ot.commands.curves import curves

        curves(
            args.params, args.scale, args.runs,
            out=args.out, follow=args.follow, serve=args.serve,
        )  # fmt: skip
    elif args.command == "schema":
        from entropic_ot.commands.schema import schema_text

        sys.stdout.write(schema_text())


def _is_memory(error: BaseException) -> bool:
    """By their names and words, since torch is imported only by the commands that need it."""
    by_name = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return by_name or "can't allocate memory" in str(error)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `entropic-ot`; returns the exit status."""
    # Threads of OpenMP that wait must sleep, not spin: where another process wants the same cores,
    # spinning made training 20 times slower. Read once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    argv = sys.argv[1:] if argv is None else argv
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        with stop_signals():
            processes = launch.num_processes(args.processes) if "processes" in args else 1
            if processes > 1:
                return launch.in_processes(processes, argv)
            _run(args)
    except EntropicOTError as error:
        if args.traceback:
            raise
        print(f"entropic-ot {args.command}: error: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a folder that cannot be written to, a full disk
        if args.traceback:
            raise
        where = "the operating system" if error.filename is None else error.filename
        print(
            f"entropic-ot {args.command}: error: {where}: found {error.strerror or error}, "
            "expected a path that can be read or written. Check it, its permissions and the disk.",
            file=sys.stderr,
        )
        return 1
    except (MemoryError, RuntimeError) as error:
        if args.traceback or not _is_memory(error):
            raise
        print(
            f"entropic-ot {args.command}: error: memory: found too little ({_first_line(error)}), "
            "expected room for what params.yaml asks for. Lower batch_size, num_points or the size "
            "of the networks, or take a machine with more.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt as interrupt:
        word = "terminated" if isinstance(interrupt, Terminated) else "interrupted"
        with contextlib.suppress(OSError):  # what this is piped into may be gone already
            print(
                f"entropic-ot {args.command}: {word}; nothing is half written, and the same "
                "command goes on from the last checkpoint",
                file=sys.stderr,
            )
        return 143 if isinstance(interrupt, Terminated) else 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
