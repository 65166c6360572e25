# Notebooks turn samples and tables into figures; they compute nothing that a table would show.

# Experiments on the user's own arrays need no figure in params.yaml: the notebook own_data draws one
# for each that no other figure shows, by the experiment's name.
SHOWN = {run.config.experiment for runs in PARAMS.figures.values() for run in runs}
OWN_DATA = [
    run
    for run in PARAMS.runs
    if run.config.problem.kind == "arrays" and run.config.experiment not in SHOWN
]
OWN_FIGURES = {
    own.config.experiment: [
        run for run in OWN_DATA if run.config.experiment == own.config.experiment
    ]
    for own in OWN_DATA
}
FIGURES = PARAMS.figures | OWN_FIGURES


rule figure:
    input:
        sources=sources("plotting"),
        script="workflow/scripts/run_notebook.py",
        notebook=lambda w: f"workflow/notebooks/{'own_data' if w.figure in OWN_FIGURES else w.figure}.py",
        metrics=rules.table.output.csv,
        samples=lambda w: [
            LAYOUT.samples(run.case, run.name) for run in FIGURES[w.figure]
        ],
    output:
        png=report(
            LAYOUT.figures / "{figure}.png",
            caption="../report/figure.rst",
            category="Figures",
            subcategory="{figure}",
            labels={"figure": "{figure}", "file": "picture"},
        ),
        pdf=LAYOUT.figures / "{figure}.pdf",
        notebook=LAYOUT.notebooks / "{figure}.ipynb",
        html=report(
            LAYOUT.notebooks / "{figure}.html",
            caption="../report/notebook.rst",
            category="Figures",
            subcategory="{figure}",
            labels={"figure": "{figure}", "file": "notebook"},
        ),
    log:
        log_path("figure", "{figure}"),
    benchmark:
        benchmark_path("figure", "{figure}")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        mem_mb=2000,
        runtime=30,
    params:
        scale=SCALE,
        prefix=str(LAYOUT.figures / "{figure}"),
    message:
        "drawing {wildcards.figure}"
    shell:
        "(python {input.script} {input.notebook}"
        " --notebook {output.notebook} --html {output.html} --scale {params.scale}"
        " --metrics {input.metrics} --out {params.prefix} --samples {input.samples})"
        " 2>&1 | tee {log}"


rule figures:
    input:
        expand(rules.figure.output, figure=FIGURES),
    message:
        f"all figures are made: see {LAYOUT.figures}"
