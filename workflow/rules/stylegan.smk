# Generators, trained or converted, and images as points of their latent spaces. In `all` there are
# only those that an experiment of `all` uses; each file can be asked for by its name.


rule generator:
    input:
        sources=sources("train_generator"),
        config=LAYOUT.generator_config("{generator}"),
        data=trained_data,
    output:
        generator=LAYOUT.generator("{generator}"),
        samples=report(
            LAYOUT.generator("{generator}").with_name("samples.png"),
            caption="../report/generator.rst",
            category="Generators",
            labels={"generator": "{generator}", "file": "samples"},
        ),
        log=LAYOUT.generator("{generator}").with_name("log.jsonl"),
        provenance=LAYOUT.generator("{generator}").with_name("provenance.json"),
    log:
        log_path("generator", "{generator}"),
    benchmark:
        benchmark_path("generator", "{generator}")
    wildcard_constraints:
        generator=of_kind("trained"),
    # First of all, since the most jobs wait for it.
    priority: 100
    conda:
        ENVIRONMENT
    threads: shared_training_threads
    resources:
        gpu=1,
        mem_mb=8000,
        runtime=1440,
        processors=training_processors,
    params:
        out=subpath(output.generator, parent=True),
        # Not an output on purpose: what a killed job goes on from (see rule train).
        work=str(LAYOUT.generator_work("{generator}")),
    message:
        "training the generator {wildcards.generator}"
    shell:
        "(entropic-ot train-generator --config {input.config} --out {params.out}"
        " --work {params.work}) 2>&1 | tee {log}"


rule fetch_afhqdog:
    # update(): see fetch_msci. In the plan where the pickle is in a mirror folder.
    output:
        update(paths.AFHQ_DOGS),
    log:
        "data/logs/fetch_afhqdog.log",
    benchmark:
        "data/benchmarks/fetch_afhqdog.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        mem_mb=1000,
        runtime=120,
    params:
        out=subpath(output[0], parent=True),
    message:
        "fetching the published generator of AFHQ's dogs"
    shell:
        "(entropic-ot fetch afhqdog --out {params.out}) 2>&1 | tee {log}"


rule convert:
    input:
        sources=sources("convert"),
        pickle=lambda w: generator_source(w, "converted").pickle,
    output:
        generator=LAYOUT.generator("{generator}"),
        provenance=LAYOUT.generator("{generator}").with_name("provenance.json"),
    log:
        log_path("convert", "{generator}"),
    benchmark:
        benchmark_path("convert", "{generator}")
    wildcard_constraints:
        generator=of_kind("converted"),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        mem_mb=4000,
        runtime=30,
    message:
        "converting the generator {wildcards.generator}"
    shell:
        "(entropic-ot convert --pickle {input.pickle:q} --out {output.generator})"
        " 2>&1 | tee {log}"


rule encode:
    input:
        sources=sources("encode"),
        config=LAYOUT.encoding_config("{generator}"),
        generator=LAYOUT.generator("{generator}"),
        data=lambda w: paths.prepared_files(dataset_of(w)),
    output:
        latents=LAYOUT.latents("{generator}", "{dataset}"),
        provenance=LAYOUT.latents_provenance("{generator}", "{dataset}"),
    log:
        log_path("encode", "{generator}/{dataset}"),
    benchmark:
        benchmark_path("encode", "{generator}/{dataset}")
    priority: 90
    conda:
        ENVIRONMENT
    threads: training_threads
    resources:
        gpu=1,
        mem_mb=8000,
        runtime=720,
        processors=training_processors,
    params:
        data=lambda w: str(paths.PREPARED / w.dataset),
        # Not an output on purpose: what a killed job goes on from (see rule train).
        work=str(LAYOUT.latents_work("{generator}", "{dataset}")),
    message:
        "encoding {wildcards.dataset} by {wildcards.generator}"
    shell:
        "(entropic-ot encode --config {input.config} --generator {input.generator}"
        " --data {params.data} --out {output.latents} --work {params.work}) 2>&1 | tee {log}"


rule encoding:
    input:
        sources=write_sources.of_notebook("encoding"),
        script=ours("workflow/scripts/run_notebook.py"),
        notebook=ours("workflow/notebooks/encoding.py"),
        latents=rules.encode.output.latents,
        provenance=rules.encode.output.provenance,
    output:
        png=report(
            LAYOUT.encoding_figure("{generator}", "{dataset}", ".png"),
            caption="../report/generator.rst",
            category="Generators",
            labels={"generator": "{generator}", "file": "encoded {dataset}"},
        ),
        pdf=LAYOUT.encoding_figure("{generator}", "{dataset}", ".pdf"),
        notebook=LAYOUT.encoding_notebook("{generator}", "{dataset}", ".ipynb"),
        html=report(
            LAYOUT.encoding_notebook("{generator}", "{dataset}", ".html"),
            caption="../report/generator.rst",
            category="Generators",
            labels={"generator": "{generator}", "file": "notebook: {dataset}"},
        ),
    log:
        log_path("encoding", "{generator}/{dataset}"),
    benchmark:
        benchmark_path("encoding", "{generator}/{dataset}")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        mem_mb=2000,
        runtime=30,
    params:
        scale=SCALE,
        prefix=subpath(output.png, strip_suffix=".png"),
    message:
        "drawing what {wildcards.generator} makes of {wildcards.dataset}"
    shell:
        "(python {input.script:q} {input.notebook:q}"
        " --notebook {output.notebook} --html {output.html} --scale {params.scale}"
        " --metrics '' --out {params.prefix} --parameter latents {input.latents}"
        " --parameter provenance {input.provenance}) 2>&1 | tee {log}"


rule encodings:
    input:
        [
            LAYOUT.encoding_figure(generator, dataset, ".png")
            for generator, dataset in PARAMS.encoded
        ],
    message:
        f"all encodings are made: see {LAYOUT.figures}"
