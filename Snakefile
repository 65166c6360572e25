from snakemake.utils import min_version

min_version("9.27")


configfile: "params.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/checkout.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/stylegan.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/figures.smk"


localrules:
    all,
    figures,
    encodings,


rule all:
    default_target: True
    input:
        rules.table.output,
        rules.comparison.output,
        rules.figures.input,
        rules.encodings.input,
        rules.pages.output,
        lost_outputs,
    message:
        f"everything is made: see {LAYOUT.root}"
