# From trained runs to samples, metrics and tables.


rule sample:
    input:
        sources=sources("sample"),
        config=LAYOUT.run_config("{case}", "{run}"),
        sampling=LAYOUT.sampling_config("{case}"),
        data=run_data,
        checkpoint=rules.train.output.checkpoint,
    output:
        LAYOUT.samples("{case}", "{run}"),
    log:
        log_path("sample", "{case}/{run}"),
    benchmark:
        benchmark_path("sample", "{case}/{run}")
    conda:
        ENVIRONMENT
    threads: sampling_threads
    resources:
        processors=training_processors,
        gpu=gpu_if_present,
        mem_mb=samples_memory,
        runtime=120,
    params:
        run=subpath(input.checkpoint, parent=True),
    message:
        "sampling {wildcards.case} {wildcards.run}"
    shell:
        "(entropic-ot sample --config {input.config}"
        " --sampling {input.sampling} --run {params.run} --out {output}) 2>&1 | tee {log}"


rule reference:
    input:
        sources=sources("reference"),
        config=LAYOUT.reference_config("{case}", "{plan}"),
    output:
        LAYOUT.reference("{case}", "{plan}"),
    log:
        log_path("reference", "{case}/{plan}"),
    benchmark:
        benchmark_path("reference", "{case}/{plan}")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        mem_mb=8000,
        runtime=120,
    message:
        "computing the reference {wildcards.case} {wildcards.plan}"
    shell:
        "(entropic-ot reference --config {input.config} --out {output}) 2>&1 | tee {log}"


rule fetch_weights:
    # No sources among the inputs: files that are checked by their sha256 do not become stale.
    # update(): what is there already, perhaps put there by hand, is not deleted first.
    output:
        update(paths.WEIGHTS / "{file}"),
    log:
        "data/logs/fetch_weights-{file}.log",
    benchmark:
        "data/benchmarks/fetch_weights-{file}.tsv"
    wildcard_constraints:
        file="|".join(file.name for file in PUBLISHED.values()),
    retries: 2
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        mem_mb=1000,
        runtime=60,
    params:
        name=lambda w: weights_name(w.file),
        out=subpath(output[0], parent=True),
    message:
        "fetching the weights {params.name}"
    shell:
        "(entropic-ot fetch {params.name} --out {params.out}) 2>&1 | tee {log}"


rule evaluate:
    input:
        sources=sources("evaluate"),
        config=LAYOUT.run_config("{case}", "{run}"),
        evaluation=LAYOUT.evaluation_config("{case}"),
        data=run_data,
        checkpoint=rules.train.output.checkpoint,
        provenance=rules.train.output.provenance,
        samples=rules.sample.output,
        classifier=lambda w: (
            rules.classifier.output.model if run_of(w).needs_classifier else []
        ),
        weights=lambda w: run_of(w).weights,
        reference=reference_of,
    output:
        LAYOUT.metrics("{case}", "{run}"),
    log:
        log_path("evaluate", "{case}/{run}"),
    benchmark:
        benchmark_path("evaluate", "{case}/{run}")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=gpu_of_networks,
        processors=1,
        mem_mb=samples_memory,
        runtime=120,
    params:
        run=subpath(input.checkpoint, parent=True),
        reference=lambda w: " ".join(f"--reference {path}" for path in reference_of(w)),
    message:
        "evaluating {wildcards.case} {wildcards.run}"
    shell:
        "(entropic-ot evaluate --config {input.config}"
        " --evaluation {input.evaluation} --run {params.run} --samples {input.samples}"
        " {params.reference} --out {output}) 2>&1 | tee {log}"


rule table:
    input:
        sources=sources("table"),
        metrics=[LAYOUT.metrics(run.case, run.name) for run in PARAMS.runs],
        logs=[LAYOUT.log(run.case, run.name) for run in PARAMS.runs],
        # The same names: a shell takes no command of more than 128 kB.
        metrics_list=LAYOUT.metrics_list,
        logs_list=LAYOUT.logs_list,
    output:
        csv=report(
            LAYOUT.tables / "metrics.csv",
            caption="../report/runs.rst",
            category="Tables",
            labels={"table": "Every metric of every run", "file": "CSV"},
        ),
        over_time=LAYOUT.tables / "over_time.csv",
        markdown=LAYOUT.tables / "metrics.md",
        json=LAYOUT.tables / "metrics.json",
        losses=LAYOUT.tables / "losses.csv",
    log:
        log_path("table"),
    benchmark:
        benchmark_path("table")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        # All rows lie in memory: 35 kB a run, of five metrics and a hundred lines of log.
        mem_mb=1000 + len(PARAMS.runs) // 20,
        runtime=10 + len(PARAMS.runs) // 5000,
    params:
        out=subpath(output.csv, parent=True),
    message:
        "making the tables"
    shell:
        "(entropic-ot table --out {params.out} @{input.metrics_list} --logs @{input.logs_list})"
        " 2>&1 | tee {log}"
