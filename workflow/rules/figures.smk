# Notebooks turn samples and tables into figures; they compute nothing that a table would show.
PAGE_TEMPLATES = ["style.css", *(f"{name}.html" for name in LAYOUT.pages)]


rule figure:
    input:
        sources=lambda w: write_sources.of_notebook(PARAMS.notebook_of(w.figure)),
        script=ours("workflow/scripts/run_notebook.py"),
        notebook=lambda w: ours(f"workflow/notebooks/{PARAMS.notebook_of(w.figure)}.py"),
        metrics=rules.table.output.csv,
        over_time=rules.table.output.over_time,  # found beside metrics
        samples=lambda w: [
            LAYOUT.samples(run.case, run.name) for run in PARAMS.figures[w.figure]
        ],
        samples_list=LAYOUT.samples_list("{figure}"),  # the same names: see rule table
        records=lambda w: shared_records(PARAMS.figures[w.figure]),
    output:
        png=report(
            LAYOUT.figures / "{figure}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}", "file": "figure"},
        ),
        pdf=LAYOUT.figures / "{figure}.pdf",
        notebook=LAYOUT.notebooks / "{figure}.ipynb",
        html=report(
            LAYOUT.notebooks / "{figure}.html",
            caption="../report/notebook.rst",
            category="Figures",
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
        "(python {input.script:q} {input.notebook:q}"
        " --notebook {output.notebook} --html {output.html} --scale {params.scale}"
        " --metrics {input.metrics} --out {params.prefix} --samples @{input.samples_list})"
        " 2>&1 | tee {log}"


# It makes a figure too, from all tables and no samples, so its files have names of figures.
ruleorder: comparison > figure


rule comparison:
    input:
        sources=sources("comparison"),
        plotting=sources("plotting"),
        script=ours("workflow/scripts/run_notebook.py"),
        notebook=ours("workflow/notebooks/tables.py"),
        metrics=rules.table.output.csv,
        paper_values=ours("workflow/paper_values.yaml"),
    output:
        markdown=LAYOUT.tables / "comparison.md",
        csv=report(
            LAYOUT.tables / "comparison.csv",
            caption="../report/comparison.rst",
            category="Tables",
            labels={"table": "Papers, baselines and ours", "file": "CSV"},
        ),
        latex=report(
            LAYOUT.tables / "comparison.tex",
            caption="../report/comparison.rst",
            category="Tables",
            labels={"table": "Papers, baselines and ours", "file": "LaTeX"},
        ),
        png=report(
            LAYOUT.figures / "comparison.png",
            caption="../report/comparison.rst",
            category="Figures",
            labels={"figure": "comparison", "file": "figure"},
        ),
        pdf=LAYOUT.figures / "comparison.pdf",
        notebook=LAYOUT.notebooks / "tables.ipynb",
        html=report(
            LAYOUT.notebooks / "tables.html",
            caption="../report/comparison.rst",
            category="Figures",
            labels={"figure": "comparison", "file": "notebook"},
        ),
    log:
        log_path("comparison"),
    benchmark:
        benchmark_path("comparison")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        mem_mb=1000,
        runtime=30,
    params:
        scale=SCALE,
        prefix=subpath(output.png, strip_suffix=".png"),
        tables=subpath(output.csv, parent=True),
    message:
        "comparing with the papers"
    shell:
        "(python {input.script:q} {input.notebook:q}"
        " --notebook {output.notebook} --html {output.html} --scale {params.scale}"
        " --metrics {input.metrics} --out {params.prefix}"
        " --parameter paper_values {input.paper_values:q} --parameter tables {params.tables})"
        " 2>&1 | tee {log}"


rule figures:
    input:
        # Without the notebooks: they are by-products, and too large for the store of docs/versions.md.
        expand(
            [rules.figure.output.png, rules.figure.output.pdf], figure=PARAMS.figures
        ),
    message:
        f"all figures are made: see {LAYOUT.figures}"


# Pages that need nothing beside them. No time stands in them, so that reruns are the same bytes.
rule pages:
    input:
        sources=sources("pages"),
        frame=ours("workflow/pages/base.html"),
        templates=[ours(f"workflow/pages/{name}") for name in PAGE_TEMPLATES],
        config=LAYOUT.page_config,
        settings=PARAMS.page.settings,
        metrics=rules.table.output.csv,
        paper_values=ours("workflow/paper_values.yaml"),
        overview=rules.comparison.output.png,
        pictures=[figure.picture for figure in PARAMS.page.figures],
    output:
        results=report(
            LAYOUT.pages["results"],
            caption="../report/results.rst",
            category="Results",
            labels={"page": "Papers, baselines and ours, with the figures"},
        ),
        runs=report(
            LAYOUT.pages["runs"],
            caption="../report/runs.rst",
            category="Tables",
            labels={"table": "Every metric of every run", "file": "page"},
        ),
        settings=report(
            LAYOUT.pages["settings"],
            caption="../report/settings.rst",
            category="Configuration",
            labels={"page": "All settings of all runs"},
        ),
    log:
        log_path("pages"),
    benchmark:
        benchmark_path("pages")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        mem_mb=1000,
        runtime=10,
    params:
        templates=subpath(input.frame, parent=True),
        out=subpath(output.results, parent=True),
    message:
        "writing the pages of results"
    shell:
        "(entropic-ot pages --config {input.config} --metrics {input.metrics}"
        " --paper-values {input.paper_values:q} --overview {input.overview}"
        " --templates {params.templates:q} --out {params.out}) 2>&1 | tee {log}"
