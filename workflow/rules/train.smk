# One job per experiment, method, epsilon and seed; and the independent classifier.


rule classifier:
    input:
        sources=sources("classifier"),
        config=LAYOUT.classifier_config,
        raw=paths.MNIST_SOURCE,
    output:
        model=LAYOUT.classifier / "model.safetensors",
        metrics=LAYOUT.classifier / "metrics.json",
    log:
        log_path("classifier"),
    benchmark:
        benchmark_path("classifier")
    conda:
        ENVIRONMENT
    threads: training_threads
    resources:
        mem_mb=4000,
        runtime=60,
        processors=training_processors,
    params:
        out=subpath(output.model, parent=True),
    message:
        "training the digit classifier"
    shell:
        "(entropic-ot classifier --config {input.config} --out {params.out}) 2>&1 | tee {log}"


rule train:
    input:
        sources=sources("train"),
        config=LAYOUT.run_config("{case}", "{run}"),
        data=run_data,
    output:
        checkpoint=LAYOUT.run("{case}", "{run}") / "checkpoint.safetensors",
        state=LAYOUT.run("{case}", "{run}") / "training_state.safetensors",
        log=LAYOUT.log("{case}", "{run}"),
        provenance=LAYOUT.run("{case}", "{run}") / "provenance.json",
    log:
        log_path("train", "{case}/{run}"),
    benchmark:
        benchmark_path("train", "{case}/{run}")
    conda:
        ENVIRONMENT
    threads: shared_training_threads
    resources:
        gpu=1,
        mem_mb=8000,
        runtime=720,
        processors=training_processors,
    params:
        out=subpath(output.checkpoint, parent=True),
        # Not an output on purpose: Snakemake and DVC delete the outputs of a job that was killed,
        # and this is what it goes on from.
        work=str(LAYOUT.work("{case}", "{run}")),
    message:
        "training {wildcards.case} {wildcards.run}"
    shell:
        "(entropic-ot train --config {input.config} --out {params.out} --work {params.work})"
        " 2>&1 | tee {log}"
